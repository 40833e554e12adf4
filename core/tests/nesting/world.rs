//! Random tables of two stages in one memory.

use crate::numbers::Random;
use iopt::format::{FirstStage, FirstStageRules, SecondStage, SecondStageRules};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, Word};
use iopt::radix::Inner;
use iopt::{PhysAddr, PhysRange};
use std::collections::{BTreeSet, HashMap};

pub const HOST_BITS: u8 = 46;

/// The words of memory, by page and place in it.
#[derive(Default)]
pub struct Memory {
    pub pages: HashMap<u64, Page>,
    pub lends: bool,
}

impl Memory {
    pub fn word(&self, table: u64, index: u64) -> Option<u64> {
        Some(self.pages.get(&table)?.words()[index as usize].get())
    }

    pub fn set(&mut self, table: u64, index: u64, raw: u64) {
        self.pages.entry(table).or_insert(Page::ZERO).words_mut()[index as usize] = Word::new(raw);
    }
}

impl PhysReader for Memory {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        // After an error, the contents of a page mean nothing.
        page.words_mut().fill(Word::new(u64::MAX));
        let found = self.pages.get(&addr.page().0).ok_or(ReadError::new(addr, ReadErrorKind::Hole))?;
        page.words_mut().copy_from_slice(found.words());
        Ok(())
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        self.pages.get(&addr.page().0).filter(|_| self.lends)
    }

    fn next_range(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

/// An outer tree of the first stage behind an inner one of the second.
pub struct World {
    pub memory: Memory,
    pub outer_levels: u8,
    pub outer_root: u64,
    pub inner_levels: u8,
    pub inner_root: u64,
    pub input_bits: u8,
    /// Leaves of the outer tree: address of the device, log2 of the size.
    pub leaves: Vec<(u64, u32)>,
    next: u64,
    used: BTreeSet<u64>,
    room: u32,
}

pub fn shift(level: u8) -> u32 {
    3 + 9 * u32::from(level)
}

impl World {
    pub fn empty(outer_levels: u8, inner_levels: u8) -> Self {
        let mut world = Self {
            memory: Memory::default(),
            outer_levels,
            outer_root: 0,
            inner_levels,
            inner_root: 0x10_0000,
            input_bits: shift(inner_levels + 1) as u8,
            leaves: Vec::new(),
            next: 0x20_0000,
            used: BTreeSet::new(),
            room: 24,
        };
        world.memory.set(world.inner_root, 0, 0);
        world
    }

    pub fn outer(&self) -> FirstStage {
        let rules = FirstStageRules { host_address_width: Some(HOST_BITS), ..Default::default() };
        FirstStage::new(self.outer_levels, &rules).unwrap()
    }

    pub fn inner(&self) -> Inner<SecondStage> {
        let rules = SecondStageRules { host_address_width: Some(HOST_BITS), ..Default::default() };
        let format = SecondStage::new(self.inner_levels, &rules).unwrap();
        Inner { format, root: PhysAddr(self.inner_root), input_bits: self.input_bits }
    }

    /// A page of memory that nothing else is in.
    fn page(&mut self) -> u64 {
        self.next += 0x3000;
        self.next
    }

    /// Makes `raw` the inner entry of `addr` at `level`, if no large leaf is in the way.
    pub fn map_inner(&mut self, addr: u64, level: u8, raw: u64) {
        let mut table = self.inner_root;
        for above in (level + 1..=self.inner_levels).rev() {
            let index = addr >> shift(above) & 0x1ff;
            let entry = self.memory.word(table, index).unwrap_or(0);
            if entry & 3 != 0 && entry & 0x80 != 0 && above < 4 {
                return;
            }
            table = if entry & 3 == 0 {
                let next = self.page();
                self.memory.set(next, 0, 0);
                self.memory.set(table, index, next | 3);
                next
            } else {
                entry & 0x000f_ffff_ffff_f000
            };
        }
        self.memory.set(table, addr >> shift(level) & 0x1ff, raw);
    }

    /// The intermediate addresses, each the start of 1 GiB, that the inner tree has something for.
    fn gigabytes(&self) -> Vec<u64> {
        let end = 1u64 << self.input_bits.min(HOST_BITS);
        vec![0, 1 << 30, 2 << 30, 5 << 30, end - (1 << 30)]
    }

    pub fn random(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut world = Self::empty(4 + (seed % 2) as u8, 3 + (seed % 3) as u8);
        world.input_bits -= random.below(3) as u8;
        let access = |random: &mut Random| if random.one_in(8) { random.below(3) + 1 } else { 3 };
        for (number, gigabyte) in world.gigabytes().into_iter().enumerate() {
            let address = random.word() & 0x3fff_ffff_f000;
            if number == 2 {
                world.map_inner(gigabyte, 3, address & !0x3fff_ffff | 0x83);
                continue;
            }
            // Three stretches of 2 MiB regions, with everything in them.
            for megabytes in [0, 5, 509].map(|first| first..first + 3).into_iter().flatten() {
                let region = gigabyte + (megabytes << 21);
                let address = if random.one_in(2) { address + (megabytes << 21) } else { random.word() };
                let address = address & 0x3fff_ffff_f000;
                let snoop = if random.one_in(4) { 0x800 } else { 0 };
                match random.below(4) {
                    0 | 1 => world.map_inner(region, 2, address & !0x1f_ffff | 0x80 | snoop | access(&mut random)),
                    2 => {
                        let holes = random.one_in(2);
                        for page in 0..512u64 {
                            let raw = match random.below(60) {
                                0 if holes => 0,
                                1 if holes => random.word() & 0x3fff_ffff_f000 | 3,
                                2 if holes => 1 << 62 | 3,
                                3 if holes => (address + (page << 12)) | access(&mut random),
                                _ => (address + (page << 12)) | 3 | snoop,
                            };
                            world.map_inner(region + (page << 12), 1, raw & !(1 << 46));
                        }
                        if holes && random.one_in(4) {
                            world.map_inner(region, 2, 0xffff_f003);
                        }
                    }
                    _ if random.one_in(3) => world.map_inner(region, 2, 0x1083 | 1 << 62),
                    _ => {}
                }
            }
        }
        world.outer_root = loop {
            let (at, memory) = world.table(&mut random);
            if let Some(memory) = memory {
                world.grow(world.outer_levels, memory, 0, &mut vec![at], &mut random);
                break at;
            }
        };
        world
    }

    /// Some intermediate page that the inner tree maps, or not, for an outer table: where it is in memory.
    fn table(&mut self, random: &mut Random) -> (u64, Option<u64>) {
        loop {
            let at = random.of(&self.gigabytes())
                + (random.of(&[0u64, 1, 2, 5, 6, 7, 510]) << 21)
                + (random.below(512) << 12);
            let Ok((memory, _)) = crate::naive::inner(self, at, iopt::Access::Read, &mut Vec::new()) else {
                if random.one_in(30) {
                    return (at, None);
                }
                continue;
            };
            if memory >> HOST_BITS == 0 && !self.memory.pages.contains_key(&memory) && self.used.insert(memory) {
                self.memory.set(memory, 0, 0);
                return (at, Some(memory));
            }
        }
    }

    fn grow(&mut self, level: u8, table: u64, iova: u64, path: &mut Vec<u64>, random: &mut Random) {
        let mut places: Vec<u64> = match level {
            4.. => vec![0, random.below(512), 511],
            3 => (0..5).map(|_| random.below(512)).chain([0, 1, 2]).collect(),
            2 => {
                let first = random.of(&[0, 492]);
                (0..12).map(|_| random.below(512)).chain(first..first + 20).collect()
            }
            _ => match random.below(3) {
                0 => (0..512).collect(),
                1 => (0..512).step_by(3).collect(),
                _ => (100..300).collect(),
            },
        };
        places.sort_unstable();
        places.dedup();
        let scattered = random.one_in(3);
        let size = 1u64 << shift(level);
        let mut target = 0;
        for (number, index) in places.into_iter().enumerate() {
            let here = iova + (index << shift(level));
            // 48 or 57 bits, sign-extended.
            let here = if level == self.outer_levels && index > 255 {
                here | u64::MAX << shift(self.outer_levels + 1)
            } else {
                here
            };
            let access = if random.one_in(8) { random.below(8) } else { 7 };
            let marks = random.of(&[0u64, 0x20, 0x60, 0x60, 0x60]);
            let bits = access | marks | random.of(&[0u64, 0, 0, 0x18]);
            let reserved = if random.one_in(60) { 1 << 47 } else { 0 };
            if level < 4 && (level == 1 || random.one_in(2)) {
                target = if number == 0 || random.one_in(if scattered { 2 } else { 40 }) {
                    let megabytes = random.of(&[0u64, 1, 2, 4, 5, 6, 7, 508, 509, 510]);
                    random.of(&self.gigabytes()) + (megabytes << 21) + (random.of(&[0, 1, 511, 256, 500]) << 12)
                } else {
                    target + size
                };
                let beyond = if random.one_in(50) { 1u64 << self.input_bits } else { 0 };
                let large = if level > 1 { 0x80 } else { 0 };
                let address = (target | beyond) & !(size - 1) & ((1 << HOST_BITS) - 1);
                self.memory.set(table, index, address | bits | large | reserved);
                self.leaves.push((here, shift(level)));
            } else if level > 1 && random.one_in(12) {
                let odd = match random.below(3) {
                    0 => random.of(path),
                    1 => 1 << self.input_bits,
                    _ => random.of(&self.gigabytes()) + (random.of(&[0u64, 1, 2, 5, 6, 7, 300, 509, 510, 511]) << 21),
                };
                self.memory.set(table, index, odd & ((1 << HOST_BITS) - 1) | bits);
                self.leaves.push((here, shift(level)));
            } else if level > 1 && self.room > 0 {
                self.room -= 1;
                let (at, memory) = self.table(random);
                self.memory.set(table, index, at | bits | reserved);
                self.leaves.push((here, shift(level)));
                if let Some(memory) = memory {
                    path.push(at);
                    self.grow(level - 1, memory, here, path, random);
                    path.pop();
                }
            }
        }
    }
}
