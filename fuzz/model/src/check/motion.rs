//! Seek, resume, skip, and walks of a part: each gives exactly the matching part of the full walk.

use super::walk::Seen;
use crate::program::random_bytes;
use crate::twin::Leaf;
use iopt::format::SecondStage;
use iopt::memory::{Page, SparseMemory};
use iopt::radix::{Cursor, Item, TableScratch};
use iopt::vtd::{AddressSpace, Cause, SecondStageSpace, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Iova, IovaRange};

type Walker<'m, 's> = Cursor<'m, SparseMemory<'s>, SecondStage>;

/// A leaf or a malformed entry, by what it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    first: u64,
    last: u64,
    raw: u64,
    malformed: bool,
}

pub fn check(unit: &Unit, memory: &SparseMemory<'_>, seen: &[Seen]) {
    for seen in seen {
        let AddressSpace::SecondStage(space) = &seen.device.space else { continue };
        if seen.tables.is_empty() || seen.leaves.len() > 4000 {
            continue;
        }
        let all = whole(memory, space);
        for (index, at) in interesting(&seen.leaves, space).into_iter().enumerate() {
            check_window(memory, space, &all, at, index);
            check_seek(memory, space, &all, at, index);
        }
        for steps in [1, 2, 3, 7, 20, 100] {
            check_resume(memory, space, &all, steps);
        }
        check_skip(memory, space, &all);
        check_unit_window(unit, memory, seen);
    }
}

fn scratch() -> Box<TableScratch> {
    Box::new([const { Page::ZERO }; 6])
}

fn start(cursor: &mut Walker<'_, '_>, space: &SecondStageSpace, window: IovaRange) {
    cursor.start(space.format, space.root, window).expect("the top table was there before");
}

fn whole(memory: &SparseMemory<'_>, space: &SecondStageSpace) -> Vec<Mark> {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(memory, &mut scratch);
    start(&mut cursor, space, IovaRange::all());
    rest(&mut cursor)
}

fn rest(cursor: &mut Walker<'_, '_>) -> Vec<Mark> {
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
fn interesting(leaves: &[Leaf], space: &SecondStageSpace) -> Vec<u64> {
    let reach = IovaRange::block(Iova(0), space.format.input_bits()).last().0;
    let mut addresses = vec![0, reach];
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

fn check_window(memory: &SparseMemory<'_>, space: &SecondStageSpace, all: &[Mark], first: u64, index: usize) {
    let last = first.saturating_add([0, 0xfff, 0x1_0000, 0x20_0000, 1 << 40, u64::MAX][index % 6]);
    let window = IovaRange::new(Iova(first), Iova(last)).unwrap();
    let mut scratch = scratch();
    let mut cursor = Cursor::new(memory, &mut scratch);
    start(&mut cursor, space, window);
    assert_eq!(rest(&mut cursor), overlapping(all, first, last), "window {window}");
}

/// From wherever the cursor is, forwards and backwards.
fn check_seek(memory: &SparseMemory<'_>, space: &SecondStageSpace, all: &[Mark], at: u64, index: usize) {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(memory, &mut scratch);
    start(&mut cursor, space, IovaRange::all());
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
fn check_resume(memory: &SparseMemory<'_>, space: &SecondStageSpace, all: &[Mark], steps: usize) {
    let (mut scratch_one, mut scratch_two) = (scratch(), scratch());
    let mut cursor = Cursor::new(memory, &mut scratch_one);
    start(&mut cursor, space, IovaRange::all());
    let mut marks = Vec::new();
    for _ in 0..steps {
        match cursor.next() {
            Some(item) => note(&item, &mut marks),
            None => break,
        }
    }
    if let Some(position) = cursor.position() {
        let mut later = Cursor::new(memory, &mut scratch_two);
        start(&mut later, space, IovaRange::all());
        later.seek(position);
        marks.extend(rest(&mut later));
    }
    assert_eq!(marks, all, "resumed after {steps} steps");
}

/// Every third table below the top is left out: what is in its span is missing, and nothing else is.
fn check_skip(memory: &SparseMemory<'_>, space: &SecondStageSpace, all: &[Mark]) {
    let mut scratch = scratch();
    let mut cursor = Cursor::new(memory, &mut scratch);
    start(&mut cursor, space, IovaRange::all());
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

/// The walk of a unit, limited to one device and a window of its addresses.
fn check_unit_window(unit: &Unit, memory: &SparseMemory<'_>, seen: &Seen) {
    let Some(middle) = seen.leaves.get(seen.leaves.len() / 2) else { return };
    let window = IovaRange::new(Iova(middle.iova), Iova(middle.iova.saturating_add(0x3f_ffff))).unwrap();
    let mut scratch = Box::new(Scratch::new());
    let mut walk = unit.walk(memory, &mut scratch).only_device(seen.device.source_id).only_range(window);
    let mut found = Vec::new();
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => assert_eq!(*device, seen.device),
            Step::Run(run) if run.permissions.read() || run.permissions.write() => {
                found.extend(run.leaves().map(|leaf| leaf.iova.0));
            }
            Step::Fault(fault) => {
                let same = |other: &&iopt::vtd::Fault| **other == fault;
                let beyond = matches!(fault.cause, Cause::TooWide { .. });
                assert!(beyond || seen.faults.iter().any(|other| same(&other)), "{fault}");
                assert!(super::walk::fault_span(&fault).unwrap().intersection(&window).is_some(), "{fault}");
            }
            Step::Run(_) | Step::Table(_) => {}
        }
    }
    let inside = |leaf: &&Leaf| leaf.iova <= window.last().0 && leaf.iova + (leaf.size - 1) >= window.first().0;
    let expected: Vec<u64> = seen.leaves.iter().filter(inside).map(|leaf| leaf.iova).collect();
    assert_eq!(found, expected);
}
