//! What the first implementation got wrong: tables and entries.

use crate::builder::{Builder, first_stage, second_stage};
use crate::common::{CONTEXT, CONTEXT_ENTRY, LARGE, R, ROOT, ROOT_ENTRY, RW, SNOOP, SOURCE, TOP, Tables, Words, unit};
use crate::ledger::{Book, Ledger, Old};
use crate::trial::{COPY, KEEP, Trial, copy};
use iopt::copy::{Error, Problem};
use iopt::memory::ReadErrorKind;
use iopt::vtd::{Cap, Cause, Fault, Rtaddr, Structure, Unit};
use iopt::{DomainId, Pasid, PhysAddr, Requester, SourceId};

pub const OTHER: SourceId = SourceId::new(1, 0x18);
pub const OTHER_ENTRY: u64 = CONTEXT + 16 * 0x18;

pub fn scalable() -> Unit {
    Unit::new(Rtaddr(ROOT | 0x400)).unwrap()
}

pub fn words(tables: &Tables) -> Words {
    tables.words().clone()
}

/// The path to a table of [`Tables::new`] in the copy.
pub const TO_TOP: [u64; 2] = [ROOT_ENTRY - ROOT, CONTEXT_ENTRY - CONTEXT];

pub fn fault_of(problem: &Problem) -> Fault {
    match problem {
        Problem::Lost(fault) | Problem::Refused(fault) | Problem::Loop(fault) | Problem::Unreserved(fault) => *fault,
        other => panic!("{other}"),
    }
}

/// Linux put the upper context table of such a bus into the lower half of the root entry (2026).
#[test]
fn a_bus_with_only_the_upper_half_has_only_the_upper_half_in_the_copy() {
    let source = SourceId::new(5, 0x90);
    let mut tables = Builder::new();
    let top = tables.table(1);
    tables.context(source, 0, 1, 0);
    tables.pasid(source, Pasid(0), second_stage(top, 3));
    tables.map((top, 3), 1, 0x5000, 0x7000 | RW, RW);
    for options in [COPY, crate::trial::ADOPT] {
        let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
        assert_eq!((trial.problems.len(), trial.word(&[5 * 16])), (0, 0), "the lower half");
        let upper = trial.word(&[5 * 16 + 8]);
        assert_eq!(upper & 0xfff, 1);
        let old_context = tables.context_at(source);
        assert_eq!(trial.word(&[5 * 16 + 8, 0x10 * 32]) & 0xfff, tables.words.get(old_context) & 0xfff);
        assert_eq!((trial.iovas.of(7), trial.iovas.devices.len()), (vec![(0x5000, 0x5fff)], 1));
        assert!(trial.iovas.devices.contains(&(0, source, 7)));
    }
}

#[test]
fn row_01_ranges_end_at_their_last_address() {
    let last_page = 0xffff_ffff_f000;
    let mut tables = Tables::new(4);
    tables.map(1, 0, 0x7000 | RW).map(1, 0x5000, 0x7000 | RW).map(1, last_page, 0x7000 | RW);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!(trial.iovas.of(7), [(0, 0xfff), (0x5000, 0x5fff), (last_page, 0xffff_ffff_ffff)]);
    assert_eq!(trial.iovas.domains[&(0, 7)], 48);

    // A first stage goes up to the end of 64 bits.
    let mut tables = Builder::new();
    let top = tables.table(1);
    tables.context(SOURCE, 0, 1, 0);
    tables.pasid(SOURCE, Pasid(0), first_stage(top, 4));
    tables.map((top, 4), 1, u64::MAX - 0xfff, 0x7000 | 7, 7);
    let trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
    assert_eq!(trial.iovas.of(7), [(u64::MAX - 0xfff, u64::MAX)]);
}

