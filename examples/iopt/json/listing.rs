//! Devices, their ranges, and what is malformed between them.

use super::{Bdf, Code, Entry, Hex, Level, Words, page_size};
use iopt::coalesce::DeviceRange;
use iopt::vtd::{AddressSpace, Device, Fault};
use iopt::{Pasid, Requester};
use serde::Serialize;

/// The number of a PASID. In lines about tables it is that of the PASID table entry, null in legacy mode.
fn number(pasid: Pasid) -> u32 {
    pasid.0
}

#[derive(Debug, Serialize)]
pub struct Malformed {
    malformed: Words,
    fault: Option<Code>,
    level: Level,
    table: Hex,
    index: u16,
    entry: Option<Entry>,
    source_id: Option<Bdf>,
    pasid: Option<u32>,
    iova: Option<Hex>,
}

impl Malformed {
    pub fn new(fault: &Fault) -> Self {
        let place = &fault.place;
        Self {
            malformed: Words(fault.cause),
            fault: fault.reason.map(Code),
            level: Level(place.structure),
            table: place.table.into(),
            index: place.index,
            entry: place.entry.map(Entry),
            source_id: place.source_id.map(Bdf),
            pasid: place.pasid.map(number),
            iova: place.iova.map(Hex::from),
        }
    }
}

/// A device, or in scalable mode one PASID of it.
///
/// `levels` and `table` are those of the first stage where there is one; nested, its table is an address that the
/// second stage translates. `shares_with` names whose tables they are: those of the first device and PASID of the unit
/// that has them. So it is null for that one itself, and a device's own source-id where an earlier PASID of the same
/// device has them.
#[derive(Debug, Serialize)]
pub struct DeviceLine {
    unit: usize,
    source_id: Bdf,
    pasid: Option<u32>,
    mode: &'static str,
    levels: Option<u8>,
    domain: Option<u16>,
    table: Option<Hex>,
    ats: bool,
    fault_disabled: bool,
    shares_with: Option<Bdf>,
}

impl DeviceLine {
    pub fn new(unit: usize, device: &Device, shares_with: Option<Requester>) -> Self {
        let (mode, levels, table) = match &device.space {
            AddressSpace::SecondStage(second) => ("second-stage", Some(second.levels()), Some(second.root)),
            AddressSpace::FirstStage(first) => ("first-stage", Some(first.levels()), Some(first.root)),
            AddressSpace::Nested(first, _) => ("nested", Some(first.levels()), Some(first.root)),
            AddressSpace::PassThrough { .. } => ("pass-through", None, None),
            AddressSpace::Blocked(_) => ("blocked", None, None),
        };
        Self {
            unit,
            source_id: Bdf(device.source_id),
            pasid: device.pasid.map(number),
            mode,
            levels,
            domain: device.domain().map(|domain| domain.0),
            table: table.map(Hex::from),
            ats: device.device_tlb(),
            fault_disabled: device.fault_disabled(),
            shares_with: shares_with.map(|first| Bdf(first.source_id)),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct RangeLine {
    unit: usize,
    source_id: Bdf,
    pasid: Option<u32>,
    domain: u16,
    iova: Hex,
    last: Hex,
    phys: Option<Hex>,
    size: u128,
    page: Option<u64>,
    read: bool,
    write: bool,
}

impl RangeLine {
    pub fn new(unit: usize, range: &DeviceRange) -> Self {
        Self {
            unit,
            source_id: Bdf(range.source_id),
            pasid: range.pasid.map(number),
            domain: range.domain.0,
            iova: range.iova.first().into(),
            last: range.iova.last().into(),
            phys: range.phys.map(Hex::from),
            size: range.iova.size(),
            page: range.page_size_log2.and_then(page_size),
            read: range.permissions.read(),
            write: range.permissions.write(),
        }
    }
}
