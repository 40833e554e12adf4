//! Page tables: the trees below a context or PASID table entry.

use super::memo::Role;
use super::{Copier, Error, Problem};
use crate::address::{Iova, Pasid, PhysAddr, SourceId};
use crate::memory::{Page, PhysReader, Word};
use crate::radix::{Defect, Entry, Format, Level, MAX_LEVELS};
use crate::vtd::{Fault, FaultReason, Place, SecondStageReasons, Structure};

/// Which stage a page table is of, and how its defects are called.
#[derive(Clone, Copy)]
pub(super) enum Stage {
    /// With XD or without.
    First(bool),
    Second(&'static SecondStageReasons),
}

impl Stage {
    pub(super) fn role(self, level: u8) -> Role {
        match self {
            // Leaves are copied as they are, whatever XD is to those who read them.
            Self::First(execute_disable) => Role::FirstStage(level, execute_disable && level > 1),
            Self::Second(_) => Role::SecondStage(level),
        }
    }

    pub(super) fn structure(self, level: u8) -> Structure {
        match self {
            Self::First(_) => Structure::FirstStage(level),
            Self::Second(_) => Structure::SecondStage(level),
        }
    }

    fn reserved(self) -> FaultReason {
        match self {
            Self::First(_) => FaultReason::FirstStageReserved,
            Self::Second(reasons) => reasons.reserved,
        }
    }

    fn unreadable(self) -> FaultReason {
        match self {
            Self::First(_) => FaultReason::FirstStageUnreadable,
            Self::Second(reasons) => reasons.unreadable,
        }
    }

    pub(super) fn top_unreadable(self) -> FaultReason {
        match self {
            Self::First(_) => FaultReason::FirstStageTopUnreadable,
            Self::Second(reasons) => reasons.top_unreadable,
        }
    }
}

/// Whose page table it is, for what has to be told of it.
#[derive(Clone, Copy)]
pub(super) struct Owner {
    pub(super) source_id: SourceId,
    pub(super) pasid: Option<Pasid>,
    pub(super) fault_disabled: bool,
}

/// A table that is being copied: its image is, as far as it was looked at.
#[derive(Clone, Copy)]
struct Frame {
    table: PhysAddr,
    /// The first address that it maps.
    base: u64,
    /// The entry that is looked at next.
    next: usize,
}

/// What became of a table.
enum Entered {
    /// Its copy is here.
    Copied(PhysAddr),
    /// It was read, and its entries come next.
    Begun,
}

/// How far ahead tables are hinted at, and how much of them.
const HINTS: [(usize, usize); 2] = [(2, Page::SIZE), (4, 1)];

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    /// Copies the page table at `root`, children before parents, and returns where its copy lies; a defect if its top
    /// table can't be read.
    ///
    /// There is one copy of each table for each level that it is read at, however many entries lead to it. Levels
    /// descend along every path, so a table that leads to itself is no more than one copy for each of them.
    pub(super) fn tree<F: Format>(
        &mut self,
        format: &F,
        root: PhysAddr,
        stage: Stage,
        owner: Owner,
    ) -> Result<Result<PhysAddr, Defect>, Error> {
        let top = u8::try_from(format.levels().len()).unwrap_or(0);
        let mut frames = [Frame { table: root, base: 0, next: 0 }; MAX_LEVELS];
        match self.enter(top, root, stage)? {
            Ok(Entered::Copied(copy)) => return Ok(Ok(copy)),
            Ok(Entered::Begun) => {}
            Err(defect) => return Ok(Err(defect)),
        }
        let mut level = top;
        loop {
            let depth = usize::from(level).wrapping_sub(1);
            let (Some(shape), Some(frame)) = (format.levels().get(depth), frames.get(depth).copied()) else {
                return Ok(Err(Defect::NoSuchLevel { level }));
            };
            match self.next_child(format, shape, level, frame, stage, owner)? {
                Some((index, child)) => {
                    if let Some(frame) = frames.get_mut(depth) {
                        frame.next = index.wrapping_add(1);
                    }
                    let place = self.place(shape, level, frame, index, stage, owner);
                    let on_path = frames.get(depth..usize::from(top)).unwrap_or_default();
                    if on_path.iter().any(|above| above.table == child) {
                        let defect = Defect::Loop { table: child, level };
                        self.tell(&Problem::Loop(fault(stage.unreadable(), defect, place, owner)));
                    }
                    if child.0 == 0 {
                        self.tell(&Problem::NullTable(place));
                    }
                    match self.enter(level.wrapping_sub(1), child, stage)? {
                        Ok(Entered::Copied(copy)) => self.point(level, index, shape.table_address, copy),
                        Ok(Entered::Begun) => {
                            level = level.wrapping_sub(1);
                            let base = frame.base.wrapping_add((index as u64).wrapping_shl(shape.size_log2.into()));
                            if let Some(below) = frames.get_mut(depth.wrapping_sub(1)) {
                                *below = Frame { table: child, base, next: 0 };
                            }
                        }
                        Err(defect) => {
                            self.lose(&Problem::Lost(fault(stage.unreadable(), defect, place, owner)))?;
                            self.clear(level, index, shape.table_address | shape.present);
                        }
                    }
                }
                None => {
                    let copy = self.finish(frame.table, stage.role(level), level)?;
                    if level >= top {
                        return Ok(Ok(copy));
                    }
                    level = level.wrapping_add(1);
                    let above = usize::from(level).wrapping_sub(1);
                    if let (Some(shape), Some(frame)) = (format.levels().get(above), frames.get(above)) {
                        self.point(level, frame.next.wrapping_sub(1), shape.table_address, copy);
                    }
                }
            }
        }
    }

