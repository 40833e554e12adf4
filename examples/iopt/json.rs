//! Lines of JSON: their keys, in the order in which they are written.

use iopt::coalesce::DeviceRange;
use iopt::vtd::{
    AddressSpace, Cause, Device, Fault, FaultReason, IndexedEntry, Interrupt, InterruptCause, InterruptFault,
    PathEntry, SourceValidation, Structure,
};
use iopt::{Access, PhysRange, SourceId};
use serde::{Serialize, Serializer};
use std::fmt;

/// A number as `"0x…"`. It is put together without the formatting machinery, which would take half of the time of a
/// large listing.
#[derive(Clone, Copy, Debug)]
pub struct Hex(pub u128);

impl<T: Into<u64>> From<T> for Hex {
    fn from(value: T) -> Self {
        Self(value.into().into())
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 34];
        let mut rest = self.0;
        let mut start = text.len();
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(rest & 0xf).unwrap_or(0);
            *place = DIGITS.get(digit).copied().unwrap_or(b'?');
            start = start.saturating_sub(1);
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        let start = start.saturating_sub(2);
        if let Some(x) = text.get_mut(start.saturating_add(1)) {
            *x = b'x';
        }
        let text = text.get(start..).and_then(|text| std::str::from_utf8(text).ok());
        serializer.serialize_str(text.unwrap_or_default())
    }
}

/// A source-id as `"bb:dd.f"`.
#[derive(Clone, Copy, Debug)]
pub struct Bdf(pub SourceId);

impl Serialize for Bdf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).and_then(|digit| u8::try_from(digit).ok());
        let digit = |value: u8| digit(value).unwrap_or(b'?');
        let (bus, device, function) = (self.0.bus(), self.0.device(), self.0.function());
        let text =
            [digit(bus >> 4), digit(bus & 0xf), b':', digit(device >> 4), digit(device & 0xf), b'.', digit(function)];
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// A fault reason as `"0x06"`.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub FaultReason);

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#04x}", self.0.code()))
    }
}

/// `"root"`, `"context"`, or the number of a page table's level.
#[derive(Clone, Copy, Debug)]
pub struct Level(pub Structure);

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Structure::SecondStage(level) => serializer.serialize_u8(level),
            named => serializer.collect_str(&named),
        }
    }
}

/// `"r"` or `"w"`.
#[derive(Clone, Copy, Debug)]
pub struct ReadOrWrite(pub Access);

impl Serialize for ReadOrWrite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            Access::Read => "r",
            Access::Write => "w",
        })
    }
}

/// What is wrong, in words.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub Cause);

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A value as its display form.
#[derive(Clone, Copy, Debug)]
pub struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The PASID of a request in legacy mode: it has none.
pub const NO_PASID: Option<u32> = None;

#[derive(Debug, Serialize)]
pub struct Malformed {
    malformed: Words,
    fault: Option<Code>,
    level: Level,
    table: Hex,
    index: u16,
    entry: Option<Hex>,
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
            entry: place.entry.map(Hex),
            source_id: place.source_id.map(Bdf),
            pasid: NO_PASID,
            iova: place.iova.map(Hex::from),
        }
    }
}

#[derive(Debug, Serialize)]
pub struct DeviceLine {
    unit: usize,
    source_id: Bdf,
    pasid: Option<u32>,
    mode: &'static str,
    levels: Option<u8>,
    domain: u16,
    table: Option<Hex>,
    ats: bool,
    fault_disabled: bool,
    shares_with: Option<Bdf>,
}

impl DeviceLine {
    pub fn new(unit: usize, device: &Device, shares_with: Option<SourceId>) -> Self {
        let (mode, levels, table) = match &device.space {
            AddressSpace::SecondStage(space) => ("second-stage", Some(space.levels()), Some(space.root)),
            AddressSpace::PassThrough { .. } => ("pass-through", None, None),
        };
        Self {
            unit,
            source_id: Bdf(device.source_id),
            pasid: NO_PASID,
            mode,
            levels,
            domain: device.domain().0,
            table: table.map(Hex::from),
            ats: device.device_tlb(),
            fault_disabled: device.fault_disabled(),
            shares_with: shares_with.map(Bdf),
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
            pasid: NO_PASID,
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

pub fn page_size(log2: u8) -> Option<u64> {
    1u64.checked_shl(u32::from(log2))
}

#[derive(Debug, Serialize)]
pub struct TranslationLine {
    pub source_id: Bdf,
    pub pasid: Option<u32>,
    pub iova: Hex,
    pub access: ReadOrWrite,
    pub phys: Hex,
    pub page: Option<u64>,
    pub read: bool,
    pub write: bool,
}

#[derive(Debug, Serialize)]
pub struct FaultLine<'a> {
    pub source_id: Bdf,
    pub pasid: Option<u32>,
    pub iova: Hex,
    pub access: ReadOrWrite,
    pub fault: Option<Code>,
    pub name: Option<&'static str>,
    pub why: Words,
    pub path: Path<'a>,
}

/// The entries that a translation went through.
#[derive(Debug)]
pub struct Path<'a>(pub &'a [PathEntry]);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Step::from))
    }
}

