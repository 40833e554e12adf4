//! What the new kernel's allocator is told, and what it costs.

use crate::common::{RW, TOP, Tables, unit};
use crate::ledger::{Book, Ledger, Old};
use crate::rows::words;
use crate::trial::{ADOPT, COPY, Trial, copy};
use iopt::copy::{Options, Problem, Reserve};
use iopt::vtd::Structure;

const DOMAINS: Options = Options { reserve: Reserve::Domains, ..COPY };
const ADOPT_FOR_DOMAINS: Options = Options { reserve: Reserve::Domains, ..ADOPT };

fn tables(leaf_tables: u64) -> Tables {
    let mut tables = Tables::new(3);
    for number in 0..leaf_tables {
        tables.map(1, number << 21, 0x7000 | RW);
    }
    tables
}

/// To adopt page tables takes no look at them, unless their ranges are asked for.
#[test]
fn adopting_for_domains_reads_as_much_whatever_the_page_tables_are() {
    let reads = |leaf_tables, options: &Options| {
        words(&tables(leaf_tables)).with(|memory| {
            let old = Old::new(memory, true);
            copy(&old, &[unit()], options, &mut Ledger::new(), &mut Book::default()).unwrap();
            old.reads.into_inner().calls
        })
    };
    assert_eq!(reads(1, &ADOPT_FOR_DOMAINS), reads(40, &ADOPT_FOR_DOMAINS));
    assert_eq!(reads(40, &ADOPT) - reads(1, &ADOPT), 2 * 39, "planned and reserved");
}

#[test]
fn domains_and_devices_are_told_the_same_with_ranges_or_without() {
    let words = words(&tables(3));
    for (with, without) in [(COPY, DOMAINS), (ADOPT, ADOPT_FOR_DOMAINS)] {
        let [with, without] = [with, without].map(|options| Trial::new(&words, &[unit()], &options).unwrap());
        assert_eq!((&with.iovas.domains, &with.iovas.devices), (&without.iovas.domains, &without.iovas.devices));
        assert_eq!((with.iovas.of(7).len(), without.iovas.of(7).len()), (3, 0));
        assert_eq!((with.plan.pages, with.plan.shared), (without.plan.pages, without.plan.shared));
        assert_eq!((with.plan.ranges, without.plan.ranges), (3, 0));
    }
}

/// Hardware refuses it at every level; it is kept as it is, and nothing is in use through it.
#[test]
fn entries_with_reserved_bits_are_told_at_every_level_and_reserve_nothing() {
    const RESERVED: u64 = 1 << 62;
    for (level, size) in [(1, 12), (2, 21), (3, 30)] {
        let mut tables = Tables::new(3);
        let large = if level == 1 { 0 } else { 0x80 };
        tables.map(level, 0, 0x4000_0000 | large | RW).map(level, 1 << size, 0x4000_0000 | large | RESERVED | RW);
        for options in [COPY, ADOPT] {
            let trial = Trial::new(&words(&tables), &[unit()], &options).unwrap();
            let [Problem::Refused(fault)] = trial.problems[..] else { panic!("{level}: {:?}", trial.problems) };
            assert_eq!((fault.place.structure, fault.place.index), (Structure::SecondStage(level), 1));
            assert_eq!(fault.place.iova.map(|iova| iova.0), Some(1 << size));
            assert_eq!(trial.iovas.of(7), [(0, (1 << size) - 1)]);
        }
    }
}

/// Ranges join across tables and sizes, and come apart where permissions do.
#[test]
fn ranges_are_as_long_as_permissions_are_the_same() {
    let mut tables = Tables::new(3);
    for page in 0..1024 {
        tables.map(1, page << 12, 0x7000 | RW);
    }
    tables.map(2, 2 << 21, 0x80 | RW).map(2, 3 << 21, 0x80 | 1).map(1, 4 << 21, 0x7000 | 1);
    tables.map(1, (4 << 21) + 0x2000, 0x7000 | 1);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    let end = |first: u64| first + 0xfff;
    assert_eq!(trial.iovas.of(7), [(0, (3 << 21) - 1), (3 << 21, end(4 << 21)), (0x80_2000, end(0x80_2000))]);
    // What the path does not let through is not in use.
    let pointer = tables.get(TOP);
    tables.set(TOP, pointer & !RW | 2);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!(trial.iovas.of(7), [(0, (3 << 21) - 1)]);
}