#[test]
fn row_02_ignored_bits_split_no_range_and_permissions_do() {
    let ignored = (3..=6).chain(8..=10).chain(52..=61).chain([63]);
    let mut tables = Tables::new(3);
    let mut iova = 0;
    for bit in ignored.clone() {
        tables.map(1, iova, 0x7000 | 1 << bit | RW).map(1, iova + 0x1000, 0x7000 | RW);
        iova += 0x2000;
    }
    let whole = iova - 1;
    tables.map(1, iova, 0x7000 | R).map(1, iova + 0x1000, 0x7000 | RW | SNOOP);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!(trial.iovas.of(7), [(0, whole), (iova, iova + 0xfff), (iova + 0x1000, iova + 0x1fff)]);
    for (page, bit) in (0..).step_by(2).zip(ignored) {
        let mut path = TO_TOP.to_vec();
        path.extend([0, 0, page * 8]);
        assert_eq!(trial.word(&path), 0x7000 | 1 << bit | RW, "bit {bit} is kept");
    }
}

#[test]
fn row_03_large_pages_are_those_of_the_unit_and_aligned() {
    let mut tables = Tables::new(4);
    let huge = tables.at(4, 1 << 39);
    tables.set(huge, 1 << 39 | LARGE | RW);
    let skewed = tables.at(2, 0x20_0000);
    tables.set(skewed, 0x20_1000 | LARGE | RW);
    tables.map(2, 0x40_0000, 0x60_0000 | LARGE | RW).map(3, 0x4000_0000, 0x8000_0000 | LARGE | RW);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    let faults: Vec<_> = trial.problems.iter().map(fault_of).collect();
    assert!(trial.problems.iter().all(|problem| matches!(problem, Problem::Refused(_))), "{:?}", trial.problems);
    let told: Vec<_> = faults.iter().map(|fault| (fault.place.structure, fault.cause)).collect();
    let reserved = |bits: u64| Cause::ReservedBits(bits.into());
    let expected = [(Structure::SecondStage(2), reserved(0x1000)), (Structure::SecondStage(4), reserved(LARGE))];
    assert_eq!(told, expected);
    assert_eq!(trial.iovas.of(7), [(0x40_0000, 0x5f_ffff), (0x4000_0000, 0x7fff_ffff)]);

    // A unit without pages of 1 GiB: SSLPS has 2 MiB only.
    let small = unit().with_capabilities(Some(Cap(4 << 8 | 47 << 16 | 1 << 34)), None);
    let trial = Trial::new(&words(&tables), &[small], &COPY).unwrap();
    assert_eq!((trial.problems.len(), trial.iovas.of(7)), (3, vec![(0x40_0000, 0x5f_ffff)]));
}

#[test]
fn row_04_a_table_that_points_to_itself_is_copied_once_for_each_level() {
    let mut tables = Tables::new(4);
    for index in 0..64 {
        tables.set(TOP + 8 * index, TOP | RW);
    }
    tables.set(TOP + 8 * 64, 0x9000 | RW).set(0x9000, 0x7000 | RW);
    tables.set(0xa000, 0);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY);
    // At level 1 the entries are leaves; 0x9000 is read at levels 3, 2 and 1, and leads to a hole.
    let Err(Error::Incomplete { fault, .. }) = trial else { panic!("{trial:?}") };
    assert_eq!(fault.place.table, PhysAddr(0x9000));
    tables.set(0x7000, 0);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!(trial.plan.pages, 2 + 4 + 3 + 2);
    assert!(trial.problems.iter().all(|problem| matches!(problem, Problem::Loop(_))), "{:?}", trial.problems);
    assert_eq!(trial.problems.len(), 64 * 3);
}

#[test]
fn row_05_an_address_width_without_a_meaning_is_a_fault_before_anything_is_read() {
    for aw in 5..8 {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW);
        // Its page table is a hole, and it does not matter.
        tables.set(OTHER_ENTRY, 0x77_0001).set(OTHER_ENTRY + 8, 8 << 8 | aw);
        let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
        let [problem @ Problem::Refused(fault)] = trial.problems.as_slice() else { panic!("{:?}", trial.problems) };
        assert_eq!((fault.cause, problem.is_loss()), (Cause::AddressWidth { aw: aw as u8, sagaw: None }, false));
        assert_eq!(trial.word(&[ROOT_ENTRY - ROOT, OTHER_ENTRY - CONTEXT]), 1, "no pointer into old memory");
        assert_eq!((trial.plan.pages, trial.iovas.of(7)), (5, vec![(0x5000, 0x5fff)]));
        assert!(!trial.iovas.domains.contains_key(&(0, 8)));
    }
}

