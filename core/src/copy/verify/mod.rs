//! Proves that a copy is what the old tables are.

mod tables;
mod unit;

use super::memo::{Copied, Known, Memo, Role};
use super::workspace::Images;
use super::{Difference, Options, Partial, Workspace};
use crate::address::{PAGE_SIZE, PhysAddr};
use crate::memory::{Page, PageAllocator, PhysReader, ReadError};
use crate::vtd::{Bits, Cause, Fault, Place, Rtaddr, Unit};

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
    if roots.len() < units.len() {
        return Err(Difference::Roots { units: units.len(), roots: roots.len() });
    }
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
        let old = unit.rtaddr();
        if (old.0 ^ root.0) & MODE != 0 {
            return Err(Difference::Mode { unit: number, old, new: *root });
        }
        verifier.memo.read_by(number, units);
        verifier.unit(unit, root.root_table())?;
    }
    Ok(verifier.verified)
}

/// What a root table address says besides the address.
const MODE: u64 = 0xfff;

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
