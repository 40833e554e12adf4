//! The whole walk against the twin: devices, leaves, faults, ranges.

use super::Copying;
use crate::program::Built;
use crate::twin::{self, Bad, CONTEXT, Leaf, Range, Twin};
use iopt::coalesce::{Coalescer, DeviceRange, DeviceRanges, Join, MappedRange};
use iopt::memory::{PhysReader, SparseMemory};
use iopt::radix::{Run, Statistics, Table};
use iopt::vtd::{AddressSpace, Cause, ContextEntry, Device, DeviceEntries, Fault, Structure, Unit};
use iopt::walk::{Flow, Scratch, Visitor};
use iopt::{IovaRange, SourceId};
use std::collections::BTreeMap;

/// What the walk found of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub device: Device,
    pub tables: Vec<Table>,
    /// Leaves and faults in the order in which they came.
    pub leaves: Vec<Leaf>,
    pub faults: Vec<Fault>,
    by_both: Vec<MappedRange>,
    by_iova: Vec<MappedRange>,
}

#[derive(Debug, Default)]
pub struct Collector {
    pub seen: Vec<Seen>,
    /// Faults of root and context entries.
    faults: Vec<Fault>,
    /// How many leaves the runs had, usable or not.
    yielded: u64,
    joins: Option<[Coalescer; 2]>,
}

impl Collector {
    fn close(&mut self) {
        if let (Some([both, iova]), Some(seen)) = (&mut self.joins, self.seen.last_mut()) {
            seen.by_both.extend(both.finish());
            seen.by_iova.extend(iova.finish());
        }
        self.joins = Some([Coalescer::new(Join::Both), Coalescer::new(Join::Iova)]);
    }
}

impl Visitor for Collector {
    fn device(&mut self, device: &Device) -> Flow {
        self.close();
        let (tables, leaves, faults) = (vec![], vec![], vec![]);
        let (by_both, by_iova) = (vec![], vec![]);
        self.seen.push(Seen { device: *device, tables, leaves, faults, by_both, by_iova });
        Flow::Enter
    }

    fn table(&mut self, table: &Table) -> Flow {
        self.seen.last_mut().expect("a device comes before its tables").tables.push(*table);
        Flow::Enter
    }

    fn run(&mut self, run: &Run<'_>) -> Flow {
        let seen = self.seen.last_mut().expect("a device comes before its leaves");
        assert!(run.len() > 0 && run.linear > 0 && run.linear <= run.len());
        self.yielded += run.len() as u64;
        let leaves: Vec<Leaf> = run.leaves().map(|leaf| twin_leaf(&leaf)).collect();
        let ends = (leaves[0].iova, leaves.last().unwrap().iova + (run.page_size() - 1));
        assert_eq!((run.iova_range().first().0, run.iova_range().last().0), ends);
        if run.permissions.read() || run.permissions.write() {
            seen.leaves.extend(leaves);
        }
        let [both, iova] = self.joins.as_mut().expect("a device comes before its leaves");
        both.push(run, |range| seen.by_both.push(range));
        iova.push(run, |range| seen.by_iova.push(range));
        Flow::Enter
    }

    fn fault(&mut self, fault: &Fault) -> Flow {
        match (fault.place.structure, self.seen.last_mut()) {
            (Structure::SecondStage(_), Some(seen)) => seen.faults.push(*fault),
            _ => self.faults.push(*fault),
        }
        Flow::Enter
    }
}

fn twin_leaf(leaf: &iopt::radix::Leaf) -> Leaf {
    Leaf {
        iova: leaf.iova.0,
        size: 1 << leaf.page_size_log2,
        phys: leaf.phys.0,
        read: leaf.permissions.read(),
        write: leaf.permissions.write(),
        snoop: leaf.raw & 1 << 11 != 0,
    }
}

/// Walks `unit` and hands out what was found.
pub fn collect<R: PhysReader>(unit: &Unit, reader: &R) -> (Collector, Statistics) {
    let mut scratch = Box::new(Scratch::new());
    let mut collector = Collector::default();
    let mut walk = unit.walk(reader, &mut scratch);
    walk.visit(&mut collector);
    collector.close();
    (collector, walk.statistics())
}

/// Checks the walk of the whole unit and returns what it found.
pub fn check(built: &Built, unit: &Unit, memory: &SparseMemory<'_>) -> Vec<Seen> {
    let twin = built.twin(memory);
    let (found, statistics) = collect(unit, memory);
    check_devices(&twin, &found);
    for seen in &found.seen {
        check_device(built, &twin, seen, &found.faults);
    }
    check_statistics(&found, &statistics);
    check_iterators(unit, memory, &found);
    check_copying(unit, memory, &found, &statistics);
    check_budget(unit, memory, &statistics);
    found.seen
}

