//! What fails between the PASID directory and the page tables.

use crate::judge::twins;
use crate::request::{AT_CONTEXT, AT_DIRECTORY, AT_PASID, Kind, Request};
use crate::{
    CAP, EAFS, ERS, FSTS, MTS, NEST, PT, RID_PRIV, RPRIVS, Reason, SC, SMPWCS, SRS, SSADS, SSTS, bit_of, hole, reserved,
};
use iopt::vtd::{Bits, Cause, PasidTranslation};

const SPD_1: Reason = (0x50, "SPD.1");
const SPD_2: Reason = (0x51, "SPD.2");
const SPD_3: Reason = (0x52, "SPD.3");
const SPT_1: Reason = (0x58, "SPT.1");
const SPT_2: Reason = (0x59, "SPT.2");
const SPT_3: Reason = (0x5a, "SPT.3");
const SPT_4: Reason = (0x5b, "SPT.4.x");
const SPT_6: Reason = (0x5d, "SPT.6");

/// PGTT, AW and FSPM, by their bit in the entry.
const PGTT: usize = 6;
const AW: usize = 2;
const FSPM: usize = 130;

/// The request with `value` in a field of its PASID entry that is three bits wide, or two in the third word.
fn field(request: &Request, bit: usize, value: u64) -> Request {
    let (addr, shift) = (request.addr(AT_PASID) + 8 * (bit as u64 / 64), bit % 64);
    let width = if bit < 64 { 7 } else { 3 };
    let word = request.words().get(addr) & !(width << shift) | value << shift;
    request.clone().set(addr, word)
}

#[test]
fn a_pasid_directory_that_is_not_there_is_0x50() {
    for valid in Request::all() {
        let table = valid.table(AT_DIRECTORY);
        let invalid = valid.clone().hole(table);
        twins("directory", &valid, &invalid, SPD_1, hole(table), (AT_CONTEXT, 2));
    }
}

#[test]
fn a_directory_entry_that_is_not_present_is_0x51() {
    for valid in Request::all() {
        let invalid = valid.clone().flip_bit(AT_DIRECTORY, 0);
        twins("directory-present", &valid, &invalid, SPD_2, Cause::NotPresent, (AT_DIRECTORY, 3));
        let invalid = valid.clone().set(valid.addr(AT_DIRECTORY), !3);
        twins("directory-present", &valid, &invalid, SPD_2, Cause::NotPresent, (AT_DIRECTORY, 3));
    }
}

#[test]
fn each_reserved_bit_of_a_directory_entry_is_0x52() {
    for valid in Request::all() {
        for bit in 2..12 {
            let invalid = valid.clone().flip_bit(AT_DIRECTORY, bit);
            twins("directory", &valid, &invalid, SPD_3, reserved(1_u64 << bit), (AT_DIRECTORY, 3));
            invalid.unknown().fails("unknown", SPD_3, reserved(1_u64 << bit), AT_DIRECTORY, 3);
        }
    }
}

#[test]
fn a_pasid_table_that_is_not_there_is_0x58() {
    for valid in Request::all() {
        let table = valid.table(AT_PASID);
        let invalid = valid.clone().hole(table);
        twins("pasid-table", &valid, &invalid, SPT_1, hole(table), (AT_DIRECTORY, 3));
    }
}

#[test]
fn a_pasid_entry_that_is_not_present_is_0x59() {
    for valid in Request::all() {
        let invalid = valid.clone().flip_bit(AT_PASID, 0);
        twins("pasid-present", &valid, &invalid, SPT_2, Cause::NotPresent, (AT_PASID, 4));
        // Whatever else it holds.
        let invalid = (0..8).fold(invalid, |request, word| request.set(valid.addr(AT_PASID) + 8 * word, !3));
        twins("pasid-present", &valid, &invalid, SPT_2, Cause::NotPresent, (AT_PASID, 4));
    }
}

