use crate::fields::{Fields, Masks};
use crate::numbers::Random;
use crate::twin::{Bit, Twin};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, Word};
use iopt::{PhysAddr, PhysRange};
use std::collections::BTreeMap;

/// Where the top table is.
pub const ROOT: u64 = 0x10_0000;

/// Tables in memory.
pub struct Tree<'t> {
    twin: &'t dyn Twin,
    pages: BTreeMap<u64, Page>,
    /// Tables at level 1 so far, to be pointed to again.
    shared: Vec<u64>,
    next: u64,
    /// How many tables may still be made.
    room: usize,
    pub lends: bool,
}

impl PhysReader for Tree<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let found = self.pages.get(&addr.page().0).ok_or(ReadError::new(addr, ReadErrorKind::Hole))?;
        page.words_mut().copy_from_slice(found.words());
        Ok(())
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        self.pages.get(&addr.page().0).filter(|_| self.lends)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.pages.range(from.page().0..).next().map(|(addr, _)| PhysRange::block(PhysAddr(*addr), 12))
    }
}

impl<'t> Tree<'t> {
    /// An empty top table.
    pub fn new(twin: &'t dyn Twin) -> Self {
        let mut tree = Self { twin, pages: BTreeMap::new(), shared: Vec::new(), next: ROOT, room: 30, lends: true };
        tree.table();
        tree
    }

    /// A tree with some of everything in it.
    pub fn random(twin: &'t dyn Twin, seed: u64) -> Self {
        let mut tree = Self::new(twin);
        tree.lends = seed % 2 == 0;
        tree.grow(twin.levels(), ROOT, &mut vec![ROOT], &mut Random(seed));
        tree
    }

    pub fn word(&self, table: u64, index: u64) -> Option<u64> {
        Some(self.pages.get(&table)?.word(index as usize))
    }

    pub fn set(&mut self, table: u64, index: u64, raw: u64) {
        self.pages.get_mut(&table).unwrap().words_mut()[index as usize] = Word::new(raw);
    }

    fn table(&mut self) -> u64 {
        let table = self.next;
        // Neighbouring tables would hide a step of a page too many.
        self.next += 0x3000;
        self.pages.insert(table, Page::ZERO);
        table
    }

    /// An entry that lets everything through.
    pub fn open(&self, level: u8, leaf: bool, address: u64) -> u64 {
        let access = self.twin.mask(level, leaf, Bit::Access);
        Fields { level, leaf, address, access, attributes: 0, ignored: 0 }.encode(self.twin)
    }

    /// Where the entry of `iova` at `level` is: its table and its index. Tables on the way are made.
    pub fn at(&mut self, level: u8, iova: u64) -> (u64, u64) {
        let mut table = ROOT;
        for above in (level..=self.twin.levels()).rev() {
            let index = iova >> self.twin.shift(above) & (self.twin.entries(above) - 1);
            if above == level {
                return (table, index);
            }
            let raw = self.word(table, index).unwrap();
            table = if self.twin.present(raw) {
                raw & self.twin.mask(above, false, Bit::Address)
            } else {
                let next = self.table();
                self.set(table, index, self.open(above, false, next));
                next
            };
        }
        unreachable!("the loop ends at the level")
    }

    /// Which entries of a table to fill. There is no more than room for a few tables in a tree.
    fn places(&self, level: u8, random: &mut Random) -> Vec<u64> {
        let entries = self.twin.entries(level);
        let some = |random: &mut Random, count: u64| (0..count).map(|_| random.below(entries)).collect::<Vec<_>>();
        let mut places = match (level, random.below(6)) {
            (4.., _) => some(random, 3),
            (3, 0..3) => some(random, 4),
            (_, 0) => some(random, 20),
            (_, 1) => (0..entries).collect(),
            (_, 2) => (entries / 4..entries / 2 + 3).collect(),
            (_, 3) => (0..entries).step_by(2).collect(),
            (_, 4) => (0..entries).filter(|_| !random.one_in(20)).collect(),
            _ => (entries - entries / 3..entries).collect(),
        };
        // Both ends, and both sides of the middle.
        for edge in [0, entries / 2 - 1, entries / 2, entries - 1] {
            if random.one_in(2) {
                places.push(edge);
            }
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    fn grow(&mut self, level: u8, table: u64, path: &mut Vec<u64>, random: &mut Random) {
        let twin = self.twin;
        let consecutive = !random.one_in(4);
        let noisy = random.one_in(2);
        let mixed = random.one_in(3);
        let masks = Masks::of(twin, level, true);
        let mut leaf = random.fields(twin, level, true);
        leaf.access = twin.mask(level, true, Bit::Access);
        let mut follows = leaf.address;
        for index in self.places(level, random) {
            follows = follows.wrapping_add(1 << twin.shift(level));
            if random.one_in(30) {
                self.set(table, index, self.odd(level, path, random));
            } else if twin.has_leaves(level) && (level == 1 || !random.one_in(6)) {
                if mixed && random.one_in(8) {
                    leaf.access = random.access(twin, level, true);
                }
                if mixed && random.one_in(8) {
                    leaf.attributes = random.word();
                }
                if noisy {
                    leaf.ignored = random.word();
                }
                leaf.address = if consecutive && !random.one_in(40) { follows } else { random.word() };
                follows = leaf.address;
                self.set(table, index, leaf.encode_in(&masks));
            } else if level > 1 && self.room > 0 {
                self.room -= 1;
                let next = self.table();
                let mut fields = random.fields(twin, level, false);
                fields.address = next;
                if !random.one_in(8) {
                    fields.access = twin.mask(level, false, Bit::Access);
                }
                self.set(table, index, fields.encode(twin));
                path.push(next);
                self.grow(level - 1, next, path, random);
                path.pop();
                if level == 2 {
                    self.shared.push(next);
                }
            }
        }
    }

    /// An entry that leads nowhere, or where another one leads too.
    fn odd(&self, level: u8, path: &[u64], random: &mut Random) -> u64 {
        let twin = self.twin;
        let kinds = twin.kinds(level);
        let kind = kinds[random.below(kinds.len() as u64) as usize];
        let valid = random.fields(twin, level, kind);
        let points_to = |address: u64| Fields { leaf: false, address, ..valid }.encode(twin);
        let pick =
            |from: &[u64], random: &mut Random| from.get(random.below(from.len().max(1) as u64) as usize).copied();
        match random.below(5) {
            0 if level > 1 => points_to(ROOT - 0x1000),
            1 if level > 1 => pick(path, random).map_or(0, points_to),
            2 if level == 2 => pick(&self.shared, random).map_or(0, points_to),
            3 => random.word() & !twin.mask(level, kind, Bit::Access),
            _ => valid.encode(twin) | random.word() & random.word() & twin.mask(level, kind, Bit::Reserved),
        }
    }
}
