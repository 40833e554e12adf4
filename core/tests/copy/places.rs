//! What is told of an entry has its place, wherever it is: by a copy as by a walk, and by a comparison.

use crate::builder::{Builder, second_stage};
use crate::common::RW;
use crate::rows::{fault_of, scalable};
use crate::trial::{COPY, KEEP, Trial};
use iopt::copy::{Difference, Options, Problem, Reserve};
use iopt::vtd::{Fault, Place, Structure, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Iova, Pasid, PhysAddr, SourceId};

/// In the upper half of a bus, and in the second page of a directory.
const SOURCE: SourceId = SourceId::new(1, 0x93);
const PASID: Pasid = Pasid(0x8045);
const IOVA: u64 = 0x6000;
/// A reserved bit of each: addresses beyond the host, but for entries of which only low ones are checked.
const RESERVED: [u64; 4] = [1 << 46, 1 << 6, 1 << 10, 1 << 46];
const FPD: u64 = 2;

fn known() -> Unit {
    scalable().with_host_address_width(Some(46))
}

/// Tables with one page, and where the entries are that lead to it: of the context table, the directory, the PASID
/// table, and the page table of level 1.
fn tables() -> (Builder, [u64; 4]) {
    let mut tables = Builder::new();
    let top = tables.table(1);
    let context = tables.context(SOURCE, 3, 8 | 1, 0);
    let pasid = tables.pasid(SOURCE, PASID, second_stage(top, 3));
    let leaf = tables.map((top, 3), 1, IOVA, 0x7000 | RW, RW);
    let directory = tables.directory_at(SOURCE, PASID);
    (tables, [context, directory, pasid, leaf])
}

/// The kind of a table, where it is, the index of an entry in it, and the first PASID and address that it concerns.
type At = (Structure, u64, u16, Option<Pasid>, Option<u64>);

/// Where these entries are, in words.
fn places(entries: [u64; 4]) -> [At; 4] {
    let [context, directory, pasid, leaf] = entries;
    [
        (Structure::Context, context & !0xfff, 0x13, None, None),
        // Its pages follow each other.
        (Structure::PasidDirectory, (directory & !0xfff) - 0x1000, 0x201, Some(Pasid(0x8040)), None),
        (Structure::PasidTable, pasid & !0xfff, 5, Some(PASID), None),
        (Structure::SecondStage(1), leaf & !0xfff, 6, Some(PASID), Some(IOVA)),
    ]
}

fn told(place: &Place) -> At {
    assert_eq!(place.source_id, Some(SOURCE));
    (place.structure, place.table.0, place.index, place.pasid, place.iova.map(|Iova(iova)| iova))
}

/// What a walk says is wrong.
fn walked(tables: &Builder, unit: &Unit) -> Vec<Fault> {
    tables.words.with(|memory| {
        let mut scratch = Scratch::new();
        let mut walk = unit.walk(memory, &mut scratch);
        let mut faults = Vec::new();
        while let Some(step) = walk.next() {
            if let Step::Fault(fault) = step {
                faults.push(fault);
            }
        }
        faults
    })
}

#[test]
fn an_entry_that_is_refused_is_told_as_a_walk_tells_it() {
    let (valid, entries) = tables();
    for (number, (broken, place)) in entries.into_iter().zip(places(entries)).enumerate() {
        for (disabled, reserve) in (0..8).flat_map(|bits| [(bits, Reserve::Ranges), (bits, Reserve::Domains)]) {
            let mut tables = valid.clone();
            for (bit, at) in entries[..3].iter().enumerate() {
                let word = tables.words.get(*at);
                tables.words.set(*at, word | if disabled >> bit & 1 == 1 { FPD } else { 0 });
            }
            let word = tables.words.get(broken);
            tables.words.set(broken, word | RESERVED[number]);
            // Page tables are copied for their ranges, or else for the entry that leads to them.
            let trial = Trial::new(&tables.words, &[known()], &Options { reserve, ..COPY }).unwrap();
            let [problem @ Problem::Refused(_)] = trial.problems.as_slice() else { panic!("{:?}", trial.problems) };
            let fault = fault_of(problem);
            assert_eq!(told(&fault.place), place, "{fault}");
            // FPD of an entry counts for what is wrong with it, and for all behind it.
            assert_eq!(fault.suppressed, disabled & ((1 << (number + 1)) - 1) != 0, "{fault}");
            assert_eq!(walked(&tables, &known()), [fault]);
            let line = problem.to_string();
            assert!(line.starts_with("refused") && line.ends_with(&fault.to_string()) && line.lines().count() == 1);
        }
    }
}

#[test]
fn a_table_that_is_lost_is_told_as_a_walk_tells_it() {
    let (valid, [_, directory, pasid, leaf]) = tables();
    let top = valid.words.get(pasid) & crate::ADDRESS;
    for (table, first) in
        [(directory, Some(0x8000)), (pasid, Some(0x8040)), (top, Some(PASID.0)), (leaf, Some(PASID.0))]
    {
        let mut tables = valid.clone();
        tables.words.hole(table & !0xfff);
        let trial = Trial::new(&tables.words, &[known()], &KEEP).unwrap();
        let [problem @ Problem::Lost(_)] = trial.problems.as_slice() else { panic!("{:?}", trial.problems) };
        let fault = fault_of(problem);
        assert_eq!(fault.place.pasid.map(|pasid| pasid.0), first, "{fault}");
        assert_eq!(walked(&tables, &known()), [fault]);
        assert_eq!(problem.to_string(), format!("not copied: {fault}"));
    }
}

/// Where in the copy the entries are.
fn copies(trial: &Trial) -> [u64; 4] {
    let path = [16 + 8, 0x13 * 32, 8 * 0x201, 5 * 64, 0, 0];
    let table = |depth: usize| trial.word(&path[..depth]) & crate::ADDRESS;
    [table(1) + path[1], table(2) + path[2], table(3) + path[3], table(6) + 8 * 6]
}

#[test]
fn an_entry_that_differs_is_told_with_its_place() {
    let (tables, entries) = tables();
    let mut trial = Trial::new(&tables.words, &[known()], &COPY).unwrap();
    for ((at, old), place) in copies(&trial).into_iter().zip(entries).zip(places(entries)) {
        let was = trial.pages.word(at);
        // FPD, and in a page table R/W.
        trial.pages.tamper(at, was ^ 2);
        let Err(Difference::Entry { old: found, .. }) = trial.verify(&tables.words) else { panic!("{place:?}") };
        assert_eq!(told(&Place { iova: None, ..found }), (place.0, place.1, place.2, place.3, None));
        assert_eq!(found.entry.map(|entry| entry.words()[0]), Some(tables.words.get(old)));
        trial.pages.tamper(at, was);
    }
    let lower = trial.roots[0].root_table().0 + 16 + 8;
    trial.pages.tamper(lower, trial.pages.word(lower) ^ 2);
    let Err(Difference::Entry { old, .. }) = trial.verify(&tables.words) else { panic!("the upper half") };
    assert_eq!((old.structure, old.index, old.table), (Structure::Root, 1, PhysAddr(crate::builder::ROOT)));
}
