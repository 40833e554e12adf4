//! What a walk with a memo comes to, and how much it does for it.

use super::shapes::{MEMORY, TOP, diamonds, fan_out, full, memory, table, unit};
use iopt::builder::{At, Leaves, Target, UnitBuilder};
use iopt::coalesce::{DeviceRanges, Join};
use iopt::memory::{Slot, SparseMemory};
use iopt::radix::{Run, Statistics, Table};
use iopt::vtd::{Cause, Device, Fault, TranslationMode, Unit};
use iopt::walk::{Flow, MemoSlot, Met, Scratch, Shared, UnitWalk, Visitor};
use iopt::{Iova, IovaRange, Pasid, PhysAddr, SourceId};

#[derive(Debug, Default, PartialEq)]
struct Seen {
    devices: usize,
    tables: Vec<Table>,
    shared: Vec<Shared>,
    /// Where the runs start, how many leaves they have, and how many of these repeat the first.
    runs: Vec<(u64, usize, usize)>,
    faults: Vec<Fault>,
    /// What to leave out behind.
    skip_shared: bool,
}

impl Visitor for Seen {
    fn device(&mut self, _: &Device) -> Flow {
        self.devices += 1;
        Flow::Enter
    }

    fn table(&mut self, table: &Table) -> Flow {
        self.tables.push(*table);
        Flow::Enter
    }

    fn shared(&mut self, shared: &Shared) -> Flow {
        self.shared.push(*shared);
        if self.skip_shared { Flow::Skip } else { Flow::Enter }
    }

    fn run(&mut self, run: &Run<'_>) -> Flow {
        self.runs.push((run.iova.0, run.len(), run.repeats()));
        Flow::Enter
    }

    fn fault(&mut self, fault: &Fault) -> Flow {
        self.faults.push(*fault);
        Flow::Enter
    }
}

/// Walks with as many slots as that, and `limit`s the walk.
fn look(
    memory: &SparseMemory<'_>,
    slots: usize,
    seen: &mut Seen,
    limit: impl for<'w> FnOnce(UnitWalk<'w, SparseMemory<'w>>) -> UnitWalk<'w, SparseMemory<'w>>,
) -> (Statistics, bool) {
    let (mut scratch, mut memo) = (Scratch::new(), vec![MemoSlot::EMPTY; slots]);
    let mut walk = limit(unit().walk(memory, &mut scratch).memo(&mut memo));
    walk.visit(seen);
    (walk.statistics(), walk.is_memo_full())
}

fn all(memory: &SparseMemory<'_>) -> (Seen, Statistics) {
    let mut seen = Seen::default();
    let (statistics, full) = look(memory, 1 << 10, &mut seen, |walk| walk);
    assert!(!full);
    (seen, statistics)
}

/// Where the entry at `index` of a table of this level maps.
fn entry(level: u8, index: u64) -> u64 {
    index << (3 + 9 * u32::from(level))
}

#[test]
fn tables_full_of_one_entry_are_one_event_each() {
    for levels in 2..=6 {
        let mut slots = vec![Slot::EMPTY; 10];
        let (seen, statistics) = all(&memory(&mut slots, levels, diamonds(levels, 1)));
        let repeats = |level: u8| if level == levels { 0 } else { fan_out(level + 1) - 1 };
        let expected: Vec<_> = (1..=levels).rev().map(|level| (level, 0, repeats(level))).collect();
        let found: Vec<_> = seen.tables.iter().map(|table| (table.level, table.iova.0, table.repeats.into())).collect();
        assert_eq!((found, seen.runs), (expected, vec![(0, 512, 511)]));
        assert!(seen.shared.is_empty() && seen.faults.is_empty());
        assert_eq!((statistics.tables, statistics.leaves), (2 + u64::from(levels), 512));
    }
}

