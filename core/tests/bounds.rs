//! Work is bounded whatever the tables say: loops are told, not followed, and a budget ends what is merely large.

#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "a panic is a red test")]

use iopt::PhysAddr;
use iopt::memory::{Slot, SparseMemory};
use iopt::radix::Run;
use iopt::vtd::{Cause, Fault, Rtaddr, Structure, Unit};
use iopt::walk::{Flow, Scratch, Step, Visitor};

const TOP: u64 = 0x3000;

/// A unit with one device, whose page table of four levels starts at [`TOP`] and is made of `words`.
fn memory<'s>(slots: &'s mut [Slot], words: impl IntoIterator<Item = (u64, u64)>) -> SparseMemory<'s> {
    let mut memory = SparseMemory::new(slots);
    let unit = [(0x1000, 0x2001), (0x2000, TOP | 1), (0x2008, 0x102)];
    for (addr, word) in unit.into_iter().chain(words) {
        memory.write_u64(PhysAddr(addr), word).expect("there are slots enough");
    }
    memory
}

/// What a walk comes to: its faults, and how many leaves and tables.
fn walk(memory: &SparseMemory<'_>, max_tables: u64) -> (Vec<Fault>, u64, u64) {
    let mut scratch = Scratch::new();
    let unit = Unit::new(Rtaddr(0x1000)).expect("legacy mode");
    let mut walk = unit.walk(memory, &mut scratch).max_tables(max_tables);
    let mut faults = Vec::new();
    while let Some(step) = walk.next() {
        if let Step::Fault(fault) = step {
            faults.push(fault);
        }
    }
    (faults, walk.statistics().leaves, walk.statistics().tables)
}

/// All entries of a table point to `next`.
fn full(table: u64, next: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..512).map(move |index| (table + index * 8, next | 3))
}

#[test]
fn a_table_that_points_to_itself_is_visited_once() {
    let mut slots = vec![Slot::EMPTY; 8];
    let (faults, leaves, tables) = walk(&memory(&mut slots, full(TOP, TOP)), u64::MAX);
    assert_eq!((faults.len(), leaves, tables), (512, 0, 3));
    for (index, fault) in (0..).zip(&faults) {
        assert_eq!(fault.cause, Cause::Loop { table: PhysAddr(TOP), level: 4 });
        assert_eq!((fault.reason, fault.place.structure), (None, Structure::SecondStage(4)));
        assert_eq!((fault.place.table, fault.place.index), (PhysAddr(TOP), index));
    }
}

#[test]
fn tables_that_point_to_each_other_end_where_the_path_closes_and_the_rest_is_walked() {
    let mut slots = vec![Slot::EMPTY; 8];
    // 0x4000 and 0x5000 point to each other; behind the loop is a leaf.
    let words = [(TOP, 0x4003), (0x4000, 0x5003), (0x5000, 0x4003), (0x5008, 0x6003), (0x6000, 0x10_0003)];
    let (faults, leaves, _) = walk(&memory(&mut slots, words), u64::MAX);
    assert_eq!(leaves, 1);
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!(fault.cause, Cause::Loop { table: PhysAddr(0x4000), level: 3 });
    assert_eq!((fault.place.structure, fault.place.table), (Structure::SecondStage(2), PhysAddr(0x5000)));
    assert!(fault.to_string().contains("loop: table 0x4000 is on its own path already, at level 3"));
}

/// The valid twin of a loop: the same table twice, but not on its own path.
#[test]
fn a_table_with_two_parents_is_no_loop() {
    let mut slots = vec![Slot::EMPTY; 8];
    let words = [(TOP, 0x4003), (TOP + 8, 0x4003), (0x4000, 0x5003), (0x5000, 0x6003), (0x6000, 0x10_0003)];
    let (faults, leaves, tables) = walk(&memory(&mut slots, words), u64::MAX);
    assert_eq!((faults.len(), leaves, tables), (0, 2, 2 + 1 + 2 * 3));
}

