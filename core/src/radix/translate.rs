use super::{Entry, Format, Level};
use crate::access::{Access, Permissions};
use crate::address::{Iova, PhysAddr};
use crate::memory::{Page, PhysReader, ReadError, lend_or_copy};
use core::fmt;

/// Where a request ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The memory that the address leads to.
    pub phys: PhysAddr,
    /// log2 of the size of the leaf, in bytes.
    pub page_size_log2: u8,
    /// What the whole path lets through.
    pub permissions: Permissions,
    /// The leaf that ended the path; `None` when the request passed through without page tables.
    pub leaf: Option<Visit>,
}

/// An entry on the path of a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Visit {
    /// The level of its table.
    pub level: u8,
    /// The table.
    pub table: PhysAddr,
    /// Which entry.
    pub index: u16,
    /// The entry as it stands in the table.
    pub raw: u64,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The table that this entry points to could not be read; `None` stands for the top table.
    Unreadable(ReadError, Option<Visit>),
    /// The entry does not let the access through; an absent entry lets nothing through.
    Denied(Visit),
    /// These reserved bits of the entry are set.
    ReservedBits(Visit, u64),
}

impl fmt::Display for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, table, index, raw } = self;
        write!(f, "entry {index} = {raw:#x} of table {table} at level {level}")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error, None) => write!(f, "the top table can't be read: {error}"),
            Self::Unreadable(error, Some(entry)) => write!(f, "the table of {entry} can't be read: {error}"),
            Self::Denied(entry) => write!(f, "{entry} does not let it through"),
            Self::ReservedBits(entry, bits) => write!(f, "reserved bits {bits:#x} are set in {entry}"),
        }
    }
}

/// Follows the path of `iova` from the top table at `root`, as hardware does: at each level the entry is
/// fetched, then its permission is checked, then its reserved bits. Calls `visit` for every entry fetched.
///
/// Bits of `iova` above the format's top level do not matter here; whether they are allowed is for the
/// caller to know, which [`Format::accepts`] may help with. `copy` is used where the reader can't lend.
///
/// # Errors
/// [`Refusal`] by the first check that fails.
#[inline]
pub fn translate<R: PhysReader + ?Sized, F: Format>(
    reader: &R,
    format: &F,
    root: PhysAddr,
    iova: Iova,
    access: Access,
    copy: &mut Page,
    mut visit: impl FnMut(Visit),
) -> Result<Translation, Refusal> {
    let mut page = lend_or_copy(reader, root, copy).map_err(|error| Refusal::Unreadable(error, None))?;
    let mut path = Path::new(format, root);
    for level in format.levels().iter().rev() {
        match path.step(format, level, page, iova, access, &mut visit)? {
            Stepped::Table(next, raw) => {
                page = lend_or_copy(reader, next, copy)
                    .map_err(|error| Refusal::Unreadable(error, Some(path.visit(level, iova, raw))))?;
                path.descend(next);
            }
            Stepped::Leaf(translation) => return Ok(translation),
        }
    }
    Err(path.astray())
}

/// How many translations [`translate_all`] has under way at once.
const LANES: usize = 16;

