//! What fails on the way to the PASID directory: mode, root entry, context entry.

use crate::builder::ROOT;
use crate::common;
use crate::judge::twins;
use crate::request::{AT_CONTEXT, AT_ROOT, PASID, RID_PASID, Request};
use crate::{HOST_WIDTH, PASIDE, Reason, SMTS, bit_of, hole, reserved};
use iopt::memory::Page;
use iopt::vtd::{Bits, Cause, Structure, TranslationMode};
use iopt::{Access, Iova, Pasid, Requester};

const RTA_1: Reason = (0x30, "RTA.1.x");
const SRT_1: Reason = (0x38, "SRT.1");
const SRT_2: Reason = (0x39, "SRT.2");
const SRT_3: Reason = (0x3a, "SRT.3");
const SCT_1: Reason = (0x40, "SCT.1");
const SCT_2: Reason = (0x41, "SCT.2");
const SCT_3: Reason = (0x42, "SCT.3");
const SCT_6: Reason = (0x45, "SCT.6");
const SCT_7: Reason = (0x46, "SCT.7");
const SCT_9: Reason = (0x48, "SCT.9");

#[test]
fn scalable_mode_on_a_unit_without_it_is_0x30() {
    for valid in Request::all() {
        let cause = Cause::ModeUnsupported(TranslationMode::Scalable);
        let invalid = valid.clone().without(SMTS);
        twins("mode", &valid, &invalid, RTA_1, cause, (AT_ROOT, 0));
        twins("mode-unknown", &valid.unknown(), &invalid, RTA_1, cause, (AT_ROOT, 0));
    }
}

#[test]
fn a_request_with_pasid_in_legacy_mode_is_0x31() {
    let mut tables = common::Tables::new(4);
    tables.map(1, 0x1000, 0x5003);
    tables.with(|memory| {
        let mut path = vec![];
        let mut ask = |pasid| {
            let requester = Requester { source_id: common::SOURCE, pasid };
            let visit = |entry| path.push(entry);
            common::unit().translate(memory, requester, Iova(0x1234), Access::Read, &mut Page::ZERO.clone(), visit)
        };
        ask(None).unwrap();
        let fault = ask(Some(Pasid(0))).unwrap_err();
        assert_eq!(path.len(), 6, "no table is looked at for it");
        let reason = fault.reason.unwrap();
        assert_eq!((reason.code(), reason.name(), fault.cause), (0x31, "RTA.2", Cause::PasidInLegacyMode));
        let place = fault.place;
        assert_eq!((place.structure, place.table.0, place.index, place.entry), (Structure::Root, 0x1000, 1, None));
        assert_eq!((place.pasid, place.iova, fault.suppressed), (Some(Pasid(0)), Some(Iova(0x1234)), false));
        assert_eq!(
            fault.to_string(),
            "01:02.3@0 iova 0x1234 fault 0x31 RTA.2 at root table 0x1000 entry 1: \
             the request has a PASID, which legacy mode does not translate"
        );
        // No interrupt has a PASID.
        let requester = Requester { source_id: common::SOURCE, pasid: Some(Pasid(1)) };
        let found = common::unit().translate(
            memory,
            requester,
            Iova(0xfee0_0000),
            Access::Write,
            &mut Page::ZERO.clone(),
            |_| (),
        );
        assert_eq!(found.unwrap_err().cause, Cause::PasidInLegacyMode);
    });
}

#[test]
fn a_root_table_that_is_not_there_is_0x38() {
    for valid in Request::all() {
        twins("root-table", &valid, &valid.clone().hole(ROOT), SRT_1, hole(ROOT), (AT_ROOT, 0));
    }
}

#[test]
fn a_half_of_a_root_entry_that_is_not_present_is_0x39() {
    for valid in Request::all() {
        let invalid = valid.clone().flip_bit(AT_ROOT, 0);
        twins("half-present", &valid, &invalid, SRT_2, Cause::NotPresent, (AT_ROOT, 1));
        // Whatever else it holds.
        let invalid = valid.clone().set(valid.addr(AT_ROOT), !1);
        twins("half-present", &valid, &invalid, SRT_2, Cause::NotPresent, (AT_ROOT, 1));
    }
}

#[test]
fn each_reserved_bit_of_the_half_in_use_is_0x3a() {
    for valid in Request::all() {
        for bit in (1..12).chain(HOST_WIDTH.into()..64) {
            let invalid = valid.clone().flip_bit(AT_ROOT, bit);
            twins("half", &valid, &invalid, SRT_3, reserved(bit_of::<2>(bit)), (AT_ROOT, 1));
        }
        // Beyond a host whose width is not known there may be a table, but here there is none.
        let unknown = Request { host_width: None, ..valid.clone().flip_bit(AT_ROOT, 50) };
        assert_eq!(unknown.ask().0.unwrap_err().reason.unwrap().code(), SCT_1.0);
        // Nothing in the half that the request does not use counts, be that present or not.
        for other in (64..128).map(|bit| 1 << (bit - 64)).chain([!0, 0xfff]) {
            valid.clone().set(valid.addr(AT_ROOT) + 8, other).passes("other half");
        }
    }
}

