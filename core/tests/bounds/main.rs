//! Work is bounded whatever the tables say: loops are told, not followed, and a budget ends what is merely large.

#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "a panic is a red test")]

mod memo;
mod shapes;
mod visits;

use iopt::memory::{Slot, SparseMemory};
use iopt::radix::{Bound, Budget, Run};
use iopt::vtd::{Cause, Fault, Structure};
use iopt::walk::{Flow, Scratch, Step, Visitor};
use iopt::{Iova, PhysAddr};
use shapes::{TOP, diamonds, full, memory, table, unit};

/// What a walk comes to: its faults, and how many leaves and tables.
fn walk(memory: &SparseMemory<'_>, max_tables: u64) -> (Vec<Fault>, u64, u64) {
    let mut scratch = Scratch::new();
    let unit = unit();
    let mut walk = unit.walk(memory, &mut scratch).budget(Budget { tables: max_tables, ..Budget::UNLIMITED });
    let mut faults = Vec::new();
    while let Some(step) = walk.next() {
        if let Step::Fault(fault) = step {
            faults.push(fault);
        }
    }
    (faults, walk.statistics().leaves, walk.statistics().tables)
}

#[test]
fn a_table_that_points_to_itself_is_visited_once() {
    let mut slots = vec![Slot::EMPTY; 8];
    let (faults, leaves, tables) = walk(&memory(&mut slots, 4, full(TOP, 4, &[TOP])), u64::MAX);
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
    let (faults, leaves, _) = walk(&memory(&mut slots, 4, words), u64::MAX);
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
    let (faults, leaves, tables) = walk(&memory(&mut slots, 4, words), u64::MAX);
    assert_eq!((faults.len(), leaves, tables), (0, 2, 2 + 1 + 2 * 3));
}

/// 512 × 512 × 512 tables out of four pages: legal, and endless for all practical purposes.
#[test]
fn what_is_merely_large_ends_with_the_budget() {
    let mut slots = vec![Slot::EMPTY; 8];
    let memory = memory(&mut slots, 4, diamonds(4, 1));
    for budget in [0, 1, 2, 3, 1000, 5000] {
        let (faults, _, tables) = walk(&memory, budget);
        let [fault] = faults.as_slice() else { panic!("{budget}: {faults:?}") };
        assert_eq!((fault.cause, tables), (Cause::Budget(Bound::Tables(budget)), budget));
        assert!(fault.to_string().contains(&format!("the work budget of {budget} tables is used up")));
    }
}

/// A table of 512 pointers to memory that is not there, which are as many reads and no tables.
#[test]
fn reads_that_fail_are_work_as_well() {
    let mut slots = vec![Slot::EMPTY; 8];
    let memory = memory(&mut slots, 4, full(TOP, 4, &[0x9_9000]));
    let (faults, _, tables) = walk(&memory, u64::MAX);
    assert_eq!((faults.len(), tables), (512, 3));
    let unit = unit();
    for reads in [2, 3, 4, 514, 515] {
        let mut scratch = Scratch::new();
        let mut walk = unit.walk(&memory, &mut scratch).budget(Budget { reads, ..Budget::default() });
        let mut faults = Vec::new();
        while let Some(step) = walk.next() {
            faults.extend(if let Step::Fault(fault) = step { Some(fault) } else { None });
        }
        assert_eq!(walk.statistics().reads, reads);
        let (cut, unreadable) = (faults.last().expect("something is missing"), reads.saturating_sub(3));
        assert_eq!(faults.len() as u64, unreadable + u64::from(reads < 515), "{reads}");
        assert_eq!(cut.cause == Cause::Budget(Bound::Reads(reads)), reads < 515, "{cut}");
    }
}

