//! A crashed kernel's tables in a new kernel's memory: plan, execute, verify.
//!
//! When a kernel panics, its devices go on doing DMA through tables that lie in its memory. The kernel that takes over
//! must not change what they translate to, and must not hand out the addresses that they use:
//!
//! ```text
//!  old kernel's memory                        new kernel's memory
//!
//!  root ──▶ context ──▶ page tables           root' ──▶ context' ──▶ page tables'   copy
//!    │         │             │                  ▲          ▲              ▲
//!    │         │             └──── copied ──────┼──────────┼──────────────┘         children first,
//!    │         └────────────────── copied ──────┼──────────┘                        the root last
//!    └──────────────────────────── copied ──────┘
//!                                             root' ──▶ context' ──▶ page tables    adopt: those of the old kernel
//! ```
//!
//! 1. [`plan`] reads everything and changes nothing: how many pages it takes, which domains there are, what can't be
//!    copied and why.
//! 2. [`Plan::execute`] reserves every address in use, and writes the new tables: children before parents, each page
//!    flushed once behind its last write. It is all or nothing: after an error no page is allocated and nothing is
//!    reserved.
//! 3. [`verify`] walks both sides and proves that the copy is what the old tables are, and that none of its pointers
//!    leads into the old kernel's memory.
//!
//! Then the new root table address can be given to the hardware. The interrupt remapping table is one array, which
//! [`interrupts`] copies whole.
//!
//! ```
//! use iopt::copy::{self, MemoSlot, Options, Workspace};
//! use iopt::memory::{Reservations, Slot, SparseMemory};
//! use iopt::vtd::{Rtaddr, Unit};
//! use iopt::PhysAddr;
//!
//! // The old kernel's memory: one device with a page of 2 MiB.
//! let mut slots = [Slot::EMPTY; 8];
//! let mut old = SparseMemory::new(&mut slots);
//! for (addr, word) in [(0x1000, 0x2001), (0x2080, 0x3001), (0x2088, 0x101), (0x3000, 0x4003), (0x4008, 0x8020_0083)] {
//!     old.write_u64(PhysAddr(addr), word)?;
//! }
//! let units = [Unit::new(Rtaddr(0x1000))?];
//!
//! // What the new kernel gives: pages, an allocator of I/O addresses, and room to work in.
//! let mut slots = [Slot::EMPTY; 8];
//! let mut pages = SparseMemory::new(&mut slots);
//! pages.allocate_from(PhysAddr(0x10_0000));
//! let mut iovas = Reservations::<4, 4>::new();
//! let (mut memo, mut room) = ([MemoSlot::EMPTY; 32], copy::Room::new());
//! let mut work = Workspace::new(&mut memo, &mut room);
//!
//! let options = Options::default();
//! let plan = copy::plan(&old, &units, &options, &mut work, |unit, problem| panic!("unit {unit}: {problem}"))?;
//! assert_eq!((plan.pages, plan.domains), (4, 1));
//! let mut roots = [Rtaddr(0)];
//! plan.execute(&old, &units, &mut pages, &mut iovas, &mut work, &mut roots)?;
//! copy::verify(&old, &units, &roots, &pages, &options, &mut work)?;
//! assert_eq!(iovas.ranges().next().map(|(_, _, range)| range.to_string()).as_deref(), Some("0x200000-0x3fffff"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod devices;
mod error;
mod in_use;
mod interrupts;
mod memo;
mod page_tables;
mod unit;
mod verify;

pub use error::{Difference, Error, Problem};
pub use interrupts::{InterruptsError, interrupts, verify_interrupts};
pub use memo::MemoSlot;
pub use verify::{Verified, verify};

use crate::address::PhysAddr;
use crate::memory::{IovaReserver, Page, PageAllocator, PhysReader, ReadError, Word};
use crate::radix::MAX_LEVELS;
use crate::vtd::{Fault, Rtaddr, TranslationMode, Unit};
use crate::walk;
use devices::Telling;
use memo::{Copied, Known, Memo, Role};

/// What is made new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Every table.
    #[default]
    Copy,
    /// Root and context tables; PASID tables and page tables stay where they are, in the old kernel's memory. Linux
    /// does so today.
    Adopt,
}

/// What to do about tables that can't be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Partial {
    /// Copy all or nothing.
    #[default]
    Refuse,
    /// Keep what can be kept. Entries of which the table is lost are not present in the copy.
    Keep,
}

