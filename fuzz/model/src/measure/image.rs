//! Large regular units to measure on: one device whose four-level page table has as many leaf tables as asked
//! for. They are written as raw images, so that a reader maps them.

use crate::random_bytes;
use iopt::builder::{self, Leaves, PageTable, Stage, Target, UnitBuilder};
use iopt::memory::{PageAllocator, Slot, SparseMemory, ranges};
use iopt::vtd::Rtaddr;
use iopt::{Iova, PhysAddr, SourceId};
use std::io::{self, Seek, SeekFrom, Write};
use zerocopy::IntoBytes;

/// What the image holds.
#[derive(Clone, Copy, Debug)]
pub struct ImageSpec {
    /// What kind of page tables the device has.
    pub kind: ImageKind,
    /// How many level-1 tables; the tables above come on top, one for 512 of them.
    pub leaf_tables: usize,
    /// How many of the 512 entries of each leaf table are present, at random places unless it is all of them.
    pub leaves_per_table: usize,
    /// Whether the table pages lie in memory in random order, or in the order of a walk.
    pub shuffled: bool,
    /// Whether the memory behind the leaves of a table is consecutive, or each leaf's is anywhere.
    pub scattered: bool,
}

/// The translation that a unit does. The leaves are the same in all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageKind {
    /// Second-stage page tables of legacy mode.
    Legacy,
    /// Second-stage page tables of scalable mode.
    SecondStage,
    /// First-stage page tables.
    FirstStage,
    /// First-stage page tables behind a second stage that maps each address to itself, with leaves of 1 GiB.
    Nested,
}

impl ImageKind {
    /// Every kind, with its name.
    pub const ALL: [(&str, Self); 4] = [
        ("legacy", Self::Legacy),
        ("second-stage", Self::SecondStage),
        ("first-stage", Self::FirstStage),
        ("nested", Self::Nested),
    ];

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, kind)| kind)
    }

    /// The root table address register of the image's unit.
    pub const fn rtaddr(self) -> Rtaddr {
        match self {
            Self::Legacy => Rtaddr(ROOT),
            _ => Rtaddr(ROOT | 1 << 10),
        }
    }

    /// What an entry has besides an address, where it points to a table and where it is a leaf. First-stage ones
    /// have their accessed and dirty bits set, as Linux writes them.
    const fn bits(self) -> (u64, u64) {
        match self {
            Self::Legacy | Self::SecondStage => (0x3, 0x3),
            Self::FirstStage | Self::Nested => (0x27, 0x67),
        }
    }
}

const ROOT: u64 = 0x1000;
const DEVICE: SourceId = SourceId::new(0, 8);
/// How many tables of 512 leaves of 1 GiB the second stage behind a first stage has. They reach further than any leaf.
const IDENTITY_TABLES: u64 = 8;
/// The first of the pages that hold page tables, behind the tables that lead to them and that second stage.
const TABLES: u64 = 6 + IDENTITY_TABLES;
/// Memory ends here, in pages of 4 KiB.
const FRAMES: u64 = IDENTITY_TABLES << 27;

