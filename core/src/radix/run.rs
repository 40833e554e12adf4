use super::scan;
use crate::access::Permissions;
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::memory::Word;

/// Neighbouring leaves of one table page whose permissions and memory attributes are equal, as a slice of
/// the page itself.
#[derive(Clone, Copy, Debug)]
pub struct Run<'p> {
    /// Where the first leaf is mapped.
    pub iova: Iova,
    /// The table page that holds the leaves.
    pub table: PhysAddr,
    /// The index of the first leaf in it.
    pub index: u16,
    /// Its level: 1 for 4 KiB leaves, 2 for 2 MiB, 3 for 1 GiB.
    pub level: u8,
    /// log2 of the size of each leaf in bytes.
    pub page_size_log2: u8,
    /// What the whole path lets through; it can be nothing.
    pub permissions: Permissions,
    /// The attribute bits that all the leaves have in common, as they stand in an entry at level 1.
    pub attributes: u64,
    /// The entries.
    pub entries: &'p [Word],
    /// How many of the leaves, from the first, have outputs that continue each other.
    pub linear: usize,
    /// Where an entry has its output address.
    pub address_mask: u64,
    /// What is added, modulo 2^64, to the output address of each entry to get the memory: not 0 only where the
    /// entries lead into a larger leaf of a [second stage](super::Nested).
    pub offset: u64,
}

/// One leaf: a page of IOVA space and the memory behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Where it is mapped.
    pub iova: Iova,
    /// The memory behind it.
    pub phys: PhysAddr,
    /// log2 of its size in bytes.
    pub page_size_log2: u8,
    /// What the whole path lets through.
    pub permissions: Permissions,
    /// The entry as it stands in the table.
    pub raw: u64,
}

impl Run<'_> {
    /// The number of leaves.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "a run is never empty")]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The bytes that each leaf maps.
    #[must_use]
    #[inline]
    pub fn page_size(&self) -> u64 {
        1u64.wrapping_shl(u32::from(self.page_size_log2))
    }

    /// The memory that this entry of the run leads to.
    #[must_use]
    #[inline(always)]
    pub fn phys(&self, entry: &Word) -> PhysAddr {
        PhysAddr((entry.get() & self.address_mask).wrapping_add(self.offset))
    }

    /// The addresses that the run maps.
    #[must_use]
    pub fn iova_range(&self) -> IovaRange {
        let beyond_first = u64::try_from(self.len().saturating_sub(1)).unwrap_or(0).wrapping_mul(self.page_size());
        let last = IovaRange::block(Iova(self.iova.0.wrapping_add(beyond_first)), self.page_size_log2).last();
        IovaRange::new(self.iova, last).unwrap_or(IovaRange::block(self.iova, self.page_size_log2))
    }

    /// How many of the leaves, from the one at `index` on, have outputs that continue each other.
    #[must_use]
    #[inline]
    pub fn linear_from(&self, index: usize) -> usize {
        if index == 0 {
            return self.linear;
        }
        let words = self.entries.get(index..).unwrap_or_default();
        // What is added to all of them changes nothing.
        let phys = |word: &Word| word.get() & self.address_mask;
        match words {
            // Scattered outputs are common, and not worth the setup of a longer look.
            [first, second, ..] if phys(second) != phys(first).wrapping_add(self.page_size()) => 1,
            _ => scan::linear(words, 0, self.address_mask, self.page_size_log2),
        }
    }

    /// How many of the leaves directly behind the first are equal to it: all of them lead to the same memory.
    #[must_use]
    pub fn repeats(&self) -> usize {
        let equal = |word: &&Word| self.entries.first().is_some_and(|first| word.get() == first.get());
        self.entries.iter().skip(1).take_while(equal).count()
    }

    /// The leaves, ascending.
    pub fn leaves(&self) -> impl Iterator<Item = Leaf> + '_ {
        let size = self.page_size();
        let mut iova = self.iova.0;
        self.entries.iter().map(move |word| {
            let raw = word.get();
            let leaf = Leaf {
                iova: Iova(iova),
                phys: self.phys(word),
                page_size_log2: self.page_size_log2,
                permissions: self.permissions,
                raw,
            };
            iova = iova.wrapping_add(size);
            leaf
        })
    }
}