/// Two tables at each level, in turn: no two neighbours are equal, so that only the memo can know.
#[test]
fn tables_reached_in_turn_are_walked_once_each() {
    for levels in 3..=6 {
        let mut slots = vec![Slot::EMPTY; 16];
        let (seen, statistics) = all(&memory(&mut slots, levels, diamonds(levels, 2)));
        let mut tables: Vec<_> = seen.tables.iter().map(|table| (table.level, table.addr.0)).collect();
        tables.sort_unstable();
        let below = (1..levels).flat_map(|level| [0, 1].map(|side| (level, table(level, side))));
        assert_eq!(tables, below.chain([(levels, TOP)]).collect::<Vec<_>>());
        // Each entry of each of them leads to a table or to one that was walked before.
        let entries: u64 = (2..=levels).map(|level| fan_out(level) * if level == levels { 1 } else { 2 }).sum();
        let walked = tables.len() as u64 - 1;
        assert_eq!(seen.shared.len() as u64, entries - walked);
        assert_eq!((seen.runs.len(), seen.faults.len()), (2, 0));
        assert_eq!(statistics.tables, 3 + entries);

        let last = seen.shared.last().expect("there are some");
        let here = entry(levels, fan_out(levels) - 1);
        assert_eq!((last.table.addr.0, last.table.iova.0), (table(levels - 1, 1), here));
        let with = Met { source_id: SourceId::new(0, 0), pasid: None, iova: Iova(entry(levels, 1)) };
        assert_eq!(last.with, with);
    }
}

#[test]
fn a_table_that_leads_to_itself_is_told_at_each_entry_with_both_ends() {
    for levels in 4..=6 {
        let mut slots = vec![Slot::EMPTY; 8];
        // The top table leads to one that leads to itself.
        let own = table(levels - 1, 0);
        let words = [full(TOP, levels, &[own]), full(own, levels - 1, &[own])].concat();
        let (seen, statistics) = all(&memory(&mut slots, levels, words));
        assert_eq!((seen.tables.len(), seen.shared.len(), seen.runs.len()), (2, 0, 0));
        assert_eq!((seen.faults.len(), statistics.tables), (512, 4));
        for (index, fault) in (0..).zip(&seen.faults) {
            assert_eq!(fault.cause, Cause::Loop { table: PhysAddr(own), level: levels - 1 });
            assert_eq!((fault.place.table, fault.place.index), (PhysAddr(own), index));
        }
    }
}

/// The top table leads to two tables in turn that lead to each other in turn, so that every second path closes.
#[test]
fn two_tables_that_lead_to_each_other_end_where_the_path_closes() {
    let mut slots = vec![Slot::EMPTY; 8];
    let (one, two) = (table(3, 0), table(3, 1));
    let words = [full(TOP, 4, &[one, two]), full(one, 3, &[two]), full(two, 3, &[one])].concat();
    let (seen, statistics) = all(&memory(&mut slots, 4, words));
    let tables: Vec<_> = seen.tables.iter().map(|table| (table.level, table.addr.0, table.repeats)).collect();
    assert_eq!(tables, [(4, TOP, 0), (3, one, 0), (2, two, 511), (3, two, 0), (2, one, 511)]);
    assert_eq!((seen.faults.len(), seen.shared.len(), statistics.tables), (1024, 510, 7 + 510));
    for fault in &seen.faults {
        let other = if fault.place.table.0 == one { two } else { one };
        assert_eq!(fault.cause, Cause::Loop { table: PhysAddr(other), level: 3 });
    }
}

/// 65,536 context entries in one context table page that every bus has, and one page table.
#[test]
fn a_page_table_of_65536_devices_is_walked_once() {
    let mut slots = vec![Slot::EMPTY; 16];
    let buses = (0..256).map(|bus| (0x1000 + bus * 16, 0x2001));
    let contexts = (0..256).flat_map(|devfn| [(0x2000 + devfn * 16, TOP | 1), (0x2008 + devfn * 16, 0x102)]);
    let memory = memory(&mut slots, 4, diamonds(4, 2).into_iter().chain(buses).chain(contexts));
    let (seen, statistics) = all(&memory);
    let inside = 2 * 512 + 512 + 2 * 512 - 6;
    assert_eq!((seen.devices, seen.tables.len(), seen.faults.len()), (1 << 16, 7, 0));
    assert_eq!(seen.shared.len(), (1 << 16) - 1 + inside);
    assert!(seen.shared.iter().all(|shared| shared.with.source_id == SourceId::new(0, 0)));
    let top = seen.shared.last().expect("there are some");
    assert_eq!((top.table.addr, top.table.level, top.with.iova), (PhysAddr(TOP), 4, Iova(0)));
    // The root table, a context table for each bus, and nothing of the page table but for the first device.
    assert_eq!(statistics.tables, 1 + 256 + 1 + 512 + 2 * 512 + 2 * 512);
}

