//! Each fault reason, and its twin that one change makes valid.

use crate::common::{CONTEXT, CONTEXT_ENTRY, LARGE, R, ROOT, ROOT_ENTRY, RW, SNOOP, TOP, W};
use crate::{
    AT, CAP, ECAP, HOST_WIDTH, LCT_1, LCT_2, LCT_3, LCT_4, LGN_1, LGN_2, LGN_3, LGN_4, LRT_1, LRT_2, LRT_3, LSL_1,
    LSL_2, Request, addr, hole, level, reserved, twins,
};
use iopt::vtd::{Cause, WidthLimit};
use iopt::{Access, PhysAddr};

#[test]
fn a_root_entry_that_is_not_present_is_0x01() {
    let valid = Request::new();
    let invalid = valid.clone().flip(ROOT_ENTRY, 1);
    twins("root-present", &valid, 6, &invalid, LRT_2, Cause::NotPresent, (0, 1));
}

#[test]
fn a_context_entry_that_is_not_present_is_0x02() {
    for fault_disable in [0, 2] {
        let valid = Request::new().with(CONTEXT_ENTRY, TOP | fault_disable | 1);
        let invalid = valid.clone().flip(CONTEXT_ENTRY, 1);
        twins("context-present", &valid, 6, &invalid, LCT_2, Cause::NotPresent, (1, 2));
    }
}

#[test]
fn an_address_width_without_meaning_or_support_is_0x03() {
    for aw in 5..8 {
        let valid = Request::unknown();
        let invalid = valid.clone().with(CONTEXT_ENTRY + 8, 7 << 8 | aw);
        let aw = u8::try_from(aw).unwrap();
        twins("aw", &valid, 6, &invalid, LCT_4, Cause::AddressWidth { aw, sagaw: None }, (1, 2));
    }
    for aw in [0, 1, 3, 4, 5, 6, 7] {
        let valid = Request { cap: Some(CAP & !(0x1f << 8) | 1 << 10), ..Request::new() };
        let invalid = valid.clone().with(CONTEXT_ENTRY + 8, 7 << 8 | aw);
        let cause = Cause::AddressWidth { aw: u8::try_from(aw).unwrap(), sagaw: Some(0b00100) };
        twins("sagaw", &valid, 6, &invalid, LCT_4, cause, (1, 2));
    }
    let valid = Request::new();
    let invalid = Request { cap: Some(CAP & !(1 << 10)), ..Request::new() };
    let cause = Cause::AddressWidth { aw: 2, sagaw: Some(0b11011) };
    twins("sagaw-of-the-unit", &valid, 6, &invalid, LCT_4, cause, (1, 2));
    // Requests that pass through need an address width that the unit supports all the same.
    let cause = Cause::AddressWidth { aw: 7, sagaw: Some(0x1f) };
    let invalid = Request::pass_through().with(CONTEXT_ENTRY + 8, 7 << 8 | 7);
    twins("pass-through-aw", &Request::pass_through(), 2, &invalid, LCT_4, cause, (1, 2));
}

#[test]
fn a_translation_type_without_meaning_or_support_is_0x03() {
    for valid in [Request::new(), Request::unknown()] {
        let invalid = valid.clone().flip(CONTEXT_ENTRY, 3 << 2);
        twins("tt", &valid, 6, &invalid, LCT_4, Cause::TranslationTypeReserved, (1, 2));
    }

    let with_tlb = |request: Request| request.flip(CONTEXT_ENTRY, 1 << 2);
    let no_tlb = Request { ecap: Some(ECAP & !(1 << 2)), ..Request::new() };
    twins("type", &no_tlb, 6, &with_tlb(no_tlb.clone()), LCT_4, Cause::NoDeviceTlb, (1, 2));
    let invalid = with_tlb(no_tlb);
    twins("device-tlb", &with_tlb(Request::new()), 6, &invalid, LCT_4, Cause::NoDeviceTlb, (1, 2));

    let invalid = Request { ecap: Some(ECAP & !(1 << 6)), ..Request::pass_through() };
    twins("pass-through", &Request::pass_through(), 2, &invalid, LCT_4, Cause::NoPassThrough, (1, 2));
    let unknown = Request { ecap: None, ..Request::pass_through() };
    twins("pass-through-unknown", &unknown, 2, &invalid, LCT_4, Cause::NoPassThrough, (1, 2));
}

#[test]
fn a_top_table_that_is_not_there_is_0x03() {
    let invalid = Request::new().hole(TOP);
    twins("top-table", &Request::new(), 6, &invalid, LCT_4, hole(TOP), (1, 2));
}

#[test]
fn an_address_beyond_the_page_table_is_0x04() {
    for bit in 48..64 {
        for valid in [Request::new(), Request::unknown()] {
            let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
            let cause = Cause::TooWide { bits: 48, limit: WidthLimit::PageTable };
            twins("agaw", &valid, 6, &invalid, LGN_1, cause, (1, 2));
        }
    }
}

