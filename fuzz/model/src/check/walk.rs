//! The whole walk against the twin: devices, leaves, faults, ranges.

use super::collect::{Collector, OnTheWay, Seen, collect, fault_step};
use super::{Copying, way};
use crate::program::Built;
use crate::twin::{self, Bad, Range, Space, Stage, Tables, Twin};
use iopt::coalesce::{DeviceRange, DeviceRanges, Join, MappedRange};
use iopt::memory::{PhysReader, SparseMemory};
use iopt::radix::{Bound, Budget, Statistics};
use iopt::vtd::{AddressSpace, Cause, Fault, Structure, Unit};
use iopt::walk::Scratch;
use iopt::{IovaRange, Pasid, SourceId};
use std::collections::BTreeMap;

/// Checks the walk of the whole unit and returns what it found.
pub fn check(built: &Built, unit: &Unit, memory: &SparseMemory<'_>) -> Collector {
    let twin = built.twin(memory);
    let (found, statistics) = collect(unit, memory);
    let devices = way::check(&twin, &found);
    for (seen, device) in found.seen.iter().zip(&devices) {
        check_device(&twin, seen, device);
    }
    check_statistics(&found, &statistics);
    check_iterators(unit, memory, &found);
    check_copying(unit, memory, &found, &statistics);
    check_budget(unit, memory, &found, &statistics);
    found
}

fn check_device(twin: &Twin<'_>, seen: &Seen, device: &twin::Device) {
    let who = device.who();
    let (leaves, bad) = twin.leaves_of(device);
    assert_same(&seen.leaves, &leaves, who, "leaves");

    let beyond = |fault: &&Fault| matches!(fault.cause, Cause::TooWide { .. });
    let found = seen.faults.iter().filter(|fault| !beyond(fault));
    let found: Vec<_> = found.map(as_bad).collect();
    match device.space {
        Ok(Space::Nested(..)) => assert_merged(&found, &bad, who),
        _ => assert_same(&found, &bad, who, "faults"),
    }
    for fault in &seen.faults {
        let (source, pasid) = (fault.place.source_id, fault.place.pasid);
        assert_eq!((source, pasid), (Some(seen.device.source_id), seen.device.pasid), "{fault}");
        assert_eq!(fault.suppressed, device.suppressed && fault.reason.is_some(), "{fault}");
    }
    check_beyond(twin, seen, device);

    let range = |range: &MappedRange| Range {
        iova: range.iova.first().0,
        last: range.iova.last().0,
        phys: range.phys.map(|phys| phys.0),
        read: range.permissions.read(),
        write: range.permissions.write(),
        attributes: range.attributes,
    };
    let both: Vec<_> = seen.by_both.iter().map(range).collect();
    assert_same(&both, &twin::ranges(&leaves, false), who, "ranges by IOVA and memory");
    let iova: Vec<_> = seen.by_iova.iter().map(range).collect();
    assert_same(&iova, &twin::ranges(&leaves, true), who, "ranges by IOVA");
    for range in &seen.by_both {
        let inside = leaves.iter().filter(|leaf| range.iova.contains(iopt::Iova(leaf.iova)));
        assert_eq!(inside.map(|leaf| leaf.size).min(), Some(1 << range.page_size_log2), "{who:?}: page size");
    }
}

/// What a second stage maps beyond the unit's reach is told once, if there is any.
fn check_beyond(twin: &Twin<'_>, seen: &Seen, device: &twin::Device) {
    let told: Vec<_> = seen.faults.iter().filter(|fault| matches!(fault.cause, Cause::TooWide { .. })).collect();
    assert!(told.len() <= 1, "{device:x?}");
    let Ok(Space::Tables(tables @ Tables { stage: Stage::Second, .. })) = device.space else {
        return assert!(told.is_empty(), "{device:x?}");
    };
    let agaw = (12 + 9 * u32::from(tables.levels)).min(64);
    let unlimited = twin::Device { space: Ok(Space::Tables(Tables { input: agaw, ..tables })), ..device.clone() };
    let (far_leaves, far_bad) = twin.leaves_of(&unlimited);
    let far = far_leaves.iter().map(|leaf| leaf.iova).chain(far_bad.iter().map(|bad| bad.iova));
    let first = far.filter(|iova| !tables.accepts(*iova)).min();
    let Some(told) = told.first() else { return assert_eq!(first, None, "nothing told of {device:x?}") };
    assert_eq!(told.reason.map(|reason| reason.code()), Some(if twin.is_scalable() { 0x84 } else { 0x04 }));
    // Its entry may begin within reach. Leaves that nobody may use are no leaves of the twin, but are beyond all the same.
    let span = fault_span(told).expect("it is about a page table");
    assert!(!tables.accepts(span.last().0) && first.is_none_or(|first| span.first().0 <= first), "{told}");
}