/// Single leaves that alternate with holes, each of them a run. The last that the budget allows is still yielded, and
/// the place where it ends is that of the next.
#[test]
fn runs_are_counted_one_by_one_pulled_or_pushed() {
    struct Runs(u64, Vec<Fault>);
    impl Visitor for Runs {
        fn run(&mut self, _: &Run<'_>) -> Flow {
            self.0 += 1;
            Flow::Enter
        }
        fn fault(&mut self, fault: &Fault) -> Flow {
            self.1.push(*fault);
            Flow::Enter
        }
    }
    let mut slots = vec![Slot::EMPTY; 8];
    let leaves = (0..512).step_by(2).map(|index| (0x6000 + index * 8, 0x10_0003));
    let memory = memory(&mut slots, 4, [(TOP, 0x4003), (0x4000, 0x5003), (0x5000, 0x6003)].into_iter().chain(leaves));
    let unit = unit();
    for runs in [0, 1, 255, 256] {
        let budget = Budget { runs, ..Budget::default() };
        let (mut scratch, mut pushed) = (Scratch::new(), Runs(0, Vec::new()));
        unit.walk(&memory, &mut scratch).budget(budget).visit(&mut pushed);
        let mut pulled = Runs(0, Vec::new());
        let mut walk = unit.walk(&memory, &mut scratch).budget(budget);
        while let Some(step) = walk.next() {
            match step {
                Step::Run(_) => pulled.0 += 1,
                Step::Fault(fault) => pulled.1.push(fault),
                _ => {}
            }
        }
        for Runs(found, faults) in [&pushed, &pulled] {
            assert_eq!(*found, runs);
            let ends: Vec<_> = faults.iter().map(|fault| (fault.cause, fault.place.iova)).collect();
            let end = (Cause::Budget(Bound::Runs(runs)), Some(Iova(runs * 0x2000)));
            assert_eq!(ends, if runs == 256 { vec![] } else { vec![end] });
        }
    }
}

#[test]
fn a_table_in_a_hole_is_told_with_its_place_and_the_rest_is_walked() {
    let mut slots = vec![Slot::EMPTY; 8];
    let words = [(TOP, 0x9_9003), (TOP + 8, 0x4003), (0x4000, 0x5003), (0x5000, 0x6003), (0x6000, 0x10_0003)];
    let (faults, leaves, _) = walk(&memory(&mut slots, 4, words), u64::MAX);
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((leaves, fault.reason.map(|reason| reason.code())), (1, Some(0x07)));
    assert_eq!(
        (fault.place.table, fault.place.index, fault.place.entry),
        (PhysAddr(TOP), 0, Some(0x9_9003_u64.into()))
    );
}

/// Two tables that lead to each other: 513 reads of a table are as many as 262,144 loops.
#[test]
fn loops_cost_no_reads_and_are_bounded_by_themselves() {
    let mut slots = vec![Slot::EMPTY; 8];
    let [one, two] = [table(3, 0), table(3, 1)];
    let words = [vec![(TOP, one | 3)], full(one, 3, &[two]), full(two, 2, &[one])].concat();
    let memory = memory(&mut slots, 4, words);
    for (allowed, told) in [(0, 1), (1, 2), (511, 512), (1 << 18, 1 << 18)] {
        let mut scratch = Scratch::new();
        let mut walk = unit().walk(&memory, &mut scratch).budget(Budget { faults: allowed, ..Budget::default() });
        let mut faults = Vec::new();
        while let Some(step) = walk.next() {
            faults.extend(if let Step::Fault(fault) = step { Some(fault) } else { None });
        }
        assert_eq!((faults.len(), walk.statistics().faults), (told, told as u64));
        let (last, others) = faults.split_last().expect("there are some");
        assert!(others.iter().all(|fault| fault.cause == Cause::Loop { table: PhysAddr(one), level: 3 }));
        assert_eq!(last.cause == Cause::Budget(Bound::Faults(allowed)), allowed < 1 << 18, "{last}");
    }
}

/// What SECURITY.md says that a walk and a copy are given, in bytes.
#[test]
fn what_is_kept_has_the_size_that_is_stated() {
    use iopt::{copy, walk};
    assert_eq!((size_of::<Scratch>(), size_of::<walk::MemoSlot>()), (64 << 10, 40));
    assert_eq!((size_of::<copy::Room>(), size_of::<copy::MemoSlot>()), (104 << 10, 24));
    assert!(size_of::<walk::UnitWalk<'_, SparseMemory<'_>>>() <= 4 << 10);
}
