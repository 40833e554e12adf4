//! What a walk comes to, written down.

use super::step;
use crate::twin::{Leaf, Step};
use iopt::coalesce::{Coalescer, Join, MappedRange};
use iopt::memory::PhysReader;
use iopt::radix::{Run, Statistics, Table};
use iopt::vtd::{Cause, Device, Fault, Structure, Unit};
use iopt::walk::{Flow, Scratch, Visitor};

/// What the walk found of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub device: Device,
    pub tables: Vec<Table>,
    /// Leaves and faults of its page tables in the order in which they came.
    pub leaves: Vec<Leaf>,
    pub faults: Vec<Fault>,
    pub by_both: Vec<MappedRange>,
    pub by_iova: Vec<MappedRange>,
}

/// What the walk found on the way to page tables.
#[derive(Clone, Debug, PartialEq)]
pub enum OnTheWay {
    Device(Box<Device>),
    Fault(Fault),
}

#[derive(Debug, Default)]
pub struct Collector {
    pub seen: Vec<Seen>,
    pub way: Vec<OnTheWay>,
    /// How many runs there were.
    pub runs: u64,
    /// How many leaves they had, usable or not.
    pub yielded: u64,
    joins: Option<[Coalescer; 2]>,
}

impl Collector {
    /// Ends the ranges of the last device.
    pub fn close(&mut self) {
        if let (Some([both, iova]), Some(seen)) = (&mut self.joins, self.seen.last_mut()) {
            seen.by_both.extend(both.finish());
            seen.by_iova.extend(iova.finish());
        }
        self.joins = Some([Coalescer::new(Join::Both), Coalescer::new(Join::Iova)]);
    }

    /// All faults, those of page tables last.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        let way = self.way.iter().filter_map(|item| match item {
            OnTheWay::Fault(fault) => Some(fault),
            OnTheWay::Device(_) => None,
        });
        way.chain(self.seen.iter().flat_map(|seen| &seen.faults))
    }
}

impl Visitor for Collector {
    fn device(&mut self, device: &Device) -> Flow {
        self.close();
        self.way.push(OnTheWay::Device(Box::new(*device)));
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
        self.runs += 1;
        self.yielded += run.len() as u64;
        let leaves: Vec<Leaf> = run.leaves().map(|leaf| twin_leaf(&leaf, run.attributes)).collect();
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
        let code = fault.reason.map_or(0, |reason| reason.code());
        let in_tables = matches!(fault.place.structure, Structure::FirstStage(_) | Structure::SecondStage(_));
        // The entry that leads to a top table is no page-table entry, but well-formed as far as that goes.
        let top_missing = matches!(fault.cause, Cause::Unreadable(_) | Cause::BeyondSecondStage { .. })
            && matches!(code, 0x03 | 0x73 | 0x74 | 0x7b);
        match self.seen.last_mut() {
            Some(seen) if in_tables || top_missing => seen.faults.push(*fault),
            _ => self.way.push(OnTheWay::Fault(*fault)),
        }
        Flow::Enter
    }
}

fn twin_leaf(leaf: &iopt::radix::Leaf, attributes: u64) -> Leaf {
    Leaf {
        iova: leaf.iova.0,
        size: 1 << leaf.page_size_log2,
        phys: leaf.phys.0,
        read: leaf.permissions.read(),
        write: leaf.permissions.write(),
        attributes,
    }
}

/// The entry that a fault is about, if it was read.
pub fn fault_step(fault: &Fault) -> Option<Step> {
    let place = fault.place;
    Some(step(place.structure, place.table, place.index, place.entry?))
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