fn as_bad(fault: &Fault) -> Bad {
    Bad {
        at: fault_step(fault).expect("it was read"),
        iova: fault.place.iova.map_or(0, |iova| iova.0),
        code: fault.reason.map(|reason| reason.code()),
    }
}

fn assert_same<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T], who: twin::Who, what: &str) {
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(at) = differs {
        panic!("{who:x?}: {what} differ at {at}: found {:x?}, expected {:x?}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len(), "{who:x?}: number of {what}, {:x?}", expected.get(found.len()));
}

/// What several leaves of a first stage have in common behind them may be told once for all: the same entry of the
/// second stage, or that they lead to addresses beyond it.
fn assert_merged(found: &[Bad], expected: &[Bad], who: twin::Who) {
    let mut found = found.iter().peekable();
    let mut before: Option<&Bad> = None;
    for (at, bad) in expected.iter().enumerate() {
        // Of several bad entries behind several leaves, the same come again for each.
        let known =
            expected[..at].iter().rev().take(64).any(|earlier| (earlier.at, earlier.code) == (bad.at, bad.code));
        let beyond = |bad: &Bad| (bad.code == Some(0x84)).then_some((bad.at.kind, bad.at.table));
        let repeated = known || beyond(bad).is_some() && before.and_then(beyond) == beyond(bad);
        before = Some(bad);
        if found.next_if_eq(&bad).is_none() {
            assert!(repeated, "{who:x?}: faults differ: found {:x?}, expected {bad:x?}", found.peek());
        }
    }
    assert_eq!(found.next(), None, "{who:x?}: there is no such fault");
}

fn check_statistics(found: &Collector, statistics: &Statistics) {
    assert_eq!(statistics.faults, found.faults().count() as u64);
    assert_eq!(statistics.leaves, found.yielded);
    assert_eq!(statistics.pages_read, 0, "all of it was lent");
    assert_eq!(statistics.bytes_lent, statistics.tables * 4096);
    let page_tables: usize = found.seen.iter().map(|seen| seen.tables.len()).sum();
    assert!(statistics.tables >= page_tables as u64);
    assert!(statistics.runs >= found.runs && statistics.reads >= statistics.tables);
    assert!(statistics.reads - statistics.tables <= statistics.faults, "a read that fails is told");
}

/// The pulled ranges are the pushed ones, and each fault stands where its address belongs.
fn check_iterators(unit: &Unit, memory: &SparseMemory<'_>, found: &Collector) {
    let mut scratch = Box::new(Scratch::new());
    for join in [Join::Both, Join::Iova] {
        let pulled: Vec<_> = DeviceRanges::new(unit.walk(memory, &mut scratch), join).collect();
        let ranges: Vec<DeviceRange> = pulled.iter().filter_map(|item| item.ok()).collect();
        let mut pushed = Vec::new();
        for seen in &found.seen {
            let (source_id, pasid, domain) = (seen.device.source_id, seen.device.pasid, seen.device.domain());
            match seen.device.space {
                AddressSpace::PassThrough { .. } => {
                    let is_own = |range: &&DeviceRange| (range.source_id, range.pasid) == (source_id, pasid);
                    let own: Vec<_> = ranges.iter().filter(is_own).collect();
                    assert!(own.len() == 1 && Some(own[0].iova) == seen.device.space.input());
                    assert_eq!((own[0].phys.map(|phys| phys.0), Some(own[0].domain)), (Some(0), domain));
                    pushed.push(*own[0]);
                }
                AddressSpace::Blocked(_) => assert!(seen.by_both.is_empty() && seen.by_iova.is_empty()),
                _ => {
                    let ranges = if join == Join::Both { &seen.by_both } else { &seen.by_iova };
                    let own = |range| DeviceRange::new(source_id, pasid, domain.unwrap(), range);
                    pushed.extend(ranges.iter().map(own));
                }
            }
        }
        assert_eq!(ranges, pushed);

        let faults = pulled.iter().filter(|item| item.is_err()).count();
        assert_eq!(faults, found.faults().count());
        type Key = (SourceId, Option<Pasid>, iopt::Iova);
        let key = |item: &Result<DeviceRange, Fault>| -> Option<Key> {
            match item {
                Ok(range) => Some((range.source_id, range.pasid, range.iova.first())),
                Err(Fault { place, .. }) => Some((place.source_id?, place.pasid, place.iova?)),
            }
        };
        let keys: Vec<_> = pulled.iter().filter_map(key).collect();
        assert!(keys.is_sorted(), "{keys:?}");
    }
}

/// A reader that can't lend gives the same, and every table page is read once per visit.
fn check_copying(unit: &Unit, memory: &SparseMemory<'_>, lent: &Collector, statistics: &Statistics) {
    let copying = Copying::new(memory);
    let (copied, counts) = collect(unit, &copying);
    assert_eq!(copied.seen, lent.seen);
    assert_eq!(copied.way, lent.way);
    assert_eq!((counts.bytes_lent, counts.pages_read, counts.tables), (0, statistics.tables, statistics.tables));
    let mut visits: BTreeMap<u64, u64> = BTreeMap::new();
    for table in lent.seen.iter().flat_map(|seen| &seen.tables) {
        *visits.entry(table.addr.0).or_default() += 1;
    }
    let reads = copying.reads.into_inner();
    assert_eq!(counts.reads, reads.values().sum::<u64>());
    // Any other table can be a page table as well, and then it is read more often.
    let others = statistics.tables - visits.values().sum::<u64>();
    for (addr, visits) in visits {
        assert!(reads[&addr] >= visits && reads[&addr] <= visits + others, "{addr:#x}");
    }
    let read: u64 =
        reads.iter().filter(|(addr, _)| memory.lend_page(iopt::PhysAddr(**addr)).is_some()).map(|(_, n)| n).sum();
    assert_eq!(read, statistics.tables);
}

/// A walk with a budget does no more than that, says so, and finds the same up to there.
fn check_budget(unit: &Unit, memory: &SparseMemory<'_>, whole: &Collector, all: &Statistics) {
    let unlimited = Budget::UNLIMITED;
    check_bound(
        unit,
        memory,
        whole,
        all,
        |done| done.tables,
        |tables| (Budget { tables, ..unlimited }, Bound::Tables(tables)),
    );
    check_bound(unit, memory, whole, all, |done| done.runs, |runs| (Budget { runs, ..unlimited }, Bound::Runs(runs)));
    check_bound(
        unit,
        memory,
        whole,
        all,
        |done| done.reads,
        |reads| (Budget { reads, ..unlimited }, Bound::Reads(reads)),
    );
    // The end is told as a fault too.
    for faults in [0, 1, 2, all.faults / 2, all.faults.saturating_sub(1), all.faults] {
        let mut scratch = Box::new(Scratch::new());
        let mut collector = Collector::default();
        let mut walk = unit.walk(memory, &mut scratch).budget(Budget { faults, ..unlimited });
        walk.visit(&mut collector);
        assert_eq!(walk.statistics().faults, all.faults.min(faults + 1));
        let ends = collector.faults().filter(|fault| fault.cause == Cause::Budget(Bound::Faults(faults))).count();
        assert_eq!(ends, usize::from(faults < all.faults));
        check_cut(&collector, whole);
    }
}

fn check_bound(
    unit: &Unit,
    memory: &SparseMemory<'_>,
    whole: &Collector,
    all: &Statistics,
    done: impl Fn(&Statistics) -> u64,
    budget: impl Fn(u64) -> (Budget, Bound),
) {
    let needed = done(all);
    for allowed in [0, 1, 2, 4, needed / 2, needed.saturating_sub(1), needed] {
        let (budget, bound) = budget(allowed);
        let mut scratch = Box::new(Scratch::new());
        let mut collector = Collector::default();
        let mut walk = unit.walk(memory, &mut scratch).budget(budget);
        walk.visit(&mut collector);
        assert!(walk.next().is_none(), "{bound:?}");
        let statistics = walk.statistics();
        assert!(done(&statistics) <= allowed, "{bound:?}");
        let exhausted = collector.faults().filter(|fault| fault.cause == Cause::Budget(bound)).count();
        // A budget that is exactly enough may still run out at a table that is not there.
        assert!(if exhausted == 0 { statistics == *all } else { allowed <= needed }, "{bound:?}");
        assert!(exhausted == 1 || exhausted == 0 && allowed >= needed, "{bound:?}");
        check_cut(&collector, whole);
    }
}

/// What was found before the budget was used up is the beginning of the whole.
fn check_cut(cut: &Collector, whole: &Collector) {
    let told = |fault: &Fault| !matches!(fault.cause, Cause::Budget(_));
    let way: Vec<_> = cut.way.iter().filter(|item| !matches!(item, OnTheWay::Fault(fault) if !told(fault))).collect();
    assert!(way.len() <= whole.way.len() && way.iter().copied().eq(&whole.way[..way.len()]));
    for (cut, whole) in cut.seen.iter().zip(&whole.seen) {
        let faults: Vec<_> = cut.faults.iter().copied().filter(told).collect();
        assert!(whole.faults.starts_with(&faults), "{:?}", cut.device);
        assert!(whole.tables.starts_with(&cut.tables) && whole.leaves.starts_with(&cut.leaves), "{:?}", cut.device);
    }
}

/// The addresses that a fault's entry would map; `None` if it is no page-table entry.
pub fn fault_span(fault: &Fault) -> Option<IovaRange> {
    let (Structure::FirstStage(level) | Structure::SecondStage(level)) = fault.place.structure else { return None };
    Some(IovaRange::block(fault.place.iova?, 3 + 9 * level))
}
