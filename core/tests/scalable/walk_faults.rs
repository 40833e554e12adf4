//! What can't be followed is told once, with its place, and the rest is walked.

use crate::builder::Builder;
use crate::request::{AT_CONTEXT, AT_DIRECTORY, AT_PASID, Kind, PASID, Request, SOURCE};
use crate::walk::{Leaf, Walked, add, walk, whole};
use crate::{FPD, PASIDE, defects, hole};
use iopt::vtd::{Cause, Fault, FaultReason, Place, Structure};
use iopt::{Iova, Pasid, PhysAddr, SourceId};

/// A device after the one of the requests.
const OTHER: SourceId = SourceId::new(2, 0xff);

/// What a walk tells of: no absent entry, no lack of permission, and nothing about requests.
const TOLD: [u8; 18] =
    [0x30, 0x38, 0x3a, 0x40, 0x42, 0x48, 0x50, 0x52, 0x58, 0x5a, 0x5b, 0x5d, 0x70, 0x72, 0x73, 0x78, 0x7a, 0x7b];

/// The tables of `base` with its one PASID of the two, and the pages of another PASID and another device.
fn neighbours(base: &Request) -> (Request, Vec<Leaf>) {
    let unused = if base.pasid.is_some() { base.clone().without_pasid() } else { base.clone().asking(PASID) };
    let mut request = base.clone().flip(unused.addr(AT_PASID), 1);
    let mut leaves = add(&mut request.tables, SOURCE, 0x1ffe, Kind::First, 4);
    request.tables.context(OTHER, 0, PASIDE | 1, 0);
    leaves.extend(add(&mut request.tables, OTHER, 0, Kind::Second, 4));
    (request, leaves)
}

/// What a walk says of the fault of a request: whom it concerns, and from which address on.
fn as_walked(base: &Request, fault: Fault) -> Fault {
    let place = fault.place;
    let (pasid, source_id, iova) = match place.structure {
        Structure::Root => (None, None, None),
        Structure::Context if fault.reason.unwrap().code() == 0x50 => (Some(Pasid(0)), Some(SOURCE), None),
        Structure::Context => (None, Some(SOURCE), None),
        // The first of the 64 that the entry is for.
        Structure::PasidDirectory => (Some(Pasid(base.selected().0 & !0x3f)), Some(SOURCE), None),
        Structure::PasidTable => (Some(base.selected()), Some(SOURCE), None),
        Structure::FirstStage(level) | Structure::SecondStage(level) => {
            let first = base.iova & (!0 << (3 + 9 * u32::from(level)));
            (Some(base.selected()), Some(SOURCE), Some(Iova(first)))
        }
    };
    // Without a root table there is no bus to speak of.
    let index = if place.entry.is_none() { 0 } else { place.index };
    Fault { place: Place { pasid, source_id, iova, index, ..place }, ..fault }
}

#[test]
fn each_defect_is_told_once_and_the_rest_is_walked() {
    for base in defects::requests() {
        let (base, leaves) = neighbours(&base);
        for fpd in [None, Some(AT_CONTEXT), Some(AT_DIRECTORY), Some(AT_PASID)] {
            let base = fpd.into_iter().fold(base.clone(), |request, at| request.flip(base.addr(at), FPD));
            for defect in defects::of(&base) {
                let name = &defect.name;
                let broken = (defect.apply)(base.clone());
                let fault = broken.ask().0.unwrap_err();
                let (walked, _) = broken.words().with(|memory| walk(&broken.unit(), memory, &|walk| walk));
                let told = TOLD.contains(&defect.code).then(|| as_walked(&base, fault));
                assert_eq!(walked.faults, told.into_iter().collect::<Vec<_>>(), "{name}");
                // The same device's other PASID is lost with what leads to both.
                let lost = match defect.code {
                    0x30 | 0x38 => 7,
                    0x39..0x46 | 0x50 => 4,
                    _ => 0,
                };
                assert!(leaves[lost..].iter().all(|leaf| walked.leaves.contains(leaf)), "{name}");
                assert!(!leaves[..lost].iter().any(|leaf| walked.leaves.contains(leaf)), "{name}");
            }
        }
    }
}

/// A device with a page behind each of three PASIDs, in three tables: the second of them is RID_PASID.
fn three() -> (Builder, Vec<Leaf>) {
    let mut tables = Builder::new();
    tables.context(SOURCE, 3, PASIDE | 1, 0x45);
    let leaves = [0x3, 0x45, 0x8001].map(|pasid| add(&mut tables, SOURCE, pasid, Kind::First, 4));
    (tables, leaves.concat())
}

fn of_pasids(leaves: &[Leaf], pasids: &[u32]) -> Vec<Leaf> {
    leaves.iter().copied().filter(|leaf| pasids.contains(&leaf.1.unwrap().0)).collect()
}

fn summary(walked: &Walked) -> Vec<(Option<u8>, Structure, u16, Option<u32>)> {
    let line = |fault: &Fault| {
        let place = fault.place;
        (fault.reason.map(FaultReason::code), place.structure, place.index, place.pasid.map(|pasid| pasid.0))
    };
    walked.faults.iter().map(line).collect()
}

