//! What fails in second-stage page tables, and where requests pass through.

use crate::judge::twins;
use crate::request::{AT_PASID, Kind, Request};
use crate::{CAP, HOST_WIDTH, Reason, SC, reserved};
use iopt::vtd::{Cause, WidthLimit};
use iopt::{Access, PhysAddr};

const SSS_2: Reason = (0x79, "SSS.2");
const SSS_3: Reason = (0x7a, "SSS.3");
const SGN_4: Reason = (0x83, "SGN.4.x");
const SGN_5: Reason = (0x84, "SGN.5");
const SGN_8: Reason = (0x87, "SGN.8");

const R: u64 = 1;
const W: u64 = 2;
const SNOOP: u64 = 1 << 11;

/// Tables of 3 to 5 levels, with and without PASID. The addresses are below 2^39 for those of 3.
pub fn requests() -> impl Iterator<Item = Request> {
    let short = Request::new(Kind::Second, 3);
    let short = Request { iova: short.iova & !(!0 << 39), ..short };
    [short, Request::second(), Request::new(Kind::Second, 5)].into_iter().flat_map(Request::both)
}

/// The same to pages of each size, with the level of the leaf.
fn sizes() -> impl Iterator<Item = (u8, Request)> {
    requests().flat_map(Request::sizes)
}

#[test]
fn a_request_without_permission_at_any_level_is_0x79() {
    for (leaf, reads) in sizes() {
        for (valid, bit, other) in [(reads.clone(), R, W), (reads.write(), W, R)] {
            for level in leaf..=valid.levels {
                let at = valid.level(level);
                let denied = Cause::Denied(valid.access);
                let invalid = valid.clone().flip(valid.addr(at), bit);
                twins("permission", &valid, &invalid, SSS_2, denied, (at, at + 1));
                valid.clone().flip(valid.addr(at), other).passes("the other permission");
                // Neither R nor W: not present, whatever else it holds. X alone (bit 2) does not make it so.
                for entry in [0, !(R | W), 4] {
                    let invalid = valid.clone().set(valid.addr(at), entry);
                    twins("present", &valid, &invalid, SSS_2, denied, (at, at + 1));
                }
            }
        }
    }
}

#[test]
fn each_reserved_bit_of_an_entry_is_0x7a() {
    for (leaf, valid) in sizes() {
        for level in leaf..=valid.levels {
            let at = valid.level(level);
            // PS above level 3; SNP where the entry is no leaf; what lies within a large page; the host address width.
            let size = if level > 3 { 7..8 } else { 0..0 };
            let snoop = if level > leaf { 11..12 } else { 0..0 };
            let inside = if level == leaf && leaf > 1 { 12..3 + 9 * usize::from(level) } else { 0..0 };
            for bit in size.chain(snoop).chain(inside).chain(HOST_WIDTH.into()..52).chain([62]) {
                let invalid = valid.clone().flip_bit(at, bit);
                twins("entry", &valid, &invalid, SSS_3, reserved(1_u64 << bit), (at, at + 1));
            }
        }
        let unknown = Request { host_width: None, ..valid };
        for bit in usize::from(HOST_WIDTH)..52 {
            unknown.clone().flip_bit(unknown.level(leaf), bit).passes("beyond an unknown host");
        }
    }
}

#[test]
fn no_other_bit_of_an_entry_is_refused() {
    for (leaf, valid) in sizes() {
        for level in leaf..=valid.levels {
            let at = valid.level(level);
            let size = if level == 1 { 7..8 } else { 0..0 };
            for bit in (2..7).chain(size).chain(8..11).chain(52..62).chain([63]) {
                valid.clone().flip_bit(at, bit).passes(&format!("bit {bit} at level {level}"));
            }
        }
        // In scalable mode SNP of a leaf is no reserved bit, with or without snoop control.
        let snooped = valid.clone().flip(valid.addr(valid.level(leaf)), SNOOP);
        for request in [snooped.clone(), snooped.clone().without(SC), snooped.unknown()] {
            request.passes("snoop");
        }
    }
}