#[test]
fn an_address_beyond_the_unit_is_0x04() {
    let cap = |bits: u64| Some(CAP & !(0x3f << 16) | (bits - 1) << 16);
    let cause = |bits| Cause::TooWide { bits, limit: WidthLimit::Unit };
    for bit in 42..64 {
        let valid = Request { cap: cap(42), ..Request::new() };
        let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
        twins("mgaw", &valid, 6, &invalid, LGN_1, cause(42), (1, 2));
    }
    // The highest bit of the address is bit 41.
    let [valid, invalid] = [42, 41].map(|bits| Request { cap: cap(bits), ..Request::new() });
    twins("mgaw-of-the-unit", &valid, 6, &invalid, LGN_1, cause(41), (1, 2));
}

#[test]
fn an_address_beyond_the_host_is_0x04_where_requests_pass_through() {
    for bit in u32::from(HOST_WIDTH)..64 {
        let valid = Request { iova: (1 << HOST_WIDTH) - 1, ..Request::pass_through() };
        let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
        let cause = Cause::TooWide { bits: HOST_WIDTH, limit: WidthLimit::Host };
        twins("host", &valid, 2, &invalid, LGN_1, cause, (1, 2));
    }
}

#[test]
fn a_write_without_w_at_any_level_is_0x05() {
    for number in 1..=4 {
        let valid = Request::new().write();
        let invalid = valid.clone().flip(addr(level(number)), W);
        let found = (level(number), level(number) + 1);
        twins("write", &valid, 6, &invalid, LGN_2, Cause::Denied(Access::Write), found);
        let reads = Request { access: Access::Read, ..invalid.clone() };
        twins("read", &reads, 6, &invalid, LGN_2, Cause::Denied(Access::Write), found);
    }
    for (number, phys) in [(2, 0x20_0000), (3, 0x4000_0000)] {
        let valid = Request::large(number, phys).write();
        let invalid = valid.clone().flip(addr(level(number)), W);
        let seen = level(number) + 1;
        twins("large", &valid, seen, &invalid, LGN_2, Cause::Denied(Access::Write), (seen - 1, seen));
    }
}

#[test]
fn a_read_without_r_at_any_level_is_0x06() {
    for number in 1..=4 {
        let valid = Request::new();
        let found = (level(number), level(number) + 1);
        let invalid = valid.clone().flip(addr(level(number)), R);
        twins("read", &valid, 6, &invalid, LGN_3, Cause::Denied(Access::Read), found);
        let writes = invalid.clone().write();
        twins("write", &writes, 6, &invalid, LGN_3, Cause::Denied(Access::Read), found);
    }
}

#[test]
fn an_absent_entry_at_any_level_is_0x05_or_0x06() {
    for number in 1..=4 {
        // An absent entry may hold anything but R and W.
        for entry in [0, !RW] {
            for (valid, reason) in [(Request::new(), LGN_3), (Request::new().write(), LGN_2)] {
                let invalid = valid.clone().with(addr(level(number)), entry);
                let found = (level(number), level(number) + 1);
                twins("absent", &valid, 6, &invalid, reason, Cause::Denied(valid.access), found);
            }
        }
    }
}

#[test]
fn a_lower_table_that_is_not_there_is_0x07() {
    for number in 1..=3 {
        let (_, table, _) = AT[level(number)];
        let parent = level(number) - 1;
        let invalid = Request::new().hole(table);
        twins("table", &Request::new(), 6, &invalid, LSL_1, hole(table), (parent, parent + 1));
    }
}

#[test]
fn a_root_table_that_is_not_there_is_0x08() {
    twins("root-table", &Request::new(), 6, &Request::new().hole(ROOT), LRT_1, hole(ROOT), (0, 0));
}

#[test]
fn a_context_table_that_is_not_there_is_0x09() {
    twins("context-table", &Request::new(), 6, &Request::new().hole(CONTEXT), LCT_1, hole(CONTEXT), (0, 1));
}

#[test]
fn each_reserved_bit_of_a_root_entry_is_0x0a() {
    for bit in (1..12).chain(u32::from(HOST_WIDTH)..128) {
        let word = ROOT_ENTRY + u64::from(bit / 64) * 8;
        let invalid = Request::new().flip(word, 1 << (bit % 64));
        twins("root-reserved", &Request::new(), 6, &invalid, LRT_3, reserved(1 << bit), (0, 1));
    }
}