#[test]
fn a_context_table_that_is_not_there_is_0x40() {
    for valid in Request::all() {
        let table = valid.table(AT_CONTEXT);
        let invalid = valid.clone().hole(table);
        twins("context-table", &valid, &invalid, SCT_1, hole(table), (AT_ROOT, 1));
    }
}

#[test]
fn a_context_entry_that_is_not_present_is_0x41() {
    for valid in Request::all() {
        let invalid = valid.clone().flip_bit(AT_CONTEXT, 0);
        twins("context-present", &valid, &invalid, SCT_2, Cause::NotPresent, (AT_CONTEXT, 2));
    }
}

#[test]
fn each_reserved_bit_of_a_context_entry_is_0x42() {
    for valid in Request::all() {
        let beyond_host = usize::from(HOST_WIDTH)..64;
        for bit in (5..9).chain(beyond_host.clone()).chain(85..128).chain(128..256) {
            let invalid = valid.clone().flip_bit(AT_CONTEXT, bit);
            let cause = reserved(bit_of::<4>(bit));
            twins("context", &valid, &invalid, SCT_3, cause, (AT_CONTEXT, 2));
            if !beyond_host.contains(&bit) {
                // Nothing needs to be known for these.
                invalid.unknown().fails("unknown", SCT_3, cause, AT_CONTEXT, 2);
            }
        }
        let several = valid.clone().flip_bit(AT_CONTEXT, 5).flip_bit(AT_CONTEXT, 130).flip_bit(AT_CONTEXT, 255);
        let bits = Bits::from([1 << 5, 0, 1 << 2, 1 << 63]);
        twins("several", &valid, &several, SCT_3, reserved(bits), (AT_CONTEXT, 2));
        let unknown = Request { host_width: None, ..valid.clone().flip_bit(AT_CONTEXT, 50) };
        assert_eq!(unknown.ask().0.unwrap_err().reason.unwrap().code(), 0x50);
        // DTE and PRE concern other kinds of requests.
        for bit in [2, 4] {
            valid.clone().flip_bit(AT_CONTEXT, bit).passes("dte, pre");
        }
    }
}

#[test]
fn a_request_with_pasid_without_paside_is_0x45() {
    for valid in Request::all() {
        let invalid = valid.clone().flip(valid.addr(AT_CONTEXT), PASIDE);
        if valid.pasid.is_none() {
            invalid.passes("they use RID_PASID all the same");
            continue;
        }
        twins("paside", &valid, &invalid, SCT_6, Cause::PasidDisabled, (AT_CONTEXT, 2));
        let unknown = invalid.clone().unknown();
        twins("paside-unknown", &valid, &unknown, SCT_6, Cause::PasidDisabled, (AT_CONTEXT, 2));
        // One may name the very PASID that its requests without one use.
        let named = Request { pasid: Some(RID_PASID), ..valid };
        let invalid = Request { pasid: Some(RID_PASID), ..invalid };
        twins("paside", &named, &invalid, SCT_6, Cause::PasidDisabled, (AT_CONTEXT, 2));
    }
}

#[test]
fn a_pasid_beyond_the_directory_is_0x46() {
    let kinds = Request::all().into_iter().filter(|request| request.pasid.is_some());
    for valid in kinds.flat_map(|request| [request.clone(), request.unknown()]) {
        for bit in 13..32 {
            let pasid = Pasid(PASID.0 | 1 << bit);
            let invalid = Request { pasid: Some(pasid), ..valid.clone() };
            let cause = Cause::PasidTooLarge { pasid, limit: 1 << 13 };
            twins("pasid", &valid, &invalid, SCT_7, cause, (AT_CONTEXT, 2));
        }
    }
}

#[test]
fn a_rid_pasid_beyond_the_directory_is_0x48() {
    for valid in Request::all() {
        for bit in 13..20 {
            let pasid = Pasid(RID_PASID.0 | 1 << bit);
            let invalid = valid.clone().set(valid.addr(AT_CONTEXT) + 8, pasid.0.into());
            if valid.pasid.is_some() {
                invalid.passes("it concerns requests without PASID only");
                continue;
            }
            let cause = Cause::RidPasidTooLarge { pasid, limit: 1 << 13 };
            twins("rid-pasid", &valid, &invalid, SCT_9, cause, (AT_CONTEXT, 2));
            twins("rid-pasid-unknown", &valid, &invalid.unknown(), SCT_9, cause, (AT_CONTEXT, 2));
        }
    }
}
