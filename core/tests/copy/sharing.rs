//! Tables that are met more than once: one copy for each page and level, whatever leads to it.

use crate::builder::{Builder, first_stage};
use crate::common::{CONTEXT, CONTEXT_ENTRY, ROOT, ROOT_ENTRY, RW, SOURCE, TOP, Tables, Words, unit};
use crate::ledger::{Book, Ledger, Old};
use crate::rows::{OTHER_ENTRY, scalable, words};
use crate::trial::{ADOPT, COPY, Trial, copy};
use iopt::Pasid;
use iopt::copy::{Options, Problem};
use iopt::radix::Budget;

const FANS: [u64; 9] = [1, 2, 3, 5, 8, 64, 200, 511, 512];

#[test]
fn a_table_that_points_to_itself_is_linear_in_levels_at_every_fan_out() {
    for levels in [4, 5] {
        for fan in FANS {
            let mut tables = Tables::new(levels);
            for index in 0..fan {
                tables.set(TOP + 8 * index, TOP | RW);
            }
            let adopted = Trial::new(&words(&tables), &[unit()], &ADOPT).unwrap();
            let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
            assert_eq!(adopted.problems, trial.problems);
            let levels = u64::from(levels);
            assert_eq!((trial.plan.pages, trial.plan.tables), (2 + levels, 2 + levels));
            assert_eq!((adopted.plan.pages, adopted.plan.tables), (2, 2 + levels));
            assert_eq!(trial.plan.shared, (fan - 1) * (levels - 1));
            assert!(trial.problems.iter().all(|problem| matches!(problem, Problem::Loop(_))));
            assert_eq!(trial.problems.len() as u64, fan * (levels - 1));
        }
    }
}

/// Each table has `fan` entries that all lead to the next one.
fn diamonds(levels: u8, fan: u64) -> Words {
    let mut tables = Tables::new(levels);
    for level in 1..=levels {
        let table = TOP + 0x2000 * u64::from(levels - level);
        for index in 0..fan {
            tables.set(table + 8 * index, if level == 1 { 0x7000 | RW } else { (table + 0x2000) | RW });
        }
    }
    words(&tables)
}

/// What each path ends at is reserved; full tables and empty ones need no second look, and others get no more than was
/// asked for.
#[test]
fn diamonds_are_linear_at_every_fan_out() {
    const REREADS: u64 = 10_000;
    let options = Options { max_rereads: REREADS, ..COPY };
    for levels in [4, 5] {
        for fan in FANS {
            let words = diamonds(levels, fan);
            let tables = 2 + u64::from(levels);
            let rereads = (1..u32::from(levels)).map(|level| fan.pow(level)).sum::<u64>() - u64::from(levels - 1);
            let is_coarse = fan < 512 && rereads > REREADS + tables;
            let (mut pages, mut iovas) = (Ledger::new(), Book::default());
            words.with(|memory| {
                let old = Old::new(memory, true);
                copy(&old, &[unit()], &options, &mut pages, &mut iovas).unwrap();
                let bound = 2 * (3 * tables + if fan == 512 { 0 } else { REREADS + tables });
                assert!(old.reads.borrow().calls <= bound, "{} reads", old.reads.borrow().calls);
            });
            let trial = Trial::new(&words, &[unit()], &options).unwrap();
            assert_eq!((trial.plan.tables, trial.plan.pages), (tables, tables));
            assert_eq!(trial.plan.shared, (fan - 1) * (u64::from(levels) - 1));
            let coarse = trial.problems.iter().filter(|problem| matches!(problem, Problem::Coarse { .. })).count();
            assert_eq!((coarse != 0, coarse == trial.problems.len()), (is_coarse, true));
            let reserved = trial.iovas.of(7);
            assert!(in_use(levels, fan).all(|page| reserved.iter().any(|range| range.0 <= page && page < range.1)));
            let paths = fan.pow(u32::from(levels) - 1);
            match fan {
                512 => assert_eq!(reserved, [(0, (1 << (12 + 9 * levels)) - 1)]),
                _ if is_coarse => assert!(reserved.len() < paths as usize),
                // Those of the last entry of one table and of the first of the next are not neighbours.
                _ => assert_eq!(reserved.len() as u64, paths),
            }
        }
    }
}

/// Some of the pages that the diamonds map: those whose numbers of entries are all the same.
fn in_use(levels: u8, fan: u64) -> impl Iterator<Item = u64> {
    (0..fan).map(move |index| (0..levels).map(|level| index << (12 + 9 * level)).sum())
}

#[test]
fn the_budget_is_exact() {
    let words = diamonds(4, 2);
    for (max_tables, enough) in [(0, false), (5, false), (6, true)] {
        let result =
            Trial::new(&words, &[unit()], &Options { budget: Budget { tables: max_tables, ..COPY.budget }, ..COPY });
        assert_eq!(result.is_ok(), enough, "{max_tables}: {:?}", result.map(|trial| trial.plan));
    }
}

const SPAN_1: u64 = 1 << 21;
const SPAN_2: u64 = 1 << 30;
const ONE: u64 = 0x9000;
const TWO: u64 = 0xa000;

