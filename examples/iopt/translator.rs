//! Translates requests of any device of any unit, and keeps what it learns about each device.

use crate::parse::Request;
use crate::statistics::{Counting, Statistics};
use iopt::SourceId;
use iopt::memory::{Page, PhysReader};
use iopt::radix::Translation;
use iopt::vtd::{Cause, Device, Fault, PathEntry, Structure, Unit};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The first unit and the others.
pub type Units<'a> = (&'a Unit, &'a [Unit]);

pub struct Translator<'a, R> {
    units: Units<'a>,
    reader: &'a Counting<'a, R>,
    devices: HashMap<SourceId, Resolved>,
    copy: Page,
    path: Vec<PathEntry>,
    leaves: u64,
    faults: u64,
}

/// A device, or why it has none, and the entries on the way there.
struct Resolved {
    device: Result<Device, Fault>,
    path: Vec<PathEntry>,
}

impl<'a, R: PhysReader> Translator<'a, R> {
    pub fn new(units: Units<'a>, reader: &'a Counting<'a, R>) -> Self {
        Self { units, reader, devices: HashMap::new(), copy: Page::ZERO, path: Vec::new(), leaves: 0, faults: 0 }
    }

    /// Where the request ends up.
    ///
    /// # Errors
    /// The fault, whose entries are in [`path`](Self::path).
    pub fn translate(&mut self, request: &Request) -> Result<Translation, Fault> {
        let &Request { source_id, iova, access } = request;
        self.path.clear();
        if let Err(interrupt) = self.units.0.check_interrupt(source_id, iova) {
            self.faults = self.faults.saturating_add(1);
            return Err(interrupt);
        }
        let resolved = match self.devices.entry(source_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(resolve(self.units, self.reader, source_id, &mut self.copy)),
        };
        let translated = match &resolved.device {
            Ok(device) => device.translate(self.reader, iova, access, &mut self.copy, |entry| self.path.push(entry)),
            Err(fault) => {
                let mut fault = *fault;
                fault.place.iova = Some(iova);
                Err(fault)
            }
        };
        match &translated {
            Ok(translation) => self.leaves = self.leaves.saturating_add(translation.leaf.is_some().into()),
            Err(_) => {
                self.faults = self.faults.saturating_add(1);
                self.path.splice(0..0, resolved.path.iter().copied());
            }
        }
        translated
    }

    /// The entries that the last request, which was refused, went through.
    pub fn path(&self) -> &[PathEntry] {
        &self.path
    }

    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.reader.statistics();
        (statistics.leaves, statistics.faults) = (self.leaves, self.faults);
        statistics
    }
}

/// Finds the device in the first unit that has entries for it. Which unit a device belongs to stands in no table, so
/// without any such unit the first one tells why.
fn resolve<R: PhysReader>(units: Units<'_>, reader: &R, source_id: SourceId, copy: &mut Page) -> Resolved {
    let mut attempt = |unit: &Unit| {
        let mut path = Vec::new();
        let device = unit.device(reader, source_id, copy, |entry| path.push(entry));
        Resolved { device, path }
    };
    let first = attempt(units.0);
    if first.has_entries() {
        return first;
    }
    units.1.iter().map(attempt).find(Resolved::has_entries).unwrap_or(first)
}

impl Resolved {
    /// Whether there is a context entry that is present, good or not.
    fn has_entries(&self) -> bool {
        match &self.device {
            Ok(_) => true,
            Err(fault) => fault.place.structure == Structure::Context && fault.cause != Cause::NotPresent,
        }
    }
}