/// What the new kernel's [`IovaReserver`] is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reserve {
    /// Every range that is mapped, besides the domains and devices in use.
    #[default]
    Ranges,
    /// The domains and devices in use. It is enough for a kernel that maps nothing in these domains: one that gives a
    /// device a domain with another domain-id before it gives it an address. Adopted page tables are not looked at
    /// then, so that it takes no longer however many there are.
    Domains,
}

/// How to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is made new.
    pub mode: Mode,
    /// What to do about tables that can't be read.
    pub partial: Partial,
    /// What the new kernel's allocator of I/O addresses is told.
    pub reserve: Reserve,
    /// The mode that the new kernel wants, if it has a wish: the mode of a unit can't change while devices do DMA.
    pub translation_mode: Option<TranslationMode>,
    /// How many tables may be read in all, each of which counts once for each level that it is read at. As many again
    /// may be read for each unit to find its devices, and those of them whose tables are nested.
    pub max_tables: u64,
    /// How many tables that were met on another path already may be read again, to find what a domain uses of them,
    /// beyond as many as there are tables. What is mapped behind further ones is [reserved as a
    /// whole](Problem::Coarse): the paths through a few tables that share the tables below can be more than can ever be
    /// followed.
    pub max_rereads: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::Copy,
            partial: Partial::Refuse,
            reserve: Reserve::Ranges,
            translation_mode: None,
            max_tables: u64::MAX,
            max_rereads: 1 << 18,
        }
    }
}

/// Room for the tables that are looked at, about 140 KiB. The caller decides where it lives.
#[derive(Clone, Debug)]
pub struct Room {
    images: Images,
    walk: walk::Scratch,
}

impl Room {
    /// Room with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { images: Images::new(), walk: walk::Scratch::new() }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// What a copy works in: room for tables, and for what it has to remember.
///
/// Of the memo it takes one slot for each table that is copied or of which the ranges are looked for, one for each
/// domain-id, two for each page table that a domain-id stands for, and one more. Half as many again make it fast.
#[derive(Debug)]
pub struct Workspace<'w> {
    memo: Memo<'w>,
    room: &'w mut Room,
}

impl<'w> Workspace<'w> {
    /// A place to work in.
    #[must_use]
    pub fn new(memo: &'w mut [MemoSlot], room: &'w mut Room) -> Self {
        Self { memo: Memo::new(memo), room }
    }
}

/// Images of the tables on one path, in which pointers are replaced before they are written.
#[derive(Clone, Debug)]
struct Images {
    root: Page,
    context: Page,
    directory: Page,
    pasids: Page,
    page_tables: [Page; MAX_LEVELS],
}

impl Images {
    const fn new() -> Self {
        Self {
            root: Page::ZERO,
            context: Page::ZERO,
            directory: Page::ZERO,
            pasids: Page::ZERO,
            page_tables: [Page::ZERO; MAX_LEVELS],
        }
    }

    fn page_table(&self, level: u8) -> Option<&Page> {
        self.page_tables.get(usize::from(level).wrapping_sub(1))
    }

    fn page_table_mut(&mut self, level: u8) -> Option<&mut Page> {
        self.page_tables.get_mut(usize::from(level).wrapping_sub(1))
    }

    /// Gives the bits `address` of an entry of a page table those of `copy`.
    fn point(&mut self, level: u8, index: usize, address: u64, copy: PhysAddr) {
        if let Some(word) = self.page_table_mut(level).and_then(|image| image.words_mut().get_mut(index)) {
            *word = Word::new(word.get() & !address | copy.0 & address);
        }
    }
}

/// What a copy will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Tables that are read: each once for each level that it is read at.
    pub tables: u64,
    /// Pages to allocate.
    pub pages: u64,
    /// How often a table is met again that has its copy already.
    pub shared: u64,
    /// Domain-ids in use, over all units.
    pub domains: u64,
    /// Devices, with each PASID of theirs, that use them.
    pub devices: u64,
    /// Ranges to reserve.
    pub ranges: u64,
    /// Tables that can't be read.
    pub lost: u64,
    options: Options,
    /// The first thing that is lost.
    first_loss: Option<Error>,
    /// Tables that could not be read when looking for what is in use.
    unread: u64,
}

