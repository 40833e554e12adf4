//! Of two things wrong with a request the one that hardware checks first is told.

use crate::common::{CONTEXT, CONTEXT_ENTRY, R, ROOT, ROOT_ENTRY, TOP, W};
use crate::{AT, PHYS, Request, addr, level};
use iopt::vtd::{Fault, Rtaddr, Unit};

/// Two defects in one request: either makes it fail, with its own reason, and together they fail as the first does.
fn earlier_wins(
    name: &str,
    base: &Request,
    first: impl Fn(Request) -> Request,
    second: impl Fn(Request) -> Request,
    codes: [u8; 2],
) {
    base.ask().0.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let (alone, path) = first(base.clone()).ask();
    let alone = alone.unwrap_err();
    let other = second(base.clone()).ask().0.unwrap_err();
    let code = |fault: &Fault| fault.reason.unwrap().code();
    assert_eq!([code(&alone), code(&other)], codes, "{name}: {alone}; {other}");
    assert_ne!((alone.reason, alone.cause), (other.reason, other.cause), "{name}: they can be told apart");
    let place = (alone.place.structure, alone.place.table.0, alone.place.index);
    let at = AT.iter().position(|at| *at == place).unwrap();
    let short = alone.reason.unwrap().name();
    first(second(base.clone())).fails(name, code(&alone), short, alone.cause, at, path.len());
}

/// An address that no unit and no table here translates.
fn too_wide(request: Request) -> Request {
    Request { iova: 1 << 60, ..request }
}

fn without_capabilities(request: Request) -> Request {
    Request { ecap: Some(0), ..request }
}

#[test]
fn the_mode_is_checked_before_anything_is_read() {
    for mode in 2..4 {
        // There is no memory to ask.
        assert!(Unit::new(Rtaddr(mode << 10 | 0x1000)).is_err());
    }
}

#[test]
fn root_checks_come_in_the_order_of_fetched_present_reserved() {
    let base = Request::new();
    let absent = |request: Request| request.flip(ROOT_ENTRY, 1);
    let no_context = |request: Request| request.hole(CONTEXT);
    earlier_wins("fetch, P", &base, |request| request.hole(ROOT), absent, [0x08, 0x01]);
    earlier_wins("fetch, context fetch", &base, |request| request.hole(ROOT), no_context, [0x08, 0x09]);
    for word in [ROOT_ENTRY, ROOT_ENTRY + 8] {
        let reserved = |request: Request| request.flip(word, 2);
        earlier_wins("P, reserved", &base, absent, reserved, [0x01, 0x0a]);
        earlier_wins("reserved, context fetch", &base, reserved, no_context, [0x0a, 0x09]);
    }
    earlier_wins("P, context fetch", &base, absent, no_context, [0x01, 0x09]);
}

#[test]
fn context_checks_come_in_the_order_of_fetched_present_reserved_width_type() {
    let base = Request::new();
    let absent = |request: Request| request.flip(CONTEXT_ENTRY, 1);
    let no_width = |request: Request| request.with(CONTEXT_ENTRY + 8, 7 << 8 | 7);
    let no_type = |request: Request| request.flip(CONTEXT_ENTRY, 3 << 2);
    earlier_wins("fetch, P", &base, |request| request.hole(CONTEXT), absent, [0x09, 0x02]);
    let reserved = |request: Request| request.flip(CONTEXT_ENTRY, 1 << 4);
    earlier_wins("P, reserved", &base, absent, reserved, [0x02, 0x0b]);
    earlier_wins("P, AW", &base, absent, no_width, [0x02, 0x03]);
    earlier_wins("reserved, AW", &base, reserved, no_width, [0x0b, 0x03]);
    earlier_wins("reserved, TT", &base, reserved, no_type, [0x0b, 0x03]);
    earlier_wins("AW, TT", &base, no_width, no_type, [0x03, 0x03]);
    earlier_wins("AW, PT", &Request::pass_through(), no_width, without_capabilities, [0x03, 0x03]);
    let tlb = base.clone().flip(CONTEXT_ENTRY, 1 << 2);
    earlier_wins("AW, DT", &tlb, no_width, without_capabilities, [0x03, 0x03]);
}