impl ImageSpec {
    /// How many page-table pages the image has, over all levels; not those of a second stage behind a first.
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
        self.device(out, top)?;
        let (table, _) = self.kind.bits();
        let mut fours = Vec::new();
        let mut left = self.leaf_tables;
        while left > 0 {
            let three = place();
            fours.push((fours.len() as u64, three | table));
            let mut threes = Vec::new();
            while left > 0 && threes.len() < 512 {
                let two = place();
                threes.push((threes.len() as u64, two | table));
                let mut twos = Vec::new();
                while left > 0 && twos.len() < 512 {
                    let one = place();
                    twos.push((twos.len() as u64, one | table));
                    left -= 1;
                    page(out, one, &self.leaves(left as u64, &mut random))?;
                }
                page(out, two, &twos)?;
            }
            page(out, three, &threes)?;
        }
        page(out, top, &fours)
    }

    /// The tables that lead to the device's page tables, of which `top` is the top one.
    fn device<W: Write + Seek>(&self, out: &mut W, top: u64) -> io::Result<()> {
        let mut slots = vec![Slot::EMPTY; TABLES as usize];
        let mut memory = SparseMemory::new(&mut slots);
        memory.allocate_from(PhysAddr(ROOT));
        self.build_device(&mut memory, PhysAddr(top)).map_err(io::Error::other)?;
        for addr in ranges(&memory).flat_map(|range| (range.first().0..=range.last().0).step_by(4096)) {
            let page = memory.page(PhysAddr(addr)).map_err(io::Error::other)?;
            out.seek(SeekFrom::Start(addr))?;
            out.write_all(page.as_bytes())?;
        }
        Ok(())
    }

    fn build_device(&self, memory: &mut SparseMemory<'_>, top: PhysAddr) -> Result<(), builder::Error> {
        let mut tables = UnitBuilder::new(memory, self.kind.rtaddr().mode())?;
        let table = |stage| PageTable { stage, levels: 4, top };
        let target = match self.kind {
            ImageKind::Legacy | ImageKind::SecondStage => Target::second_stage(table(Stage::Second)),
            ImageKind::FirstStage => Target::first_stage(table(Stage::First)),
            ImageKind::Nested => {
                let identity = tables.second_stage(4)?;
                tables.map(identity, Leaves::of_1g(Iova(0), PhysAddr(0)).times(IDENTITY_TABLES << 9))?;
                Target::nested(table(Stage::First), identity)
            }
        };
        tables.device(DEVICE, target)
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
        let frame = |index: u64, random: &mut Random| if self.scattered { random.below(FRAMES) } else { first + index };
        let (_, leaf) = self.kind.bits();
        indexes.into_iter().map(|index| (index, frame(index, random) << 12 | leaf)).collect()
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
    use iopt::memory::Page;
    use iopt::radix::{Cursor, Item, MAX_LEVELS, translate};
    use iopt::vtd::{AddressSpace, Unit};
    use iopt::{Access, IovaRange};
    use zerocopy::FromBytes;

    /// IOVA and memory of each leaf.
    type Leaves = Vec<(u64, u64)>;

    fn with_image(spec: &ImageSpec, look: impl FnOnce(&SparseMemory<'_>)) {
        let mut out = io::Cursor::new(Vec::new());
        spec.write(&mut out).unwrap();
        let bytes = out.into_inner();
        assert_eq!(bytes.len(), (TABLES as usize + spec.tables()) * 4096);
        let mut slots = vec![Slot::EMPTY; bytes.len() / 4096];
        let mut memory = SparseMemory::new(&mut slots);
        for (number, page) in bytes.chunks(4096).enumerate() {
            memory.write_page(PhysAddr(number as u64 * 4096), Page::ref_from_bytes(page).unwrap()).unwrap();
        }
        look(&memory);
    }

    fn first_stage_leaves(memory: &SparseMemory<'_>, space: &iopt::vtd::FirstStageSpace) -> Leaves {
        let mut copies = [Page::ZERO; MAX_LEVELS];
        let mut cursor = Cursor::new(memory, &mut copies);
        cursor.start(space.format, space.root, IovaRange::all()).unwrap();
        let mut leaves = Leaves::new();
        while let Some(item) = cursor.next() {
            match item {
                Item::Table(_) => {}
                Item::Run(run) => leaves.extend(run.leaves().map(|leaf| (leaf.iova.0, leaf.phys.0))),
                Item::Malformed(bad) => panic!("{bad:?}"),
            }
        }
        leaves
    }

    #[test]
    fn the_image_has_the_leaves_that_the_spec_says() {
        for shuffled in [false, true] {
            let spec = |kind| ImageSpec { kind, leaf_tables: 515, leaves_per_table: 25, shuffled, scattered: shuffled };
            let mut expected = Leaves::new();
            with_image(&spec(ImageKind::Legacy), |memory| {
                let twin = Twin { memory, rtaddr: ROOT, cap: None, ecap: None, haw: None };
                let (leaves, bad) = twin.leaves(DEVICE.0);
                assert_eq!((leaves.len(), bad.len()), (515 * 25, 0));
                expected.extend(leaves.iter().map(|leaf| (leaf.iova, leaf.phys)));
            });
            for kind in [ImageKind::SecondStage, ImageKind::FirstStage, ImageKind::Nested] {
                with_image(&spec(kind), |memory| {
                    let unit = Unit::new(kind.rtaddr()).unwrap();
                    let mut copy = Page::ZERO;
                    let device = unit.device(memory, DEVICE, &mut copy, |_| ()).unwrap();
                    let leaves = match (kind, &device.space) {
                        (ImageKind::FirstStage, AddressSpace::FirstStage(first)) => first_stage_leaves(memory, first),
                        (ImageKind::Nested, AddressSpace::Nested(first, second)) => {
                            // Where the first stage says that it is, it is: the second stage changes nothing.
                            let leaves = first_stage_leaves(memory, first);
                            for (_, phys) in leaves.iter().chain([&(0, first.root.0)]) {
                                let (format, iova) = (&second.format, Iova(*phys));
                                for access in [Access::Read, Access::Write] {
                                    let found = translate(memory, format, second.root, iova, access, &mut copy, |_| ());
                                    assert_eq!(found.unwrap().phys, PhysAddr(*phys));
                                }
                            }
                            leaves
                        }
                        (ImageKind::SecondStage, AddressSpace::SecondStage(space)) => {
                            let mut leaves = Leaves::new();
                            for (iova, _) in &expected {
                                let iova = Iova(*iova);
                                let found =
                                    translate(memory, &space.format, space.root, iova, Access::Read, &mut copy, |_| ());
                                leaves.push((iova.0, found.unwrap().phys.0));
                            }
                            leaves
                        }
                        (kind, space) => panic!("{kind:?}: {space:?}"),
                    };
                    assert!(leaves == expected, "{kind:?} {shuffled}");
                });
            }
        }
    }

    #[test]
    fn kinds_have_names() {
        for (name, kind) in ImageKind::ALL {
            assert_eq!(ImageKind::named(name), Some(kind));
        }
        assert_eq!(ImageKind::named("third-stage"), None);
    }
}