/// Finds out what it takes to copy the tables of `units`, and changes nothing. Everything that their new owner should
/// know is told to `report`, with the number of the unit that it was met in first, and its place.
///
/// # Errors
/// [`Error`] when there is no plan: the mode would change, a root table can't be read, or there is not enough room or
/// budget. What else can't be copied is reported, and counted in [`Plan::lost`].
pub fn plan<R: PhysReader + ?Sized>(
    old: &R,
    units: &[Unit],
    options: &Options,
    work: &mut Workspace<'_>,
    mut report: impl FnMut(usize, &Problem),
) -> Result<Plan, Error> {
    for (unit, modes) in units.iter().map(|unit| unit.rtaddr().mode()).enumerate() {
        if let Some(new) = options.translation_mode.filter(|new| *new != modes) {
            return Err(Error::ModeChange { unit, old: modes, new });
        }
    }
    work.memo.clear();
    let mut plan = Plan { options: *options, ..Plan::default() };
    for (number, unit) in units.iter().enumerate() {
        let told = Telling { iovas: None, unread: None };
        let mut report = |problem: &Problem| report(number, problem);
        let mut copier = Copier::new(old, None, &mut plan, number, &mut work.memo, &mut work.room.images, &mut report);
        copier.memo.read_by(number, units);
        copier.devices(unit, told, &mut work.room.walk)?;
        copier.unit(unit)?;
    }
    Ok(plan)
}

impl Plan {
    /// Copies the tables of `units`, for which this plan was made. The new values for their root table address
    /// registers are put into `roots`, one for each.
    ///
    /// # Errors
    /// [`Error`], after which every page was given back and nothing stays reserved. It is an error too if the tables
    /// have grown since the plan was made.
    pub fn execute<R: PhysReader + ?Sized>(
        &self,
        old: &R,
        units: &[Unit],
        pages: &mut dyn PageAllocator,
        iovas: &mut dyn IovaReserver,
        work: &mut Workspace<'_>,
        roots: &mut [Rtaddr],
    ) -> Result<Plan, Error> {
        if roots.len() < units.len() {
            return Err(Error::Roots { units: units.len(), roots: roots.len() });
        }
        if let (Partial::Refuse, Some(loss)) = (self.options.partial, self.first_loss) {
            return Err(loss);
        }
        work.memo.clear();
        let mut done = Plan { options: self.options, ..Plan::default() };
        let mut roots_written = 0;
        let copied = self.copy_all(old, units, pages, iovas, work, roots, &mut done, &mut roots_written);
        if copied.is_err() {
            // The root tables are remembered by their new addresses only, since no other table leads to them.
            for root in roots.iter_mut().take(roots_written) {
                pages.free(root.root_table(), 1);
                *root = Rtaddr(0);
            }
            release(pages, iovas, work);
        }
        copied.map(|()| done)
    }

    #[allow(clippy::too_many_arguments, reason = "what `execute` takes, and what it has to know of a failure")]
    fn copy_all<R: PhysReader + ?Sized>(
        &self,
        old: &R,
        units: &[Unit],
        pages: &mut dyn PageAllocator,
        iovas: &mut dyn IovaReserver,
        work: &mut Workspace<'_>,
        roots: &mut [Rtaddr],
        done: &mut Plan,
        roots_written: &mut usize,
    ) -> Result<(), Error> {
        let mut silent = |_: &Problem| ();
        for ((number, unit), root) in units.iter().enumerate().zip(roots) {
            let told = Telling { iovas: Some(&mut *iovas), unread: Some(self.unread) };
            let Workspace { memo, room } = &mut *work;
            let mut copier = Copier::new(old, Some(&mut *pages), done, number, memo, &mut room.images, &mut silent);
            copier.planned = Some(self.pages);
            copier.memo.read_by(number, units);
            copier.devices(unit, told, &mut room.walk)?;
            let copied = copier.unit(unit);
            if let Some(table) = copier.root {
                *root = Rtaddr(table.0);
                *roots_written = number.saturating_add(1);
            }
            *root = copied?;
        }
        Ok(())
    }
}

/// Gives back everything that is remembered.
fn release(pages: &mut dyn PageAllocator, iovas: &mut dyn IovaReserver, work: &mut Workspace<'_>) {
    for (copy, count) in work.memo.copies() {
        pages.free(copy, count);
    }
    for (unit, domain) in work.memo.opened() {
        iovas.forget_domain(unit, domain);
    }
    work.memo.clear();
}

/// Copies the tables of one unit; without pages to copy them to, it only looks.
struct Copier<'c, 'w, R: ?Sized> {
    old: &'c R,
    pages: Option<&'c mut dyn PageAllocator>,
    plan: &'c mut Plan,
    mode: Mode,
    unit: usize,
    memo: &'c mut Memo<'w>,
    images: &'c mut Images,
    report: &'c mut dyn FnMut(&Problem),
    /// The new root table, once it is allocated.
    root: Option<PhysAddr>,
    /// How many pages may be allocated.
    planned: Option<u64>,
}