#[test]
fn row_06_one_bad_pointer_loses_no_more_than_what_is_below_it() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW).map(1, 0x20_0000, 0x7000 | RW);
    let bad = tables.at(2, 0x40_0000);
    tables.set(bad, 0x77_0000 | RW).map(1, 0x60_0000, 0x7000 | RW);
    tables.set(OTHER_ENTRY, 0x78_0001).set(OTHER_ENTRY + 8, 8 << 8 | 1);
    let words = words(&tables);
    let trial = Trial::new(&words, &[unit()], &KEEP).unwrap();
    let lost: Vec<_> = trial.problems.iter().map(|problem| fault_of(problem).place).collect();
    assert_eq!((lost.len(), trial.plan.lost, trial.losses(), trial.verified.missing), (2, 2, 2, 2));
    assert_eq!((lost[0].structure, lost[0].index), (Structure::SecondStage(2), 2));
    assert_eq!((lost[1].structure, lost[1].source_id), (Structure::Context, Some(OTHER)));
    let ranges = [(0x5000, 0x5fff), (0x20_0000, 0x20_0fff), (0x60_0000, 0x60_0fff)];
    assert_eq!(trial.iovas.of(7), ranges);
    assert_eq!(trial.word(&[ROOT_ENTRY - ROOT, CONTEXT_ENTRY - CONTEXT, 0, 16]), W_WITHOUT_TABLE);

    // The caller may want all or nothing: then there is not even an allocation.
    let (mut pages, mut iovas) = (Ledger::new(), Book::default());
    let error = words.with(|memory| copy(&Old::new(memory, true), &[unit()], &COPY, &mut pages, &mut iovas));
    let Err(Error::Incomplete { unit: 0, fault }) = error else { panic!("{error:?}") };
    assert_eq!(fault.place, lost[0]);
    assert_eq!((pages.allocations.calls, iovas.calls.calls), (0, 0));
}

/// Nothing is left of an entry whose table is lost: neither permissions nor address.
const W_WITHOUT_TABLE: u64 = 0;

/// "A read that returns 0" and the short read: a read is whole or an error, and what the page held then is not used.
fn with_a_broken_leaf_table(lends: bool) -> (Words, Vec<Problem>, Ledger, Book) {
    let mut tables = Tables::new(3);
    for table in 0..3 {
        tables.map(1, table << 21, (0x7000 + (table << 12)) | RW);
    }
    let broken = tables.get(TOP) & crate::ADDRESS;
    let broken = tables.get(broken + 8) & crate::ADDRESS;
    let (mut pages, mut iovas) = (Ledger::new(), Book::default());
    let words = words(&tables);
    let (.., problems) = words.with(|memory| {
        let old = Old { broken: Some(PhysAddr(broken)), ..Old::new(memory, lends) };
        copy(&old, &[unit()], &KEEP, &mut pages, &mut iovas).unwrap()
    });
    (words, problems, pages, iovas)
}

#[test]
fn row_07_a_failed_read_gives_no_entry_the_table_of_its_sibling() {
    for lends in [false, true] {
        let (_, problems, pages, iovas) = with_a_broken_leaf_table(lends);
        let [Problem::Lost(fault)] = problems.as_slice() else { panic!("{problems:?}") };
        assert!(matches!(fault.cause, Cause::Unreadable(error) if error.kind == ReadErrorKind::Io(5)));
        assert_eq!(fault.place.index, 1);
        // Root, context, two levels, and two tables of leaves.
        assert_eq!(pages.balance(), 6);
        assert_eq!(iovas.of(7), [(0, 0xfff), (2 << 21, (2 << 21) + 0xfff)]);
    }
}