#[test]
fn a_rid_pasid_beyond_the_directory_keeps_no_pasid_from_being_walked() {
    for (paside, blocked) in [(PASIDE, false), (0, true)] {
        let (mut tables, leaves) = three();
        let context = tables.context(SOURCE, 3, PASIDE | 1, 0x1_0000);
        let word = tables.words.get(context) & !PASIDE | paside;
        tables.words.set(context, word);
        let walked = whole(&tables);
        assert_eq!(summary(&walked), [(Some(0x48), Structure::Context, 0x13, None)]);
        assert_eq!(walked.faults[0].cause, Cause::RidPasidTooLarge { pasid: Pasid(0x1_0000), limit: 0x1_0000 });
        assert!(walked.devices.iter().all(|device| device.with_pasid));
        assert_eq!(walked.devices.len(), 3);
        assert_eq!(walked.leaves, if blocked { vec![] } else { leaves });
    }
}

#[test]
fn a_missing_page_of_a_directory_keeps_no_other_from_being_walked() {
    let (plain, leaves) = three();
    let mut tables = plain.clone();
    let first = tables.directory_at(SOURCE, Pasid(0)) & !0xfff;
    tables.words.hole(first);
    let walked = whole(&tables);
    assert_eq!(summary(&walked), [(Some(0x50), Structure::Context, 0x13, Some(0))]);
    assert_eq!(walked.faults[0].cause, hole(first));
    assert_eq!(walked.leaves, of_pasids(&leaves, &[0x8001]));
    let mut tables = plain;
    let second = tables.directory_at(SOURCE, Pasid(0x8000)) & !0xfff;
    assert_eq!(second, first + 0x1000);
    tables.words.hole(second);
    let walked = whole(&tables);
    assert_eq!(summary(&walked), [(Some(0x50), Structure::Context, 0x13, Some(0x8000))]);
    assert_eq!(walked.faults[0].cause, hole(second));
    assert_eq!(walked.leaves, of_pasids(&leaves, &[3, 0x45]));
}

#[test]
fn what_is_wrong_with_a_pasid_keeps_no_other_from_being_walked() {
    for (pasid, others) in [(0x3, [0x45, 0x8001]), (0x45, [3, 0x8001]), (0x8001, [3, 0x45])] {
        let (mut plain, leaves) = three();
        let directory = plain.directory_at(SOURCE, Pasid(pasid));
        let table = plain.words.get(directory) & !0xfff;
        let (first, index) = (pasid & !0x3f, (pasid >> 6) as u16);
        let check = |change: &dyn Fn(&mut Builder), found: (u8, Structure, u16, u32)| {
            let mut tables = plain.clone();
            change(&mut tables);
            let walked = whole(&tables);
            let (code, structure, index, pasid) = found;
            assert_eq!(summary(&walked), [(Some(code), structure, index, Some(pasid))]);
            assert_eq!(walked.leaves, of_pasids(&leaves, &others));
        };
        let in_directory = |code| (code, Structure::PasidDirectory, index, first);
        let in_table = |code| (code, Structure::PasidTable, (pasid & 0x3f) as u16, pasid);
        let entry = table + 64 * u64::from(pasid & 0x3f);
        check(
            &|tables| {
                tables.words.hole(table);
            },
            in_directory(0x58),
        );
        check(
            &|tables| {
                tables.words.set(directory, table | 0x801);
            },
            in_directory(0x52),
        );
        check(
            &|tables| {
                tables.words.set(entry + 56, 1);
            },
            in_table(0x5a),
        );
        for pgtt in [0, 5, 6, 7] {
            check(
                &|tables| {
                    tables.words.set(entry, pgtt << 6 | 1);
                },
                in_table(0x5b),
            );
        }
    }
}

/// Every entry that is wrong is told of, in the order in which they are come to.
#[test]
fn several_defects_are_all_told() {
    let (mut tables, leaves) = three();
    for pasid in [4, 5, 0x46, 0x8000] {
        tables.pasid(SOURCE, Pasid(pasid), [1, 0, 0]);
    }
    let reserved = tables.directory_at(SOURCE, Pasid(0x80));
    tables.words.set(reserved, 0x5);
    let walked = whole(&tables);
    let entry = |index, pasid| (Some(0x5b), Structure::PasidTable, index, Some(pasid));
    let expected = [
        entry(4, 4),
        entry(5, 5),
        entry(6, 0x46),
        (Some(0x52), Structure::PasidDirectory, 2, Some(0x80)),
        entry(0, 0x8000),
    ];
    assert_eq!(summary(&walked), expected);
    assert_eq!(walked.leaves, leaves);
}

/// What the unit can't reach of a second stage is told by the code of scalable mode.
#[test]
fn pages_beyond_the_unit_are_told_once() {
    for base in [Kind::Second].map(|kind| Request::new(kind, 4)).into_iter().flat_map(Request::both) {
        let narrow = crate::CAP & !(0x3f << 16) | 38 << 16;
        let (base, _) = neighbours(&base);
        let base = Request { cap: Some(narrow), ..base };
        let (walked, _) = base.words().with(|memory| walk(&base.unit(), memory, &|walk| walk));
        let [fault] = walked.faults[..] else { panic!("{:?}", walked.faults) };
        assert_eq!(fault.reason.map(FaultReason::code), Some(0x84));
        assert_eq!((fault.place.structure, fault.place.pasid), (Structure::SecondStage(1), Some(base.selected())));
        assert_eq!(fault.place.table, PhysAddr(base.table(base.level(1))));
        assert_eq!(fault.place.iova, Some(Iova(base.iova & !0xfff)));
    }
}
