//! Torn memory: what is walked, translated and copied while it changes between any two reads stays well-formed.

mod copy;
mod memory;
mod requests;
mod walk;

use crate::program::mix;
use iopt::memory::PhysReader;
use iopt::vtd::{Irta, Structure, Unit};
use memory::{Change, Changing, Pages};

/// A unit, and its memory before it changes.
struct World<'w> {
    unit: &'w Unit,
    pages: &'w Pages,
    other: &'w Pages,
}

impl<'w> World<'w> {
    /// Memory that has these pages and stays as it is.
    fn with(&self, pages: Pages) -> Changing<'w> {
        Changing::new(&pages, self.other, Change::Swap(u64::MAX))
    }

    fn changing(&self, change: Change) -> Changing<'w> {
        Changing::new(self.pages, self.other, change)
    }
}

/// Checks everything of a unit while its memory changes, in ways that are drawn from `seed`.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_torn(unit: &Unit, memory: &impl PhysReader, seed: u64) {
    let pages = memory::pages(memory);
    let other = memory::rotated(&pages);
    let world = World { unit, pages: &pages, other: &other };
    let reads = walk::check(&world, Change::Flips(seed)) as u64;
    walk::check(&world, Change::Hostile(seed));
    let swap = Change::Swap(mix(seed) % reads.max(1));
    walk::check(&world, swap);
    // What takes longer is done in one of the ways.
    let change = match seed % 3 {
        0 => Change::Flips(!seed),
        1 => Change::Hostile(!seed),
        _ => swap,
    };
    requests::check(&world, change);
    copy::check(&world, change);
}

/// Checks a unit of whose memory all turns into `other` at once: before each read of a walk, and before some of those
/// of a copy.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_swapped(unit: &Unit, memory: &impl PhysReader, other: &impl PhysReader) {
    let (pages, other) = (memory::pages(memory), memory::pages(other));
    let world = World { unit, pages: &pages, other: &other };
    let reads = walk::check(&world, Change::Swap(u64::MAX)) as u64;
    for read in 0..=reads {
        walk::check(&world, Change::Swap(read));
    }
    // A copy reads each table more than once.
    for read in (0..reads * 4).step_by(reads as usize / 16 + 1) {
        copy::check(&world, Change::Swap(read));
    }
    requests::check(&world, Change::Swap(3));
}

/// Lists and copies an interrupt remapping table while it changes.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_torn_interrupts(irta: Irta, memory: &impl PhysReader, seed: u64) {
    let pages = memory::pages(memory);
    let other = memory::rotated(&pages);
    for change in [Change::Flips(seed), Change::Hostile(seed), Change::Swap(seed % 4)] {
        let still = |pages: Pages| Changing::new(&pages, &other, Change::Swap(u64::MAX));
        requests::check_interrupts(irta, || Changing::new(&pages, &other, change), still);
    }
}

/// How many words an entry has.
fn words(structure: Structure, scalable: bool) -> usize {
    match structure {
        Structure::Context if scalable => 4,
        Structure::Root | Structure::Context => 2,
        Structure::PasidTable => 8,
        Structure::PasidDirectory | Structure::FirstStage(_) | Structure::SecondStage(_) => 1,
    }
}
