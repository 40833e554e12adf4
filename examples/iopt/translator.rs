//! Translates requests of any device of any unit, and keeps what it learns about each device.

use crate::request::Request;
use crate::statistics::Statistics;
use iopt::memory::{Counted, Page, PhysReader};
use iopt::radix::Translation;
use iopt::vtd::{Device, Fault, PathEntry, Structure, Unit};
use iopt::{Requester, SourceId};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::iter;

/// The first unit and the others.
pub type Units<'a> = (&'a Unit, &'a [Unit]);

pub struct Translator<'a, R> {
    units: Units<'a>,
    reader: &'a Counted<R>,
    /// Boxed, since they are large, and a map has twice the room that it needs.
    devices: HashMap<Requester, Box<Resolved>>,
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
    pub fn new(units: Units<'a>, reader: &'a Counted<R>) -> Self {
        Self { units, reader, devices: HashMap::new(), copy: Page::ZERO, path: Vec::new(), leaves: 0, faults: 0 }
    }

    /// Where the request ends up.
    ///
    /// # Errors
    /// The fault, whose entries are in [`path`](Self::path).
    pub fn translate(&mut self, request: &Request) -> Result<Translation, Fault> {
        let &Request { requester, iova, access } = request;
        self.path.clear();
        if let Err(interrupt) = self.units.0.check_interrupt(requester, iova) {
            self.faults = self.faults.saturating_add(1);
            return Err(interrupt);
        }
        let resolved = match self.devices.entry(requester) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(Box::new(resolve(self.units, self.reader, requester, &mut self.copy)))
            }
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
        let mut statistics = Statistics::from(self.reader.counts());
        (statistics.leaves, statistics.faults) = (self.leaves, self.faults);
        statistics
    }
}

/// Finds the device in the first unit that has entries for it.
fn resolve<R: PhysReader>(units: Units<'_>, reader: &R, requester: Requester, copy: &mut Page) -> Resolved {
    let (first, others) = units;
    // Which unit a device belongs to stands in no table. With several, the first one that has entries for it is the one
    // for all of its PASIDs, and without any such unit the very first one tells why.
    let mut candidates = iter::once(first).chain(others).filter(|_| !others.is_empty());
    let unit = candidates.find(|unit| has_entries(unit, reader, requester.source_id, copy)).unwrap_or(first);
    let mut path = Vec::new();
    let device = unit.device(reader, requester, copy, |entry| path.push(entry));
    Resolved { device, path }
}

/// Whether there is a context entry that is present, whatever is wrong behind it.
fn has_entries<R: PhysReader>(unit: &Unit, reader: &R, source_id: SourceId, copy: &mut Page) -> bool {
    let mut present = false;
    let _ = unit.device(reader, source_id, copy, |PathEntry { structure, entry, .. }| {
        present |= structure == Structure::Context && entry.words().first().is_some_and(|word| word & 1 != 0);
    });
    present
}