/// The valid twin: tables that merely look alike are each walked.
#[test]
fn equal_tables_at_other_addresses_are_not_shared() {
    let mut slots = vec![Slot::EMPTY; 8];
    let words = [(TOP, table(3, 0) | 3), (TOP + 8, table(3, 1) | 3)];
    let leaves = [0, 1].map(|side| (table(3, side), MEMORY | 0x83));
    let (seen, _) = all(&memory(&mut slots, 4, words.into_iter().chain(leaves)));
    assert_eq!((seen.tables.len(), seen.shared.len(), seen.runs.len()), (3, 0, 2));
}

#[test]
fn the_same_page_at_another_level_is_another_table() {
    let mut slots = vec![Slot::EMPTY; 8];
    let both = table(2, 0);
    let words = [(TOP, table(3, 0) | 3), (TOP + 8, both | 3), (table(3, 0), both | 3), (both, MEMORY | 0x83)];
    let (seen, _) = all(&memory(&mut slots, 4, words));
    let levels: Vec<_> = seen.tables.iter().filter(|table| table.addr.0 == both).map(|table| table.level).collect();
    // At level 3, a leaf of 1 GiB; at level 2, one of 2 MiB.
    assert_eq!((levels, seen.shared.len(), seen.runs.len()), (vec![2, 3], 0, 2));
}

#[test]
fn a_table_that_is_seen_in_part_is_not_shared() {
    let mut slots = vec![Slot::EMPTY; 16];
    let memory = memory(&mut slots, 4, diamonds(4, 2));
    let mut seen = Seen::default();
    // From the middle of the first table of level 3 to the middle of the third one.
    let window = IovaRange::new(Iova(entry(3, 256)), Iova(entry(4, 2) + entry(3, 256) - 1)).expect("it is ordered");
    look(&memory, 1 << 10, &mut seen, |walk| walk.only_range(window));
    let level_3: Vec<_> = seen.tables.iter().filter(|table| table.level == 3).map(|table| table.iova.0).collect();
    // The third is the first one again, but in the first just the second half was seen.
    assert_eq!(level_3, [0, entry(4, 1), entry(4, 2)]);
    assert!(seen.shared.iter().all(|shared| shared.table.level < 3));
}

#[test]
fn a_full_memo_is_told_and_costs_only_time() {
    let mut slots = vec![Slot::EMPTY; 16];
    let memory = memory(&mut slots, 3, diamonds(3, 2));
    let (whole, _) = all(&memory);
    for (slots, full) in [(0, true), (1, true), (3, true), (5, true), (6, false)] {
        let mut seen = Seen::default();
        let found = look(&memory, slots, &mut seen, |walk| walk);
        assert_eq!(found.1, full, "{slots} slots for {} tables", whole.tables.len());
        assert!(seen.tables.len() >= whole.tables.len());
        assert_eq!(seen == whole, !full);
        // What is not remembered is walked: every entry is accounted for.
        let accounted = seen.tables.len() + seen.shared.len();
        assert!(accounted >= whole.tables.len() + whole.shared.len());
    }
}

#[test]
fn what_follows_a_shared_table_can_be_left_out() {
    let mut slots = vec![Slot::EMPTY; 16];
    let memory = memory(&mut slots, 3, diamonds(3, 2));
    let mut seen = Seen { skip_shared: true, ..Seen::default() };
    look(&memory, 1 << 10, &mut seen, |walk| walk);
    // Of each table of two levels the first two entries and the third, which is shared, were looked at.
    let first_shared: Vec<_> = seen.shared.iter().map(|shared| (shared.table.level, shared.table.iova.0)).collect();
    assert_eq!(first_shared, [(1, entry(2, 2)), (1, entry(3, 1)), (2, entry(3, 2))]);
}