#[test]
fn a_page_size_that_the_unit_lacks_is_0x7a() {
    for (leaf, valid) in sizes().filter(|(leaf, _)| *leaf > 1) {
        let at = valid.level(leaf);
        let bit = 1 << (32 + u64::from(leaf));
        let invalid = valid.clone().without_cap(bit);
        twins("sslps", &valid, &invalid, SSS_3, reserved(0x80_u64), (at, at + 1));
        twins("sslps-unknown", &valid.clone().unknown(), &invalid, SSS_3, reserved(0x80_u64), (at, at + 1));
        // The other size, and those of the first stage, are not asked for.
        valid.without_cap(3 << 34 & !bit | 1 << 56).passes("the other size");
    }
}

#[test]
fn an_address_beyond_the_host_is_0x83_where_requests_pass_through() {
    for request in Request::pass_through().both() {
        let valid = Request { iova: (1 << HOST_WIDTH) - 1, ..request };
        for bit in u32::from(HOST_WIDTH)..64 {
            let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
            let cause = Cause::TooWide { bits: HOST_WIDTH, limit: WidthLimit::Host };
            twins("host", &valid, &invalid, SGN_4, cause, (AT_PASID, 4));
            Request { host_width: None, ..invalid }.passes("unknown host");
        }
    }
}

#[test]
fn an_address_beyond_the_page_table_or_the_unit_is_0x84() {
    for valid in requests() {
        let agaw = 12 + 9 * valid.levels;
        let cause = |bits, limit| Cause::TooWide { bits, limit };
        for bit in u32::from(agaw)..64 {
            for valid in [valid.clone(), valid.clone().unknown()] {
                let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
                let cause = cause(agaw, WidthLimit::PageTable);
                twins("agaw", &valid, &invalid, SGN_5, cause, (AT_PASID, 4));
            }
        }
        // The highest bit of the address is the last that the unit takes, or the first that it does not.
        let bits = 64 - valid.iova.leading_zeros() as u8;
        let mgaw = |bits: u8| Some(CAP & !(0x3f << 16) | u64::from(bits - 1) << 16);
        let [wide, narrow] = [bits, bits - 1].map(|bits| Request { cap: mgaw(bits), ..valid.clone() });
        twins("mgaw", &wide, &narrow, SGN_5, cause(bits - 1, WidthLimit::Unit), (AT_PASID, 4));
    }
    // The unit's width is one of the second stage only.
    for request in [Request::first(), Request::pass_through()].into_iter().flat_map(Request::both) {
        Request { cap: Some(CAP & !(0x3f << 16) | 11 << 16), ..request }.passes("no second stage");
    }
}

/// No table says where such requests lead, but the page of each counts as it does behind tables.
#[test]
fn a_request_with_pasid_that_passes_through_to_the_interrupt_range_is_0x87() {
    for access in [Access::Read, Access::Write] {
        let valid = Request { access, ..Request::pass_through() };
        for inside in [0xfee0_0000, 0xfee0_0004, 0xfee8_1234, 0xfeef_ffff] {
            let invalid = Request { iova: inside, ..valid.clone() };
            let cause = Cause::InterruptRangeOutput(PhysAddr(inside & !0xfff));
            twins("output", &valid, &invalid, SGN_8, cause, (AT_PASID, 4));
        }
        for outside in [0xfedf_ffff, 0xfef0_0000] {
            Request { iova: outside, ..valid.clone() }.passes("next to it");
        }
    }
}

/// Requests that need what no table decides, or of which no source tells for certain what hardware does.
#[test]
fn what_is_not_known_of_a_request_does_not_refuse_it() {
    for valid in requests().flat_map(|request| [request.clone(), request.write()]) {
        // SSADE: accessed and dirty bits would have to be set, in tables that are not snooped (0x7c).
        valid.clone().flip_bit(AT_PASID, 9).passes("marks are to be made");
        // SSEE: neither access executes, and no entry says that it may.
        valid.flip_bit(AT_PASID, 5).passes("execute");
    }
}
