//! Numbers as people read them.

use iopt::Requester;
use iopt::vtd::{AddressSpace, Device, Fault, FaultReason, FirstStageSpace, SecondStageSpace};

const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// An exact size in the largest unit that needs no fraction.
pub fn size(bytes: u128) -> String {
    if bytes & 0x3ff != 0 {
        return count(bytes, "byte");
    }
    let (mut value, mut name) = (bytes >> 10, "KiB");
    for unit in UNITS.into_iter().skip(1) {
        if value == 0 || value & 0x3ff != 0 {
            break;
        }
        (value, name) = (value >> 10, unit);
    }
    format!("{value} {name}")
}

/// A size to one decimal, rounded down.
pub fn size_about(bytes: u128) -> String {
    let mut shift = 10u32;
    let mut name = "KiB";
    for unit in UNITS.into_iter().skip(1) {
        if bytes.checked_shr(shift.saturating_add(10)).unwrap_or(0) == 0 {
            break;
        }
        (shift, name) = (shift.saturating_add(10), unit);
    }
    let tenths = bytes.saturating_mul(10).checked_shr(shift).unwrap_or(0);
    let whole = tenths.checked_div(10).unwrap_or(0);
    match tenths.checked_rem(10).unwrap_or(0) {
        0 => format!("{whole} {name}"),
        tenth => format!("{whole}.{tenth} {name}"),
    }
}

/// `1 device`, `2 devices`.
pub fn count(number: impl Into<u128>, what: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A device, with its PASID only where its requests carry one: most machines have one address space a device.
pub fn name(device: &Device) -> Requester {
    Requester { source_id: device.source_id, pasid: device.pasid.filter(|_| device.with_pasid) }
}

/// What is special about a device.
pub fn notes(device: &Device, shares_with: Option<Requester>) -> String {
    let tables = if let AddressSpace::Nested(..) = device.space { "tables" } else { "table" };
    let shares = shares_with.map(|first| format!("shares its {tables} with {first}"));
    let device_tlb = device.device_tlb().then(|| "device-TLB".to_owned());
    let silent = device.fault_disabled().then(|| "faults not recorded".to_owned());
    let notes: Vec<String> = [shares, device_tlb, silent].into_iter().flatten().collect();
    notes.join(", ")
}

/// How a device's addresses are translated.
pub fn translation(device: &Device) -> String {
    match &device.space {
        AddressSpace::SecondStage(second) => second_stage(second),
        AddressSpace::FirstStage(first) => first_stage(first),
        AddressSpace::Nested(first, second) => format!("{} (guest) over {}", first_stage(first), second_stage(second)),
        AddressSpace::PassThrough { .. } => "pass-through".to_owned(),
        AddressSpace::Blocked(reason) => format!("blocked: {}", blocked(*reason)),
    }
}

/// Why every request of a device is refused.
pub fn blocked(reason: FaultReason) -> &'static str {
    match reason {
        // The reason's own words are about one request.
        FaultReason::ScalablePasidDisabled => "the device's PASIDE is 0",
        other => other.condition(),
    }
}

fn first_stage(space: &FirstStageSpace) -> String {
    format!("{}-level first stage at {}", space.levels(), space.root)
}

pub fn second_stage(space: &SecondStageSpace) -> String {
    format!("{}-level second stage at {}", space.levels(), space.root)
}

/// What people need to know who look for the fault in a log.
pub fn unrecorded(fault: &Fault) -> &'static str {
    if fault.suppressed { ", not recorded (FPD)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_size_has_the_largest_unit_that_divides_it() {
        let sizes = [0, 1, 1000, 4096, 1 << 20, (1 << 20) + 4096, 3 << 30, 1 << 64];
        let expected = ["0 KiB", "1 byte", "1000 bytes", "4 KiB", "1 MiB", "1028 KiB", "3 GiB", "16 EiB"];
        assert_eq!(sizes.map(size), expected);
    }

    #[test]
    fn a_rough_size_has_one_decimal() {
        let sizes = [0, 4096, 1536 << 10, (1 << 30) - 1, 1 << 64, u128::MAX];
        let rough = sizes.map(size_about);
        assert_eq!(rough[..5], ["0 KiB", "4 KiB", "1.5 MiB", "1023.9 MiB", "16 EiB"]);
    }
}
