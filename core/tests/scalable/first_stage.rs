//! What fails in first-stage page tables.

use crate::judge::twins;
use crate::request::{AT_CONTEXT, AT_PASID, Kind, PHYS, Request};
use crate::{HOST_WIDTH, RID_PRIV, Reason, reserved};
use iopt::Access;
use iopt::vtd::Cause;

const SFS_2: Reason = (0x71, "SFS.2");
const SFS_3: Reason = (0x72, "SFS.3");
const SGN_1: Reason = (0x80, "SGN.1");
const SGN_2: Reason = (0x81, "SGN.2");
const SGN_6: Reason = (0x85, "SGN.6");

const P: u64 = 1;
const W: u64 = 2;
const US: u64 = 4;
const XD: u64 = 1 << 63;
/// By their bit in the PASID entry.
const SRE: usize = 128;
const WPE: usize = 132;
const NXE: usize = 133;
const EAFE: usize = 135;

/// Tables of 4 and of 5 levels, with and without PASID.
pub fn requests() -> impl Iterator<Item = Request> {
    [4, 5].into_iter().flat_map(|levels| Request::new(Kind::First, levels).both())
}

/// The same to pages of each size, with the level of the leaf.
fn sizes() -> impl Iterator<Item = (u8, Request)> {
    requests().flat_map(Request::sizes)
}

/// The same from a device whose requests without PASID ask for privilege, and may.
fn privileged(request: Request) -> Request {
    let context = request.addr(AT_CONTEXT) + 8;
    request.flip(context, RID_PRIV).flip_bit(AT_PASID, SRE)
}

#[test]
fn an_entry_that_is_not_present_is_0x71() {
    for valid in requests().flat_map(|request| [request.clone(), request.write()]) {
        for level in 1..=valid.levels {
            let at = valid.level(level);
            // An absent entry may hold anything but P.
            for entry in [0, !P, US | W] {
                let invalid = valid.clone().set(valid.addr(at), entry);
                twins("present", &valid, &invalid, SFS_2, Cause::NotPresent, (at, at + 1));
            }
        }
    }
}

#[test]
fn each_reserved_bit_of_an_entry_is_0x72() {
    for (leaf, valid) in sizes() {
        for level in leaf..=valid.levels {
            let at = valid.level(level);
            // PS above level 3; what lies within a large page but PAT; the host address width; XD.
            let size = if level > 3 { 7..8 } else { 0..0 };
            let inside = if level == leaf && leaf > 1 { 13..3 + 9 * usize::from(level) } else { 0..0 };
            for bit in size.chain(inside).chain(HOST_WIDTH.into()..52).chain([63]) {
                let invalid = valid.clone().flip_bit(at, bit);
                twins("entry", &valid, &invalid, SFS_3, reserved(1_u64 << bit), (at, at + 1));
            }
            let with_nxe = valid.clone().flip_bit(AT_PASID, NXE);
            let invalid = valid.clone().flip(valid.addr(at), XD);
            let valid = with_nxe.flip(invalid.addr(at), XD);
            twins("nxe", &valid, &invalid, SFS_3, reserved(XD), (at, at + 1));
        }
        // Without a host address width, any that an entry can hold is one.
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
            let pat = match (level == leaf, level) {
                (true, 1) => vec![7],
                (true, _) => vec![12],
                (false, _) => vec![],
            };
            for bit in (3..7).chain(8..12).chain(52..63).chain(pat) {
                valid.clone().flip_bit(at, bit).passes(&format!("bit {bit} at level {level}"));
            }
        }
    }
}

#[test]
fn a_page_of_1_gib_that_the_unit_lacks_is_0x72() {
    for request in requests() {
        let at = request.level(3);
        let valid = request.large(3, 0x4000_0000);
        let invalid = valid.clone().without_cap(1 << 56);
        twins("fs1gp", &valid, &invalid, SFS_3, reserved(0x80_u64), (at, at + 1));
        twins("fs1gp-unknown", &valid.unknown(), &invalid, SFS_3, reserved(0x80_u64), (at, at + 1));
    }
    // Those of 2 MiB need nothing, not even what the second stage needs for them.
    for request in requests() {
        request.large(2, 0x20_0000).without_cap(1 << 56 | 3 << 34).passes("2 MiB");
    }
}

