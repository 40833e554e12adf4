//! The page tables of one device: into them, out of them, and what lies beyond its reach.

use super::memo::{Shared, is_part};
use super::unit::{Event, Stage, UnitWalk};
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::memory::PhysReader;
use crate::radix::{self, Defect, Found, Malformed, Table};
use crate::vtd::{AddressSpace, Device, Fault, Place, Structure};

impl<R: PhysReader + ?Sized> UnitWalk<'_, R> {
    /// Enters the page tables of the current device, if it has any.
    pub(super) fn enter_tables(&mut self) -> Option<Result<Event, Fault>> {
        self.stage = Stage::Device;
        let device = self.device.as_ref()?;
        let window = device.space.input()?.intersection(&self.window)?;
        let (stage, part, entered) = match &device.space {
            AddressSpace::SecondStage(space) => {
                let part = is_part(&space.format, window);
                if let Some(shared) = self.shared_top(space.root, space.levels(), part) {
                    return Some(Ok(shared));
                }
                let cursor = self.tables.begin_inner();
                cursor.fold(self.memo.is_some());
                (Stage::Second, part, cursor.start(space.format, space.root, window))
            }
            AddressSpace::FirstStage(space) => {
                let part = is_part(&space.format, window);
                if let Some(shared) = self.shared_top(space.root, space.levels(), part) {
                    return Some(Ok(shared));
                }
                (Stage::First, part, self.tables.begin_outer().start(space.format, space.root, window))
            }
            AddressSpace::Nested(first, second) => {
                let entered = self.tables.start(first.format, first.root, window, second.inner());
                (Stage::Nested, is_part(&first.format, window), entered)
            }
            AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => return None,
        };
        Some(match entered {
            Ok(table) => {
                let before = self.memo.as_mut().and_then(|memo| memo.meet(device, &table, part));
                match before {
                    Some(with) => Ok(Event::Shared(Shared { table, with })),
                    None => {
                        self.stage = stage;
                        Ok(Event::Table(table))
                    }
                }
            }
            Err(defect) => Err(device.top_defect(defect)),
        })
    }

    /// The top table of the current device, if the walk came to it before: it need not be read again.
    fn shared_top(&self, root: PhysAddr, level: u8, part: bool) -> Option<Event> {
        let with = self.memo.as_ref()?.find(self.device.as_ref()?, root, level, part)?;
        let table = Table { addr: root, level, iova: Iova(0), repeats: 0 };
        Some(Event::Shared(Shared { table, with }))
    }

    /// A table below the top one, which the walk stands in.
    #[inline]
    pub(super) fn table(&mut self, table: Table) -> Event {
        if self.memo.is_some() {
            return self.recall(table);
        }
        Event::Table(table)
    }

    /// A table that is remembered, if all of it is looked at. If it was before, it is left again.
    #[cold]
    fn recall(&mut self, table: Table) -> Event {
        let sees_all =
            if self.stage == Stage::Second { self.tables.inner().sees_all() } else { self.tables.outer().sees_all() };
        let before = match (&mut self.memo, &self.device) {
            (Some(memo), Some(device)) if sees_all => memo.meet(device, &table, false),
            _ => None,
        };
        match before {
            Some(with) => {
                self.skip();
                Event::Shared(Shared { table, with })
            }
            None => Event::Table(table),
        }
    }

    /// The walk of the current device is over, but for what its second stage maps beyond the unit's reach.
    pub(super) fn leave_tables(&mut self) {
        self.stage = Stage::Device;
        let Some(Device { space: AddressSpace::SecondStage(space), .. }) = &self.device else { return };
        let reach = IovaRange::block(Iova(0), space.input_bits);
        let table = IovaRange::block(Iova(0), space.format.input_bits());
        let beyond = reach.last().0.checked_add(1).and_then(|first| IovaRange::new(Iova(first), table.last()));
        if let Some(beyond) = beyond.and_then(|beyond| beyond.intersection(&self.window)) {
            self.tables.inner().set_window(beyond);
            self.stage = Stage::Beyond;
        }
    }

    /// The first leaf or malformed entry that the second stage has and the unit can't reach.
    pub(super) fn find_beyond(&mut self) -> Option<Fault> {
        loop {
            let (table, level, index, raw, iova) = match self.tables.inner().advance()? {
                Found::Table(_) => continue,
                Found::Run(extent) => {
                    let run = self.tables.inner_run(&extent)?;
                    let found = (run.table, run.level, run.index, run.entries.first()?.get(), run.iova);
                    let leaves = run.len() as u64;
                    self.tables.inner().forget_leaves(leaves);
                    found
                }
                Found::Malformed(malformed) => {
                    if let Defect::Budget(_) = malformed.defect {
                        return self.malformed(radix::Stage::Inner, &malformed);
                    }
                    let Malformed { level, table, index, raw, iova, .. } = malformed;
                    (table, level, index, raw, iova)
                }
            };
            let device = self.device.as_ref()?;
            let space = device.space.second_stage()?;
            self.stage = Stage::Device;
            let place = Place {
                structure: Structure::SecondStage(level),
                table,
                index,
                entry: Some(raw.into()),
                iova: Some(iova),
                ..device.place()
            };
            let reason = device.reasons().too_wide;
            return Some(Fault::new(reason, space.too_wide(), place, device.fault_disabled()));
        }
    }
}
