//! Halves of a bus, sizes of PASID directories, and which PASID a request is of.

use crate::builder::ROOT;
use crate::request::{AT_CONTEXT, AT_DIRECTORY, AT_PASID, Kind, PASID, RID_PASID, Request};
use crate::{PASIDE, RPS, hole};
use iopt::vtd::{Cause, FaultReason, Half, Structure};
use iopt::{Pasid, SourceId};

/// A request of `source` in a directory of the size that PDTS says.
fn request(source: SourceId, kind: Kind, pdts: u64, pasids: [u32; 2]) -> Request {
    let plain = Request::pass_through();
    match kind {
        Kind::PassThrough => Request { iova: plain.iova, ..Request::of(source, kind, 0, pdts, pasids.map(Pasid)) },
        _ => Request::of(source, kind, 4, pdts, pasids.map(Pasid)),
    }
}

const KINDS: [Kind; 3] = [Kind::First, Kind::Second, Kind::PassThrough];

#[test]
fn the_top_bit_of_devfn_chooses_the_half_and_the_others_the_entry() {
    for (bus, devfn) in [(0, 0), (0, 0x7f), (0, 0x80), (0, 0xff), (0x80, 0x7f), (0xff, 0), (0xff, 0x80), (0xff, 0xff)] {
        for valid in KINDS.into_iter().flat_map(|kind| request(SourceId::new(bus, devfn), kind, 0, [5, 6]).both()) {
            valid.passes("its own half");
            let half = valid.words().get(ROOT + 16 * u64::from(bus) + 8 * u64::from(devfn >> 7));
            assert_eq!(valid.addr(AT_CONTEXT), (half & !0xfff) + 32 * u64::from(devfn & 0x7f));
            // The device at the same place of the other half has nothing.
            let other = Request { source: SourceId::new(bus, devfn ^ 0x80), ..valid.clone() };
            other.fails("other half", (0x39, "SRT.2"), Cause::NotPresent, 0, 1);
            // Nor has one next to it in the same table.
            let next = Request { source: SourceId::new(bus, devfn ^ 1), ..valid };
            next.fails("other entry", (0x41, "SCT.2"), Cause::NotPresent, 1, 2);
        }
    }
    assert_eq!([0x7f, 0x80].map(|devfn| Half::of(SourceId::new(9, devfn))), [Half::Lower, Half::Upper]);
}

/// The reserved bits of each half are those of the devices that it serves.
#[test]
fn a_reserved_bit_of_the_upper_half_is_0x3a_for_the_upper_half_only() {
    let upper = request(SourceId::new(3, 0x80), Kind::Second, 0, [5, 6]);
    for bit in (1..12).chain(46..64) {
        let broken = upper.clone().flip_bit(0, 64 + bit);
        let cause = crate::reserved(crate::bit_of::<2>(64 + bit));
        broken.fails("upper half", (0x3a, "SRT.3"), cause, 0, 1);
        // The lower half is not its own, whatever it holds.
        upper.clone().set(ROOT + 16 * 3, 1 << bit).passes("lower half");
    }
}

/// How many pages a directory has.
fn pages(pdts: u64) -> u64 {
    (1 << pdts >> 2_u64).max(1)
}

#[test]
fn pdts_tells_how_many_pasids_there_are() {
    for (pdts, kind) in (0..8).flat_map(|pdts| KINDS.map(|kind| (pdts, kind))) {
        let limit: u32 = 1 << (pdts + 13);
        let last = Pasid(limit - 1);
        for valid in request(SourceId::new(0, 8), kind, pdts, [last.0; 2]).both() {
            valid.passes("the last");
            assert_eq!(
                valid.table(AT_DIRECTORY),
                (valid.words().get(valid.addr(AT_CONTEXT)) & !0xfff) + (pages(pdts) - 1) * 0x1000
            );
            for unknown in [valid.clone(), valid.clone().unknown()] {
                let beyond = Pasid(limit);
                match valid.pasid {
                    Some(_) => Request { pasid: Some(beyond), ..unknown }.fails(
                        "the first that is too large",
                        (0x46, "SCT.7"),
                        Cause::PasidTooLarge { pasid: beyond, limit },
                        AT_CONTEXT,
                        2,
                    ),
                    // RID_PASID has no more than 20 bits.
                    None if pdts < 7 => unknown.set(valid.addr(AT_CONTEXT) + 8, limit.into()).fails(
                        "the first that is too large",
                        (0x48, "SCT.9"),
                        Cause::RidPasidTooLarge { pasid: beyond, limit },
                        AT_CONTEXT,
                        2,
                    ),
                    None => {}
                }
            }
        }
    }
}

