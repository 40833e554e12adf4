//! Runs of leaves become ranges: the longest stretches of addresses that lead on without a break.

mod ranges;
mod reachable;

pub use ranges::{DeviceRange, DeviceRanges};

use crate::access::Permissions;
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::radix::Run;

/// Which leaves belong together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// Neighbours whose memory continues too: what one DMA can cover.
    #[default]
    Both,
    /// Neighbours in IOVA space, wherever their memory is: what an IOVA allocator must keep free.
    Iova,
}

/// A stretch of IOVA space with the same permissions and memory attributes throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// The addresses.
    pub iova: IovaRange,
    /// The memory behind the first address, if the memory is consecutive throughout.
    pub phys: Option<PhysAddr>,
    /// What is let through; never nothing.
    pub permissions: Permissions,
    /// The memory attribute bits that all the leaves have in common, as they stand in an entry at level 1.
    pub attributes: u64,
    /// log2 of the size of the smallest leaf in it.
    pub page_size_log2: u8,
}

/// Joins runs that come in ascending IOVA order.
///
/// * Leaves of different sizes join when they continue each other.
/// * Permissions count as ANDed down the path. Ignored, accessed and dirty bits don't count.
/// * Leaves whose path lets nothing through belong to no range.
/// * Ends are inclusive: the last page of a 64-bit space is like any other.
#[derive(Clone, Copy, Debug)]
pub struct Coalescer {
    join: Join,
    open: Option<MappedRange>,
}

impl Coalescer {
    /// A coalescer with no range open.
    #[must_use]
    pub fn new(join: Join) -> Self {
        Self { join, open: None }
    }

    /// Takes the leaves of `run` from `index` on, until a range is closed by one that does not continue it.
    /// Returns that range, and the index to go on from; `None` when the whole run is taken.
    #[inline(always)]
    pub fn feed(&mut self, run: &Run<'_>, mut index: usize) -> Option<(MappedRange, usize)> {
        if run.permissions == Permissions::NONE {
            return None;
        }
        while index < run.len() {
            let (piece, next) = self.piece(run, index);
            index = next;
            if let Some(closed) = self.add(piece) {
                return Some((closed, index));
            }
        }
        None
    }

    /// Takes a whole run and hands every range that it closes to `emit`.
    #[inline(always)]
    pub fn push(&mut self, run: &Run<'_>, mut emit: impl FnMut(MappedRange)) {
        if run.permissions == Permissions::NONE {
            return;
        }
        let mut index = 0;
        while index < run.len() {
            let (piece, next) = self.piece(run, index);
            index = next;
            if let Some(closed) = self.add(piece) {
                emit(closed);
            }
        }
    }

    /// Makes `piece` part of the open range, or closes that and opens another.
    #[inline(always)]
    fn add(&mut self, piece: MappedRange) -> Option<MappedRange> {
        match &mut self.open {
            Some(open) if continues(open, &piece, self.join) => {
                extend(open, &piece);
                None
            }
            open => open.replace(piece),
        }
    }

    /// Closes the range that is still open: the device or the walk has ended.
    #[inline]
    pub fn finish(&mut self) -> Option<MappedRange> {
        self.open.take()
    }

    /// The leaves from `index` on that join among themselves, and the index behind them.
    #[inline(always)]
    fn piece(&self, run: &Run<'_>, index: usize) -> (MappedRange, usize) {
        let (count, linear) = match self.join {
            Join::Both => (run.linear_from(index), true),
            Join::Iova => (run.len().saturating_sub(index), run.linear == run.len()),
        };
        let size = run.page_size();
        let bytes_to = |leaf: usize| (leaf as u64).wrapping_mul(size);
        let first = run.iova.0.wrapping_add(bytes_to(index));
        // The sum may be 2^64; one less is always an address.
        let last = first.wrapping_add(bytes_to(count)).wrapping_sub(1);
        let phys = run.entries.get(index).map(|word| run.phys(word));
        let piece = MappedRange {
            iova: IovaRange::from_to(Iova(first), Iova(last)),
            phys: phys.filter(|_| linear),
            permissions: run.permissions,
            attributes: run.attributes,
            page_size_log2: run.page_size_log2,
        };
        (piece, index.saturating_add(count.max(1)))
    }
}

/// Whether the memory behind `next` follows that behind `open`.
#[inline(always)]
fn memory_continues(open: &MappedRange, next: &MappedRange) -> bool {
    match (open.phys, next.phys) {
        (Some(phys), Some(next_phys)) => {
            let size = next.iova.first().0.wrapping_sub(open.iova.first().0);
            phys.checked_add(size) == Some(next_phys)
        }
        _ => false,
    }
}

#[inline(always)]
fn continues(open: &MappedRange, next: &MappedRange, join: Join) -> bool {
    open.iova.last().0.checked_add(1) == Some(next.iova.first().0)
        && open.permissions == next.permissions
        && open.attributes == next.attributes
        && (join == Join::Iova || memory_continues(open, next))
}

#[inline(always)]
fn extend(open: &mut MappedRange, next: &MappedRange) {
    if !memory_continues(open, next) {
        open.phys = None;
    }
    open.iova = IovaRange::from_to(open.iova.first(), next.iova.last());
    open.page_size_log2 = open.page_size_log2.min(next.page_size_log2);
}
