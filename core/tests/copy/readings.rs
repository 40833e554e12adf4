//! One table that is read in several ways: by users and supervisors, with XD and without, on top and further below.

use crate::builder::{Builder, first_stage};
use crate::common::{CONTEXT, CONTEXT_ENTRY, ROOT, ROOT_ENTRY, RW, SOURCE, TOP, Tables, unit};
use crate::rows::{OTHER, OTHER_ENTRY, scalable, words};
use crate::trial::{ADOPT, COPY, Trial};
use iopt::Pasid;
use iopt::copy::{Difference, Options};

/// Bits of a first-stage entry.
const W: u64 = 1 << 1;
const U: u64 = 1 << 2;
const XD: u64 = 1 << 63;
/// Of a PASID table entry's third word.
const WPE: u64 = 1 << 4;
const NXE: u64 = 1 << 5;
const RID_PRIV: u64 = 1 << 20;

/// A page for each kind of leaf, with a gap behind each.
const LEAVES: [u64; 4] = [U | W, W, U, U | W | XD];

/// Who reads the table: RID_PRIV or not, and the flags of the PASID table entry.
type Reader = (u64, u64);
const READERS: [Reader; 7] =
    [(0, 0), (0, WPE), (0, NXE), (RID_PRIV, 0), (RID_PRIV, NXE), (RID_PRIV, WPE), (RID_PRIV, WPE | NXE)];

/// What a reader may use.
fn used((rid, flags): Reader) -> Vec<(u64, &'static str)> {
    let how = |leaf: u64| {
        let supervisor = rid == RID_PRIV;
        let read = supervisor || leaf & U != 0;
        let write = read && (leaf & W != 0 || supervisor && flags & WPE == 0);
        let refused = leaf & XD != 0 && flags & NXE == 0;
        if refused || !read { None } else { Some(if write { "rw" } else { "r-" }) }
    };
    (1..).step_by(2).zip(LEAVES).filter_map(|(page, leaf)| Some((page << 12, how(leaf)?))).collect()
}

fn read_by(readers: [Reader; 2]) -> Trial {
    let mut tables = Builder::new();
    let top = tables.table(1);
    for (page, leaf) in (1..).step_by(2).zip(LEAVES) {
        tables.map((top, 4), 1, page << 12, 0x7021 | leaf, 0x27);
    }
    for (source, (rid, flags)) in [SOURCE, OTHER].into_iter().zip(readers) {
        tables.context(source, 0, 1, rid);
        let [word, domain, third] = first_stage(top, 4);
        tables.pasid(source, Pasid(0), [word, domain, third | flags]);
    }
    Trial::new(&tables.words, &[scalable()], &COPY).unwrap()
}

/// Two devices in one domain with the same first stage use what either may use. What both use alike is told once.
#[test]
fn what_is_reserved_is_what_each_reader_may_use() {
    let alone = read_by([READERS[0]; 2]).plan.pages;
    for one in READERS {
        for other in READERS {
            let trial = read_by([one, other]);
            let mut expected = used(one);
            // XD counts by itself: with NXE and without are two readings of the tables, whoever reads.
            if (used(one), one.1 & NXE) != (used(other), other.1 & NXE) {
                expected.extend(used(other));
            }
            let ranges = &trial.iovas.ranges[&(0, 7)];
            let mut found: Vec<_> = ranges.iter().map(|(first, _, how)| (*first, how.to_string())).collect();
            found.sort();
            let mut expected: Vec<_> = expected.into_iter().map(|(first, how)| (first, how.to_owned())).collect();
            expected.sort();
            assert_eq!(found, expected, "{one:x?} {other:x?}");
            // The three tables above the leaves are read differently, the leaves are copied as they are.
            let copies = if one.1 & NXE == other.1 & NXE { 0 } else { 3 };
            assert_eq!(trial.plan.pages, alone + copies, "{one:x?} {other:x?}");
        }
    }
}

/// The table on top of one page table is the second of another.
#[test]
fn a_table_on_top_of_one_and_below_another_has_one_copy() {
    for at in [CONTEXT, OTHER_ENTRY] {
        let mut tables = Tables::new(4);
        tables.map(1, 0x5000, 0x7000 | RW);
        let below = tables.get(TOP) & crate::ADDRESS;
        tables.set(at, below | 1).set(at + 8, 8 << 8 | 1);
        let words = words(&tables);
        let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
        assert_eq!((trial.plan.pages, trial.plan.shared, trial.problems.len()), (2 + 4, 1, 0), "{at:#x}");
        let root = ROOT_ENTRY - ROOT;
        let copy = trial.word(&[root, at - CONTEXT]) & crate::ADDRESS;
        assert_eq!(trial.word(&[root, CONTEXT_ENTRY - CONTEXT, 0]), copy | RW);
        let other = trial.pages.duplicate(copy);
        let context = trial.word(&[root]) & crate::ADDRESS;
        trial.pages.tamper(context + (at - CONTEXT), other | 1);
        assert!(matches!(trial.verify(&words), Err(Difference::Twice { .. })), "{at:#x}");
    }
}

/// The first way to a table lets nothing through, so nobody asks what is in it.
#[test]
fn a_table_that_is_met_on_a_blocked_way_is_looked_at_on_the_next() {
    let mut tables = Tables::new(3);
    let [blocked, open, leaves] = [0x9000, 0xa000, 0xb000];
    tables.set(TOP, blocked | 1).set(blocked, leaves | 2).set(TOP + 8, open | RW).set(open, leaves | RW);
    tables.set(leaves + 8 * 5, 0x7000 | RW);
    for options in [COPY, ADOPT] {
        let trial = Trial::new(&words(&tables), &[unit()], &options).unwrap();
        assert_eq!(trial.iovas.of(7), [(0x4000_5000, 0x4000_5fff)], "{options:?}");
    }
}

/// Full tables that stay where they are need no second look, either.
#[test]
fn what_adopted_tables_map_is_remembered() {
    let mut tables = Tables::new(3);
    let [two, leaves] = [0x9000, 0xa000];
    for index in 0..512 {
        tables.set(TOP + 8 * index, two | RW).set(two + 8 * index, leaves | RW).set(leaves + 8 * index, 0x7000 | RW);
    }
    let trial = Trial::new(&words(&tables), &[unit()], &Options { max_rereads: 0, ..ADOPT }).unwrap();
    assert_eq!((trial.problems.as_slice(), trial.iovas.of(7)), (&[][..], vec![(0, (1 << 39) - 1)]));
}