/// Translates many addresses as [`translate`] does, level by level for a group of them at a time, so that
/// their loads from memory overlap. Calls `done` once for each address with its place in `iovas`, not in order.
#[inline]
pub fn translate_all<R: PhysReader + ?Sized, F: Format>(
    reader: &R,
    format: &F,
    root: PhysAddr,
    iovas: &[Iova],
    access: Access,
    copy: &mut Page,
    mut done: impl FnMut(usize, Result<Translation, Refusal>),
) {
    let path = Path::new(format, root);
    let mut first = 0usize;
    for group in iovas.chunks(LANES) {
        // A lane without a page has ended.
        let mut lanes = [(reader.lend_page(root), path); LANES];
        for level in format.levels().iter().rev() {
            for (lane, (iova, (page, path))) in group.iter().zip(&mut lanes).enumerate() {
                let Some(table) = *page else { continue };
                *page = None;
                match path.step(format, level, table, *iova, access, |_| ()) {
                    Ok(Stepped::Table(next, _)) => {
                        *page = reader.lend_page(next);
                        path.descend(next);
                    }
                    Ok(Stepped::Leaf(translation)) => {
                        path.number = ENDED;
                        done(first.wrapping_add(lane), Ok(translation));
                    }
                    Err(refusal) => {
                        path.number = ENDED;
                        done(first.wrapping_add(lane), Err(refusal));
                    }
                }
            }
        }
        // What could not be lent on the way is translated by itself.
        for (lane, (iova, (_, path))) in group.iter().zip(&lanes).enumerate() {
            if path.number != ENDED {
                let alone = translate(reader, format, root, *iova, access, copy, |_| ());
                done(first.wrapping_add(lane), alone);
            }
        }
        first = first.wrapping_add(LANES);
    }
}

/// The [`Path::number`] of a path that has come to its end.
const ENDED: u8 = u8::MAX;

/// How far a translation has come.
#[derive(Clone, Copy)]
pub(super) struct Path {
    /// The table whose entry comes next.
    table: PhysAddr,
    /// Its level.
    number: u8,
    /// What the entries so far let through.
    permissions: Permissions,
}

/// What an entry leads to.
pub(super) enum Stepped {
    /// The next table, and the entry that points to it.
    Table(PhysAddr, u64),
    Leaf(Translation),
}

impl Path {
    pub(super) fn new<F: Format>(format: &F, root: PhysAddr) -> Self {
        let number = u8::try_from(format.levels().len()).unwrap_or(0);
        Self { table: root, number, permissions: Permissions::READ_WRITE }
    }

    #[inline(always)]
    pub(super) fn descend(&mut self, table: PhysAddr) {
        self.table = table;
        self.number = self.number.wrapping_sub(1);
    }

    /// The table turns out to lie here.
    pub(super) fn place_in(&mut self, table: PhysAddr) {
        self.table = table;
    }

    /// The entry `raw` that `iova` selects in the table.
    #[inline(always)]
    fn visit(&self, level: &Level, iova: Iova, raw: u64) -> Visit {
        let index = u16::try_from(level.index(iova.0) & 0x1ff).unwrap_or(0);
        Visit { level: self.number, table: self.table, index, raw }
    }

    /// Looks at the entry of `page`, which is the table that the path has come to.
    #[inline(always)]
    pub(super) fn step<F: Format>(
        &mut self,
        format: &F,
        level: &Level,
        page: &Page,
        iova: Iova,
        access: Access,
        mut visit: impl FnMut(Visit),
    ) -> Result<Stepped, Refusal> {
        let raw = page.word(level.index(iova.0));
        visit(self.visit(level, iova, raw));
        self.permissions = self.permissions & format.permissions(raw);
        if !self.permissions.allow(access) {
            return Err(Refusal::Denied(self.visit(level, iova, raw)));
        }
        match format.decode(level, raw) {
            Entry::Table(next) => Ok(Stepped::Table(next, raw)),
            Entry::Leaf(base) => Ok(Stepped::Leaf(Translation {
                phys: PhysAddr(base.0 | iova.0 & level.size().wrapping_sub(1)),
                page_size_log2: level.size_log2,
                permissions: self.permissions,
                leaf: Some(self.visit(level, iova, raw)),
            })),
            Entry::Malformed(bits) => Err(Refusal::ReservedBits(self.visit(level, iova, raw), bits)),
            Entry::Absent => Err(Refusal::Denied(self.visit(level, iova, raw))),
        }
    }

    /// Only a format whose level 1 is no leaf, or that has no levels, ends like this.
    #[cold]
    pub(super) fn astray(&self) -> Refusal {
        Refusal::Denied(Visit { level: 0, table: self.table, index: 0, raw: 0 })
    }
}