/// A unit in scalable mode whose first 2 GiB stay where they are behind both of two second stages, which differ beyond.
fn nested(look: impl FnOnce(&Unit, &SparseMemory<'_>)) {
    let mut slots = vec![Slot::EMPTY; 40];
    let mut memory = SparseMemory::new(&mut slots);
    let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Scalable).expect("there is room");
    let mut make = || {
        let first = tables.first_stage(4)?;
        tables.map(first, Leaves::of_1g(Iova(0), PhysAddr(2 << 30)).times(2))?;
        let seconds = [tables.second_stage(4)?, tables.second_stage(4)?];
        for (second, to) in seconds.into_iter().zip([4, 8]) {
            tables.map(second, Leaves::of_1g(Iova(0), PhysAddr(0)).times(2))?;
            // The third and the fourth GiB go through one table.
            tables.map(second, Leaves::of_2m(Iova(2 << 30), PhysAddr(to << 30)))?;
            let (third, fourth) = (Iova(2 << 30), Iova(3 << 30));
            tables.share(At::PageTable(second, third, 3), At::PageTable(second, fourth, 3))?;
        }
        tables.pasid(SourceId::new(0, 8), Pasid(4), Target::second_stage(seconds[0]))?;
        for (pasid, second) in [(5, seconds[0]), (6, seconds[1]), (7, seconds[0])] {
            tables.pasid(SourceId::new(0, 8), Pasid(pasid), Target::nested(first, second))?;
        }
        Ok::<(), iopt::builder::Error>(())
    };
    make().expect("there is room");
    let unit = tables.unit();
    look(&unit, &memory);
}

#[test]
fn first_stages_are_shared_only_behind_the_same_second_stage() {
    nested(|unit, memory| {
        let (mut scratch, mut memo) = (Scratch::new(), [MemoSlot::EMPTY; 64]);
        let (mut once, mut whole) = (Seen::default(), Seen::default());
        unit.walk(memory, &mut scratch).visit(&mut whole);
        unit.walk(memory, &mut scratch).memo(&mut memo).visit(&mut once);
        // Requests without a PASID are blocked.
        assert_eq!((whole.devices, whole.shared.len(), whole.faults.len()), (5, 0, 0));
        // The second stage by itself, and the first stages: a page of 2 MiB in each of two GiB.
        assert_eq!((whole.tables.len(), whole.runs.len()), (4 + 3 * 2, 3 + 3 * 2));
        // One page of the second stage by itself repeats the other; the third first stage is the first one.
        assert_eq!((once.tables.len(), once.tables[2].repeats), (3 + 2 * 2, 1));
        assert_eq!(once.runs, [&whole.runs[..2], &whole.runs[3..7]].concat());
        let [shared] = once.shared.as_slice() else { panic!("{:?}", once.shared) };
        assert_eq!((shared.with.pasid, shared.table), (Some(Pasid(5)), whole.tables[4]));
    });
}

#[test]
fn ranges_are_whole_for_each_device_even_with_a_memo() {
    nested(|unit, memory| {
        let (mut scratch, mut memo) = (Scratch::new(), [MemoSlot::EMPTY; 64]);
        let expected: Vec<_> = unit.ranges(memory, &mut scratch).collect();
        assert_eq!(expected.len(), 3 + 6);
        let walk = unit.walk(memory, &mut scratch).memo(&mut memo);
        let ranges = DeviceRanges::new(walk, Join::Both);
        assert!(ranges.eq(expected));
    });
    let mut slots = vec![Slot::EMPTY; 10];
    let memory = memory(&mut slots, 2, diamonds(2, 1));
    let (mut scratch, mut memo) = (Scratch::new(), [MemoSlot::EMPTY; 64]);
    let walk = unit().walk(&memory, &mut scratch).memo(&mut memo);
    assert_eq!(
        DeviceRanges::new(walk, Join::Iova).map(|range| range.map(|range| range.iova.size())).collect::<Vec<_>>(),
        [Ok(1 << 30)]
    );
}

/// Of a top table the walk may look at a part only, the same for each device that has it: it is not read again.
#[test]
fn a_top_table_that_is_seen_in_part_is_shared_with_who_sees_the_same_part() {
    let mut slots = vec![Slot::EMPTY; 16];
    let second_device = [(0x2010, TOP | 1), (0x2018, 0x102)];
    let memory = memory(&mut slots, 4, diamonds(4, 1).into_iter().chain(second_device));
    let window = IovaRange::block(Iova(0), 39);
    let mut seen = Seen::default();
    let (statistics, _) = look(&memory, 1 << 10, &mut seen, |walk| walk.only_range(window));
    assert_eq!((seen.devices, seen.tables.len(), seen.shared.len(), statistics.tables), (2, 4, 1, 2 + 4));
    assert_eq!((seen.shared[0].table.addr, seen.shared[0].with.source_id), (PhysAddr(TOP), SourceId::new(0, 0)));
}
