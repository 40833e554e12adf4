//! Seek, resume, skip, and walks of a part: each gives exactly the matching part of the full walk.

use super::collect::{Collector, Seen};
use crate::program::random_bytes;
use crate::twin::Leaf;
use iopt::memory::{Page, SparseMemory};
use iopt::radix::{Cursor, Format, Item, TableScratch};
use iopt::vtd::{AddressSpace, Cause, Fault, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Iova, IovaRange, PhysAddr};

/// One tree of page tables.
struct Tree<'a, 's, F> {
    memory: &'a SparseMemory<'s>,
    format: F,
    root: PhysAddr,
    /// The last address that it maps.
    reach: u64,
}

type Walker<'m, 's, F> = Cursor<'m, SparseMemory<'s>, F>;

/// A leaf or a malformed entry, by what it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    first: u64,
    last: u64,
    raw: u64,
    malformed: bool,
}

pub fn check(unit: &Unit, memory: &SparseMemory<'_>, found: &Collector) {
    for seen in &found.seen {
        if seen.tables.is_empty() || seen.leaves.len() > 4000 {
            continue;
        }
        match &seen.device.space {
            AddressSpace::SecondStage(space) => {
                let reach = IovaRange::block(Iova(0), space.format.input_bits()).last().0;
                check_tree(&Tree { memory, format: space.format, root: space.root, reach }, &seen.leaves);
            }
            AddressSpace::FirstStage(space) => {
                check_tree(&Tree { memory, format: space.format, root: space.root, reach: u64::MAX }, &seen.leaves);
            }
            _ => {}
        }
        check_unit_window(unit, memory, found, seen);
    }
}

fn check_tree<F: Format + Copy + Default>(tree: &Tree<'_, '_, F>, leaves: &[Leaf]) {
    let all = whole(tree);
    for (index, at) in interesting(leaves, tree).into_iter().enumerate() {
        check_window(tree, &all, at, index);
        check_seek(tree, &all, at, index);
    }
    if all.len() <= 64 {
        (0..=all.len()).for_each(|steps| check_resume(tree, &all, steps));
    } else {
        let anywhere = random_bytes(tree.root.0 ^ leaves.len() as u64, 3).into_iter().map(usize::from);
        [1, 2, 3, 7, 20, 100].into_iter().chain(anywhere).for_each(|steps| check_resume(tree, &all, steps));
    }
    check_skip(tree, &all);
}

fn scratch() -> Box<TableScratch> {
    Box::new([const { Page::ZERO }; 6])
}

fn start<F: Format + Copy>(cursor: &mut Walker<'_, '_, F>, tree: &Tree<'_, '_, F>, window: IovaRange) {
    cursor.start(tree.format, tree.root, window).expect("the top table was there before");
}

fn whole<F: Format + Copy + Default>(tree: &Tree<'_, '_, F>) -> Vec<Mark> {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(tree.memory, &mut scratch);
    start(&mut cursor, tree, IovaRange::all());
    rest(&mut cursor)
}

fn rest<F: Format + Copy>(cursor: &mut Walker<'_, '_, F>) -> Vec<Mark> {
    let mut marks = Vec::new();
    while let Some(item) = cursor.next() {
        note(&item, &mut marks);
    }
    marks
}

fn note(item: &Item<'_>, marks: &mut Vec<Mark>) {
    match item {
        Item::Table(_) => {}
        Item::Run(run) => marks.extend(run.leaves().map(|leaf| {
            let block = IovaRange::block(leaf.iova, leaf.page_size_log2);
            Mark { first: block.first().0, last: block.last().0, raw: leaf.raw, malformed: false }
        })),
        Item::Malformed(bad) => {
            let block = IovaRange::block(bad.iova, 3 + 9 * bad.level);
            marks.push(Mark { first: block.first().0, last: block.last().0, raw: bad.raw, malformed: true });
        }
    }
}

/// Addresses at, before and behind the edges of some leaves, and a few anywhere.
fn interesting<F: Format>(leaves: &[Leaf], tree: &Tree<'_, '_, F>) -> Vec<u64> {
    let reach = tree.reach;
    let mut addresses = vec![0, reach];
    if tree.format.sign_extended() {
        // About both ends of what is not canonical.
        let lower = (1 << (tree.format.input_bits() - 1)) - 1;
        addresses.extend([lower, lower + 1, !lower - 1, !lower]);
    }
    let step = leaves.len() / 5 + 1;
    for leaf in leaves.iter().step_by(step).chain(leaves.last()) {
        let last = leaf.iova + (leaf.size - 1);
        addresses.extend([leaf.iova, leaf.iova.saturating_sub(1), last, last.saturating_add(1), leaf.iova | 0x1234]);
    }
    let bytes = random_bytes(leaves.len() as u64, 32);
    addresses.extend(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()) & reach));
    addresses
}

fn overlapping(all: &[Mark], first: u64, last: u64) -> Vec<Mark> {
    all.iter().filter(|mark| mark.first <= last && mark.last >= first).copied().collect()
}