#[test]
fn row_08_what_a_short_read_left_behind_is_not_copied() {
    for lends in [false, true] {
        let (_, _, pages, _) = with_a_broken_leaf_table(lends);
        let left_behind = |page: u64| (page..page + 0x1000).step_by(8).any(|at| pages.word(at) >> 32 == 0xdead_beef);
        assert!(!pages.pages().any(left_behind));
    }
}

#[test]
fn row_09_a_root_or_context_table_that_cannot_be_read_is_an_error_with_its_place() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    for (page, index) in [(ROOT, 0), (CONTEXT, 1)] {
        let mut tables = words(&tables);
        tables.hole(page);
        for options in [COPY, crate::trial::ADOPT] {
            let Err(error) = Trial::new(&tables, &[unit()], &options) else { panic!("{page:#x}: success") };
            let Error::Incomplete { unit: 0, fault } = error else { panic!("{error}") };
            assert_eq!((fault.place.structure, fault.place.index), (Structure::Root, index));
            assert!(matches!(fault.cause, Cause::Unreadable(error) if error.addr == PhysAddr(page)), "{fault}");
        }
        // Nothing of which a part could be kept, and a bus of many.
        assert_eq!(Trial::new(&tables, &[unit()], &KEEP).is_ok(), page == CONTEXT);
    }
}

#[test]
fn row_10_a_root_entry_that_points_to_nothing_is_not_present_in_the_copy() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW).set(ROOT + 16 * 9, 1);
    assert!(matches!(Trial::new(&words(&tables), &[unit()], &COPY), Err(Error::Incomplete { .. })));
    let trial = Trial::new(&words(&tables), &[unit()], &KEEP).unwrap();
    assert_eq!((trial.word(&[16 * 9]), trial.iovas.of(7)), (0, vec![(0x5000, 0x5fff)]));
    let [Problem::NullTable(place), Problem::Lost(fault)] = trial.problems.as_slice() else {
        panic!("{:?}", trial.problems)
    };
    assert_eq!((place.structure, place.index, fault.place), (Structure::Root, 9, *place));
}

#[test]
fn row_10_each_half_of_a_bus_may_point_to_nothing() {
    for half in [0, 8] {
        let mut tables = Builder::new();
        let top = tables.table(1);
        tables.context(SOURCE, 0, 1, 0);
        tables.pasid(SOURCE, Pasid(0), second_stage(top, 3));
        tables.words.set(ROOT + 16 * 9 + half, 1);
        assert!(matches!(Trial::new(&tables.words, &[scalable()], &COPY), Err(Error::Incomplete { .. })));
        let trial = Trial::new(&tables.words, &[scalable()], &KEEP).unwrap();
        let [Problem::NullTable(place), Problem::Lost(_)] = trial.problems.as_slice() else {
            panic!("{:?}", trial.problems)
        };
        assert_eq!((place.structure, place.index, trial.word(&[16 * 9 + half])), (Structure::Root, 9, 0));
    }
}

#[test]
fn row_12_pass_through_and_page_tables_under_one_domain_id_are_each_copied_for_what_they_are() {
    for pass_through_first in [false, true] {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW);
        let at = CONTEXT + if pass_through_first { 0 } else { 16 * 0xff };
        tables.set(at, 0x66_6000 | 2 << 2 | 1).set(at + 8, 7 << 8 | 1);
        let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
        let later = if pass_through_first { SOURCE } else { SourceId::new(1, 0xff) };
        let requester = Requester { source_id: later, pasid: None };
        assert_eq!(trial.problems, [Problem::DomainConflict { domain: DomainId(7), requester }]);
        // The pointer of a pass-through entry is ignored, and so is kept.
        assert_eq!(trial.word(&[ROOT_ENTRY - ROOT, at - CONTEXT]), 0x66_6000 | 2 << 2 | 1);
        assert_eq!(trial.iovas.of(7), [(0x5000, 0x5fff)]);
        assert_eq!(trial.plan.pages, 5);
    }
}