#[test]
fn each_reserved_bit_of_a_pasid_entry_is_0x5a() {
    for valid in Request::all() {
        let pat = (96..128).filter(|bit| bit % 4 == 3);
        for bit in (10..12).chain(80..87).chain(pat).chain(136..140).chain(192..512) {
            let invalid = valid.clone().flip_bit(AT_PASID, bit);
            let cause = reserved(bit_of::<8>(bit));
            twins("pasid", &valid, &invalid, SPT_3, cause, (AT_PASID, 4));
            invalid.unknown().fails("unknown", SPT_3, cause, AT_PASID, 4);
        }
        let several =
            [10, 86, 136, 511].into_iter().fold(valid.clone(), |request, bit| request.flip_bit(AT_PASID, bit));
        let bits = Bits::from([1 << 10, 1 << 22, 1 << 8, 0, 0, 0, 0, 1 << 63]);
        twins("several", &valid, &several, SPT_3, reserved(bits), (AT_PASID, 4));
    }
}

/// Each bit of a field that needs a capability: with it, without it, and where it is not known.
#[test]
fn each_bit_of_an_unsupported_field_of_a_pasid_entry_is_0x5a() {
    let memory_types = (90..94).map(|bit| (bit, MTS));
    let fields = [(5, ERS), (9, SSADS), (87, SMPWCS), (88, SC), (128, SRS), (129, ERS), (135, EAFS)];
    for (bit, capability) in fields.into_iter().chain(memory_types) {
        for plain in Request::all() {
            let valid = plain.flip_bit(AT_PASID, bit);
            let invalid = valid.clone().without(capability);
            let cause = reserved(bit_of::<8>(bit));
            twins("field", &valid, &invalid, SPT_3, cause, (AT_PASID, 4));
            twins("field-unknown", &valid.unknown(), &invalid, SPT_3, cause, (AT_PASID, 4));
            invalid.flip_bit(AT_PASID, bit).passes("without the capability, and without the field");
        }
    }
}

/// Every other bit is a field, or ignored, in each kind of entry.
#[test]
fn no_other_bit_of_a_pasid_entry_is_refused() {
    for valid in Request::all() {
        let attributes = [89, 94, 95].into_iter().chain((96..128).filter(|bit| bit % 4 != 3));
        // The table of the other stage, its width and its depth mean nothing.
        let other = match valid.kind {
            Kind::First => (2..5).chain(12..64).collect(),
            Kind::Second => (130..132).chain(140..192).collect(),
            Kind::PassThrough => [(2..5), (12..64), (130..132), (140..192)].into_iter().flatten().collect::<Vec<_>>(),
        };
        for bit in [1, 132, 133, 134].into_iter().chain(64..80).chain(attributes).chain(other) {
            valid.clone().flip_bit(AT_PASID, bit).passes(&format!("bit {bit}"));
        }
    }
}

#[test]
fn a_translation_type_without_meaning_is_0x5b() {
    for valid in Request::all() {
        for pgtt in [0, 5, 6, 7] {
            let cause = Cause::PasidTranslation(PasidTranslation::Reserved(pgtt));
            let invalid = field(&valid, PGTT, pgtt.into());
            twins("pgtt", &valid, &invalid, SPT_4, cause, (AT_PASID, 4));
            invalid.unknown().fails("unknown", SPT_4, cause, AT_PASID, 4);
        }
    }
}

#[test]
fn a_translation_type_without_support_is_0x5b() {
    let kinds = [
        (Request::first(), FSTS, PasidTranslation::FirstStage),
        (Request::second(), SSTS, PasidTranslation::SecondStage),
        (Request::pass_through(), PT, PasidTranslation::PassThrough),
    ];
    for (request, capability, found) in kinds {
        for valid in request.both() {
            let invalid = valid.clone().without(capability);
            let cause = Cause::PasidTranslation(found);
            twins("stage", &valid, &invalid, SPT_4, cause, (AT_PASID, 4));
            twins("stage-unknown", &valid.clone().unknown(), &invalid, SPT_4, cause, (AT_PASID, 4));
            // One stage does not need the other, nor to be nested.
            valid.without((FSTS | SSTS | PT | NEST) & !capability).passes("only this one");
        }
    }
    for capability in [NEST, FSTS, SSTS] {
        for valid in Request::second().both() {
            let invalid = field(&valid, PGTT, 3).without(capability);
            let cause = Cause::PasidTranslation(PasidTranslation::Nested);
            twins("nested", &valid, &invalid, SPT_4, cause, (AT_PASID, 4));
        }
    }
}

