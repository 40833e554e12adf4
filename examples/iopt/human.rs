//! Numbers as people read them.

use iopt::SourceId;
use iopt::vtd::{AddressSpace, Device};

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

/// What is special about a device.
pub fn notes(device: &Device, shares_with: Option<SourceId>) -> String {
    let shares = shares_with.map(|first| format!("shares its table with {first}"));
    let device_tlb = device.device_tlb().then(|| "device-TLB".to_owned());
    let silent = device.fault_disabled().then(|| "faults not recorded".to_owned());
    let notes: Vec<String> = [shares, device_tlb, silent].into_iter().flatten().collect();
    notes.join(", ")
}

/// How a device's addresses are translated.
pub fn translation(device: &Device) -> String {
    match &device.space {
        AddressSpace::SecondStage(space) => format!("{}-level second stage at {}", space.levels(), space.root),
        AddressSpace::PassThrough { .. } => "pass-through".to_owned(),
    }
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
