//! Tables made in memory, valid or broken on purpose: for tests, benchmarks and examples. Needs the feature `builder`.
//!
//! A [`UnitBuilder`] writes the tables of one unit into pages of any [`PageAllocator`], word by word; it has nothing
//! to do with the walk, which it is there to try. [`At`] names an entry of any kind, to
//! [set](UnitBuilder::set) and [clear](UnitBuilder::clear) its bits, to [point](UnitBuilder::point) it elsewhere, to
//! [share](UnitBuilder::share) what is below it, or to [take the table away](UnitBuilder::free) that it points to.
//!
//! ```
//! use iopt::builder::{At, Leaves, Target, UnitBuilder};
//! use iopt::memory::{Slot, SparseMemory};
//! use iopt::{Iova, PhysAddr, SourceId, vtd::TranslationMode, walk::Scratch};
//!
//! let (mut slots, device) = ([Slot::EMPTY; 8], SourceId::new(0, 8));
//! let mut memory = SparseMemory::new(&mut slots);
//! let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
//! let table = tables.second_stage(3)?;
//! tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000)))?;
//! tables.device(device, Target::second_stage(table))?;
//! let range = tables.unit().ranges(tables.pages(), &mut Scratch::new()).next().expect("one leaf")?;
//! assert_eq!(range.to_string(), "00:01.0 0x200000-0x3fffff -> 0x80200000 rw");
//!
//! // Its broken twin: bit 4 of a context entry is reserved.
//! tables.set(At::Context(device), 1_u64 << 4)?;
//! let fault = tables.unit().ranges(tables.pages(), &mut Scratch::new()).next().expect("a fault").unwrap_err();
//! assert_eq!(fault.reason.map(|reason| reason.code()), Some(0xb));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In scalable mode a device has PASIDs; `device` makes the entry that requests without one use:
//!
//! ```
//! # use iopt::builder::{Leaves, Target, UnitBuilder};
//! # use iopt::memory::{Slot, SparseMemory};
//! # use iopt::{Iova, Pasid, PhysAddr, SourceId, vtd::TranslationMode};
//! # let (mut slots, device) = ([Slot::EMPTY; 16], SourceId::new(0, 8));
//! # let mut memory = SparseMemory::new(&mut slots);
//! let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Scalable)?;
//! let (first, second) = (tables.first_stage(4)?, tables.second_stage(4)?);
//! tables.map(first, Leaves::of_4k(Iova(0xffff_8000_0000_0000), PhysAddr(0x4000_0000)).times(16))?;
//! // 2 GiB that stay where they are: the first stage's tables are in there, and what they lead to.
//! tables.map(second, Leaves::of_1g(Iova(0), PhysAddr(0)).times(2))?;
//! tables.device(device, Target::second_stage(second))?;
//! tables.pasid(device, Pasid(5), Target::nested(first, second))?;
//! # Ok::<(), iopt::builder::Error>(())
//! ```

mod at;
mod devices;
mod error;
mod leaves;
mod page_tables;
mod pasids;
mod stage;
mod target;

pub use at::At;
pub use error::Error;
pub use leaves::Leaves;
pub use pasids::Pasids;
pub use stage::{PageTable, Stage};
pub use target::Target;

use crate::address::PhysAddr;
use crate::memory::{AllocError, Page, PageAllocator, Word};
use crate::vtd::{Rtaddr, TranslationMode, Unit};

/// P of the entries of every table but those of a second stage.
const PRESENT: u64 = 1 << 0;
/// FPD of context, PASID directory and PASID table entries.
const FAULT_DISABLE: u64 = 1 << 1;
/// Where entries that lead to page tables have the address of the next table.
const POINTER: u64 = !0xfff;

/// Makes the tables of one unit.
///
/// It keeps nothing but the unit: everything else is in memory. After an error what was written before stays. Nothing
/// is [flushed](PageAllocator::flush) and nothing given back, unless with [`free`](Self::free): these are tables to
/// read, not to give to hardware.
#[derive(Debug)]
pub struct UnitBuilder<'p, A: ?Sized> {
    pages: &'p mut A,
    unit: Unit,
}

impl<'p, A: PageAllocator + ?Sized> UnitBuilder<'p, A> {
    /// A unit in legacy or scalable mode with an empty root table.
    ///
    /// # Errors
    /// [`Error::Mode`] in a mode without such tables, and [`Error::Allocate`].
    pub fn new(pages: &'p mut A, mode: TranslationMode) -> Result<Self, Error> {
        let mode = match mode {
            TranslationMode::Legacy => 0,
            TranslationMode::Scalable => 1 << 10,
            TranslationMode::Extended => 2 << 10,
            TranslationMode::AbortDma => 3 << 10,
        };
        let mut builder = Self { pages, unit: Unit::new(Rtaddr(mode))? };
        let root = builder.allocate(1)?;
        builder.unit = Unit::new(Rtaddr(root.0 | mode))?;
        Ok(builder)
    }

    /// Goes on with a unit whose tables are in `pages`.
    pub fn resume(pages: &'p mut A, unit: Unit) -> Self {
        Self { pages, unit }
    }

    /// The unit, of which nothing is known but its root table.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The pages, to look at the tables in between.
    #[must_use]
    pub fn pages(&self) -> &A {
        self.pages
    }

    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, Error> {
        let allocated = self.pages.allocate(pages).map_err(|error| Error::Allocate(error.kind))?;
        Ok(allocated.page())
    }

    fn word(&self, addr: PhysAddr) -> Result<u64, Error> {
        Ok(self.pages.page(addr).map_err(|error| missing(addr, error))?.word(index(addr)))
    }

    fn put(&mut self, addr: PhysAddr, value: u64) -> Result<(), Error> {
        let page: &mut Page = self.pages.page_mut(addr).map_err(|error| missing(addr, error))?;
        if let Some(word) = page.words_mut().get_mut(index(addr)) {
            *word = Word::new(value);
        }
        Ok(())
    }
}

fn missing(addr: PhysAddr, error: AllocError) -> Error {
    Error::Page { addr: addr.page(), kind: error.kind }
}

/// The number of the word at `addr` in its page.
fn index(addr: PhysAddr) -> usize {
    usize::try_from((addr.0 & !POINTER) >> 3).unwrap_or(0)
}

/// The address of the entry `index` of those of `size` bytes in the table at `table`.
fn entry(table: PhysAddr, index: u64, size: u64) -> PhysAddr {
    PhysAddr(table.0.wrapping_add(index.wrapping_mul(size)))
}
