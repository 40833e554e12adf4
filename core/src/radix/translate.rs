use super::{Entry, Format};
use crate::access::{Access, Permissions};
use crate::address::{Iova, PhysAddr};
use crate::memory::{Page, PhysReader, ReadError};

/// Where a request ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The memory that the address leads to.
    pub phys: PhysAddr,
    /// log2 of the size of the leaf, in bytes.
    pub page_size_log2: u8,
    /// What the whole path lets through.
    pub permissions: Permissions,
}

/// An entry on the path of a translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The table that this entry points to could not be read; `None` stands for the top table.
    Unreadable(ReadError, Option<Visit>),
    /// The entry does not let the access through; an absent entry lets nothing through.
    Denied(Visit),
    /// These reserved bits of the entry are set.
    ReservedBits(Visit, u64),
}

/// Follows the path of `iova` from the top table at `root`, as hardware does: at each level the entry is
/// fetched, then its permission is checked, then its reserved bits. Calls `visit` for every entry fetched.
///
/// Bits of `iova` above the format's top level do not matter here; whether they are allowed is for the
/// caller to know. `copy` is used where the reader can't lend.
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
    let mut table = root;
    let mut parent = None;
    let mut permissions = Permissions::READ_WRITE;
    let mut number = u8::try_from(format.levels().len()).unwrap_or(0);
    for level in format.levels().iter().rev() {
        let index = level.index(iova.0);
        let raw = match reader.lend_page(table) {
            Some(page) => page.word(index),
            None => {
                let read = reader.read_page(table, copy);
                read.map_err(|error| Refusal::Unreadable(error, parent))?;
                copy.word(index)
            }
        };
        let here = Visit { level: number, table, index: u16::try_from(index).unwrap_or(0), raw };
        visit(here);
        permissions = permissions & format.permissions(raw);
        if !permissions.allow(access) {
            return Err(Refusal::Denied(here));
        }
        match format.decode(level, raw) {
            Entry::Table(next) => table = next,
            Entry::Leaf(base) => {
                let inside = iova.0 & level.size().wrapping_sub(1);
                return Ok(Translation {
                    phys: PhysAddr(base.0 | inside),
                    page_size_log2: level.size_log2,
                    permissions,
                });
            }
            Entry::Malformed(bits) => {
                return Err(Refusal::ReservedBits(here, bits));
            }
            Entry::Absent => return Err(Refusal::Denied(here)),
        }
        parent = Some(here);
        number = number.wrapping_sub(1);
    }
    // Only a format whose level 1 is no leaf comes here.
    let nowhere = Visit { level: 0, table, index: 0, raw: 0 };
    Err(Refusal::Denied(nowhere))
}
