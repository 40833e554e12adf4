//! Walks with a memo: a table that could not be read is none that the walk came to.

use super::stream::{Expected, Item, Stream};
use super::{Broken, KINDS};
use crate::Capture;
use iopt::PhysAddr;
use iopt::vtd::{Cause, Structure};
use iopt::walk::{MemoSlot, Scratch, Step};
use std::collections::{BTreeMap, BTreeSet};

/// What a walk with a memo comes to: page tables with their levels, and faults.
fn walk(broken: &Broken<'_>, scratch: &mut Scratch) -> (BTreeSet<(PhysAddr, u8)>, Vec<iopt::vtd::Fault>) {
    let (reader, mut slots) = (broken.reader(), vec![MemoSlot::EMPTY; 1024]);
    let mut walk = broken.way.unit.walk(&reader, scratch).memo(&mut slots);
    let (mut tables, mut faults) = (BTreeSet::new(), Vec::new());
    while let Some(step) = walk.next() {
        match step {
            Step::Table(table) => assert!(tables.insert((table.addr, table.level)), "{table:?} is walked again"),
            Step::Fault(fault) => faults.push(fault),
            _ => {}
        }
    }
    assert!(!walk.is_memo_full());
    (tables, faults)
}

#[test]
fn what_could_not_be_read_is_told_once_and_all_else_is_walked() {
    let (mut walks, mut scratch) = (0, Scratch::new());
    Capture::each(|way| {
        let stream = Stream::new(way);
        let whole = Broken::whole(way);
        walk(&whole, &mut scratch);
        let reads = whole.asked();
        for kind in KINDS {
            // A walk with a memo reads a page when it comes to it first.
            let mut first = BTreeMap::new();
            for torn in stream.each_torn(kind) {
                let Cause::Unreadable(error) = torn.fault.cause else { panic!("{}", torn.fault) };
                first.entry(error.addr).or_insert(torn);
            }
            for (number, addr) in reads.iter().enumerate() {
                let torn = &first[addr];
                let table = |expected| match expected {
                    Expected::Item(Item::Table(table)) => Some((table.addr, table.level)),
                    _ => None,
                };
                let expected = match torn.fault.place.structure {
                    // What the table above it leads to is not looked at again.
                    Structure::FirstStage(_) | Structure::SecondStage(_) => stream.tables_without(*addr),
                    _ => torn.expected().filter_map(table).collect(),
                };
                let (tables, faults) = walk(&Broken::at(way, number, kind), &mut scratch);
                assert_eq!(faults, [torn.fault], "{}, read {number} {kind}", way.name);
                assert_eq!(tables, expected, "{}, read {number} {kind}", way.name);
                walks += 1;
            }
        }
    });
    assert_eq!(walks, 4752);
}
