//! Where addresses lead that are mapped, and what becomes of those beside them.

use crate::ranges::{Range, expected_ranges};
use crate::walked::{Walk, Walked};
use crate::{Capture, Way};
use iopt::memory::Page;
use iopt::vtd::{Device, Fault, FaultReason};
use iopt::{Access, Iova, PhysAddr};
use std::collections::BTreeSet;

/// Where an address leads, or why it leads nowhere.
type Answer = Result<PhysAddr, FaultReason>;

const ACCESSES: [(Access, char); 2] = [(Access::Read, 'r'), (Access::Write, 'w')];

/// One at a time and many at once.
fn compare(way: &Way<'_>, device: &Device, access: Access, questions: &[(Iova, Answer)]) {
    let mut copy = Page::ZERO;
    let answer = |found: Result<iopt::radix::Translation, Fault>| -> Answer {
        found.map(|found| found.phys).map_err(|fault| fault.reason.unwrap())
    };
    for (iova, expected) in questions {
        let found = answer(device.translate(&way.reader, *iova, access, &mut copy, |_| ()));
        assert_eq!(found, *expected, "{}: {} {access} at {iova}", way.name, device.source_id);
    }
    let iovas: Vec<Iova> = questions.iter().map(|(iova, _)| *iova).collect();
    let mut answered = 0;
    device.translate_all(&way.reader, &iovas, access, &mut copy, |at, found| {
        let (iova, expected) = questions[at];
        assert_eq!(answer(found), expected, "{}: {} {access} at {iova}", way.name, device.source_id);
        answered += 1;
    });
    assert_eq!(answered, questions.len());
}

/// Each device with page tables: its expected ranges, and their format.
fn each_device(mut look: impl FnMut(&Way<'_>, &Walked, &[Range], &str)) {
    Capture::each(|way| {
        for (walked, expected) in Walk::whole(way).devices.iter().zip(way.devices()) {
            if let Some(table) = way.page_table(expected) {
                look(way, walked, &expected_ranges(table), table["format"].as_str().unwrap());
            }
        }
    });
}

/// What hardware says to an access that nothing allows.
fn denied(way: &Way<'_>, format: &str, access: Access, mapped: bool) -> FaultReason {
    match (way.expected["mode"].as_str(), format, access) {
        (Some("legacy"), _, Access::Read) => FaultReason::ReadDenied,
        (Some("legacy"), _, Access::Write) => FaultReason::WriteDenied,
        (_, "vtd-second-level", _) => FaultReason::SecondStageDenied,
        _ if mapped => FaultReason::FirstStageWriteDenied,
        _ => FaultReason::FirstStageNotPresent,
    }
}

#[test]
fn the_first_address_of_every_mapped_page_leads_to_its_memory() {
    each_device(|way, walked, ranges, format| {
        for (access, letter) in ACCESSES {
            let mut questions = Vec::new();
            for (iova, phys, bytes, permissions) in ranges {
                let allowed = permissions.contains(letter);
                for offset in (0..*bytes).step_by(4096) {
                    let memory = Ok(PhysAddr(phys + offset));
                    let answer = if allowed { memory } else { Err(denied(way, format, access, true)) };
                    questions.push((Iova(iova + offset), answer));
                }
            }
            compare(way, &walked.device, access, &questions);
        }
    });
}

#[test]
fn the_last_byte_before_and_the_first_behind_each_range_are_not_mapped() {
    let mut seen = BTreeSet::new();
    each_device(|way, walked, ranges, format| {
        let mapped = |at: u64| ranges.iter().any(|(iova, _, bytes, _)| (*iova..iova + bytes).contains(&at));
        let edges = ranges.iter().flat_map(|(iova, _, bytes, _)| [iova.checked_sub(1), iova.checked_add(*bytes)]);
        let outside: Vec<u64> = edges.flatten().filter(|at| !mapped(*at)).collect();
        for (access, _) in ACCESSES {
            let question = |at: &u64| {
                let reason = match (way.expected["mode"].as_str(), format) {
                    (_, "vtd-first-level") if *at >> 47 != 0 => FaultReason::NotCanonical,
                    (Some("legacy"), _) if *at >> 48 != 0 => FaultReason::AddressTooWide,
                    _ if *at >> 48 != 0 => FaultReason::SecondStageInputTooWide,
                    _ => denied(way, format, access, false),
                };
                seen.insert(reason.code());
                (Iova(*at), Err(reason))
            };
            let questions: Vec<_> = outside.iter().map(question).collect();
            compare(way, &walked.device, access, &questions);
        }
    });
    // Each mode has mappings that end where its addresses do.
    assert_eq!(seen, BTreeSet::from([0x04, 0x05, 0x06, 0x71, 0x79, 0x80, 0x84]));
}
