//! Root and context tables of legacy mode.

use super::entry::{POINTER, PRESENT, point, reserved, set};
use crate::address::{PhysAddr, SourceId};
use crate::copy::copier::Copier;
use crate::copy::memo::Role;
use crate::copy::page_tables::{Owner, Stage, Tree};
use crate::copy::{Error, Mode, Problem};
use crate::memory::PhysReader;
use crate::vtd::{AddressSpace, ContextEntry, FaultReason, Place, RootEntry, SecondStageReasons, Unit, fault_at};

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    pub(super) fn legacy_bus(&mut self, unit: &Unit, bus: u8) -> Result<(), Error> {
        let Some(entry) = RootEntry::table(&self.images.root).get(usize::from(bus)).copied() else { return Ok(()) };
        if !entry.present() {
            return Ok(());
        }
        let place = Place::root(unit.rtaddr().root_table(), bus, Some(entry.raw().into()), None);
        let word = usize::from(bus).wrapping_mul(2);
        if let Err(wrong) = unit.check_root(&entry) {
            set(&mut self.images.root, word, POINTER & !reserved(&wrong.1, 0), 0);
            self.tell(&Problem::Refused(fault_at(wrong, place, false)));
            return Ok(());
        }
        let table = entry.context_table();
        if self.is_null(table, place)? {
            set(&mut self.images.root, word, POINTER | PRESENT, 0);
            return Ok(());
        }
        let copy = match self.known(table, Role::Context) {
            Some(copy) => Some(copy),
            None => self.legacy_context(unit, bus, table, place)?,
        };
        point(&mut self.images.root, word, copy);
        Ok(())
    }

    fn legacy_context(
        &mut self,
        unit: &Unit,
        bus: u8,
        table: PhysAddr,
        parent: Place,
    ) -> Result<Option<PhysAddr>, Error> {
        let fetched =
            self.fetch(table, FaultReason::ContextUnreadable, (parent, false), |images| &mut images.context)?;
        if fetched.is_none() {
            return Ok(None);
        }
        if self.mode == Mode::Adopt {
            return self.finish(table, Role::Context, |images| &images.context).map(Some);
        }
        for devfn in 0..=255 {
            let entry = ContextEntry::table(&self.images.context).get(usize::from(devfn)).copied();
            let Some(entry) = entry.filter(ContextEntry::present) else { continue };
            let (source_id, word) = (SourceId::new(bus, devfn), usize::from(devfn).wrapping_mul(2));
            let place = Place::context(table, devfn, entry.raw().into(), source_id);
            let owner = Owner { source_id, pasid: None, fault_disabled: entry.fault_disabled() };
            match unit.check_context(&entry) {
                Ok(AddressSpace::SecondStage(space)) => {
                    let stage = Stage::Second(SecondStageReasons::LEGACY);
                    let tree = Tree { format: &space.format, stage, owner, parent: place, rules: 0 };
                    let copy = self.subtree(&tree, space.root)?;
                    point(&mut self.images.context, word, copy);
                }
                Ok(_) => {}
                Err(wrong) => {
                    set(&mut self.images.context, word, POINTER & !reserved(&wrong.1, 0), 0);
                    self.tell(&Problem::Refused(fault_at(wrong, place, owner.fault_disabled)));
                }
            }
        }
        self.finish(table, Role::Context, |images| &images.context).map(Some)
    }
}