fn check_devices(twin: &Twin<'_>, found: &Collector) {
    let words = |low: u64, high: u64| u128::from(high) << 64 | u128::from(low);
    let mut expected = BTreeMap::new();
    let mut faults = Vec::new();
    match twin.roots() {
        Err(code) => faults.push((Some(code), None, 0)),
        Ok(roots) => {
            let bad = roots.iter().filter(|root| root.code.is_some());
            faults.extend(bad.map(|root| (root.code, None, u16::from(root.bus))));
        }
    }
    for device in twin.devices() {
        match device.code {
            Some(_) => faults.push((device.code, Some(device.source), device.source & 0xff)),
            None => {
                expected.insert(device.source, words(device.words[0], device.words[1]));
            }
        }
    }
    let devices: Vec<_> = found.seen.iter().map(|s| (s.device.source_id.0, context(&s.device).raw())).collect();
    assert_eq!(devices, expected.into_iter().collect::<Vec<_>>());

    let code = |fault: &Fault| fault.reason.map(|reason| reason.code());
    // A missing top table is a fault of the context entry too; it is compared with the leaves.
    let top_missing = |fault: &&Fault| matches!((fault.cause, code(fault)), (Cause::Unreadable(_), Some(0x03)));
    let found = found.faults.iter().filter(|fault| !top_missing(fault));
    let mut found: Vec<_> = found.map(|f| (code(f), f.place.source_id.map(|s| s.0), f.place.index)).collect();
    found.sort();
    faults.sort();
    assert_eq!(found, faults);
}

fn check_device(built: &Built, twin: &Twin<'_>, seen: &Seen, context_faults: &[Fault]) {
    let source = seen.device.source_id;
    let (leaves, bad) = twin.leaves(source.0);
    assert_same(&seen.leaves, &leaves, source, "leaves");

    let beyond = |fault: &&Fault| matches!(fault.cause, Cause::TooWide { .. });
    let top = context_faults.iter().filter(|fault| fault.place.source_id == Some(source));
    let found = seen.faults.iter().filter(|fault| !beyond(fault)).chain(top);
    assert_same(&found.map(as_bad).collect::<Vec<_>>(), &bad, source, "faults");

    // What the tables map beyond the unit's reach is told once, if there is any.
    let unlimited = Twin { cap: twin.cap.map(|cap| cap | 0x3f << 16), ..*twin };
    let reach = seen.device.space.input().unwrap().last().0;
    let (far_leaves, far_bad) = unlimited.leaves(source.0);
    let mapped = far_leaves.iter().any(|leaf| leaf.iova > reach) || far_bad.iter().any(|bad| bad.iova > reach);
    let told = seen.faults.iter().filter(beyond).count();
    assert!(told <= 1);
    // Leaves that nobody may use are no leaves of the twin, but they are beyond all the same.
    assert!(told == 1 || !mapped, "{source}: nothing told of what is beyond {reach:#x} in {built:?}");

    let range = |range: &MappedRange| Range {
        iova: range.iova.first().0,
        last: range.iova.last().0,
        phys: range.phys.map(|phys| phys.0),
        read: range.permissions.read(),
        write: range.permissions.write(),
        snoop: range.attributes & 1 << 11 != 0,
    };
    let both: Vec<_> = seen.by_both.iter().map(range).collect();
    assert_same(&both, &twin::ranges(&leaves, false), source, "ranges by IOVA and memory");
    let iova: Vec<_> = seen.by_iova.iter().map(range).collect();
    assert_same(&iova, &twin::ranges(&leaves, true), source, "ranges by IOVA");
    for range in &seen.by_both {
        let inside = leaves.iter().filter(|leaf| range.iova.contains(iopt::Iova(leaf.iova)));
        assert_eq!(inside.map(|leaf| leaf.size).min(), Some(1 << range.page_size_log2), "{source}: page size");
    }
}

fn as_bad(fault: &Fault) -> Bad {
    let level = match fault.place.structure {
        Structure::Root => twin::ROOT,
        Structure::Context => CONTEXT,
        Structure::SecondStage(level) => level,
        other => panic!("{other} in legacy mode"),
    };
    Bad {
        level,
        table: fault.place.table.0,
        index: fault.place.index.into(),
        entry: fault.place.entry.expect("it was read").words()[0],
        iova: fault.place.iova.map_or(0, |iova| iova.0),
        code: fault.reason.map(|reason| reason.code()),
    }
}

fn assert_same<T: PartialEq + std::fmt::Debug>(found: &[T], expected: &[T], source: SourceId, what: &str) {
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    if let Some(at) = differs {
        panic!("{source}: {what} differ at {at}: found {:x?}, expected {:x?}", found[at], expected[at]);
    }
    assert_eq!(found.len(), expected.len(), "{source}: number of {what}, {:x?}", expected.get(found.len()));
}

