//! PASID directories and tables.

use super::entry::{POINTER, PRESENT, point, reserved, set};
use crate::address::{PAGE_SIZE, Pasid, PhysAddr, SourceId};
use crate::copy::copier::Copier;
use crate::copy::memo::{Copied, Role};
use crate::copy::page_tables::{Owner, Stage, Tree};
use crate::copy::{Error, Problem};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use crate::vtd::{
    AddressSpace, Bits, Cause, Fault, FaultReason, PasidDirectoryEntry, PasidEntry, Place, ScalableContextEntry,
    SecondStageReasons, Unit, fault_at,
};

/// The word of a PASID table entry that has FSPTPTR.
const FIRST_STAGE_WORD: usize = 2;

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    /// Copies a PASID directory, whose pages follow each other in memory. A page that can't be read is empty in the
    /// copy.
    pub(super) fn directory(
        &mut self,
        unit: &Unit,
        source_id: SourceId,
        context: &ScalableContextEntry,
        parent: Place,
    ) -> Result<PhysAddr, Error> {
        let table = context.directory_table();
        let role = Role::Directory(context.directory_size());
        let pages = context.directory_entries().div_ceil(512);
        let copy = self.allocate_as(table, role, u8::try_from(pages).unwrap_or(u8::MAX), Copied::NEW)?;
        for page in 0..pages {
            let bytes = u64::from(page).wrapping_mul(PAGE_SIZE);
            let owner = Owner { source_id, pasid: Some(Pasid(page << 15)), fault_disabled: context.fault_disabled() };
            let reason = FaultReason::PasidDirectoryUnreadable;
            let parent = Place { pasid: owner.pasid, ..parent };
            let fetched = match table.checked_add(bytes) {
                Some(addr) => self.fetch(addr, reason, (parent, false), |images| &mut images.directory)?,
                None => {
                    let error = ReadError::new(table, ReadErrorKind::Hole);
                    self.lose(&Problem::Lost(Fault::new(reason, Cause::Unreadable(error), parent, false)))?;
                    None
                }
            };
            match fetched {
                Some(()) => {
                    // One that is longer than a page fills all of its pages.
                    self.directory_page(unit, table, owner, page, context.directory_entries().min(512))?;
                }
                None => self.images.directory.clone_from(&Page::ZERO),
            }
            let at = PhysAddr(copy.0.wrapping_add(bytes));
            self.write(table, at, |images| &images.directory)?;
        }
        Ok(copy)
    }

    fn directory_page(
        &mut self,
        unit: &Unit,
        table: PhysAddr,
        owner: Owner,
        page: u32,
        entries: u32,
    ) -> Result<(), Error> {
        for index in (0..512usize).zip(0..entries).map(|(index, _)| index) {
            let entry = PasidDirectoryEntry::table(&self.images.directory).get(index).copied();
            let Some(entry) = entry.filter(PasidDirectoryEntry::present) else { continue };
            let pasid = Pasid(page << 15 | u32::try_from(index).unwrap_or(0) << 6);
            let place = Place::directory(table, entry.raw().into(), owner.source_id, pasid);
            let fault_disabled = owner.fault_disabled || entry.fault_disabled();
            if let Err(wrong) = unit.check_directory(&entry) {
                set(&mut self.images.directory, index, POINTER & !reserved(&wrong.1, 0), 0);
                self.tell(&Problem::Refused(fault_at(wrong, place, fault_disabled)));
                continue;
            }
            if entry.pasid_table().0 == 0 {
                self.tell(&Problem::NullTable(place));
            }
            let owner = Owner { pasid: Some(pasid), fault_disabled, ..owner };
            let copy = match self.known(entry.pasid_table(), Role::Pasids) {
                Some(copy) => Some(copy),
                None => self.pasids(unit, entry.pasid_table(), owner, place)?,
            };
            point(&mut self.images.directory, index, copy);
        }
        Ok(())
    }

    fn pasids(&mut self, unit: &Unit, table: PhysAddr, owner: Owner, parent: Place) -> Result<Option<PhysAddr>, Error> {
        let reason = FaultReason::PasidEntryUnreadable;
        if self.fetch(table, reason, (parent, false), |images| &mut images.pasids)?.is_none() {
            return Ok(None);
        }
        for index in 0..64usize {
            let entry = PasidEntry::table(&self.images.pasids).get(index).copied();
            let Some(entry) = entry.filter(PasidEntry::present) else { continue };
            let first = owner.pasid.unwrap_or_default().0;
            let pasid = Pasid(first | u32::try_from(index).unwrap_or(0));
            let place = Place::pasid(table, Bits::from(entry.words()), owner.source_id, pasid);
            let fault_disabled = owner.fault_disabled || entry.fault_disabled();
            let owner = Owner { pasid: Some(pasid), fault_disabled, ..owner };
            let word = index.wrapping_mul(8);
            let second = Stage::Second(SecondStageReasons::SCALABLE);
            match unit.check_pasid(&entry, false) {
                // The tables of a nested first stage are in the memory that the second stage maps, and stay there.
                Ok(AddressSpace::SecondStage(space) | AddressSpace::Nested(_, space)) => {
                    let tree = Tree { format: &space.format, stage: second, owner, parent: place, rules: 0 };
                    let copy = self.subtree(&tree, space.root)?;
                    if copy.is_none() {
                        set(&mut self.images.pasids, word, PRESENT, 0);
                    }
                    set(&mut self.images.pasids, word, POINTER, copy.map_or(0, |copy| copy.0));
                }
                Ok(AddressSpace::FirstStage(space)) => {
                    let (format, rules) = (&space.format, space.format.rules());
                    let stage = Stage::First(entry.execute_disable());
                    let copy = self.subtree(&Tree { format, stage, owner, parent: place, rules }, space.root)?;
                    if copy.is_none() {
                        set(&mut self.images.pasids, word, PRESENT, 0);
                    }
                    let word = word.wrapping_add(FIRST_STAGE_WORD);
                    set(&mut self.images.pasids, word, POINTER, copy.map_or(0, |copy| copy.0));
                }
                Ok(AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_)) => {}
                Err(wrong) => {
                    set(&mut self.images.pasids, word, POINTER & !reserved(&wrong.1, 0), 0);
                    let third = word.wrapping_add(FIRST_STAGE_WORD);
                    set(&mut self.images.pasids, third, POINTER & !reserved(&wrong.1, FIRST_STAGE_WORD), 0);
                    self.tell(&Problem::Refused(fault_at(wrong, place, fault_disabled)));
                }
            }
        }
        self.finish(table, Role::Pasids, |images| &images.pasids).map(Some)
    }
}
