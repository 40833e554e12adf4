//! What each kind of PASID table entry makes of addresses.

use crate::request::{AT_PASID, Kind, Request};
use crate::{LARGE, RW, USER};
use iopt::vtd::{AddressSpace, Cause, INTERRUPT_RANGE};
use iopt::{Access, Iova, IovaRange, Permissions};

fn space(request: &Request) -> AddressSpace {
    request.words().with(|memory| {
        let mut copy = iopt::memory::Page::ZERO;
        request.unit().device(memory, request.requester(), &mut copy, |_| ()).unwrap().space
    })
}

/// The first and last pages of the lower and of the upper half, and what leads to them.
#[test]
fn a_first_stage_maps_both_ends_of_the_space_with_pages_of_every_size() {
    for (levels, bits) in [(4, 48), (5, 57)] {
        let half = 1_u64 << (bits - 1);
        for base in Request::new(Kind::First, levels).both() {
            let top = base.table(base.level(levels));
            for (level, phys) in [(1, 0x7_8000_1000), (2, 0x7_8020_0000), (3, 0x7_c000_0000)] {
                let size = 1 << (3 + 9 * u32::from(level));
                for first in [0, half - size, half.wrapping_neg(), size.wrapping_neg(), size, 3 << 39] {
                    let mut request = base.clone();
                    let large = if level > 1 { LARGE } else { 0 };
                    request.tables.map((top, levels), level, first, phys | large | USER, USER);
                    for inside in [0, 0x123, size / 2, size - 1] {
                        let request = Request { iova: first + inside, ..request.clone() };
                        request.passes("inside");
                        let found = request.ask().0.unwrap();
                        assert_eq!((found.phys.0, found.permissions), (phys + inside, Permissions::READ_WRITE));
                    }
                }
            }
            assert!(matches!(space(&base), AddressSpace::FirstStage(first) if first.levels() == levels));
            assert_eq!(space(&base).input(), Some(IovaRange::all()));
        }
    }
}

#[test]
fn a_second_stage_maps_its_input_and_no_sign() {
    for levels in 3..=5 {
        let bits = 12 + 9 * levels;
        for base in Request::new(Kind::Second, levels).both() {
            let top = base.table(base.level(levels));
            for (level, phys) in [(1, 0x7_8000_1000), (2, 0x7_8020_0000), (3, 0x7_c000_0000)] {
                let size = 1 << (3 + 9 * u32::from(level));
                for first in [0, (1 << (bits - 1)) - size, 1 << (bits - 1), (1 << bits) - size] {
                    let mut request = base.clone();
                    let large = if level > 1 { LARGE } else { 0 };
                    request.tables.map((top, levels), level, first, phys | large | RW, RW);
                    for inside in [0, size - 1] {
                        let request = Request { iova: first + inside, ..request.clone() };
                        request.passes("inside");
                        assert_eq!(request.ask().0.unwrap().phys.0, phys + inside);
                    }
                }
            }
            let AddressSpace::SecondStage(second) = space(&base) else { panic!("a second stage") };
            assert_eq!((second.levels(), second.input_bits), (levels, bits));
            assert_eq!(space(&base).input(), Some(IovaRange::block(Iova(0), bits)));
        }
    }
}

#[test]
fn requests_pass_through_unchanged() {
    for base in Request::pass_through().both() {
        assert_eq!(space(&base), AddressSpace::PassThrough { host_address_width: Some(46) });
        for iova in [0, 0xfff, 0xfedf_ffff, 0xfef0_0000, 1 << 45, (1 << 46) - 1] {
            for access in [Access::Read, Access::Write] {
                let found = Request { iova, access, ..base.clone() }.ask().0.unwrap();
                assert_eq!((found.phys.0, found.permissions, found.leaf), (iova, Permissions::READ_WRITE, None));
            }
        }
    }
}

/// A mapping of the interrupt range, in tables of either stage.
fn mapped(kind: Kind) -> Request {
    let mut request = Request::new(kind, 4);
    let flags = if kind == Kind::First { USER } else { RW };
    let top = request.table(request.level(4));
    for iova in (INTERRUPT_RANGE.0..=INTERRUPT_RANGE.1).step_by(0x1000) {
        request.tables.map((top, 4), 1, iova, (iova - 0x1000_0000) | flags, flags);
    }
    request
}

/// With a PASID they are requests like any other.
#[test]
fn requests_with_pasid_to_the_interrupt_range_are_translated() {
    for kind in [Kind::First, Kind::Second] {
        for iova in [INTERRUPT_RANGE.0, 0xfee8_1234, INTERRUPT_RANGE.1] {
            let request = Request { iova, ..mapped(kind) };
            request.passes("with PASID");
            assert_eq!(request.ask().0.unwrap().phys.0, iova - 0x1000_0000);
            let absent = Request { iova, ..Request::new(kind, 4) }.ask().0.unwrap_err();
            assert!(matches!(absent.reason.unwrap().code(), 0x71 | 0x79), "{absent}");
        }
    }
    let fault = Request { iova: INTERRUPT_RANGE.0, ..Request::pass_through() }.ask().0.unwrap_err();
    assert_eq!(fault.reason.unwrap().code(), 0x87, "only where they pass through is it the output too");
    assert_eq!(fault.place, Request { iova: INTERRUPT_RANGE.0, ..Request::pass_through() }.place(AT_PASID, 4));
}

#[test]
fn requests_without_pasid_to_the_interrupt_range_are_interrupts() {
    for request in [mapped(Kind::First), mapped(Kind::Second), Request::pass_through()] {
        for iova in [INTERRUPT_RANGE.0, INTERRUPT_RANGE.0 + 4, 0xfee8_1234, INTERRUPT_RANGE.1] {
            let request = Request { iova, ..request.clone().without_pasid() };
            let (found, path) = request.ask();
            let fault = found.unwrap_err();
            assert_eq!((fault.reason, fault.cause, path.len()), (None, Cause::InterruptRequest, 0));
            assert_eq!((fault.place.pasid, fault.place.iova), (None, Some(Iova(iova))));
        }
        for iova in [INTERRUPT_RANGE.0 - 1, INTERRUPT_RANGE.1 + 1] {
            let found = Request { iova, ..request.clone().without_pasid() }.ask().0;
            assert_ne!(found.err().map(|fault| fault.cause), Some(Cause::InterruptRequest));
        }
    }
}
