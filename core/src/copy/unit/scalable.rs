//! Root and context tables of scalable mode, which have two halves for each bus.

use super::entry::{POINTER, PRESENT, point, reserved, set};
use crate::address::{PhysAddr, SourceId};
use crate::copy::copier::Copier;
use crate::copy::memo::Role;
use crate::copy::{Error, Mode, Problem};
use crate::memory::PhysReader;
use crate::vtd::{FaultReason, Half, Place, ScalableContextEntry, ScalableRootEntry, Unit, fault_at};

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    pub(super) fn scalable_bus(&mut self, unit: &Unit, bus: u8) -> Result<(), Error> {
        let root_table = unit.rtaddr().root_table();
        let entry = ScalableRootEntry::table(&self.images.root).get(usize::from(bus)).copied();
        let Some(entry) = entry else { return Ok(()) };
        for (half, number) in [(Half::Lower, 0), (Half::Upper, 1)] {
            if !entry.present(half) {
                continue;
            }
            let place = Place::root(root_table, bus, Some(entry.raw().into()), None);
            let word = usize::from(bus).wrapping_mul(2).wrapping_add(number);
            if let Err(wrong) = unit.check_scalable_root(&entry, half) {
                set(&mut self.images.root, word, POINTER & !reserved(&wrong.1, number), 0);
                self.tell(&Problem::Refused(fault_at(wrong, place, false)));
                continue;
            }
            let table = entry.context_table(half);
            if self.is_null(table, place)? {
                set(&mut self.images.root, word, POINTER | PRESENT, 0);
                continue;
            }
            let copy = match self.known(table, Role::ScalableContext) {
                Some(copy) => Some(copy),
                None => self.scalable_context(unit, bus, half, table, place)?,
            };
            point(&mut self.images.root, word, copy);
        }
        Ok(())
    }

    fn scalable_context(
        &mut self,
        unit: &Unit,
        bus: u8,
        half: Half,
        table: PhysAddr,
        parent: Place,
    ) -> Result<Option<PhysAddr>, Error> {
        let reason = FaultReason::ScalableContextUnreadable;
        if self.fetch(table, reason, (parent, false), |images| &mut images.context)?.is_none() {
            return Ok(None);
        }
        let first = if half == Half::Lower { 0 } else { 0x80 };
        if self.mode == Mode::Adopt {
            return self.finish(table, Role::ScalableContext, |images| &images.context).map(Some);
        }
        for index in 0..0x80 {
            let entry = ScalableContextEntry::table(&self.images.context).get(usize::from(index)).copied();
            let Some(entry) = entry.filter(ScalableContextEntry::present) else { continue };
            let (source_id, word) = (SourceId::new(bus, first | index), usize::from(index).wrapping_mul(4));
            let place = Place::context(table, index, entry.words().into(), source_id);
            if let Err(wrong) = unit.check_scalable_context(&entry) {
                set(&mut self.images.context, word, POINTER & !reserved(&wrong.1, 0), 0);
                self.tell(&Problem::Refused(fault_at(wrong, place, entry.fault_disabled())));
                continue;
            }
            if entry.directory_table().0 == 0 {
                self.tell(&Problem::NullTable(place));
            }
            let role = Role::Directory(entry.directory_size());
            let copy = match self.known(entry.directory_table(), role) {
                Some(copy) => copy,
                None => self.directory(unit, source_id, &entry, place)?,
            };
            point(&mut self.images.context, word, Some(copy));
        }
        self.finish(table, Role::ScalableContext, |images| &images.context).map(Some)
    }
}
