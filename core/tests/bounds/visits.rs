//! What a visitor is told of, and what ranges tell of their walk.

use super::shapes::{TOP, memory, unit};
use super::walk;
use iopt::memory::Slot;
use iopt::radix::Run;
use iopt::walk::{Flow, MemoSlot, Scratch, Visitor};

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
    let memory = memory(&mut slots, 4, words.into_iter().chain(leaves(0x6000)).chain(leaves(0x7000)));
    for number in [1, 2, 3, 511, 512, 513, 1000] {
        for last in [Flow::Enter, Flow::Skip, Flow::Stop] {
            let mut visitor = Counting { number, last, runs: 0 };
            unit().walk(&memory, &mut Scratch::new()).visit(&mut visitor);
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
    let memory = memory(&mut slots, 4, words);
    let mut scratch = Scratch::new();
    let mut ranges = unit().ranges(&memory, &mut scratch);
    assert_eq!((ranges.by_ref().filter(Result::is_ok).count(), ranges.next()), (1, None));
    let (faults, leaves, tables) = walk(&memory, u64::MAX);
    let statistics = ranges.statistics();
    assert_eq!((statistics.faults, statistics.leaves, statistics.tables), (faults.len() as u64, leaves, tables));
}

/// What a visitor has no word for, it goes past.
#[test]
fn a_visitor_of_runs_goes_past_shared_tables_and_faults() {
    let mut slots = vec![Slot::EMPTY; 8];
    let leaves = [(0x6000, 0x10_0003), (0x6008, 0x20_0003)];
    let words = [(TOP, 0x4003), (TOP + 8, TOP | 3), (0x4000, 0x5003), (0x5000, 0x6003), (0x5010, 0x6003)];
    let memory = memory(&mut slots, 4, words.into_iter().chain(leaves));
    let (mut scratch, mut memo) = (Scratch::default(), [MemoSlot::EMPTY; 16]);
    for (slots, expected) in [(0, (2, 1)), (16, (1, 1))] {
        let mut visitor = Counting { number: u64::MAX, last: Flow::Stop, runs: 0 };
        let unit = unit();
        let mut walk = unit.walk(&memory, &mut scratch).memo(&mut memo[..slots]);
        walk.visit(&mut visitor);
        assert_eq!((visitor.runs, walk.statistics().faults), expected, "{slots} slots");
    }
}
