//! Requests into the interrupt range, which are no translations.

use crate::common::{CONTEXT, CONTEXT_ENTRY, LARGE, ROOT, ROOT_ENTRY, RW, TOP, Tables};
use crate::{CAP, Request};
use iopt::vtd::{Cause, INTERRUPT_RANGE};
use iopt::{Access, Iova};

/// Devices of every kind, each of which lets any address through that is no interrupt.
fn devices() -> Vec<(&'static str, Request)> {
    let mut mapped = Request::new();
    mapped.tables.map(3, 0xc000_0000, 0x1_4000_0000 | LARGE | RW);
    let narrow = Request { cap: Some(CAP & !(0x3f << 16) | 29 << 16), ..mapped.clone() };
    let mut short = Request::new();
    short.tables = Tables::new(2);
    vec![
        ("mapped", mapped.clone()),
        ("not mapped", Request::new()),
        ("passes through", Request::pass_through()),
        ("beyond the unit", narrow),
        ("beyond the table", short),
        ("no top table", mapped.hole(TOP)),
    ]
}

#[test]
fn requests_into_the_interrupt_range_are_no_translations() {
    let (first, last) = INTERRUPT_RANGE;
    assert_eq!((first, last), (0xfee0_0000, 0xfeef_ffff));
    for (name, device) in devices() {
        for iova in [first, first + 4, 0xfee8_1234, last] {
            for access in [Access::Read, Access::Write] {
                let (found, path) = Request { iova, access, ..device.clone() }.ask();
                let fault = found.unwrap_err();
                assert_eq!((fault.reason, fault.cause), (None, Cause::InterruptRequest), "{name}");
                assert_eq!(fault.place.iova, Some(Iova(iova)), "{name}");
                assert_eq!(path.len(), 0, "{name}: no table was looked at");
            }
        }
        for iova in [first - 1, last + 1] {
            let cause = Request { iova, ..device.clone() }.ask().0.err().map(|fault| fault.cause);
            assert_ne!(cause, Some(Cause::InterruptRequest), "{name}");
        }
    }
}

/// Hardware takes them for interrupts before it looks at any table.
#[test]
fn requests_into_the_interrupt_range_are_interrupts_whatever_the_tables_say() {
    let broken = [
        Request::new().hole(ROOT),
        Request::new().flip(ROOT_ENTRY, 1),
        Request::new().flip(ROOT_ENTRY, 2),
        Request::new().hole(CONTEXT),
        Request::new().flip(CONTEXT_ENTRY, 1),
        Request::new().flip(CONTEXT_ENTRY, 1 << 4),
        Request::new().flip(CONTEXT_ENTRY, 3 << 2),
    ];
    for request in broken {
        let fault = Request { iova: INTERRUPT_RANGE.0, ..request }.ask().0.unwrap_err();
        assert_eq!((fault.reason, fault.cause), (None, Cause::InterruptRequest), "{fault}");
    }
}