/// A directory is contiguous: each of its pages follows the one before.
#[test]
fn a_directory_has_up_to_32_pages() {
    for pdts in 0..8 {
        for page in 0..pages(pdts) {
            let entries = 512.min(0x80 << pdts);
            for entry in [0, 1, entries / 2, entries - 1] {
                let pasid = Pasid(((page * 512 + entry) << 6) as u32 + 0x15);
                for valid in request(SourceId::new(0, 8), Kind::Second, pdts, [pasid.0; 2]).both() {
                    valid.passes("a page of the directory");
                    let index = valid.path(4)[AT_DIRECTORY].index;
                    assert_eq!(u64::from(index), page * 512 + entry);
                    let table = valid.table(AT_DIRECTORY);
                    valid.clone().hole(table).fails("hole", (0x50, "SPD.1"), hole(table), AT_CONTEXT, 2);
                    // Of the others none is asked for.
                    let base = table - page * 0x1000;
                    let others = (0..pages(pdts)).filter(|&other| other != page);
                    others.fold(valid, |request, other| request.hole(base + other * 0x1000)).passes("one page only");
                }
            }
        }
    }
}

/// The end of the physical address space is the end of the directory too.
#[test]
fn a_directory_that_goes_past_the_end_of_memory_is_0x50() {
    let pasid = 1 << 19;
    for valid in request(SourceId::new(0, 8), Kind::Second, 7, [pasid; 2]).both() {
        let context = valid.addr(AT_CONTEXT);
        let last = 0xffff_ffff_ffff_f000;
        let flags = valid.words().get(context) & 0xfff;
        // Any width of the host would reserve such an address.
        let broken = Request { host_width: None, ..valid.set(context, last | flags) };
        let fault = broken.words().with(|memory| {
            let mut copy = iopt::memory::Page::ZERO;
            broken.unit().device(memory, broken.requester(), &mut copy, |_| ()).unwrap_err()
        });
        assert_eq!(fault.reason, Some(FaultReason::PasidDirectoryUnreadable));
        assert_eq!((fault.cause, fault.place.structure), (hole(last), Structure::Context));
    }
}

#[test]
fn bits_5_to_0_of_a_pasid_choose_the_entry_and_the_others_its_table() {
    for kind in KINDS {
        for [pasid, other] in [[0x3f, 0x40], [0x40, 0x3f], [0, 0x1fc0], [0x1fff, 0], [0x41, 0x81], [0x1000, 0x1001]] {
            let valid = request(SourceId::new(0, 8), kind, 0, [pasid; 2]);
            valid.passes("its own entry");
            let (index, table) = (valid.path(4)[AT_DIRECTORY].index, valid.path(4)[AT_PASID].index);
            assert_eq!((u32::from(index), u32::from(table)), (pasid >> 6, pasid & 0x3f));
            let other = Request { pasid: Some(Pasid(other)), ..valid };
            let absent = other.ask().0.unwrap_err();
            assert!(matches!(absent.reason.unwrap().code(), 0x51 | 0x59), "{absent}");
        }
    }
}

#[test]
fn requests_without_pasid_are_of_rid_pasid_and_those_with_one_of_theirs() {
    for kind in KINDS {
        for rid in [0, 1, 0x3f, 0x40, 0x1fff] {
            let [with, without] = request(SourceId::new(0, 8), kind, 0, [0x77, rid]).both();
            let (with_entry, without_entry) = (with.addr(AT_PASID), without.addr(AT_PASID));
            assert_ne!(with_entry, without_entry);
            assert_eq!((with.selected(), without.selected()), (Pasid(0x77), Pasid(rid)));
            let absent = |request: &Request, entry| {
                let fault = request.clone().flip(entry, 1).ask().0.unwrap_err();
                assert_eq!(fault.reason.unwrap().code(), 0x59);
            };
            with.clone().flip(without_entry, 1).passes("with PASID");
            absent(&with, with_entry);
            without.clone().flip(with_entry, 1).passes("without PASID");
            absent(&without, without_entry);
            // Requests without PASID need no PASIDE.
            without.clone().flip(without.addr(AT_CONTEXT), PASIDE).passes("PASIDE");
            // One that names RID_PASID is as good as any.
            Request { pasid: Some(Pasid(rid)), ..with }.passes("RID_PASID by name");
        }
    }
}

#[test]
fn without_the_capability_rid_pasid_is_0_whatever_the_field_says() {
    for kind in KINDS {
        let [with, without] = request(SourceId::new(0, 8), kind, 0, [0, RID_PASID.0]).both();
        let without_rps = without.clone().without(RPS);
        assert_eq!((without.selected(), without_rps.selected()), (RID_PASID, Pasid(0)));
        without.passes("with RPS");
        without_rps.passes("without RPS");
        // The entry of 0 counts then, and the one of the field does not.
        let (zero, field) = (with.addr(AT_PASID), without.addr(AT_PASID));
        without_rps.clone().flip(field, 1).passes("the field's entry");
        without_rps.clone().flip(zero, 1).fails("entry 0", (0x59, "SPT.2"), Cause::NotPresent, AT_PASID, 4);
        without.clone().flip(zero, 1).passes("entry 0");
        without.clone().unknown().flip(zero, 1).passes("unknown: the field is taken at its word");
        // A field that means nothing can't be too large.
        let context = without.addr(AT_CONTEXT) + 8;
        without_rps.set(context, 0xf_ffff).passes("too large");
    }
    // Requests with PASID don't care.
    Request { pasid: Some(PASID), ..Request::first() }.without(RPS).passes("with PASID");
}
