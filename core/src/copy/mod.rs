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
//! use iopt::builder::{Leaves, Target, UnitBuilder}; // with the feature `builder`
//! use iopt::copy::{self, MemoSlot, Options, Workspace};
//! use iopt::memory::{Reservations, Slot, SparseMemory};
//! use iopt::vtd::{Rtaddr, TranslationMode};
//! use iopt::{Iova, PhysAddr, SourceId};
//!
//! // The old kernel's memory: one device with a page of 2 MiB.
//! let mut slots = [Slot::EMPTY; 8];
//! let mut old = SparseMemory::new(&mut slots);
//! let mut tables = UnitBuilder::new(&mut old, TranslationMode::Legacy)?;
//! let table = tables.second_stage(3)?;
//! tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000)))?;
//! tables.device(SourceId::new(0, 8), Target::second_stage(table))?;
//! let units = [tables.unit()];
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

mod copier;
mod devices;
mod error;
mod in_use;
mod interrupts;
mod memo;
mod options;
mod page_tables;
mod unit;
mod verify;
mod workspace;

pub use error::{Difference, Error, Problem};
pub use interrupts::{InterruptsError, interrupts, verify_interrupts};
pub use memo::MemoSlot;
pub use options::{Mode, Options, Partial, Reserve};
pub use verify::{Verified, verify};
pub use workspace::{Room, Workspace};

use crate::memory::{IovaReserver, PageAllocator, PhysReader};
use crate::vtd::{Rtaddr, Unit};
use copier::Copier;
use devices::Telling;

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
        copier.settle()?;
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
        work.memo.unmet().map_or(Ok(()), |table| Err(Error::Torn { table }))
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
