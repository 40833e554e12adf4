//! Reads the translation tables of an IOMMU, out of any physical memory that can be read a page at a time.
//!
//! From the top:
//!
//! * [`memory`]: the traits by which iopt meets the outside ([`PhysReader`](memory::PhysReader) to read,
//!   [`PageAllocator`](memory::PageAllocator) and [`IovaReserver`](memory::IovaReserver) for a kernel), a
//!   memory of a few pages for tests, and readers around other readers: cached, counted, traced, failing, moved.
//! * [`vtd`]: Intel VT-d, a small file per structure. A [`vtd::Unit`] is one remapping unit; it
//!   [translates](vtd::Unit::translate) single requests as hardware does, with the hardware's fault reasons. A
//!   [`vtd::Irta`] is its interrupt remapping table, to [list](vtd::Irta::entries) or to
//!   [ask](vtd::Irta::lookup_msi) for single interrupts.
//!   [`vtd::dmar`] reads the firmware's table of units and the devices behind each.
//! * [`walk`]: everything that a unit's tables hold, pulled step by step or pushed through a
//!   [`Visitor`](walk::Visitor).
//! * [`coalesce`]: leaves become ranges: [`vtd::Unit::ranges`].
//! * [`copy`](mod@copy): the tables of a crashed kernel in the memory of a new one: plan, execute, verify.
//! * [`radix`] and [`format`](mod@format): the engine below, and what the bits of an entry mean.
#![cfg_attr(
    feature = "builder",
    doc = "* [`builder`]: tables made in memory, valid or broken on purpose, for tests (feature `builder`)."
)]
//!
//! ```
//! use iopt::builder::{Leaves, Target, UnitBuilder}; // with the feature `builder`
//! use iopt::memory::{Slot, SparseMemory};
//! use iopt::vtd::{Rtaddr, TranslationMode, Unit};
//! use iopt::walk::Scratch;
//! use iopt::{Iova, PhysAddr, SourceId};
//!
//! // Any `PhysReader` will do; here a machine with one device and one page of 2 MiB.
//! let mut slots = [Slot::EMPTY; 4];
//! let mut memory = SparseMemory::new(&mut slots);
//! let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
//! let table = tables.second_stage(3)?;
//! tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000)))?;
//! tables.device(SourceId::new(0, 8), Target::second_stage(table))?;
//!
//! let unit = Unit::new(Rtaddr(0x1000))?; // as RTADDR_REG says
//! for range in unit.ranges(&memory, &mut Scratch::new()) {
//!     let range = range?; // a bad entry is an Err with its place; the next call goes on
//!     assert_eq!(range.to_string(), "00:01.0 0x200000-0x3fffff -> 0x80200000 rw");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What holds
//!
//! The memory is taken to be hostile, or torn by the crash that left it behind. No input makes iopt panic,
//! recurse, allocate, or read what the [`PhysReader`](memory::PhysReader) does not have. Work is bounded by a
//! [`Budget`](radix::Budget), also where none is given; SECURITY.md has the bounds of each operation. An entry is fetched once and judged from that copy. What can't be followed is told with
//! its place, and the rest is walked.
//!
//! The crate is `no_std`, needs no allocator, and has no unsafe code.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "a test may panic")
)]

#[cfg(test)]
extern crate std;

pub mod access;
pub mod address;
#[cfg(feature = "builder")]
pub mod builder;
pub mod coalesce;
pub mod copy;
pub mod format;
pub mod memory;
pub mod radix;
mod slots;
pub mod vtd;
pub mod walk;

pub use access::{Access, Permissions};
pub use address::{DomainId, Iova, IovaRange, Pasid, PhysAddr, PhysRange, Requester, SourceId};
