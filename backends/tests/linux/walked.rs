//! Everything that a walk comes to.

use crate::Way;
use iopt::coalesce::{Coalescer, Join, MappedRange};
use iopt::memory::PhysReader;
use iopt::radix::{Leaf, Statistics, Table};
use iopt::vtd::{AddressSpace, Device, Fault, Structure, Unit};
use iopt::walk::{Scratch, Step};

/// What a walk came to at one device.
pub struct Walked {
    pub device: Device,
    /// In visiting order.
    pub tables: Vec<Table>,
    pub leaves: Vec<Leaf>,
    /// What a coalescer made of the runs.
    pub pushed: Vec<MappedRange>,
}

impl Walked {
    /// Whether its page tables are of the first stage.
    pub fn first_stage(&self) -> bool {
        self.device.space.first_stage().is_some()
    }

    /// The kind of its page tables at `level`.
    pub fn structure(&self, level: u8) -> Structure {
        if self.first_stage() { Structure::FirstStage(level) } else { Structure::SecondStage(level) }
    }

    /// The key under which the expectations have its page table.
    pub fn key(&self) -> Option<String> {
        match &self.device.space {
            AddressSpace::SecondStage(space) => Some(format!("sl@{:#x}/{}", space.root.0, space.levels())),
            AddressSpace::FirstStage(space) => Some(format!("fl@{:#x}/{}", space.root.0, space.levels())),
            AddressSpace::PassThrough { .. } => None,
            other => panic!("{}: {other:?}", self.device.source_id),
        }
    }
}

/// What a walk came to.
pub struct Walk {
    pub devices: Vec<Walked>,
    pub faults: Vec<Fault>,
    pub statistics: Statistics,
}

impl Walk {
    pub fn new<R: PhysReader + ?Sized>(unit: Unit, reader: &R) -> Self {
        let mut scratch = Scratch::new();
        let mut walk = unit.walk(reader, &mut scratch);
        let (mut devices, mut faults) = (Vec::<Walked>::new(), Vec::new());
        let mut coalescer = Coalescer::new(Join::Both);
        while let Some(step) = walk.next() {
            match step {
                Step::Device(device) => {
                    if let Some(last) = devices.last_mut() {
                        last.pushed.extend(coalescer.finish());
                    }
                    devices.push(Walked { device: *device, tables: vec![], leaves: vec![], pushed: vec![] });
                }
                Step::Table(table) => devices.last_mut().unwrap().tables.push(table),
                Step::Run(run) => {
                    let last = devices.last_mut().unwrap();
                    last.leaves.extend(run.leaves());
                    coalescer.push(&run, |range| last.pushed.push(range));
                }
                Step::Shared(shared) => panic!("without a memo: {shared:?}"),
                Step::Fault(fault) => faults.push(fault),
            }
        }
        if let Some(last) = devices.last_mut() {
            last.pushed.extend(coalescer.finish());
        }
        Self { devices, faults, statistics: walk.statistics() }
    }

    /// The walk of tables in which everything can be followed.
    pub fn whole(way: &Way<'_>) -> Self {
        let walk = Self::new(way.unit, &way.reader);
        assert_eq!(walk.faults, [], "{}", way.name);
        walk
    }
}