impl<'c, 'w, R: PhysReader + ?Sized> Copier<'c, 'w, R> {
    fn new(
        old: &'c R,
        pages: Option<&'c mut dyn PageAllocator>,
        plan: &'c mut Plan,
        unit: usize,
        memo: &'c mut Memo<'w>,
        images: &'c mut Images,
        report: &'c mut dyn FnMut(&Problem),
    ) -> Self {
        let mode = plan.options.mode;
        Self { old, pages, plan, mode, unit, memo, images, report, root: None, planned: None }
    }

    fn tell(&mut self, problem: &Problem) {
        (self.report)(problem);
    }

    /// Something is lost. It is an error only when that was not so at the time of planning.
    fn lose(&mut self, problem: &Problem) -> Result<(), Error> {
        self.tell(problem);
        if let Problem::Lost(fault) | Problem::Unreserved(fault) = problem {
            let error = Error::Incomplete { unit: self.unit, fault: *fault };
            self.plan.lost = self.plan.lost.saturating_add(1);
            self.plan.first_loss.get_or_insert(error);
            if self.planned.is_some() && self.plan.options.partial == Partial::Refuse {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A page table can't be read. If it `stays` where it is, what is mapped through it is all that can be lost. Where
    /// there is no memory, the hardware can't read it either, and nothing is in use; where the image only lacks it,
    /// that can't be known.
    fn lose_table(&mut self, fault: Fault, stays: bool) -> Result<(), Error> {
        match (stays || self.mode == Mode::Adopt, fault.reason) {
            (false, _) => self.lose(&Problem::Lost(fault)),
            (true, None) => self.lose(&Problem::Unreserved(fault)),
            (true, Some(_)) => {
                self.tell(&Problem::Refused(fault));
                Ok(())
            }
        }
    }

    /// Takes a table out of the budget.
    fn spend(&mut self) -> Result<(), Error> {
        let tables = self.plan.options.max_tables;
        if self.plan.tables >= tables {
            return Err(Error::Budget { unit: self.unit, tables });
        }
        self.plan.tables = self.plan.tables.saturating_add(1);
        Ok(())
    }

    /// The copy of a table that was met before.
    fn known(&mut self, table: PhysAddr, role: Role) -> Option<PhysAddr> {
        let Some(Known::Copied(copy, _)) = self.memo.table(table, role, 0) else { return None };
        self.plan.shared = self.plan.shared.wrapping_add(1);
        Some(copy)
    }

    /// Pages for the copy of the table at `table`.
    fn allocate(&mut self, table: PhysAddr, pages: u8) -> Result<PhysAddr, Error> {
        self.plan.pages = self.plan.pages.saturating_add(pages.into());
        if let Some(planned) = self.planned.filter(|planned| self.plan.pages > *planned) {
            return Err(Error::Changed { planned, found: self.plan.pages });
        }
        match &mut self.pages {
            Some(allocator) => {
                allocator.allocate(pages.into()).map_err(|error| Error::Pages { unit: self.unit, table, error })
            }
            None => Ok(PhysAddr(0)),
        }
    }

    /// The same, remembered by what the table is read as.
    fn allocate_as(&mut self, table: PhysAddr, role: Role, pages: u8, copied: Copied) -> Result<PhysAddr, Error> {
        let copy = self.allocate(table, pages)?;
        let remembered = self.memo.add_table(table, role, &Copied { copy, ..copied });
        if let (Err(_), Some(allocator)) = (&remembered, &mut self.pages) {
            allocator.free(copy, pages.into());
        }
        remembered.map(|()| copy)
    }

    /// Writes the copy of a table, which is its only write.
    fn write(&mut self, table: PhysAddr, copy: PhysAddr, image: impl Fn(&Images) -> &Page) -> Result<(), Error> {
        let Some(pages) = &mut self.pages else { return Ok(()) };
        let failed = |error| Error::Pages { unit: self.unit, table, error };
        pages.page_mut(copy).map_err(failed)?.clone_from(image(self.images));
        pages.flush(copy).map_err(failed)
    }

    /// Allocates the copy of a table whose image is complete, and writes it.
    fn finish(&mut self, table: PhysAddr, role: Role, image: impl Fn(&Images) -> &Page) -> Result<PhysAddr, Error> {
        let copy = self.allocate_as(table, role, 1, Copied::NEW)?;
        self.write(table, copy, image)?;
        Ok(copy)
    }
}

/// The page at `addr`, which is whole or an error.
fn read<R: PhysReader + ?Sized>(old: &R, addr: PhysAddr, image: &mut Page) -> Result<(), ReadError> {
    match old.lend_page(addr) {
        Some(page) => {
            image.clone_from(page);
            Ok(())
        }
        None => old.read_page(addr, image),
    }
}