/// A full table of level 1 below a full one of level 2, of which the entries let `permissions` through in turn. Two
/// entries of the top table, with `tops`, lead there.
fn full(permissions: [u64; 2], tops: [u64; 2]) -> Tables {
    let mut tables = Tables::new(3);
    for index in 0..512u64 {
        tables.set(ONE + 8 * index, 0x7000 | RW).set(TWO + 8 * index, ONE | permissions[index as usize % 2]);
    }
    for (index, top) in (0..).zip(tops) {
        tables.set(TOP + 8 * index, TWO | top);
    }
    tables
}

/// First and last byte, and what is let through.
fn reserved(tables: &Tables) -> Vec<(u64, u64, String)> {
    let trial = Trial::new(&words(tables), &[unit()], &COPY).unwrap();
    assert_eq!((trial.plan.pages, trial.problems.len()), (5, 0));
    trial.iovas.ranges[&(0, 7)].iter().map(|(first, last, how)| (*first, *last, how.to_string())).collect()
}

/// What is known of a table that was looked at before is what it maps by itself: the rest is up to the path.
#[test]
fn tables_that_are_mapped_alike_are_reserved_as_each_path_lets_them() {
    let read = 1;
    assert_eq!(reserved(&full([RW; 2], [RW; 2])), [(0, 2 * SPAN_2 - 1, "rw".into())]);
    let halves = [(0, SPAN_2 - 1, "rw".into()), (SPAN_2, 2 * SPAN_2 - 1, "r-".into())];
    assert_eq!(reserved(&full([RW; 2], [RW, read])), halves);
    assert_eq!(reserved(&full([read; 2], [RW; 2])), [(0, 2 * SPAN_2 - 1, "r-".into())]);
    let stripes: Vec<_> = (0..1024)
        .map(|number| (number * SPAN_1, (number + 1) * SPAN_1 - 1, if number % 2 == 0 { "rw" } else { "r-" }.into()))
        .collect();
    assert_eq!(reserved(&full([RW, read], [RW; 2])), stripes);
    // Entries that let nothing through that the paths do.
    assert_eq!(reserved(&full([2; 2], [RW, read])), [(0, SPAN_2 - 1, "-w".into())]);
}

/// Everything is mapped, but for a part through a loop.
#[test]
fn a_loop_is_left_out_on_every_path() {
    let mut tables = full([RW; 2], [RW; 2]);
    for index in 0..512 {
        tables.set(TWO + 8 * index, index << 21 | 0x80 | RW);
    }
    tables.set(TWO + 8 * 7, TWO | RW);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    let after = |first: u64| first + 8 * SPAN_1;
    let expected = [(0, 7 * SPAN_1 - 1), (after(0), SPAN_2 + 7 * SPAN_1 - 1), (after(SPAN_2), 2 * SPAN_2 - 1)];
    assert_eq!(trial.iovas.of(7), expected);
}

/// The upper half of a signed input is the end of the space, for the domain that comes second too.
#[test]
fn a_full_first_stage_is_reserved_in_two_halves_for_every_domain() {
    const USER: u64 = 0x27;
    let mut tables = Builder::new();
    tables.context(SOURCE, 0, 8 | 1, 0);
    let [top, three, two] = [(); 3].map(|()| tables.table(1));
    for index in 0..512 {
        tables.words.set(top + 8 * index, three | USER).set(three + 8 * index, two | USER);
        tables.words.set(two + 8 * index, index << 21 | 0x80 | USER);
    }
    for number in 0..2 {
        let [word, _, third] = first_stage(top, 4);
        tables.pasid(SOURCE, Pasid(number), [word, 7 + u64::from(number), third]);
    }
    let trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
    for domain in [7, 8] {
        assert_eq!(trial.iovas.of(domain), [(0, (1 << 47) - 1), (!0 << 47, u64::MAX)], "{domain}");
    }
}

/// Tables with nothing in them, or nothing that lets a request through, need no second look.
#[test]
fn what_maps_nothing_is_not_looked_at_again() {
    let mut tables = Builder::new();
    tables.context(SOURCE, 0, 8 | 1, 0);
    let [top, three, two, one, empty] = [(); 5].map(|()| tables.table(1));
    for index in 0..512 {
        // Present and writable, and not for users.
        tables.words.set(one + 8 * index, 0x7023).set(two + 8 * index, if index % 2 == 0 { one } else { empty } | 0x27);
        tables.words.set(three + 8 * index, two | 0x27).set(top + 8 * index, three | 0x27);
    }
    let [word, domain, third] = first_stage(top, 4);
    tables.pasid(SOURCE, Pasid(0), [word, domain, third]);
    let trial = Trial::new(&tables.words, &[scalable()], &Options { max_rereads: 0, ..COPY }).unwrap();
    assert_eq!((trial.problems.as_slice(), trial.iovas.of(7)), (&[][..], vec![]));
}