#[test]
fn an_address_that_is_not_canonical_is_0x80() {
    for valid in requests().flat_map(|request| [request.clone(), request.unknown()]) {
        let bits = if valid.levels == 4 { 48 } else { 57 };
        let cause = Cause::NotCanonical { bits };
        // One bit of the sign differs from the others; below it is the address itself.
        for bit in u32::from(bits)..64 {
            let invalid = Request { iova: valid.iova ^ 1 << bit, ..valid.clone() };
            twins("canonical", &valid, &invalid, SGN_1, cause, (AT_PASID, 4));
        }
        let sign = 1 << (bits - 1);
        for iova in [sign, u64::MAX - sign, valid.iova | sign] {
            let invalid = Request { iova, ..valid.clone() };
            twins("sign", &valid, &invalid, SGN_1, cause, (AT_PASID, 4));
        }
    }
}

#[test]
fn a_user_request_to_a_supervisor_page_is_0x81() {
    for (leaf, valid) in sizes().flat_map(|(leaf, request)| [(leaf, request.clone()), (leaf, request.write())]) {
        for level in leaf..=valid.levels {
            let at = valid.level(level);
            let invalid = valid.clone().flip(valid.addr(at), US);
            twins("user", &valid, &invalid, SGN_2, Cause::Supervisor, (at, at + 1));
            let read_only = invalid.flip(valid.addr(at), W);
            twins("user", &valid, &read_only, SGN_2, Cause::Supervisor, (at, at + 1));
        }
    }
}

#[test]
fn a_supervisor_request_needs_no_user_bit() {
    for valid in
        requests().filter(|request| request.pasid.is_none()).flat_map(|request| [request.clone(), request.write()])
    {
        for level in 1..=valid.levels {
            let at = valid.level(level);
            let supervisor = privileged(valid.clone()).flip(valid.addr(at), US);
            let found = supervisor.ask().0.unwrap();
            assert_eq!(found.phys.0, PHYS | 0x123);
            // What is refused as a user's request is not where nobody knows whose it is.
            supervisor.clone().unknown().ask().0.unwrap();
            supervisor.without(crate::RPRIVS).fails("user", SGN_2, Cause::Supervisor, at, at + 1);
            // SRE alone makes no request a supervisor's, and nothing makes one with PASID so.
            let user = valid.clone().flip_bit(AT_PASID, SRE).flip(valid.addr(at), US);
            user.fails("user", SGN_2, Cause::Supervisor, at, at + 1);
        }
    }
    for valid in requests().filter(|request| request.pasid.is_some()) {
        let at = valid.level(1);
        privileged(valid.clone()).flip(valid.addr(at), US).fails("pasid", SGN_2, Cause::Supervisor, at, at + 1);
    }
}

#[test]
fn a_write_without_write_permission_is_0x85() {
    for (leaf, reads) in sizes() {
        let valid = reads.clone().write();
        for level in leaf..=valid.levels {
            let at = valid.level(level);
            let invalid = valid.clone().flip(valid.addr(at), W);
            twins("write", &valid, &invalid, SGN_6, Cause::Denied(Access::Write), (at, at + 1));
            reads.clone().flip(reads.addr(at), W).passes("a read needs no R/W");
            invalid.flip_bit(AT_PASID, WPE).fails("user, WPE", SGN_6, Cause::Denied(Access::Write), at, at + 1);
        }
    }
    // Supervisor writes need it with WPE only.
    for valid in requests().filter(|request| request.pasid.is_none()).map(Request::write) {
        for level in 1..=valid.levels {
            let at = valid.level(level);
            let free = privileged(valid.clone()).flip(valid.addr(at), W);
            free.ask().0.unwrap();
            let protected = free.flip_bit(AT_PASID, WPE);
            protected.fails("WPE", SGN_6, Cause::Denied(Access::Write), at, at + 1);
            protected.flip(valid.addr(at), W).passes("WPE");
        }
    }
}

/// Requests that need what no table decides, or of which no source tells for certain what hardware does.
#[test]
fn what_is_not_known_of_a_request_does_not_refuse_it() {
    for valid in requests().flat_map(|request| [request.clone(), request.write()]) {
        // Accessed, dirty and extended accessed bits would have to be set, in tables that are not snooped (0x90).
        valid.clone().flip_bit(AT_PASID, EAFE).passes("marks are to be made");
        // Neither access executes (0x82, 0x5c).
        let leaf = valid.addr(valid.level(1));
        valid.clone().flip_bit(AT_PASID, NXE).flip(leaf, XD).passes("execute-disable");
    }
}
