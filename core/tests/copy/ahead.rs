//! Tables that are needed soon are asked for ahead.

use crate::common::{RW, Tables, unit};
use crate::rows::words;
use crate::trial::{Bench, COPY};
use iopt::PhysAddr;
use iopt::copy;
use iopt::memory::{PageEvent, Traced};
use std::cell::RefCell;

/// All of a table of leaves is asked for before it is read, in pieces, but for the first two.
#[test]
fn tables_of_leaves_are_asked_for_ahead() {
    const TABLES: u64 = 12;
    let mut tables = Tables::new(3);
    for number in 0..TABLES {
        tables.map(1, number << 21, 0x7000 | RW);
    }
    let first = tables.at(2, 0);
    let leaves: Vec<u64> = (0..TABLES).map(|number| tables.get(first + 8 * number) & crate::ADDRESS).collect();
    words(&tables).with(|memory| {
        let events = RefCell::new(Vec::new());
        let traced = Traced::new(memory, |event| events.borrow_mut().push(event));
        copy::plan(&traced, &[unit()], &COPY, &mut Bench::new(64).work(), |_, problem| panic!("{problem}")).unwrap();
        // The walk for what devices there are has its own.
        let events = events.into_inner();
        for (number, table) in leaves.iter().enumerate() {
            let lent = events.iter().position(|event| *event == PageEvent::Lent(PhysAddr(*table))).unwrap();
            let mut asked: Vec<(u64, usize)> = Vec::new();
            for event in &events[..lent] {
                match event {
                    PageEvent::Prefetched(addr, bytes) if addr.page().0 == *table => {
                        asked.push((addr.0 - table, *bytes))
                    }
                    _ => {}
                }
            }
            // One line of it first, so that its address is known.
            let pieces = (0..8).map(|piece| (512 * piece, 512));
            let expected: Vec<_> = [(0, 1)].into_iter().filter(|_| number >= 4).chain(pieces).collect();
            assert_eq!(asked, if number < 2 { vec![] } else { expected }, "{number}");
        }
        let hinted = |event: &PageEvent| match event {
            PageEvent::Prefetched(addr, _) => leaves.contains(&addr.page().0),
            _ => true,
        };
        assert!(events.iter().all(hinted), "nothing else is asked for");
    });
}