#[test]
fn what_is_refused_in_a_table_on_two_paths_is_told_once() {
    let mut tables = full([RW; 2], [RW; 2]);
    tables.set(ONE + 8 * 9, 1 << 62 | 0x7000 | RW).set(TWO + 8 * 5, 1 << 62 | ONE | RW);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!(trial.problems.len(), 2, "{:?}", trial.problems);
    // A hole of one page in each of the tables of level 1, and of one such table in each of level 2.
    assert_eq!(trial.iovas.of(7).len(), 2 * 512 + 1);
}

/// Of the 4 page tables the lower three are on 2, 4 and 8 paths.
#[test]
fn as_many_tables_are_read_again_as_there_are_and_as_many_more_as_allowed() {
    for (max_rereads, coarse) in [(6, 1), (7, 0)] {
        let trial = Trial::new(&diamonds(4, 2), &[unit()], &Options { max_rereads, ..COPY }).unwrap();
        assert_eq!(trial.problems.len(), coarse, "{max_rereads}: {:?}", trial.problems);
    }
}

/// However many domains use a table that is read again for each, the budget is for all of them.
#[test]
fn tables_that_are_read_again_for_many_domains_have_one_budget() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    for devfn in 0..64 {
        tables.set(CONTEXT + 16 * devfn, TOP | 1).set(CONTEXT + 16 * devfn + 8, (devfn + 1) << 8 | 1);
    }
    let words = words(&tables);
    // Two tables above; of the other three, all are read again for each further domain.
    for (max_tables, coarse) in [(3 * 63, 0), (3 * 63 - 1, 1), (3 * 62, 1), (5, 62)] {
        let trial =
            Trial::new(&words, &[unit()], &Options { budget: Budget { tables: max_tables, ..COPY.budget }, ..COPY })
                .unwrap();
        let is_coarse = |problem: &&Problem| matches!(problem, Problem::Coarse { .. });
        assert_eq!(trial.problems.iter().filter(is_coarse).count(), coarse, "{max_tables}");
        for domain in 1..=64 {
            assert!(trial.iovas.of(domain).iter().any(|range| range.0 <= 0x5000 && 0x5fff <= range.1), "{domain}");
        }
    }
}

#[test]
fn contexts_that_share_a_table_share_its_copy_under_one_domain_id_or_two() {
    for domain in [7, 8] {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW);
        tables.set(OTHER_ENTRY, TOP | 1).set(OTHER_ENTRY + 8, domain << 8 | 1);
        // The context table is shared by another bus.
        tables.set(ROOT + 16 * 200, CONTEXT | 1);
        let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
        assert_eq!((trial.plan.pages, trial.plan.shared, trial.plan.devices), (5, 2, 4));
        let root = ROOT_ENTRY - ROOT;
        assert_eq!(trial.word(&[root]), trial.word(&[16 * 200]));
        assert_eq!(trial.word(&[root, CONTEXT_ENTRY - CONTEXT]), trial.word(&[root, OTHER_ENTRY - CONTEXT]));
        // Once for each domain, however many devices are in it.
        assert_eq!(trial.plan.ranges, if domain == 7 { 1 } else { 2 });
    }
}

#[test]
fn a_page_that_is_read_at_two_levels_counts_twice() {
    let mut tables = Tables::new(3);
    // One entry leads to the table at level 2, another of that level to the same as level 1.
    tables.set(TOP, 0x9000 | RW).set(0x9000, 0xa000 | RW).set(TOP + 8, 0xb000 | RW).set(0xb000, 0x9000 | RW);
    tables.set(0xa000, 0x7000 | RW);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!((trial.plan.pages, trial.plan.shared), (2 + 1 + 2 + 2, 0));
    let [root, context] = crate::rows::TO_TOP;
    assert_eq!(trial.word(&[root, context, 8, 0, 0]), 0xa000 | RW, "a leaf there");
    assert_eq!(trial.word(&[root, context, 0, 0, 0]), 0x7000 | RW);
    assert_eq!(trial.iovas.of(7), [(0, 0xfff), (0x4000_0000, 0x4000_0fff)]);
}

/// XD is a reserved bit to a PASID without NXE: one table, two meanings, two copies.
#[test]
fn pasids_that_read_a_first_stage_table_differently_do_not_share_its_copy() {
    const XD: u64 = 1 << 63;
    for nxe in [[0, 1 << 5], [1 << 5, 0]] {
        let mut tables = Builder::new();
        tables.context(SOURCE, 0, 8 | 1, 0);
        let top = tables.table(1);
        tables.map((top, 4), 1, 0x5000, 0x7000 | 7, 7);
        let pointer = tables.words.get(top);
        tables.words.set(top, pointer | XD);
        for (number, nxe) in (0..).zip(nxe) {
            let [word, _, third] = first_stage(top, 4);
            tables.pasid(SOURCE, Pasid(number), [word, 7 + u64::from(number), third | nxe]);
        }
        let trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
        for (number, nxe) in (0..).zip(nxe) {
            let word = trial.word(&[16, 0x13 * 32, 0, number * 64 + 16, 0]);
            assert_eq!((word & XD, word & crate::ADDRESS == 0), (XD, nxe == 0), "{word:#x}");
            assert_eq!(trial.iovas.of(7 + number as u16).len(), usize::from(nxe != 0));
        }
    }
}
