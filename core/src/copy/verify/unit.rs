//! Compares what leads to page tables: root and context tables, PASID directories and tables.

use super::{Led, Verifier, read, same, unreadable};
use crate::address::{PAGE_SIZE, Pasid, PhysAddr, SourceId};
use crate::copy::memo::Role;
use crate::copy::page_tables::Stage;
use crate::copy::unit::entry::{POINTER, reserved};
use crate::copy::{Difference, Mode, Partial};
use crate::memory::{PhysReader, ReadError, ReadErrorKind};
use crate::vtd::{
    AddressSpace, Bits, ContextEntry, Half, PasidDirectoryEntry, PasidEntry, Place, RootEntry, ScalableContextEntry,
    ScalableRootEntry, SecondStageReasons, Unit,
};

impl<R: PhysReader + ?Sized> Verifier<'_, '_, R> {
    pub(super) fn unit(&mut self, unit: &Unit, new: PhysAddr) -> Result<(), Difference> {
        let old = unit.rtaddr().root_table();
        read(self.old, old, &mut self.images.root, Place::root(old, 0, None, None))?;
        let pages = self.pages;
        let copy = pages.page(new).map_err(|_| Difference::Root(new))?;
        for bus in 0..=255 {
            if unit.is_scalable() {
                let at = usize::from(bus);
                let both =
                    [ScalableRootEntry::table(&self.images.root).get(at), ScalableRootEntry::table(copy).get(at)];
                let [Some(entry), Some(made)] = both.map(Option::<&ScalableRootEntry>::copied) else { continue };
                let place = Place::root(old, bus, Some(entry.raw().into()), None);
                for half in [Half::Lower, Half::Upper] {
                    let shift = if half == Half::Lower { 0 } else { 64 };
                    let [was, is] = [entry, made].map(|entry| word(entry.raw() >> shift));
                    let word = if half == Half::Lower { 0 } else { 1 };
                    let kept = unit.check_scalable_root(&entry, half).err().map(|(_, cause)| reserved(&cause, word));
                    let role = Role::ScalableContext;
                    if let Led::Both(table) = self.led(was, is, POINTER, kept, role, place, 1)? {
                        self.scalable_context(unit, bus, half, entry.context_table(half), table, place)?;
                    }
                }
            } else {
                let at = usize::from(bus);
                let both = [RootEntry::table(&self.images.root).get(at), RootEntry::table(copy).get(at)];
                let [Some(entry), Some(made)] = both.map(Option::<&RootEntry>::copied) else { continue };
                let place = Place::root(old, bus, Some(entry.raw().into()), None);
                same(word(entry.raw() >> 64), word(made.raw() >> 64), place)?;
                let [was, is] = [entry, made].map(|entry| word(entry.raw()));
                let kept = unit.check_root(&entry).err().map(|(_, cause)| reserved(&cause, 0));
                if let Led::Both(table) = self.led(was, is, POINTER, kept, Role::Context, place, 1)? {
                    self.legacy_context(unit, bus, entry.context_table(), table, place)?;
                }
            }
        }
        self.verified.tables = self.verified.tables.saturating_add(1);
        Ok(())
    }

    fn legacy_context(
        &mut self,
        unit: &Unit,
        bus: u8,
        old: PhysAddr,
        new: PhysAddr,
        parent: Place,
    ) -> Result<(), Difference> {
        read(self.old, old, &mut self.images.context, parent)?;
        for devfn in 0..=255 {
            let at = usize::from(devfn);
            let entry = ContextEntry::table(&self.images.context).get(at).copied();
            let made = ContextEntry::table(self.copy(new, parent)?).get(at).copied();
            let (Some(entry), Some(made)) = (entry, made) else { continue };
            let place = Place::context(old, devfn, entry.raw().into(), SourceId::new(bus, devfn));
            same(word(entry.raw() >> 64), word(made.raw() >> 64), place)?;
            let [was, is] = [entry, made].map(|entry| word(entry.raw()));
            if self.options.mode == Mode::Adopt || !entry.present() {
                same(was, is, place)?;
                continue;
            }
            match unit.check_context(&entry) {
                Ok(AddressSpace::SecondStage(space)) => {
                    let stage = Stage::Second(SecondStageReasons::LEGACY);
                    self.tree(&space.format, space.root, (was, is), POINTER, stage, place)?;
                }
                Ok(_) => same(was, is, place)?,
                Err((_, cause)) => same(was & !(POINTER & !reserved(&cause, 0)), is, place)?,
            }
        }
        Ok(())
    }