/// 512 × 512 × 512 tables out of four pages: legal, and endless for all practical purposes.
#[test]
fn what_is_merely_large_ends_with_the_budget() {
    let mut slots = vec![Slot::EMPTY; 8];
    let words =
        full(TOP, 0x4000).chain(full(0x4000, 0x5000)).chain(full(0x5000, 0x6000)).chain(full(0x6000, 0x10_0000));
    let memory = memory(&mut slots, words);
    for budget in [0, 1, 2, 3, 1000, 5000] {
        let (faults, _, tables) = walk(&memory, budget);
        let [fault] = faults.as_slice() else { panic!("{budget}: {faults:?}") };
        assert_eq!((fault.cause, tables), (Cause::Budget { tables: budget }, budget));
        assert!(fault.to_string().contains(&format!("the work budget of {budget} tables is used up")));
    }
}

#[test]
fn a_table_in_a_hole_is_told_with_its_place_and_the_rest_is_walked() {
    let mut slots = vec![Slot::EMPTY; 8];
    let words = [(TOP, 0x9_9003), (TOP + 8, 0x4003), (0x4000, 0x5003), (0x5000, 0x6003), (0x6000, 0x10_0003)];
    let (faults, leaves, _) = walk(&memory(&mut slots, words), u64::MAX);
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((leaves, fault.reason.map(|reason| reason.code())), (1, Some(0x07)));
    assert_eq!(
        (fault.place.table, fault.place.index, fault.place.entry),
        (PhysAddr(TOP), 0, Some(0x9_9003_u64.into()))
    );
}

/// Answers `last` to the run of this number, and counts all that it is told of.
struct Counting {
    number: u64,
    last: Flow,
    runs: u64,
}

impl Visitor for Counting {
    fn run(&mut self, _: &Run<'_>) -> Flow {
        self.runs += 1;
        if self.runs == self.number { self.last } else { Flow::Enter }
    }
}

/// Two tables of 512 runs each, since neighbours differ in what they allow.
#[test]
fn a_visitor_that_has_seen_enough_is_told_no_more() {
    let mut slots = vec![Slot::EMPTY; 8];
    let leaves = |table: u64| (0..512).map(move |index| (table + index * 8, 0x10_0000 | 1 | (index & 1) << 1));
    let words = [(TOP, 0x4003), (0x4000, 0x5003), (0x5000, 0x6003), (0x5008, 0x7003)];
    let memory = memory(&mut slots, words.into_iter().chain(leaves(0x6000)).chain(leaves(0x7000)));
    for number in [1, 2, 3, 511, 512, 513, 1000] {
        for last in [Flow::Enter, Flow::Skip, Flow::Stop] {
            let mut visitor = Counting { number, last, runs: 0 };
            let unit = Unit::new(Rtaddr(0x1000)).expect("legacy mode");
            unit.walk(&memory, &mut Scratch::new()).visit(&mut visitor);
            let expected = match last {
                Flow::Enter => 1024,
                // The rest of its table is left out.
                Flow::Skip if number <= 512 => number + 512,
                Flow::Skip | Flow::Stop => number,
            };
            assert_eq!(visitor.runs, expected, "{number} {last:?}");
        }
    }
}

/// Ranges are made of a walk, and cost what it does.
#[test]
fn ranges_tell_what_their_walk_did() {
    let mut slots = vec![Slot::EMPTY; 8];
    let words = [(TOP, 0x4003), (TOP + 8, 0x9_9003), (0x4000, 0x5003), (0x5000, 0x6003), (0x6000, 0x10_0003)];
    let memory = memory(&mut slots, words);
    let unit = Unit::new(Rtaddr(0x1000)).expect("legacy mode");
    let mut scratch = Scratch::new();
    let mut ranges = unit.ranges(&memory, &mut scratch);
    assert_eq!((ranges.by_ref().filter(Result::is_ok).count(), ranges.next()), (1, None));
    let (faults, leaves, tables) = walk(&memory, u64::MAX);
    let statistics = ranges.statistics();
    assert_eq!((statistics.faults, statistics.leaves, statistics.tables), (faults.len() as u64, leaves, tables));
}
