//! What the first implementation got wrong: pointers and domain-ids.

use crate::builder::{Builder, second_stage};
use crate::common::{CONTEXT, CONTEXT_ENTRY, ROOT, ROOT_ENTRY, RW, SOURCE, TOP, Tables, unit};
use crate::rows::{OTHER, OTHER_ENTRY, TO_TOP, fault_of, scalable, words};
use crate::trial::{COPY, KEEP, Trial};
use iopt::copy::Problem;
use iopt::vtd::{Cap, Cause};
use iopt::{DomainId, Pasid, Requester};

const HOST_WIDTH: u8 = 46;
const BEYOND: u64 = 1 << 46;

#[test]
fn row_11_ignored_bits_of_a_pointer_are_no_address_and_are_kept() {
    for bit in (52..=61).chain([63]) {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW | 1 << bit);
        let pointer = tables.get(TOP) | 1 << bit;
        tables.set(TOP, pointer);
        let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
        assert_eq!((trial.problems.len(), trial.iovas.of(7)), (0, vec![(0x5000, 0x5fff)]));
        let [root, context] = TO_TOP;
        assert_eq!(trial.word(&[root, context, 0]) & !crate::ADDRESS, RW | 1 << bit);
        assert_eq!(trial.word(&[root, context, 0, 0, 5 * 8]), 0x7000 | RW | 1 << bit);
    }
}

/// Of a pointer that the hardware refuses for its reserved bits, those bits stay: without them it would be followed.
#[test]
fn row_11_reserved_bits_of_a_pointer_are_reported_and_kept() {
    let known = unit().with_host_address_width(Some(HOST_WIDTH));
    let [root, context] = TO_TOP;
    // In a page table, a context entry, and a root entry.
    let path: [(u64, &[u64], u64); 3] =
        [(TOP, &[root, context, 0], RW), (CONTEXT_ENTRY, &[root, context], 1), (ROOT_ENTRY, &[root], 1)];
    for (at, path, flags) in path {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW);
        let pointer = tables.get(at) | BEYOND;
        tables.set(at, pointer);
        let trial = Trial::new(&words(&tables), &[known], &COPY).unwrap();
        let [Problem::Refused(fault)] = trial.problems.as_slice() else { panic!("{:?}", trial.problems) };
        assert_eq!((fault.cause, trial.word(path)), (Cause::ReservedBits(BEYOND.into()), BEYOND | flags));
        // Where the width is unknown they may be an address, of memory that is not there.
        let trial = Trial::new(&words(&tables), &[unit()], &KEEP).unwrap();
        assert_eq!((trial.losses(), trial.word(path)), (1, 0));
    }
}

/// All of the upper word of a root entry is reserved.
#[test]
fn row_11_reserved_bits_beside_a_pointer_are_kept() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW).set(ROOT_ENTRY + 8, BEYOND);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert!(matches!(trial.problems.as_slice(), [Problem::Refused(_)]), "{:?}", trial.problems);
    let root = ROOT_ENTRY - ROOT;
    assert_eq!((trial.word(&[root]), trial.word(&[root + 8])), (1, BEYOND));
}

#[test]
fn row_11_reserved_bits_are_kept_in_both_halves_of_a_bus_and_in_scalable_contexts() {
    let known = scalable().with_host_address_width(Some(HOST_WIDTH));
    let mut tables = Builder::new();
    let top = tables.table(1);
    for devfn in [0x10, 0x90] {
        let source = iopt::SourceId::new(1, devfn);
        tables.context(source, 0, 1, 0);
        tables.pasid(source, Pasid(0), second_stage(top, 3));
    }
    for (half, devfn) in [(0, 0x10), (8, 0x90)] {
        let context = tables.context_at(iopt::SourceId::new(1, devfn));
        for (at, path) in [(ROOT + 16 + half, vec![16 + half]), (context, vec![16 + half, 0x10 * 32])] {
            let mut tables = tables.clone();
            let pointer = tables.words.get(at);
            tables.words.set(at, pointer | BEYOND);
            let trial = Trial::new(&tables.words, &[known], &COPY).unwrap();
            assert!(matches!(trial.problems.as_slice(), [Problem::Refused(_)]), "{:?}", trial.problems);
            assert_eq!(trial.word(&path), BEYOND | 1, "{half} {path:?}");
        }
    }
}

