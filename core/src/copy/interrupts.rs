//! The interrupt remapping table, which is one array and is copied whole.

use super::copier::read;
use crate::address::{PAGE_SIZE, PhysAddr};
use crate::memory::{AllocError, Page, PageAllocator, PhysReader, ReadError};
use crate::vtd::{InterruptEntry, Irta};
use thiserror::Error;

/// Why an interrupt remapping table was not copied, or is not what the old one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InterruptsError {
    /// This is no value that IRTA_REG can have.
    #[error("interrupt remapping table address {:#x}: expected bits 10:4 to be 0, found {reserved:#x}", .irta.0)]
    Reserved {
        /// The value.
        irta: Irta,
        /// Its reserved bits that are set.
        reserved: u64,
    },
    /// The table runs past the end of the 64-bit space.
    #[error("interrupt remapping table address {:#x}: its {entries} entries run past the last address", .irta.0)]
    BeyondMemory {
        /// The value.
        irta: Irta,
        /// How many entries it says there are.
        entries: u32,
    },
    /// A part of the old table can't be read.
    #[error("interrupt remapping table, from entry {index} on: {error}")]
    Unreadable {
        /// The first entry of the page.
        index: u32,
        /// Why not.
        error: ReadError,
    },
    /// A page for the new table could not be had.
    #[error("interrupt remapping table, from entry {index} on: {error}")]
    Pages {
        /// The first entry of the page.
        index: u32,
        /// What went wrong.
        error: AllocError,
    },
    /// An entry of the copy is not what the old one is.
    #[error("interrupt remapping entry {index}: expected {expected:#x}, found {found:#x} in the copy")]
    Differs {
        /// Which one.
        index: u32,
        /// The old entry.
        expected: u128,
        /// The new one.
        found: u128,
    },
}

/// The entries of a page of the table.
const PER_PAGE: usize = 256;

/// Copies the interrupt remapping table at `irta`, whole: interrupts are remapped by index, so every entry keeps its
/// place. Each entry that is present is told to `in_use`, so that its index is not handed out.
///
/// Returns the new value for IRTA_REG, of the same size and mode.
///
/// # Errors
/// [`InterruptsError`], after which every page was given back.
///
/// ```
/// use iopt::memory::{Page, Slot, SparseMemory};
/// use iopt::vtd::Irta;
/// use iopt::{copy, PhysAddr};
///
/// let (mut old, mut new) = ([Slot::EMPTY; 1], [Slot::EMPTY; 1]);
/// let (mut old, mut pages) = (SparseMemory::new(&mut old), SparseMemory::new(&mut new));
/// old.write_u64(PhysAddr(0x5010), 0x30_0009)?; // entry 1: vector 0x30
/// let (irta, mut used) = (Irta(0x5007), Vec::new());
///
/// let copied = copy::interrupts(&old, irta, &mut pages, |index, _| used.push(index))?;
/// assert_eq!((used, copied), (vec![1], Irta(0x1007)));
/// copy::verify_interrupts(&old, irta, &pages, copied, &mut Page::ZERO.clone())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn interrupts<R: PhysReader + ?Sized>(
    old: &R,
    irta: Irta,
    pages: &mut dyn PageAllocator,
    mut in_use: impl FnMut(u32, &InterruptEntry),
) -> Result<Irta, InterruptsError> {
    let count = check(irta)?;
    let new = pages.allocate(count).map_err(|error| InterruptsError::Pages { index: 0, error })?;
    let copied = fill(old, irta, pages, new, &mut in_use);
    if copied.is_err() {
        pages.free(new, count);
    }
    copied.map(|()| Irta(new.0 | irta.0 & PAGE_SIZE.wrapping_sub(1)))
}

fn fill<R: PhysReader + ?Sized>(
    old: &R,
    irta: Irta,
    pages: &mut dyn PageAllocator,
    new: PhysAddr,
    in_use: &mut dyn FnMut(u32, &InterruptEntry),
) -> Result<(), InterruptsError> {
    for (index, from, to) in parts(irta, new) {
        let failed = |error| InterruptsError::Pages { index, error };
        let page = pages.page_mut(to).map_err(failed)?;
        read(old, from, page).map_err(|error| InterruptsError::Unreadable { index, error })?;
        for (number, entry) in entries(irta, index, page) {
            if entry.present() {
                in_use(number, entry);
            }
        }
        pages.flush(to).map_err(failed)?;
    }
    Ok(())
}

/// Proves that the table at `copied`, in `pages`, is what the one at `irta` is. `copy` holds pages that can't be lent.
///
/// # Errors
/// The first difference.
pub fn verify_interrupts<R: PhysReader + ?Sized>(
    old: &R,
    irta: Irta,
    pages: &dyn PageAllocator,
    copied: Irta,
    copy: &mut Page,
) -> Result<(), InterruptsError> {
    check(irta)?;
    for (index, from, to) in parts(irta, copied.table()) {
        let made = pages.page(to).map_err(|error| InterruptsError::Pages { index, error })?;
        let unreadable = |error| InterruptsError::Unreadable { index, error };
        match old.lend_page(from) {
            Some(page) => same(irta, index, page, made)?,
            None => {
                old.read_page(from, copy).map_err(unreadable)?;
                same(irta, index, copy, made)?;
            }
        }
    }
    Ok(())
}

fn same(irta: Irta, first: u32, old: &Page, new: &Page) -> Result<(), InterruptsError> {
    for ((index, was), (_, is)) in entries(irta, first, old).zip(entries(irta, first, new)) {
        let (expected, found) = (was.raw(), is.raw());
        if expected != found {
            return Err(InterruptsError::Differs { index, expected, found });
        }
    }
    Ok(())
}

/// How many pages the table has, if it can be one.
fn check(irta: Irta) -> Result<usize, InterruptsError> {
    let entries = irta.entry_count();
    let pages = usize::try_from(entries).unwrap_or(usize::MAX).div_ceil(PER_PAGE);
    let last = (pages as u64).wrapping_mul(PAGE_SIZE).wrapping_sub(1);
    match (irta.reserved(), irta.table().checked_add(last)) {
        (0, Some(_)) => Ok(pages),
        (0, None) => Err(InterruptsError::BeyondMemory { irta, entries }),
        (reserved, _) => Err(InterruptsError::Reserved { irta, reserved }),
    }
}

/// The pages of the table: the first entry of each, where it is, and where its copy is.
fn parts(irta: Irta, new: PhysAddr) -> impl Iterator<Item = (u32, PhysAddr, PhysAddr)> {
    (0..irta.entry_count()).step_by(PER_PAGE).map(move |index| {
        let bytes = u64::from(index).wrapping_mul(16);
        (index, PhysAddr(irta.table().0.wrapping_add(bytes)), PhysAddr(new.0.wrapping_add(bytes)))
    })
}

/// The entries of the page that begins with entry `first`.
fn entries(irta: Irta, first: u32, page: &Page) -> impl Iterator<Item = (u32, &InterruptEntry)> {
    (first..irta.entry_count()).zip(InterruptEntry::table(page))
}
