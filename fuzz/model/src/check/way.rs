//! What the walk tells on the way to page tables, against the twin: devices and faults, one by one in their order.

use super::collect::{Collector, OnTheWay, fault_step};
use crate::twin::{self, Found, Kind, Lost, Space, Stage, Step, Tables, Twin};
use iopt::vtd::{AddressSpace, Device, DeviceEntries};

/// A device or a fault, in words of the twin.
#[derive(Debug, PartialEq)]
enum Told {
    Device {
        source: u16,
        pasid: Option<u32>,
        with_pasid: bool,
        entries: Vec<[u64; 8]>,
        domain: Option<u64>,
        fault_disabled: bool,
        meaning: Meaning,
    },
    Fault {
        source: Option<u16>,
        pasid: Option<u32>,
        at: Option<Step>,
        code: Option<u8>,
        suppressed: bool,
    },
}

/// What addresses mean: stage, top table, levels and bits of input of all tables that there are.
#[derive(Debug, PartialEq)]
enum Meaning {
    PassThrough(Option<u8>),
    Tables(Vec<(Stage, u64, u8, u32)>),
    Blocked(u8),
}

/// Compares, and hands out the twin's devices that the walk has told as devices.
pub fn check(twin: &Twin<'_>, found: &Collector) -> Vec<twin::Device> {
    let survey = twin.survey();
    let expected: Vec<Told> = survey.iter().map(|found| expected(twin, found)).collect();
    let found: Vec<Told> = found.way.iter().map(told).collect();
    let differs = found.iter().zip(&expected).position(|(found, expected)| found != expected);
    if let Some(at) = differs {
        panic!("devices differ at {at}: found {:x?}, expected {:x?}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len(), "expected {:x?}", expected.get(found.len()));
    let devices = survey.into_iter().zip(&expected).filter_map(|found| match found {
        (Found::Device(device), Told::Device { .. }) => Some(device),
        _ => None,
    });
    devices.collect()
}

fn expected(twin: &Twin<'_>, found: &Found) -> Told {
    let device = match found {
        Found::Device(device) => device,
        Found::Lost(Lost { source, pasid, at, code, suppressed }) => {
            let (source, pasid, at, suppressed) = (*source, *pasid, *at, *suppressed);
            return Told::Fault { source, pasid, at, code: Some(*code), suppressed };
        }
    };
    let last = *device.path.last().expect("something leads to every device");
    let (source, pasid) = (device.source, device.pasid);
    let tables = |tables: &Tables| (tables.stage, tables.top, tables.levels, tables.input);
    let meaning = match &device.space {
        Ok(Space::PassThrough) => Meaning::PassThrough(twin.haw),
        Ok(Space::Tables(one)) => Meaning::Tables(vec![tables(one)]),
        Ok(Space::Nested(first, second)) => Meaning::Tables(vec![tables(first), tables(second)]),
        // What an absent entry makes of requests is no fault of the tables, and no more is a PASID that is not enabled.
        Err(code @ (0x45 | 0x51 | 0x59)) => Meaning::Blocked(*code),
        Err(code) => {
            let (source, code) = (Some(source), Some(*code));
            return Told::Fault { source, pasid, at: Some(last), code, suppressed: device.suppressed };
        }
    };
    let domain = match last.kind {
        Kind::Context => Some(last.entry[1] >> 8 & 0xffff),
        Kind::Pasids if last.entry[0] & 1 == 1 => Some(last.entry[1] & 0xffff),
        _ => None,
    };
    let entries = device.path.iter().map(|step| step.entry).collect();
    let (with_pasid, fault_disabled) = (device.with_pasid, device.suppressed);
    Told::Device { source, pasid, with_pasid, entries, domain, fault_disabled, meaning }
}

fn told(item: &OnTheWay) -> Told {
    match item {
        OnTheWay::Fault(fault) => Told::Fault {
            source: fault.place.source_id.map(|source| source.0),
            pasid: fault.place.pasid.map(|pasid| pasid.0),
            at: fault_step(fault),
            code: fault.reason.map(|reason| reason.code()),
            suppressed: fault.suppressed,
        },
        OnTheWay::Device(device) => Told::Device {
            source: device.source_id.0,
            pasid: device.pasid.map(|pasid| pasid.0),
            with_pasid: device.with_pasid,
            entries: entries(device),
            domain: device.domain().map(|domain| domain.0.into()),
            fault_disabled: device.fault_disabled(),
            meaning: meaning(&device.space),
        },
    }
}

fn entries(device: &Device) -> Vec<[u64; 8]> {
    let mut entries = vec![*device.entries.root().words(), *device.entries.context().words()];
    if let DeviceEntries::Scalable { directory, pasid, .. } = &device.entries {
        entries.push([directory.raw(), 0, 0, 0, 0, 0, 0, 0]);
        entries.extend(pasid.map(|entry| entry.words()));
    }
    entries
}

fn meaning(space: &AddressSpace) -> Meaning {
    let first = space.first_stage();
    let first = first.map(|one| (Stage::First, one.root.0, one.levels(), one.format.input_bits().into()));
    let second = space.second_stage();
    let second = second.map(|one| (Stage::Second, one.root.0, one.levels(), one.input_bits.into()));
    match space {
        AddressSpace::PassThrough { host_address_width } => Meaning::PassThrough(*host_address_width),
        AddressSpace::Blocked(reason) => Meaning::Blocked(reason.code()),
        _ => Meaning::Tables(first.into_iter().chain(second).collect()),
    }
}