/// After a crash Linux reuses domain-ids that copied PASID entries still hold.
#[test]
fn row_13_a_domain_id_with_two_tables_or_widths_is_reported_and_both_are_copied() {
    let (other_top, other_leaf) = (0x50_0000, 0x51_0000);
    // The same levels, fewer, and more.
    for levels in [3, 2, 4] {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW);
        let mut table = other_top;
        for level in (1..levels).rev() {
            let next = other_leaf + 0x1000 * level;
            tables.set(table + 8 * 511, next | RW);
            table = next;
        }
        tables.set(table + 8 * 511, 0x8000 | RW);
        tables.set(OTHER_ENTRY, other_top | 1).set(OTHER_ENTRY + 8, 7 << 8 | (levels - 2));
        let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
        let requester = Requester { source_id: OTHER, pasid: None };
        assert_eq!(trial.problems, [Problem::DomainConflict { domain: DomainId(7), requester }]);
        let [one, other] = [CONTEXT_ENTRY, OTHER_ENTRY].map(|at| trial.word(&[ROOT_ENTRY - ROOT, at - CONTEXT]));
        assert_ne!(one, other, "neither gets the tables of the other");
        assert_eq!(trial.word(&[ROOT_ENTRY - ROOT, OTHER_ENTRY + 8 - CONTEXT]), 7 << 8 | (levels - 2));
        // It is one domain with room for the ranges of both.
        let bits = 12 + 9 * levels as u8;
        assert_eq!(trial.iovas.domains[&(0, 7)], bits.max(39));
        let top = (1u64 << bits) - 1;
        assert_eq!(trial.iovas.of(7), [(0x5000, 0x5fff), (top - 0xfff, top)]);
        assert_eq!((trial.plan.pages, trial.plan.shared), (2 + 3 + levels, 0));
    }
}

/// The same root with another number of levels: each page is copied for each level that it is read at.
#[test]
fn row_13_one_table_read_with_two_widths_has_a_copy_for_each() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    tables.set(OTHER_ENTRY, TOP | 1).set(OTHER_ENTRY + 8, 7 << 8);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert!(matches!(trial.problems.as_slice(), [Problem::DomainConflict { .. }]), "{:?}", trial.problems);
    // TOP at levels 3 and 2, the next one at 2 and 1, the leaf table at 1.
    assert_eq!(trial.plan.pages, 2 + 2 + 2 + 1);
    let leaf_table = tables.get(TOP) & crate::ADDRESS;
    assert_eq!(
        trial.word(&[ROOT_ENTRY - ROOT, OTHER_ENTRY - CONTEXT, 0, 0]),
        tables.get(leaf_table),
        "a leaf, as it was"
    );
    assert_eq!(trial.iovas.of(7), [(0x5000, 0x5fff), (0, 0xfff)]);
}

#[test]
fn row_14_one_table_under_two_domain_ids_is_copied_once_and_reserved_for_each() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    tables.set(OTHER_ENTRY, TOP | 1).set(OTHER_ENTRY + 8, 8 << 8 | 1);
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!((trial.problems.len(), trial.plan.pages, trial.plan.shared), (0, 5, 1));
    let [one, other] = [CONTEXT_ENTRY, OTHER_ENTRY].map(|at| trial.word(&[ROOT_ENTRY - ROOT, at - CONTEXT]));
    assert_eq!(one, other);
    assert_eq!((trial.iovas.of(7), trial.iovas.of(8)), (vec![(0x5000, 0x5fff)], vec![(0x5000, 0x5fff)]));
    assert!(trial.iovas.devices.contains(&(0, SOURCE, 7)) && trial.iovas.devices.contains(&(0, OTHER, 8)));
}

#[test]
fn row_15_a_domain_id_that_the_unit_does_not_have_is_reported() {
    let cap = |bits: u64| Some(Cap(bits | 6 << 8 | 47 << 16 | 3 << 34));
    let (caching, four_bits) = (1 << 7 | 6, 0);
    let with = |domain: u64, cap_bits| {
        let mut tables = Tables::new(3);
        tables.map(1, 0x5000, 0x7000 | RW).set(CONTEXT_ENTRY + 8, domain << 8 | 1);
        Trial::new(&words(&tables), &[unit().with_capabilities(cap(cap_bits), None)], &COPY).unwrap()
    };
    let requester = Requester { source_id: SOURCE, pasid: None };
    assert_eq!(with(0, caching).problems, [Problem::DomainReserved { requester }]);
    assert_eq!(with(0, caching).iovas.of(0), [(0x5000, 0x5fff)]);
    assert_eq!(
        (with(0, 6).problems.len(), with(1, caching).problems.len(), with(15, four_bits).problems.len()),
        (0, 0, 0)
    );
    let beyond = with(16, four_bits);
    let [problem @ Problem::Refused(_)] = beyond.problems.as_slice() else { panic!("{:?}", beyond.problems) };
    // Bit 16 of a context entry's upper word is of the domain-id, bit 4.
    let expected = iopt::vtd::Bits::from(1u128 << (64 + 12));
    assert_eq!(fault_of(problem).cause, Cause::ReservedBits(expected));
    assert!(beyond.iovas.is_empty());
}