#[test]
fn an_address_width_without_meaning_or_support_is_0x5b() {
    for valid in Request::second().both() {
        for aw in 5..8 {
            let invalid = field(&valid, AW, aw.into()).unknown();
            let cause = Cause::AddressWidth { aw, sagaw: None };
            twins("aw", &valid.clone().unknown(), &invalid, SPT_4, cause, (AT_PASID, 4));
        }
        let valid = Request { cap: Some(CAP & !(0x1f << 8) | 1 << 10), ..valid };
        for aw in [0, 1, 3, 4, 5, 6, 7] {
            let cause = Cause::AddressWidth { aw, sagaw: Some(0b00100) };
            twins("sagaw", &valid, &field(&valid, AW, aw.into()), SPT_4, cause, (AT_PASID, 4));
        }
        let invalid = valid.clone().without_cap(1 << 10);
        let cause = Cause::AddressWidth { aw: 2, sagaw: Some(0) };
        twins("sagaw-of-the-unit", &valid, &invalid, SPT_4, cause, (AT_PASID, 4));
    }
    // Whether AW counts for requests that pass through is not confirmed, and in a first stage it means nothing.
    for request in [Request::first(), Request::pass_through()].into_iter().flat_map(Request::both) {
        (0..8).for_each(|aw| field(&request, AW, aw).passes("no second stage, no AW"));
    }
}

#[test]
fn a_paging_mode_without_meaning_or_support_is_0x5b() {
    for valid in Request::first().both() {
        for mode in 2..4 {
            let invalid = field(&valid, FSPM, mode.into());
            twins("fspm", &valid, &invalid, SPT_4, Cause::PagingMode(mode), (AT_PASID, 4));
            invalid.unknown().fails("unknown", SPT_4, Cause::PagingMode(mode), AT_PASID, 4);
        }
    }
    for valid in Request::new(Kind::First, 5).both() {
        let invalid = valid.clone().without_cap(1 << 60);
        twins("fs5lp", &valid, &invalid, SPT_4, Cause::PagingMode(1), (AT_PASID, 4));
        twins("fs5lp-unknown", &valid.unknown(), &invalid, SPT_4, Cause::PagingMode(1), (AT_PASID, 4));
    }
    for request in [Request::second(), Request::pass_through()].into_iter().flat_map(Request::both) {
        (0..4).for_each(|mode| field(&request, FSPM, mode).passes("no first stage, no FSPM"));
    }
}

/// A device whose requests without PASID ask for privilege.
fn privileged(request: Request) -> Request {
    let context = request.addr(AT_CONTEXT) + 8;
    request.flip(context, RID_PRIV)
}

#[test]
fn supervisor_requests_without_sre_are_0x5d() {
    const SRE: usize = 128;
    let plain = privileged(Request::first().without_pasid());
    let valid = plain.clone().flip_bit(AT_PASID, SRE);
    twins("sre", &valid, &plain, SPT_6, Cause::SupervisorDisabled, (AT_PASID, 4));
    let user = Request::first().without_pasid();
    twins("rid-priv", &user, &plain, SPT_6, Cause::SupervisorDisabled, (AT_PASID, 4));
    // Without the capability there is no such field, and where it is not known there may be none.
    plain.clone().without(RPRIVS).passes("no such field");
    plain.clone().unknown().passes("unknown");
    // It says nothing about requests with PASID, and SRE nothing about other kinds of entries.
    privileged(Request::first()).passes("with PASID");
    for other in [Request::second(), Request::pass_through()] {
        privileged(other.without_pasid()).passes("no first stage");
    }
}