#[test]
fn the_context_entry_is_checked_before_the_address() {
    let base = Request::new();
    let no_width = |request: Request| request.with(CONTEXT_ENTRY + 8, 7 << 8 | 7);
    let no_type = |request: Request| request.flip(CONTEXT_ENTRY, 3 << 2);
    earlier_wins("AW, width", &base, no_width, too_wide, [0x03, 0x04]);
    earlier_wins("TT, width", &base, no_type, too_wide, [0x03, 0x04]);
    earlier_wins("DT, width", &base.clone().flip(CONTEXT_ENTRY, 1 << 2), without_capabilities, too_wide, [0x03, 0x04]);
    earlier_wins("PT, width", &Request::pass_through(), without_capabilities, too_wide, [0x03, 0x04]);
    // Requests that pass through have no tables, so nothing is wrong with tables that are not there.
    Request::pass_through().hole(TOP).succeeds("pass-through, top fetch", 2);
}

#[test]
fn the_address_is_checked_before_the_page_table() {
    let base = Request::new();
    // The same path, were bit 48 not looked at.
    let wide = |request: Request| Request { iova: request.iova | 1 << 48, ..request };
    earlier_wins("width, top fetch", &base, wide, |request| request.hole(TOP), [0x04, 0x03]);
    earlier_wins("width, permission", &base, wide, |request| request.flip(addr(level(4)), R), [0x04, 0x06]);
    earlier_wins("width, reserved", &base, wide, |request| request.flip(addr(level(4)), 1 << 62), [0x04, 0x0c]);
}

#[test]
fn at_each_level_permission_comes_before_reserved_bits_and_those_before_the_next_table() {
    for number in 1..=4 {
        let (at, entry) = (level(number), addr(level(number)));
        for (base, bit, code) in [(Request::new(), R, 0x06), (Request::new().write(), W, 0x05)] {
            let denied = |request: Request| request.flip(entry, bit);
            let reserved = |request: Request| request.flip(entry, 1 << 62);
            earlier_wins("permission, reserved", &base, denied, reserved, [code, 0x0c]);
            // Permissions are those of the whole path, but each is looked at on the way.
            if number < 4 {
                let denied_above = |request: Request| request.flip(addr(at - 1), bit);
                let reserved_above = |request: Request| request.flip(addr(at - 1), 1 << 62);
                earlier_wins("permission above, reserved", &base, denied_above, reserved, [code, 0x0c]);
                earlier_wins("reserved above, permission", &base, reserved_above, denied, [0x0c, code]);
            }
            if number > 1 {
                let table = AT[at + 1].1;
                let no_table = |request: Request| request.hole(table);
                earlier_wins("permission, next fetch", &base, denied, no_table, [code, 0x07]);
                earlier_wins("reserved, next fetch", &base, reserved, no_table, [0x0c, 0x07]);
                let below = |request: Request| request.flip(addr(at + 1), bit);
                earlier_wins("fetch, permission", &base, no_table, below, [0x07, code]);
            }
        }
    }
    let (no_top, no_next) = (|request: Request| request.hole(TOP), |request: Request| request.hole(0x4000));
    earlier_wins("top fetch, next fetch", &Request::new(), no_top, no_next, [0x03, 0x07]);
    let denied = |request: Request| request.flip(addr(level(4)), R);
    earlier_wins("top fetch, permission", &Request::new(), no_top, denied, [0x03, 0x06]);
}

#[test]
fn the_interrupt_range_is_checked_last() {
    let leaf = addr(level(1));
    for (base, bit, code) in [(Request::new(), R, 0x06), (Request::new().write(), W, 0x05)] {
        let output = |request: Request| request.flip(leaf, PHYS ^ 0xfee0_0000);
        let reserved = |request: Request| request.flip(leaf, 1 << 62);
        earlier_wins("reserved, output", &base, reserved, output, [0x0c, 0x0e]);
        earlier_wins("permission, output", &base, |request| request.flip(leaf, bit), output, [code, 0x0e]);
    }
    let (large, entry) = (Request::large(2, 0x20_0000), addr(level(2)));
    let misaligned = |request: Request| request.flip(entry, 0x1000);
    let output = |request: Request| request.flip(entry, 0x20_0000 ^ 0xfee0_0000);
    earlier_wins("misaligned, output", &large, misaligned, output, [0x0c, 0x0e]);
}
