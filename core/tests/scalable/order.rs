//! Of two defects hardware finds one first.

use crate::defects;
use crate::request::Request;
use iopt::vtd::{Cause, Fault, FaultReason, INTERRUPT_RANGE};

/// How a request fails: the fault, and how many entries were seen.
fn failing(request: &Request) -> (Fault, usize) {
    let (found, path) = request.ask();
    (found.unwrap_err(), path.len())
}

/// Each defect alone fails with its own reason, and every two of them as the earlier does, wherever they are.
#[test]
fn of_any_two_defects_the_earlier_wins() {
    for base in defects::requests() {
        base.passes("without a defect");
        let defects = defects::of(&base);
        let alone: Vec<_> = defects.iter().map(|defect| failing(&(defect.apply)(base.clone()))).collect();
        for (first, (fault, seen)) in alone.iter().enumerate() {
            let (name, reason) = (&defects[first].name, fault.reason.unwrap());
            assert_eq!(reason.code(), defects[first].code, "{name}: {fault}");
            let at =
                base.path(base.length()).iter().position(|entry| entry.structure == fault.place.structure).unwrap();
            for second in &defects[first + 1..] {
                let both = (defects[first].apply)((second.apply)(base.clone()));
                let names = format!("{name}, {}", second.name);
                both.fails(&names, (reason.code(), reason.name()), fault.cause, at, *seen);
            }
        }
    }
}

/// Every reason of scalable mode is in the lists above, or has a reason not to be.
#[test]
fn the_defects_are_every_reason_that_tables_can_produce() {
    let mut codes: Vec<u8> =
        defects::requests().iter().flat_map(|base| defects::of(base).into_iter().map(|defect| defect.code)).collect();
    codes.push(0x31); // has a test of its own, in legacy mode
    codes.extend(0x74..=0x77); // nested
    codes.extend([0x32, 0x44, 0x47]); // ATS and page requests
    codes.extend([0x5c, 0x82]); // execute requests
    codes.extend([0x7c, 0x7d, 0x90, 0x91]); // writing accessed and dirty bits, which a reader does not do
    codes.push(0x86); // no first-stage entry denies a read otherwise than by P and U/S
    codes.extend([0x33, 0x43, 0x88, 0x89]); // their conditions are not confirmed
    codes.sort_unstable();
    codes.dedup();
    let all: Vec<u8> = FaultReason::ALL.iter().map(|reason| reason.code()).filter(|&code| code >= 0x30).collect();
    assert_eq!(codes, all);
}

/// Interrupts are told from other requests before anything is looked at, even the mode.
#[test]
fn an_interrupt_without_pasid_is_one_whatever_the_tables_say() {
    for base in defects::requests().into_iter().filter(|base| base.pasid.is_none()) {
        for defect in defects::of(&base) {
            for iova in [INTERRUPT_RANGE.0, INTERRUPT_RANGE.0 + 0x123, INTERRUPT_RANGE.1] {
                let broken = Request { iova, ..(defect.apply)(base.clone()) };
                let (found, path) = broken.ask();
                let fault = found.unwrap_err();
                assert_eq!((fault.reason, fault.cause), (None, Cause::InterruptRequest), "{}", defect.name);
                assert_eq!((path.len(), fault.suppressed), (0, false), "{}", defect.name);
                assert_eq!(fault.place, broken.place(0, 0), "{}", defect.name);
            }
        }
    }
}

#[test]
fn a_fault_is_one_line_that_tells_what_was_expected_and_what_was_found() {
    let line = |base: Request, name: &str| {
        let defects = defects::of(&base);
        let defect = defects.iter().find(|defect| defect.name == name).unwrap();
        (defect.apply)(base).ask().0.unwrap_err().to_string()
    };
    let cases = [
        (
            Request::first(),
            "mode",
            "01:02.3@133 iova 0x28180e08123 fault 0x30 RTA.1.x at root table 0x1000 entry 1: \
             TTM says scalable mode, which the unit does not have (ECAP.SMTS is 0)",
        ),
        (
            Request::first(),
            "PASIDE",
            "01:02.3@133 iova 0x28180e08123 fault 0x45 SCT.6 at context table 0x3000 entry 19 = \
             0x1c30000000000005001: the request has a PASID, but the device's PASIDE is 0",
        ),
        (
            Request::first(),
            "PASID",
            "01:02.3@8192 iova 0x28180e08123 fault 0x46 SCT.7 at context table 0x3000 entry 19 = \
             0x1c30000000000005009: PASID 8192 is beyond the PASID directory (PDTS allows 8192)",
        ),
        (
            Request::first().without_pasid(),
            "RID_PASID",
            "01:02.3 iova 0x28180e08123 fault 0x48 SCT.9 at context table 0x3000 entry 19 = \
             0x21c30000000000005009: RID_PASID 8643 is beyond the PASID directory (PDTS allows 8192)",
        ),
        (
            Request::first(),
            "directory reserved",
            "01:02.3@133 iova 0x28180e08123 fault 0x52 SPD.3 at PASID directory table 0x5000 entry 2 = 0x9005: \
             reserved bits 0x4 are set",
        ),
        (
            Request::second(),
            "AW",
            "01:02.3@133 iova 0x28180e08123 fault 0x5b SPT.4.x at PASID table 0x9000 entry 5 = \
             0x7000000000000709d: AW is 7, which the unit does not support (CAP.SAGAW is 0b01110)",
        ),
        (
            Request::first().without_pasid(),
            "SRE",
            "01:02.3@451 iova 0x28180e08123 fault 0x5d SPT.6 at PASID table 0xb000 entry 3 = \
             0x700000000000000000070000000000000041: \
             the device's requests without PASID are supervisor requests (RID_PRIV), but SRE is 0",
        ),
        (
            Request::first(),
            "table 3",
            "01:02.3@133 iova 0x28180e08123 fault 0x70 SFS.1 at level 4 table 0x7000 entry 5 = 0xd007: \
             its table can't be read: page 0xd000 is not in the memory image (a hole)",
        ),
        (
            Request::first(),
            "canonical",
            "01:02.3@133 iova 0x8000028180e08123 fault 0x80 SGN.1 at PASID table 0x9000 entry 5 = \
             0x700000000000000000070000000000000041: \
             the address is not canonical: not the sign extension of 48 bits",
        ),
        (
            Request::first(),
            "U/S 1",
            "01:02.3@133 iova 0x28180e08123 fault 0x81 SGN.2 at level 1 table 0x11000 entry 8 = 0x12345003: \
             the entry is for supervisor requests only (U/S is 0)",
        ),
        (
            Request::second(),
            "width",
            "01:02.3@133 iova 0x1000028180e08123 fault 0x84 SGN.5 at PASID table 0x9000 entry 5 = \
             0x70000000000007089: the address has more than 48 bits, the address width of the page table (AW)",
        ),
    ];
    for (base, name, expected) in cases {
        let found = line(base, name);
        assert_eq!(found, expected);
    }
    let several = Request::first().flip_bit(crate::request::AT_PASID, 10).flip_bit(crate::request::AT_PASID, 511);
    assert!(
        several.ask().0.unwrap_err().to_string().ends_with("reserved bits 0x400 | 0x8000000000000000 << 448 are set")
    );
}
