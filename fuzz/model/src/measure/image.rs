//! Large regular units to measure on: one device whose four-level page table has as many leaf tables as asked
//! for. They are written as raw images, so that a reader maps them.

use crate::random_bytes;
use std::io::{self, Seek, SeekFrom, Write};

/// What the image holds.
#[derive(Clone, Copy, Debug)]
pub struct ImageSpec {
    /// How many level-1 tables; the tables above come on top, one for 512 of them.
    pub leaf_tables: usize,
    /// How many of the 512 entries of each leaf table are present, at random places unless it is all of them.
    pub leaves_per_table: usize,
    /// Whether the table pages lie in memory in random order, or in the order of a walk.
    pub shuffled: bool,
    /// Whether the memory behind the leaves of a table is consecutive, or each leaf's is anywhere.
    pub scattered: bool,
}

/// Where the root table of every such image is, in legacy mode.
pub const ROOT: u64 = 0x1000;
/// Where the context table is.
const CONTEXT: u64 = 0x2000;
/// The device that has the page table: 00:01.0.
const DEVFN: u64 = 8;
/// The first of the pages that hold page tables.
const TABLES: u64 = 3;

impl ImageSpec {
    /// How many page-table pages the image has, over all levels.
    pub fn tables(&self) -> usize {
        let above = |tables: usize| tables.div_ceil(512);
        let two = above(self.leaf_tables);
        self.leaf_tables + two + above(two) + 1
    }

    /// Writes the image.
    ///
    /// # Errors
    /// What `out` gives.
    pub fn write<W: Write + Seek>(&self, out: &mut W) -> io::Result<()> {
        let mut random = Random::new(1);
        // Numbers of table pages, in the order in which a walk comes to them: a table, then what is below it.
        let mut places: Vec<u64> = (0..self.tables() as u64).collect();
        if self.shuffled {
            for last in (1..places.len()).rev() {
                places.swap(last, random.below(last as u64 + 1) as usize);
            }
        }
        let mut places = places.into_iter().map(|page| (TABLES + page) * 4096);
        let mut place = || places.next().expect("one for each table");

        let top = place();
        page(out, ROOT, &[(0, CONTEXT | 1)])?;
        page(out, CONTEXT, &[(2 * DEVFN, top | 1), (2 * DEVFN + 1, 2 | 1 << 8)])?;
        let mut fours = Vec::new();
        let mut left = self.leaf_tables;
        while left > 0 {
            let three = place();
            fours.push((fours.len() as u64, three | 3));
            let mut threes = Vec::new();
            while left > 0 && threes.len() < 512 {
                let two = place();
                threes.push((threes.len() as u64, two | 3));
                let mut twos = Vec::new();
                while left > 0 && twos.len() < 512 {
                    let one = place();
                    twos.push((twos.len() as u64, one | 3));
                    left -= 1;
                    page(out, one, &self.leaves(left as u64, &mut random))?;
                }
                page(out, two, &twos)?;
            }
            page(out, three, &threes)?;
        }
        page(out, top, &fours)
    }

    /// The entries of one leaf table.
    fn leaves(&self, number: u64, random: &mut Random) -> Vec<(u64, u64)> {
        let mut indexes: Vec<u64> = (0..512).collect();
        if self.leaves_per_table < 512 {
            for at in 0..self.leaves_per_table {
                indexes.swap(at, at + random.below(512 - at as u64) as usize);
            }
            indexes.truncate(self.leaves_per_table);
        }
        let first = (1 << 20) + number * 1024;
        let frame =
            |index: u64, random: &mut Random| if self.scattered { random.below(1 << 30) } else { first + index };
        indexes.into_iter().map(|index| (index, frame(index, random) << 12 | 3)).collect()
    }
}

fn page<W: Write + Seek>(out: &mut W, at: u64, words: &[(u64, u64)]) -> io::Result<()> {
    let mut page = [0; 4096];
    for (index, word) in words {
        let byte = *index as usize * 8;
        page[byte..byte + 8].copy_from_slice(&word.to_le_bytes());
    }
    out.seek(SeekFrom::Start(at))?;
    out.write_all(&page)
}

/// Numbers from a seed, a block at a time.
struct Random {
    seed: u64,
    block: Vec<u8>,
}

impl Random {
    fn new(seed: u64) -> Self {
        Self { seed, block: Vec::new() }
    }

    fn below(&mut self, end: u64) -> u64 {
        if self.block.is_empty() {
            self.block = random_bytes(self.seed, 1 << 16);
            self.seed += 1;
        }
        let rest = self.block.len() - 8;
        let word = u64::from_le_bytes(self.block[rest..].try_into().expect("eight bytes"));
        self.block.truncate(rest);
        word % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Twin;
    use iopt::PhysAddr;
    use iopt::memory::{Page, Slot, SparseMemory};
    use zerocopy::FromBytes;

    #[test]
    fn the_image_has_the_leaves_that_the_spec_says() {
        for shuffled in [false, true] {
            let spec = ImageSpec { leaf_tables: 515, leaves_per_table: 25, shuffled, scattered: shuffled };
            let mut out = io::Cursor::new(Vec::new());
            spec.write(&mut out).unwrap();
            let bytes = out.into_inner();
            assert_eq!(bytes.len(), (3 + spec.tables()) * 4096);
            let mut slots = vec![Slot::EMPTY; bytes.len() / 4096];
            let mut memory = SparseMemory::new(&mut slots);
            for (number, page) in bytes.chunks(4096).enumerate() {
                memory.write_page(PhysAddr(number as u64 * 4096), Page::ref_from_bytes(page).unwrap()).unwrap();
            }
            let twin = Twin { memory: &memory, rtaddr: ROOT, cap: None, ecap: None, haw: None };
            let (leaves, bad) = twin.leaves(DEVFN as u16);
            assert_eq!((leaves.len(), bad.len()), (515 * 25, 0));
        }
    }
}