    /// The next entry that points to a table. What is refused on the way there is told, and its pointer cleared.
    fn next_child<F: Format>(
        &mut self,
        format: &F,
        shape: &Level,
        level: u8,
        frame: Frame,
        stage: Stage,
        owner: Owner,
    ) -> Result<Option<(usize, PhysAddr)>, Error> {
        let mut from = frame.next;
        loop {
            let Some(image) = self.images.page_table(level) else { return Ok(None) };
            let table = |word: &Word| match format.decode(shape, word.get()) {
                Entry::Absent | Entry::Leaf(_) => None,
                found => Some(found),
            };
            let entries = image.words().get(from..shape.entries()).unwrap_or_default();
            let Some((index, found)) =
                (from..).zip(entries).find_map(|(index, word)| table(word).map(|found| (index, found)))
            else {
                return Ok(None);
            };
            from = index.wrapping_add(1);
            match found {
                Entry::Table(child) => {
                    // Without pages to copy them to, leaf tables are not looked at.
                    let hints = if level == 2 && self.pages.is_none() { &[][..] } else { &HINTS[..] };
                    for &(ahead, bytes) in hints {
                        if let Entry::Table(later) = format.decode(shape, image.word(index.wrapping_add(ahead))) {
                            self.old.prefetch(later, bytes);
                        }
                    }
                    return Ok(Some((index, child)));
                }
                Entry::Malformed(bits) => {
                    let raw = image.word(index);
                    let place = self.place(shape, level, frame, index, stage, owner);
                    let refused = fault(stage.reserved(), Defect::ReservedBits(bits), place, owner);
                    self.tell(&Problem::Refused(refused));
                    // The memory of a leaf is no table.
                    if raw & shape.leaf == 0 {
                        self.clear(level, index, shape.table_address);
                    }
                }
                Entry::Absent | Entry::Leaf(_) => {}
            }
        }
    }

    /// Finds the copy of a table, or reads it: a leaf table is copied at once.
    fn enter(&mut self, level: u8, table: PhysAddr, stage: Stage) -> Result<Result<Entered, Defect>, Error> {
        let role = stage.role(level);
        if let Some(copy) = self.known(table, role) {
            return Ok(Ok(Entered::Copied(copy)));
        }
        self.spend()?;
        if level > 1 {
            return Ok(match self.images.page_table_mut(level) {
                Some(image) => read(self.old, table, image).map(|()| Entered::Begun).map_err(Defect::Unreadable),
                None => Err(Defect::NoSuchLevel { level }),
            });
        }
        if let Some(page) = self.old.lend_page(table) {
            return self.add(table, role, page).map(|copy| Ok(Entered::Copied(copy)));
        }
        let Some(image) = self.images.page_table_mut(1) else { return Ok(Err(Defect::NoSuchLevel { level })) };
        if let Err(error) = self.old.read_page(table, image) {
            return Ok(Err(Defect::Unreadable(error)));
        }
        self.finish(table, role, 1).map(|copy| Ok(Entered::Copied(copy)))
    }

    /// Makes an entry of an image point to a copy.
    fn point(&mut self, level: u8, index: usize, address: u64, copy: PhysAddr) {
        if let Some(word) = self.images.page_table_mut(level).and_then(|image| image.words_mut().get_mut(index)) {
            *word = Word::new(word.get() & !address | copy.0 & address);
        }
    }

    fn clear(&mut self, level: u8, index: usize, bits: u64) {
        self.point(level, index, bits, PhysAddr(0));
    }

    fn place(&self, shape: &Level, level: u8, frame: Frame, index: usize, stage: Stage, owner: Owner) -> Place {
        let raw = self.images.page_table(level).map(|image| image.word(index).into());
        Place {
            structure: stage.structure(level),
            table: frame.table,
            index: u16::try_from(index).unwrap_or(0),
            entry: raw,
            source_id: Some(owner.source_id),
            pasid: owner.pasid,
            iova: Some(Iova(frame.base.wrapping_add((index as u64).wrapping_shl(shape.size_log2.into())))),
        }
    }
}

pub(super) fn fault(reason: FaultReason, defect: Defect, place: Place, owner: Owner) -> Fault {
    Fault::new(reason, defect.into(), place, owner.fault_disabled)
}

/// The page at `addr`, which is whole or an error.
pub(super) fn read<R: PhysReader + ?Sized>(
    old: &R,
    addr: PhysAddr,
    image: &mut Page,
) -> Result<(), crate::memory::ReadError> {
    match old.lend_page(addr) {
        Some(page) => {
            image.clone_from(page);
            Ok(())
        }
        None => old.read_page(addr, image),
    }
}