fn check_window<F: Format + Copy + Default>(tree: &Tree<'_, '_, F>, all: &[Mark], first: u64, index: usize) {
    let last = first.saturating_add([0, 0xfff, 0x1_0000, 0x20_0000, 1 << 40, u64::MAX][index % 6]);
    let window = IovaRange::new(Iova(first), Iova(last)).unwrap();
    let mut scratch = scratch();
    let mut cursor = Cursor::new(tree.memory, &mut scratch);
    start(&mut cursor, tree, window);
    assert_eq!(rest(&mut cursor), overlapping(all, first, last), "window {window}");
}

/// From wherever the cursor is, forwards and backwards.
fn check_seek<F: Format + Copy + Default>(tree: &Tree<'_, '_, F>, all: &[Mark], at: u64, index: usize) {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(tree.memory, &mut scratch);
    start(&mut cursor, tree, IovaRange::all());
    for _ in 0..index * 3 {
        if cursor.next().is_none() {
            break;
        }
    }
    let before = cursor.statistics().tables;
    cursor.seek(Iova(at));
    assert_eq!(cursor.statistics().tables, before, "a seek reads nothing by itself");
    assert_eq!(rest(&mut cursor), overlapping(all, at, u64::MAX), "seek to {at:#x}");
}

/// A walk that stops and a later one that starts where it stopped are one walk.
fn check_resume<F: Format + Copy + Default>(tree: &Tree<'_, '_, F>, all: &[Mark], steps: usize) {
    let (mut scratch_one, mut scratch_two) = (scratch(), scratch());
    let mut cursor = Cursor::new(tree.memory, &mut scratch_one);
    start(&mut cursor, tree, IovaRange::all());
    let mut marks = Vec::new();
    for _ in 0..steps {
        match cursor.next() {
            Some(item) => note(&item, &mut marks),
            None => break,
        }
    }
    if let Some(position) = cursor.position() {
        let mut later = Cursor::new(tree.memory, &mut scratch_two);
        start(&mut later, tree, IovaRange::all());
        later.seek(position);
        marks.extend(rest(&mut later));
    }
    assert_eq!(marks, all, "resumed after {steps} steps");
}

/// Every third table below the top is left out: what is in its span is missing, and nothing else is.
fn check_skip<F: Format + Copy + Default>(tree: &Tree<'_, '_, F>, all: &[Mark]) {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(tree.memory, &mut scratch);
    start(&mut cursor, tree, IovaRange::all());
    let (mut marks, mut skipped, mut tables) = (Vec::new(), Vec::new(), 0);
    while let Some(item) = cursor.next() {
        note(&item, &mut marks);
        if let Item::Table(table) = item {
            tables += 1;
            if tables % 3 == 0 {
                skipped.push(IovaRange::block(table.iova, 12 + 9 * table.level));
                cursor.skip_table();
            }
        }
    }
    let in_skipped =
        |mark: &&Mark| skipped.iter().any(|span| span.contains(Iova(mark.first)) && span.contains(Iova(mark.last)));
    let expected: Vec<Mark> = all.iter().filter(|mark| !in_skipped(mark)).copied().collect();
    assert_eq!(marks, expected);
}

/// The walk of a unit, limited to one device, one of its PASIDs and a window of its addresses.
fn check_unit_window(unit: &Unit, memory: &SparseMemory<'_>, found: &Collector, seen: &Seen) {
    let Some(middle) = seen.leaves.get(seen.leaves.len() / 2) else { return };
    let window = IovaRange::new(Iova(middle.iova), Iova(middle.iova.saturating_add(0x3f_ffff))).unwrap();
    let mut scratch = Box::new(Scratch::new());
    let mut walk = unit.walk(memory, &mut scratch).only_device(seen.device.source_id).only_range(window);
    if let Some(pasid) = seen.device.pasid {
        walk = walk.only_pasid(pasid);
    }
    let (mut devices, mut leaves) = (0, Vec::new());
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => {
                assert_eq!(*device, seen.device);
                devices += 1;
            }
            Step::Run(run) if run.permissions.read() || run.permissions.write() => {
                leaves.extend(run.leaves().map(|leaf| leaf.iova.0));
            }
            Step::Fault(fault) => {
                if matches!(fault.cause, Cause::TooWide { .. } | Cause::BeyondSecondStage { .. }) {
                    continue;
                }
                if let AddressSpace::Nested(..) = seen.device.space {
                    // The address depends on how far before it the window begins.
                    let about = |fault: &Fault| (fault.reason, fault.place.table, fault.place.index);
                    assert!(found.faults().any(|other| about(other) == about(&fault)), "{fault}");
                    continue;
                }
                assert!(found.faults().any(|other| *other == fault), "{fault}");
                let inside = super::walk::fault_span(&fault).map(|span| span.intersection(&window).is_some());
                // What is wrong with RID_PASID concerns no PASID.
                assert_eq!(inside, if fault.place.pasid == seen.device.pasid { Some(true) } else { None }, "{fault}");
            }
            Step::Run(_) | Step::Table(_) | Step::Shared(_) => {}
        }
    }
    let inside = |leaf: &&Leaf| leaf.iova <= window.last().0 && leaf.iova + (leaf.size - 1) >= window.first().0;
    let expected: Vec<u64> = seen.leaves.iter().filter(inside).map(|leaf| leaf.iova).collect();
    assert_eq!((devices, leaves), (1, expected));
}
