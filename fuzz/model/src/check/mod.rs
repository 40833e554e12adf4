//! What must hold of `iopt` on any unit, however broken: it agrees with the twin, and with itself.
//!
//! The checks panic where something does not hold, with the seed or the program in reach of the caller.

mod arguments;
mod bytes;
mod collect;
mod copy;
mod dmar;
pub mod image;
mod interrupts;
mod memo;
mod motion;
mod torn;
mod translate;
mod walk;
mod way;

pub use arguments::check_arguments;
pub use bytes::check_bytes;
pub use copy::check_copies;
pub use dmar::check_dmar;
pub use interrupts::check_interrupts;
pub use torn::{check_swapped, check_torn, check_torn_interrupts};

use crate::program::{Built, Program};
use crate::twin::{Kind, Step};
use iopt::memory::{Page, PhysReader, ReadError, Slot, SparseMemory};
use iopt::vtd::{Bits, Cap, Ecap, Rtaddr, Structure, Unit};
use iopt::{PhysAddr, PhysRange};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Builds `program` and checks everything.
///
/// # Panics
/// If `iopt` and the twin disagree, or an invariant does not hold.
pub fn check_program(program: &Program) {
    let mut slots = vec![Slot::EMPTY; 256];
    let mut memory = SparseMemory::new(&mut slots);
    let built = program.build(&mut memory);
    check_unit(&built, &memory);
    check_torn(&unit(&built), &memory, program.unrest);
}

/// Checks everything of a unit that was built some other way.
///
/// # Panics
/// If `iopt` and the twin disagree, or an invariant does not hold.
pub fn check_unit(built: &Built, memory: &SparseMemory<'_>) {
    let unit = unit(built);
    let found = walk::check(built, &unit, memory);
    motion::check(&unit, memory, &found);
    memo::check(&unit, memory);
    translate::check(built, &unit, memory, &found.seen);
    copy::check(built, &unit, memory, &found);
}

/// An entry, in words of the twin.
fn step(structure: Structure, table: PhysAddr, index: u16, entry: Bits) -> Step {
    let kind = match structure {
        Structure::Root => Kind::Root,
        Structure::Context => Kind::Context,
        Structure::PasidDirectory => Kind::Directory,
        Structure::PasidTable => Kind::Pasids,
        Structure::FirstStage(level) => Kind::First(level),
        Structure::SecondStage(level) => Kind::Second(level),
    };
    Step { kind, table: table.0, index: index.into(), entry: *entry.words() }
}

/// The unit as `iopt` knows it.
pub fn unit(built: &Built) -> Unit {
    Unit::new(Rtaddr(built.rtaddr))
        .expect("programs are in legacy or in scalable mode")
        .with_capabilities(built.cap.map(Cap), built.ecap.map(Ecap))
        .with_host_address_width(built.haw)
}

/// The same memory, which can't be lent, and counts how often each page is read.
#[derive(Debug)]
pub struct Copying<R> {
    /// The memory.
    pub inner: R,
    /// How often each page was read.
    pub reads: RefCell<BTreeMap<u64, u64>>,
}

impl<R> Copying<R> {
    /// Nothing has been read yet.
    pub fn new(inner: R) -> Self {
        Self { inner, reads: RefCell::default() }
    }
}

impl<R: PhysReader> PhysReader for Copying<R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        *self.reads.borrow_mut().entry(addr.page().0).or_default() += 1;
        self.inner.read_page(addr, page)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.inner.next_range(from)
    }
}
