//! How a walk goes about it: the runs that it yields, the tables that it leaves out, and those that it asks for ahead.

use crate::Case;
use crate::naive::{self, Found};
use crate::tree::{ROOT, Tree};
use crate::twin::Bit;
use crate::walks::{ALL, TREES, assert_same, found, scratch, trees, window};
use iopt::PhysAddr;
use iopt::memory::{Page, PageEvent, Traced};
use iopt::radix::{Cursor, Format, Item, Leaf};
use std::cell::RefCell;

/// Neighbours in a table are one run unless they differ in more than their memory.
pub fn runs<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let (mut scattered, mut neighbours) = (0, 0);
    for (seed, tree) in trees(case) {
        let mut scratch = scratch();
        let mut cursor = Cursor::new(&tree, &mut scratch);
        cursor.start(*format, PhysAddr(ROOT), window(ALL)).unwrap();
        let mut before = None;
        while let Some(item) = cursor.next() {
            let Item::Run(run) = item else { continue };
            let context = format!("{name}: tree {seed}, {:#x}", run.iova.0);
            let first = run.leaves().next().unwrap();
            let follows = |(at, leaf): &(u64, Leaf)| leaf.phys.0 == first.phys.0 + at * run.page_size();
            let linear = (0..).zip(run.leaves()).take_while(follows).count();
            assert_eq!(run.linear, linear, "{context}");
            scattered += usize::from(linear < run.len());
            let counts = [Bit::Access, Bit::Attribute].map(|kind| twin.mask(run.level, true, kind));
            let like = first.raw & (counts[0] | counts[1]);
            if let Some((end, like_before)) = before {
                if end == (run.table, usize::from(run.index)) {
                    neighbours += 1;
                    assert_ne!(like, like_before, "{context}");
                }
            }
            before = Some(((run.table, usize::from(run.index) + run.len()), like));
        }
    }
    assert!(scattered > 10 && neighbours > 10, "{name}: {scattered}, {neighbours}");
}

/// Whether this is a table, and one that makes the count of them a multiple of three.
fn is_third(found: &Found, tables: &mut u64) -> bool {
    let is_table = matches!(found, Found::Table { .. });
    *tables += u64::from(is_table);
    is_table && *tables % 3 == 0
}

/// What is left of a walk that skips every third table.
pub fn skipping<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let twin = &**twin;
    let mut skipped = 0;
    for (seed, tree) in trees(case) {
        let mut expected = Vec::new();
        let mut below = 0;
        let mut tables = 0;
        // The top table is there from the start.
        for found in &naive::walk(twin, &tree, ALL)[1..] {
            let level = match *found {
                Found::Table { level, .. } => level + 1,
                Found::Leaf(leaf) => (1..).find(|level| twin.shift(*level) == leaf.size_log2).unwrap(),
                Found::Bad { level, .. } => level,
            };
            if level <= below {
                continue;
            }
            expected.push(*found);
            below = if is_third(found, &mut tables) { level - 1 } else { 0 };
        }
        tables = 0;
        let mut scratch = scratch();
        let mut cursor = Cursor::new(&tree, &mut scratch);
        cursor.start(*format, PhysAddr(ROOT), window(ALL)).unwrap();
        let mut all = Vec::new();
        while let Some(item) = cursor.next() {
            let found = found(item);
            if found.iter().any(|found| is_third(found, &mut tables)) {
                skipped += 1;
                cursor.skip_table();
            }
            all.extend(found);
        }
        assert_same(&all, &expected, &format!("{name}: tree {seed}"));
    }
    assert!(skipped > TREES / 2, "{name}: {skipped}");
}

/// The walk asks for tables before it needs them, and for none that it doesn't.
pub fn hints<F: Format + Copy + Default>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let size = 1u64 << twin.shift(2);
    let mut tree = Tree::new(&**twin);
    for number in 0..40 {
        tree.at(1, number * size);
    }
    let inside = (10 * size, 21 * size - 1);
    let events = RefCell::new(Vec::new());
    let traced = Traced::new(&tree, |event| events.borrow_mut().push(event));
    let mut scratch = scratch();
    let mut cursor = Cursor::new(&traced, &mut scratch);
    cursor.start(*format, PhysAddr(ROOT), window(inside)).unwrap();
    let mut tables = Vec::new();
    while let Some(item) = cursor.next() {
        if let Item::Table(table) = item {
            tables.extend((table.level == 1).then_some(table.addr));
        }
    }
    let events = events.into_inner();
    let place = |event| events.iter().position(|other| *other == event);
    assert_eq!(tables.len(), 11, "{name}");
    for (number, table) in tables.iter().enumerate() {
        let (asked, lent) = (place(PageEvent::Prefetched(*table, Page::SIZE)), place(PageEvent::Lent(*table)));
        assert!(lent.is_some() && asked.is_none_or(|asked| asked < lent.unwrap()), "{name}: {number}");
        assert_eq!(asked.is_some(), number >= 2, "{name}: {number}");
    }
    for event in &events {
        if let PageEvent::Prefetched(addr, _) = event {
            assert!(tables.contains(addr), "{name}: {event}");
        }
    }
}