    fn scalable_context(
        &mut self,
        unit: &Unit,
        bus: u8,
        half: Half,
        old: PhysAddr,
        new: PhysAddr,
        parent: Place,
    ) -> Result<(), Difference> {
        read(self.old, old, &mut self.images.context, parent)?;
        let first = if half == Half::Lower { 0 } else { 0x80 };
        for index in 0..0x80 {
            let at = usize::from(index);
            let entry = ScalableContextEntry::table(&self.images.context).get(at).copied();
            let made = ScalableContextEntry::table(self.copy(new, parent)?).get(at).copied();
            let (Some(entry), Some(made)) = (entry, made) else { continue };
            let source_id = SourceId::new(bus, first | index);
            let place = Place::context(old, index, entry.words().into(), source_id);
            let ([was, rest @ ..], [is, made_rest @ ..]) = (entry.words(), made.words());
            if rest != made_rest {
                return Err(Difference::Entry { old: place, new: made.words().into() });
            }
            if self.options.mode == Mode::Adopt {
                same(was, is, place)?;
                continue;
            }
            let kept = unit.check_scalable_context(&entry).err().map(|(_, cause)| reserved(&cause, 0));
            let pages = entry.directory_entries().div_ceil(512);
            let role = Role::Directory(entry.directory_size());
            let count = u8::try_from(pages).unwrap_or(u8::MAX);
            if let Led::Both(table) = self.led(was, is, POINTER, kept, role, place, count)? {
                self.directory(unit, &entry, source_id, table, place)?;
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        unit: &Unit,
        context: &ScalableContextEntry,
        source_id: SourceId,
        new: PhysAddr,
        parent: Place,
    ) -> Result<(), Difference> {
        let old = context.directory_table();
        for page in 0..context.directory_entries().div_ceil(512) {
            let bytes = u64::from(page).wrapping_mul(PAGE_SIZE);
            let found = match old.checked_add(bytes) {
                Some(addr) => read(self.old, addr, &mut self.images.directory, parent),
                None => Err(unreadable(ReadError::new(old, ReadErrorKind::Hole), parent)),
            };
            let at = PhysAddr(new.0.wrapping_add(bytes));
            if let Err(lost) = found {
                // The copy of a page that was lost has nothing in it.
                let empty = self.copy(at, parent)?.words().iter().all(|word| word.get() == 0);
                if self.options.partial == Partial::Refuse || !empty {
                    return Err(lost);
                }
                self.verified.missing = self.verified.missing.saturating_add(1);
                continue;
            }
            let entries = context.directory_entries().min(512);
            for (index, number) in (0..512usize).zip(0u32..) {
                let entry = PasidDirectoryEntry::table(&self.images.directory).get(index).copied();
                let made = PasidDirectoryEntry::table(self.copy(at, parent)?).get(index).copied();
                let (Some(entry), Some(made)) = (entry, made) else { continue };
                let pasid = Pasid(page << 15 | number << 6);
                let place = Place::directory(old, entry.raw().into(), source_id, pasid);
                if number >= entries {
                    same(entry.raw(), made.raw(), place)?;
                    continue;
                }
                let kept = unit.check_directory(&entry).err().map(|(_, cause)| reserved(&cause, 0));
                let led = self.led(entry.raw(), made.raw(), POINTER, kept, Role::Pasids, place, 1)?;
                if let Led::Both(table) = led {
                    self.pasids(unit, entry.pasid_table(), table, (source_id, pasid), place)?;
                }
            }
        }
        Ok(())
    }

    fn pasids(
        &mut self,
        unit: &Unit,
        old: PhysAddr,
        new: PhysAddr,
        (source_id, first): (SourceId, Pasid),
        parent: Place,
    ) -> Result<(), Difference> {
        read(self.old, old, &mut self.images.pasids, parent)?;
        for (index, number) in (0..64usize).zip(0..) {
            let entry = PasidEntry::table(&self.images.pasids).get(index).copied();
            let made = PasidEntry::table(self.copy(new, parent)?).get(index).copied();
            let (Some(entry), Some(made)) = (entry, made) else { continue };
            let place = Place::pasid(old, entry.words().into(), source_id, Pasid(first.0 | number));
            let ([second, domain, third, rest @ ..], made_words) = (entry.words(), made.words());
            let [made_second, made_domain, made_third, made_rest @ ..] = made_words;
            let differs = Err(Difference::Entry { old: place, new: made_words.into() });
            if (domain, rest) != (made_domain, made_rest) {
                return differs;
            }
            match entry.present().then(|| unit.check_pasid(&entry, false)) {
                Some(Ok(AddressSpace::SecondStage(space) | AddressSpace::Nested(_, space))) => {
                    same(third, made_third, place)?;
                    let stage = Stage::Second(SecondStageReasons::SCALABLE);
                    self.tree(&space.format, space.root, (second, made_second), POINTER, stage, place)?;
                }
                Some(Ok(AddressSpace::FirstStage(space))) => {
                    let lost = made_third == third & !POINTER && made_second == second & !1;
                    if lost && self.options.partial == Partial::Keep {
                        self.verified.missing = self.verified.missing.saturating_add(1);
                        continue;
                    }
                    same(second, made_second, place)?;
                    // Its P is in another word.
                    let words = (third | 1, made_third | 1);
                    same(third & !POINTER, made_third & !POINTER, place)?;
                    self.tree(&space.format, space.root, words, POINTER, Stage::First(entry.execute_disable()), place)?;
                }
                Some(Err((_, cause))) => {
                    same(second & !(POINTER & !reserved(&cause, 0)), made_second, place)?;
                    same(third & !(POINTER & !reserved(&cause, 2)), made_third, place)?;
                }
                Some(Ok(AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_))) | None => {
                    if (second, third) != (made_second, made_third) {
                        return differs;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Bits 63:0.
fn word(raw: u128) -> u64 {
    Bits::from(raw).words()[0]
}
