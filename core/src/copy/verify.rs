use super::memo::{Copied, Known, Memo, Role};
use super::page_tables::Stage;
use super::unit::reserved;
use super::workspace::Images;
use super::{Difference, Mode, Options, Partial, Workspace};
use crate::address::{PAGE_SIZE, Pasid, PhysAddr, SourceId};
use crate::memory::{Page, PageAllocator, PhysReader, ReadError, ReadErrorKind};
use crate::radix::{Entry, Format, MAX_LEVELS};
use crate::vtd::{
    AddressSpace, Bits, Cause, ContextEntry, Fault, Half, PasidDirectoryEntry, PasidEntry, Place, RootEntry, Rtaddr,
    ScalableContextEntry, ScalableRootEntry, SecondStageReasons, Unit,
};

const POINTER: u64 = !0xfff;

/// What [`verify`] has proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Tables that are equal on both sides.
    pub tables: u64,
    /// Entries that are not present in the copy, because their tables were lost. Only a [partial](Partial::Keep) copy
    /// has any.
    pub missing: u64,
}

/// Proves that the tables at `roots` are what those of `units` are: entry for entry, and bit for bit but for pointers.
/// No pointer to a table leads to memory that `pages` did not allocate; where tables were adopted, page tables and
/// PASID tables are those of the old kernel.
///
/// # Errors
/// The first [`Difference`], with its place.
pub fn verify<R: PhysReader + ?Sized>(
    old: &R,
    units: &[Unit],
    roots: &[Rtaddr],
    pages: &dyn PageAllocator,
    options: &Options,
    work: &mut Workspace<'_>,
) -> Result<Verified, Difference> {
    work.memo.clear();
    let mut verifier = Verifier {
        old,
        pages,
        options,
        memo: &mut work.memo,
        images: &mut work.room.images,
        verified: Verified::default(),
    };
    for ((number, unit), root) in units.iter().enumerate().zip(roots) {
        verifier.memo.read_by(number, units);
        verifier.unit(unit, root.root_table())?;
    }
    Ok(verifier.verified)
}

struct Verifier<'v, 'w, R: ?Sized> {
    old: &'v R,
    pages: &'v dyn PageAllocator,
    options: &'v Options,
    memo: &'v mut Memo<'w>,
    images: &'v mut Images,
    verified: Verified,
}

/// What an entry and its copy lead to.
enum Led {
    /// Nothing on either side, or what was proved before.
    Done,
    /// These tables, of which nothing is known yet.
    Both(PhysAddr),
}