#[test]
fn each_reserved_bit_of_a_context_entry_is_0x0b() {
    for bit in (4..12).chain(u32::from(HOST_WIDTH)..64).chain([71]).chain(88..128) {
        let word = CONTEXT_ENTRY + u64::from(bit / 64) * 8;
        let invalid = Request::new().flip(word, 1 << (bit % 64));
        twins("context-reserved", &Request::new(), 6, &invalid, LCT_3, reserved(1 << bit), (1, 2));
    }
    for available in [67, 68, 69, 70] {
        Request::new().flip(CONTEXT_ENTRY + 8, 1 << (available - 64)).succeeds("available", 6);
    }
}

#[test]
fn each_bit_of_a_domain_id_beyond_nd_is_0x0b() {
    for nd in 0..6 {
        let valid = Request { cap: Some(CAP & !7 | nd), ..Request::new() };
        let bits = 4 + 2 * nd;
        for bit in bits..16 {
            let invalid = valid.clone().flip(CONTEXT_ENTRY + 8, 1 << (8 + bit));
            twins("domain-id", &valid, 6, &invalid, LCT_3, reserved(1 << (72 + bit)), (1, 2));
        }
        valid.with(CONTEXT_ENTRY + 8, ((1 << bits) - 1) << 8 | 2).succeeds("largest domain-id", 6);
    }
}

#[test]
fn each_reserved_bit_of_a_page_table_entry_is_0x0c() {
    let high = || u32::from(HOST_WIDTH)..52;
    for number in 1..=4 {
        let tables = if number > 1 { vec![11] } else { vec![] };
        let top = if number > 3 { vec![7] } else { vec![] };
        for bit in high().chain([62]).chain(tables).chain(top) {
            let at = level(number);
            let invalid = Request::new().flip(addr(at), 1 << bit);
            twins("entry", &Request::new(), 6, &invalid, LSL_2, reserved(1 << bit), (at, at + 1));
        }
    }
    for (number, phys) in [(2, 0x20_0000), (3, 0x4000_0000)] {
        let inside = 12..3 + 9 * u32::from(number);
        for bit in high().chain([62]).chain(inside) {
            let at = level(number);
            let valid = Request::large(number, phys);
            let invalid = valid.clone().flip(addr(at), 1 << bit);
            twins("large", &valid, at + 1, &invalid, LSL_2, reserved(1 << bit), (at, at + 1));
        }
    }
}

#[test]
fn a_page_size_that_the_unit_lacks_is_0x0c() {
    for (number, phys, bit) in [(2, 0x20_0000, 34), (3, 0x4000_0000, 35)] {
        let at = level(number);
        let valid = Request::large(number, phys);
        let invalid = Request { cap: Some(CAP & !(1 << bit)), ..valid.clone() };
        twins("size", &valid, at + 1, &invalid, LSL_2, reserved(LARGE.into()), (at, at + 1));
        let unknown = Request { cap: None, ..valid.clone() };
        twins("size-unknown", &unknown, at + 1, &invalid, LSL_2, reserved(LARGE.into()), (at, at + 1));
    }
}

#[test]
fn the_snoop_bit_of_a_leaf_is_0x0c_without_snoop_control() {
    let leaves = [(1, Request::new()), (2, Request::large(2, 0x20_0000)), (3, Request::large(3, 0x4000_0000))];
    for (number, plain) in leaves {
        let at = level(number);
        let valid = plain.flip(addr(at), SNOOP);
        let invalid = Request { ecap: Some(ECAP & !(1 << 7)), ..valid.clone() };
        twins("snoop", &valid, at + 1, &invalid, LSL_2, reserved(SNOOP.into()), (at, at + 1));
        twins("snoop", &invalid.clone().flip(addr(at), SNOOP), at + 1, &invalid, LSL_2, reserved(0x800), (at, at + 1));
    }
}

#[test]
fn a_page_that_overlaps_the_interrupt_range_is_0x0e() {
    let leaf = |number: u8, phys: u64| match number {
        1 => Request::new().with(addr(level(1)), phys | RW),
        _ => Request::large(number, phys),
    };
    let cases = [
        // The pages just outside, and the first and the last inside.
        (1, [0xfedf_f000, 0xfef0_0000], vec![0xfee0_0000, 0xfee0_1000, 0xfeef_f000]),
        (2, [0xfec0_0000, 0xff00_0000], vec![0xfee0_0000]),
        (3, [0x8000_0000, 0x1_0000_0000], vec![0xc000_0000]),
    ];
    for (number, outside, inside) in cases {
        let at = level(number);
        for phys in inside {
            for outside in outside {
                let cause = Cause::InterruptRangeOutput(PhysAddr(phys));
                let (valid, invalid) = (leaf(number, outside), leaf(number, phys));
                twins("output", &valid, at + 1, &invalid, LGN_4, cause, (at, at + 1));
                twins("output-written", &valid.write(), at + 1, &invalid.write(), LGN_4, cause, (at, at + 1));
            }
        }
    }
}
