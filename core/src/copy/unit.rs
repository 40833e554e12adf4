//! What leads to page tables: root and context tables, PASID directories and tables.

use super::copier::{Copier, read};
use super::in_use::InUse;
use super::memo::{Copied, Role};
use super::page_tables::{Owner, Stage, Tree};
use super::workspace::Images;
use super::{Error, Mode, Problem};
use crate::address::{PAGE_SIZE, Pasid, PhysAddr, SourceId};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind, Word};
use crate::radix::Format;
use crate::vtd::{
    AddressSpace, Bits, Cause, ContextEntry, Fault, FaultReason, Half, PasidDirectoryEntry, PasidEntry, Place,
    RootEntry, Rtaddr, ScalableContextEntry, ScalableRootEntry, SecondStageReasons, Unit, fault_at,
};

/// Bits of a word that hold the address of a table.
const POINTER: u64 = !0xfff;
/// P of every entry above page tables.
const PRESENT: u64 = 1;

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    /// Copies all tables of a unit, and returns the new value for its root table address register.
    pub(super) fn unit(&mut self, unit: &Unit) -> Result<Rtaddr, Error> {
        let root = unit.rtaddr().root_table();
        let reason = if unit.is_scalable() { FaultReason::ScalableRootUnreadable } else { FaultReason::RootUnreadable };
        self.spend()?;
        if let Err(error) = read(self.old, root, &mut self.images.root) {
            let fault = Fault::new(reason, Cause::Unreadable(error), Place::root(root, 0, None, None), false);
            // Without a root table there is nothing of which a part could be kept.
            return Err(Error::Incomplete { unit: self.unit, fault });
        }
        if let Err(wrong) = unit.check_mode() {
            self.tell(&Problem::Refused(fault_at(wrong, Place::root(root, 0, None, None), false)));
        }
        for bus in 0..=255 {
            if unit.is_scalable() {
                self.scalable_bus(unit, bus)?;
            } else {
                self.legacy_bus(unit, bus)?;
            }
        }
        let copy = self.allocate(root, 1)?;
        self.root = Some(copy);
        self.write(root, copy, |images| &images.root)?;
        Ok(Rtaddr(copy.0 | unit.rtaddr().0 & !POINTER))
    }

    fn legacy_bus(&mut self, unit: &Unit, bus: u8) -> Result<(), Error> {
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

    /// A root entry that is present and points to nothing is taken for what it is: a mistake.
    fn is_null(&mut self, table: PhysAddr, place: Place) -> Result<bool, Error> {
        if table.0 == 0 {
            let error = ReadError::new(table, ReadErrorKind::Hole);
            let fault = Fault { reason: None, cause: Cause::Unreadable(error), place, suppressed: false };
            self.tell(&Problem::NullTable(place));
            self.lose(&Problem::Lost(fault))?;
        }
        Ok(table.0 == 0)
    }

    /// Reads a table above page tables into its image; `None` if that can't be.
    fn fetch(
        &mut self,
        table: PhysAddr,
        reason: FaultReason,
        parent: (Place, bool),
        image: impl Fn(&mut Images) -> &mut Page,
    ) -> Result<Option<()>, Error> {
        self.spend()?;
        match read(self.old, table, image(self.images)) {
            Ok(()) => Ok(Some(())),
            Err(error) => {
                let (place, fault_disabled) = parent;
                self.lose(&Problem::Lost(Fault::new(reason, Cause::Unreadable(error), place, fault_disabled)))?;
                Ok(None)
            }
        }
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

    /// The copy of a page table; `None` if its top table can't be read. What it maps has been told before.
    fn subtree<F: Format>(&mut self, tree: &Tree<'_, F>, root: PhysAddr) -> Result<Option<PhysAddr>, Error> {
        if root.0 == 0 {
            self.tell(&Problem::NullTable(tree.parent));
        }
        let met = self.memo.meet(root, tree.stage.role(tree.top()));
        self.plan.shared = self.plan.shared.wrapping_add(met.into());
        match self.tree(tree, root, &mut InUse::new(self.unit, None))? {
            Ok(copy) => Ok(Some(copy)),
            Err(defect) => {
                let fault = tree.fault(tree.stage.top_unreadable(), defect.into(), tree.parent);
                self.lose(&Problem::Lost(fault))?;
                Ok(None)
            }
        }
    }

    fn scalable_bus(&mut self, unit: &Unit, bus: u8) -> Result<(), Error> {
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

    /// Copies a PASID directory, whose pages follow each other in memory. A page that can't be read is empty in the
    /// copy.
    fn directory(
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
                    let entries = context.directory_entries().saturating_sub(page << 9).min(512);
                    self.directory_page(unit, table, owner, page, entries)?;
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

/// The word of a PASID table entry that has FSPTPTR.
const FIRST_STAGE_WORD: usize = 2;

/// The bits of an entry's `word` for which the hardware refuses it. They stay as they are, even those of a pointer:
/// without them it would be followed, to address 0.
pub(super) fn reserved(cause: &Cause, word: usize) -> u64 {
    match cause {
        Cause::ReservedBits(bits) => bits.words().get(word).copied().unwrap_or(0),
        _ => 0,
    }
}

/// Makes the entry at `word` point to a copy, or not present where there is none.
fn point(image: &mut Page, word: usize, copy: Option<PhysAddr>) {
    match copy {
        Some(copy) => set(image, word, POINTER, copy.0),
        None => set(image, word, POINTER | PRESENT, 0),
    }
}

/// Sets these bits of a word to those of `value`.
fn set(image: &mut Page, word: usize, bits: u64, value: u64) {
    if let Some(word) = image.words_mut().get_mut(word) {
        *word = Word::new(word.get() & !bits | value & bits);
    }
}