#[derive(Debug, Serialize)]
struct Step {
    level: Level,
    table: Hex,
    index: u16,
    entry: Hex,
}

impl From<&PathEntry> for Step {
    fn from(entry: &PathEntry) -> Self {
        Self { level: Level(entry.structure), table: entry.table.into(), index: entry.index, entry: Hex(entry.entry) }
    }
}

/// The keys of [`Malformed`], for an entry of the interrupt remapping table. `table` is where that begins, so that
/// the entry is at `table + 16 * index`.
#[derive(Debug, Serialize)]
pub struct MalformedInterrupt {
    malformed: Text<InterruptCause>,
    fault: Option<Code>,
    level: &'static str,
    table: Option<Hex>,
    index: Option<u32>,
    entry: Option<Hex>,
    source_id: Option<Bdf>,
    pasid: Option<u32>,
    iova: Option<Hex>,
}

impl MalformedInterrupt {
    pub fn new(fault: &InterruptFault) -> Self {
        let place = fault.place;
        Self {
            malformed: Text(fault.cause),
            fault: fault.reason.map(Code),
            level: "interrupt",
            table: place.map(|place| place.table.into()),
            index: place.map(|place| place.index),
            entry: place.and_then(|place| place.entry).map(Hex),
            source_id: fault.source_id.map(Bdf),
            pasid: NO_PASID,
            iova: None,
        }
    }
}

/// What one format lacks is null there.
#[derive(Debug, Serialize)]
pub struct InterruptLine {
    index: u32,
    format: &'static str,
    vector: u8,
    destination: Option<Hex>,
    delivery: Option<String>,
    trigger: Option<String>,
    source_id: Bdf,
    validation: &'static str,
    source_mask: Option<Hex>,
    buses: Option<Buses>,
    destination_mode: Option<String>,
    redirection_hint: Option<bool>,
    urgent: Option<bool>,
    descriptor: Option<Hex>,
    available: u8,
    fault_disabled: bool,
    entry: Hex,
}

#[derive(Debug, Serialize)]
struct Buses {
    first: u8,
    last: u8,
}

impl InterruptLine {
    pub fn new(found: &IndexedEntry, extended: bool) -> Self {
        let entry = &found.entry;
        let (validation, source_mask, buses) = match entry.validation() {
            SourceValidation::None => ("none", None, None),
            SourceValidation::SourceId { mask, .. } => ("source-id", Some(Hex::from(mask)), None),
            SourceValidation::BusRange { first, last } => ("bus-range", None, Some(Buses { first, last })),
            SourceValidation::Reserved => ("reserved", None, None),
        };
        let line = Self {
            index: found.index,
            format: "posted",
            vector: 0,
            destination: None,
            delivery: None,
            trigger: None,
            source_id: Bdf(entry.source_id()),
            validation,
            source_mask,
            buses,
            destination_mode: None,
            redirection_hint: None,
            urgent: None,
            descriptor: None,
            available: entry.available(),
            fault_disabled: entry.fault_disabled(),
            entry: Hex(entry.raw()),
        };
        match entry.interrupt(extended) {
            Interrupt::Remapped { destination_mode, redirection_hint, trigger, delivery, vector, destination } => {
                Self {
                    format: "remapped",
                    vector,
                    destination: Some(destination.into()),
                    delivery: Some(delivery.to_string()),
                    trigger: Some(trigger.to_string()),
                    destination_mode: Some(destination_mode.to_string()),
                    redirection_hint: Some(redirection_hint),
                    ..line
                }
            }
            Interrupt::Posted { urgent, vector, descriptor } => {
                Self { vector, urgent: Some(urgent), descriptor: Some(descriptor.into()), ..line }
            }
        }
    }
}

#[derive(Debug, Serialize)]
pub struct InfoLine {
    pub format: &'static str,
    pub size: u64,
    pub ranges: Vec<MemoryRange>,
    /// No format that is read so far carries any.
    pub vmcoreinfo: Option<()>,
}

#[derive(Debug, Serialize)]
pub struct MemoryRange {
    start: Hex,
    last: Hex,
}

impl From<PhysRange> for MemoryRange {
    fn from(range: PhysRange) -> Self {
        Self { start: range.first().into(), last: range.last().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn numbers_and_devices_read_as_their_display_forms() {
        for value in [0, 1, 0xf, 0x10, 0x98c000, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(json(Hex(value)), format!("\"{value:#x}\""));
        }
        for source_id in [0, 0x40, 0xfa, 0xffff].map(SourceId) {
            assert_eq!(json(Bdf(source_id)), format!("\"{source_id}\""));
        }
        assert_eq!(json(Code(FaultReason::ReadDenied)), "\"0x06\"");
    }
}
