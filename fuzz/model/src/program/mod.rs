//! Table programs: whole units drawn at random, most of them mostly valid.
//!
//! What makes a walker wrong is rare in random bytes, so a program is not bytes but a list of things to
//! plant: runs of leaves whose ends fall on the edges of chunks and tables, one entry in a run that is
//! absent or differs in one bit, large leaves that carry on where small ones end, shared tables, loops,
//! pointers to nothing. Reserved bits and missing tables come seldom enough that a walk gets past them.

mod arena;
mod bound;
mod build;
mod devices;
mod dialect;
mod draw;
mod grow;
mod scalable;
mod shape;

pub(crate) use draw::mix;
pub use draw::random_bytes;

use crate::twin::Twin;
use arbitrary::{Arbitrary, Unstructured};
use draw::{few, seldom};
use iopt::memory::{PhysReader, SparseMemory};

/// What to build: one unit, in legacy or in scalable mode.
#[derive(Debug, Clone, Arbitrary)]
pub struct Program {
    unit: shape::Unit,
    #[arbitrary(with = few::<_, 1, 4>)]
    trees: Vec<shape::Tree>,
    #[arbitrary(with = few::<_, 1, 6>)]
    devices: Vec<devices::Device>,
    #[arbitrary(with = seldom::<_, 5>)]
    root_flaw: Option<devices::RootFlaw>,
    /// For scalable mode.
    #[arbitrary(with = few::<_, 1, 3>)]
    directories: Vec<devices::Directory>,
    /// How memory changes while it is read, where it does.
    pub(crate) unrest: u64,
}

/// A unit that was built: its registers, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// RTADDR_REG.
    pub rtaddr: u64,
    /// CAP_REG.
    pub cap: Option<u64>,
    /// ECAP_REG.
    pub ecap: Option<u64>,
    /// The host address width in bits.
    pub haw: Option<u8>,
}

impl Built {
    /// The twin of this unit.
    pub fn twin<'m>(&self, memory: &'m dyn PhysReader) -> Twin<'m> {
        let Self { rtaddr, cap, ecap, haw } = *self;
        Twin { memory, rtaddr, cap, ecap, haw }
    }
}

impl Program {
    /// No device has more entries to look at than this, counted once for every path that leads to them.
    pub const MAX_ENTRIES: usize = 20_000;
    /// No device has more tables than this, counted once for every path that leads to them.
    pub const MAX_TABLES: usize = 600;

    /// The program that belongs to `seed`.
    pub fn from_seed(seed: u64) -> Self {
        // The largest programs take about 5 KiB; what has to be made up after that is all zeros.
        let bytes = random_bytes(seed, 8192);
        Unstructured::new(&bytes).arbitrary().expect("zeros follow when the bytes run dry")
    }

    /// Writes the tables to `memory`, and tells the registers.
    ///
    /// Pages that are there already stay as they are. When the slots run out, no more tables are added:
    /// what was to point to them stays empty, or points to nothing. 128 slots hold nearly every program.
    pub fn build(&self, memory: &mut SparseMemory<'_>) -> Built {
        build::build(self, memory)
    }
}