fn check_statistics(found: &Collector, statistics: &Statistics) {
    let faults = found.faults.len() + found.seen.iter().map(|seen| seen.faults.len()).sum::<usize>();
    assert_eq!(statistics.faults, faults as u64);
    assert_eq!(statistics.leaves, found.yielded);
    assert_eq!(statistics.pages_read, 0, "all of it was lent");
    assert_eq!(statistics.bytes_lent, statistics.tables * 4096);
    let page_tables: usize = found.seen.iter().map(|seen| seen.tables.len()).sum();
    assert!(statistics.tables >= page_tables as u64);
}

/// The pulled ranges are the pushed ones, and each fault stands where its address belongs.
fn check_iterators(unit: &Unit, memory: &SparseMemory<'_>, found: &Collector) {
    let mut scratch = Box::new(Scratch::new());
    for join in [Join::Both, Join::Iova] {
        let pulled: Vec<_> = DeviceRanges::new(unit.walk(memory, &mut scratch), join).collect();
        let ranges: Vec<DeviceRange> = pulled.iter().filter_map(|item| item.ok()).collect();
        let mut pushed = Vec::new();
        for seen in &found.seen {
            let (source_id, domain) = (seen.device.source_id, seen.device.domain());
            match seen.device.space {
                AddressSpace::PassThrough { .. } => {
                    let own: Vec<_> = ranges.iter().filter(|range| range.source_id == source_id).collect();
                    assert!(own.len() == 1 && Some(own[0].iova) == seen.device.space.input());
                    pushed.push(*own[0]);
                }
                AddressSpace::SecondStage(_) => {
                    let ranges = if join == Join::Both { &seen.by_both } else { &seen.by_iova };
                    pushed.extend(ranges.iter().map(|range| DeviceRange::new(source_id, None, domain.unwrap(), range)));
                }
                other => panic!("{other:?} in legacy mode"),
            }
        }
        assert_eq!(ranges, pushed);

        let faults = pulled.iter().filter(|item| item.is_err()).count();
        assert_eq!(
            faults as u64,
            found.seen.iter().map(|seen| seen.faults.len() as u64).sum::<u64>() + found.faults.len() as u64
        );
        let key = |item: &Result<DeviceRange, Fault>| match item {
            Ok(range) => Some((range.source_id, range.iova.first())),
            Err(Fault { place, .. }) => place.source_id.zip(place.iova),
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
    assert_eq!(copied.faults, lent.faults);
    assert_eq!((counts.bytes_lent, counts.pages_read, counts.tables), (0, statistics.tables, statistics.tables));
    let mut visits: BTreeMap<u64, u64> = BTreeMap::new();
    for table in lent.seen.iter().flat_map(|seen| &seen.tables) {
        *visits.entry(table.addr.0).or_default() += 1;
    }
    let reads = copying.reads.into_inner();
    for (addr, visits) in visits {
        // A root or context table can be a page table as well, and then it is read once more.
        assert!(reads[&addr] >= visits && reads[&addr] <= visits + 257, "{addr:#x}");
    }
    let read: u64 =
        reads.iter().filter(|(addr, _)| memory.lend_page(iopt::PhysAddr(**addr)).is_some()).map(|(_, n)| n).sum();
    assert_eq!(read, statistics.tables);
}

/// A walk with a budget does no more than that, says so, and finds the same up to there.
fn check_budget(unit: &Unit, memory: &SparseMemory<'_>, whole: &Statistics) {
    for budget in [0, 1, whole.tables / 2, whole.tables.saturating_sub(1), whole.tables] {
        let mut scratch = Box::new(Scratch::new());
        let mut collector = Collector::default();
        let mut walk = unit.walk(memory, &mut scratch).max_tables(budget);
        walk.visit(&mut collector);
        assert!(walk.statistics().tables <= budget);
        let faults = collector.faults.iter().chain(collector.seen.iter().flat_map(|seen| &seen.faults));
        let exhausted = faults.filter(|fault| fault.cause == Cause::Budget { tables: budget }).count();
        // A budget that is exactly enough may still run out at a table that is not there.
        assert!(if exhausted == 0 { walk.statistics() == *whole } else { budget <= whole.tables }, "budget {budget}");
        assert!(exhausted == 1 || budget >= whole.tables, "budget {budget}");
        assert!(exhausted <= 1);
    }
}

/// The addresses that a fault's entry would map.
pub fn fault_span(fault: &Fault) -> Option<IovaRange> {
    let Structure::SecondStage(level) = fault.place.structure else { return None };
    Some(IovaRange::block(fault.place.iova?, 3 + 9 * level))
}

fn context(device: &Device) -> ContextEntry {
    match device.entries {
        DeviceEntries::Legacy { context, .. } => context,
        DeviceEntries::Scalable { .. } => panic!("{device:?} in legacy mode"),
    }
}