impl<R: PhysReader + ?Sized> Verifier<'_, '_, R> {
    fn unit(&mut self, unit: &Unit, new: PhysAddr) -> Result<(), Difference> {
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

    /// Compares the word of an entry that has P and a pointer with its copy. If the hardware refuses the old one,
    /// `kept` are the bits of its pointer that it does so for, and of that no others may be in the copy.
    #[allow(clippy::too_many_arguments, reason = "both sides, and what they are")]
    fn led(
        &mut self,
        was: u64,
        is: u64,
        pointer: u64,
        kept: Option<u64>,
        role: Role,
        place: Place,
        pages: u8,
    ) -> Result<Led, Difference> {
        if was & 1 == 0 {
            return same(was, is, place).map(|()| Led::Done);
        }
        if let Some(kept) = kept {
            return same(was & !(pointer & !kept), is, place).map(|()| Led::Done);
        }
        if is == was & !(pointer | 1) && self.options.partial == Partial::Keep {
            self.verified.missing = self.verified.missing.saturating_add(1);
            return Ok(Led::Done);
        }
        if is & 1 == 0 {
            return Err(Difference::Missing { old: place });
        }
        same(was & !pointer, is & !pointer, place)?;
        self.pair(PhysAddr(was & pointer), PhysAddr(is & pointer), role, place, pages)
    }

    /// An old table and its copy: one copy each, and in new memory.
    fn pair(&mut self, old: PhysAddr, new: PhysAddr, role: Role, place: Place, pages: u8) -> Result<Led, Difference> {
        if let Some(Known::Copied(one, _)) = self.memo.table(old, role, 0) {
            if one != new {
                return Err(Difference::Twice { old: place, one, other: new });
            }
            return Ok(Led::Done);
        }
        for page in 0..u64::from(pages) {
            let at = PhysAddr(new.0.wrapping_add(page.wrapping_mul(PAGE_SIZE)));
            self.pages.page(at).map_err(|_| Difference::OldMemory { old: place, table: new })?;
        }
        self.memo.add_table(old, role, &Copied { copy: new, ..Copied::NEW }).map_err(|error| match error {
            super::Error::MemoFull { slots } => Difference::MemoFull { slots },
            _ => Difference::MemoFull { slots: 0 },
        })?;
        self.verified.tables = self.verified.tables.saturating_add(u64::from(pages));
        Ok(Led::Both(new))
    }

    fn copy(&self, new: PhysAddr, place: Place) -> Result<&Page, Difference> {
        self.pages.page(new).map_err(|_| Difference::OldMemory { old: place, table: new })
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
            let entries = context.directory_entries().saturating_sub(page << 9).min(512);
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

    /// Compares the page table at `root` with its copy; `words` are those of the entries that point to them.
    fn tree<F: Format>(
        &mut self,
        format: &F,
        root: PhysAddr,
        words: (u64, u64),
        pointer: u64,
        stage: Stage,
        parent: Place,
    ) -> Result<(), Difference> {
        let top = u8::try_from(format.levels().len()).unwrap_or(0);
        let Led::Both(new) = self.led(words.0, words.1, pointer, None, stage.role(top), parent, 1)? else {
            return Ok(());
        };
        // The tables on the path, and the entry that is looked at next in each.
        let mut path = [(PhysAddr(0), PhysAddr(0), 0usize); MAX_LEVELS];
        let mut level = top;
        self.enter(level, root, new, &mut path, parent)?;
        while let (Some(shape), Some(&(old, new, from))) =
            (format.levels().get(usize::from(level).wrapping_sub(1)), path.get(usize::from(level).wrapping_sub(1)))
        {
            let Some(image) = self.images.page_table(level) else { return Ok(()) };
            let made = self.pages.page(new).map_err(|_| Difference::OldMemory { old: parent, table: new })?;
            let mut child = None;
            for (index, (was, is)) in (from..).zip(image.words().iter().zip(made.words()).skip(from)) {
                let (was, is) = (was.get(), is.get());
                let place = || Place {
                    structure: stage.structure(level),
                    table: old,
                    index: u16::try_from(index).unwrap_or(0),
                    entry: Some(was.into()),
                    ..parent
                };
                // Beyond the entries there is nothing that hardware looks at.
                match format.decode(shape, was) {
                    Entry::Table(table) if index < shape.entries() => {
                        if is == was & !(shape.table_address | shape.present) && self.options.partial == Partial::Keep {
                            self.verified.missing = self.verified.missing.saturating_add(1);
                            continue;
                        }
                        if is & shape.present == 0 {
                            return Err(Difference::Missing { old: place() });
                        }
                        same(was & !shape.table_address, is & !shape.table_address, place())?;
                        child = Some((index, table, PhysAddr(is & shape.table_address), place()));
                        break;
                    }
                    Entry::Malformed(_) if was & shape.leaf == 0 && index < shape.entries() => {
                        same(was & !shape.table_address, is, place())?;
                    }
                    _ => same(was, is, place())?,
                }
            }
            let depth = usize::from(level).wrapping_sub(1);
            match child {
                None => {
                    if level >= top {
                        return Ok(());
                    }
                    level = level.wrapping_add(1);
                }
                Some((index, table, copy, place)) => {
                    if let Some(frame) = path.get_mut(depth) {
                        frame.2 = index.wrapping_add(1);
                    }
                    let below = level.wrapping_sub(1);
                    if let Led::Both(copy) = self.pair(table, copy, stage.role(below), place, 1)? {
                        self.enter(below, table, copy, &mut path, place)?;
                        level = below;
                    }
                }
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        level: u8,
        old: PhysAddr,
        new: PhysAddr,
        path: &mut [(PhysAddr, PhysAddr, usize); MAX_LEVELS],
        parent: Place,
    ) -> Result<(), Difference> {
        if let (Some(frame), Some(image)) =
            (path.get_mut(usize::from(level).wrapping_sub(1)), self.images.page_table_mut(level))
        {
            *frame = (old, new, 0);
            read(self.old, old, image, parent)?;
        }
        Ok(())
    }
}

fn read<R: PhysReader + ?Sized>(old: &R, addr: PhysAddr, image: &mut Page, parent: Place) -> Result<(), Difference> {
    super::copier::read(old, addr, image).map_err(|error| unreadable(error, parent))
}

fn unreadable(error: ReadError, place: Place) -> Difference {
    Difference::Unreadable(Fault { reason: None, cause: Cause::Unreadable(error), place, suppressed: false })
}

fn same(expected: u64, found: u64, place: Place) -> Result<(), Difference> {
    if expected == found { Ok(()) } else { Err(Difference::Entry { old: place, new: Bits::from(found) }) }
}

/// Bits 63:0.
fn word(raw: u128) -> u64 {
    Bits::from(raw).words()[0]
}
