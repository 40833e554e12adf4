use super::bits;
use super::{Device, Kind, Space, Step, Tables, Twin, Way, Who};
use iopt::memory::Page;

/// One leaf that a device can use, reached over well-formed entries only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The first address that it translates.
    pub iova: u64,
    /// Size in bytes.
    pub size: u64,
    /// Where its first byte is in host memory.
    pub phys: u64,
    /// Whether every entry on the path lets reads through.
    pub read: bool,
    /// Whether every entry on the path lets writes through.
    pub write: bool,
    /// The memory attributes of the leaf itself: see [`Tables::attributes`].
    pub attributes: u64,
}

/// An entry at which the walk could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The entry: of a page table, or the one that leads to the top table, if that is not in memory. Of nested stages
    /// it is an entry of the second one that does not let a table of the first be read, or what that leads to.
    pub at: Step,
    /// The first address of the device that it concerns.
    pub iova: u64,
    /// The fault reason of a malformed entry, or of a table that is not in memory.
    /// `None` if the table is on its own path, which hardware doesn't mind.
    pub code: Option<u8>,
}

impl Bad {
    /// The last address that the entry of a page table covers, in the input of its stage if that is not nested.
    fn last(&self) -> u64 {
        match self.at.kind {
            Kind::First(level) | Kind::Second(level) => self.iova | bits::low(bits::entry_shift(level)),
            _ => u64::MAX,
        }
    }
}

/// What is collected on the way down.
struct Walk<'t> {
    of: &'t Tables,
    behind: Option<Behind<'t>>,
    /// How many leaves and bad entries are enough.
    limit: usize,
    /// The page tables from the top to here, where they are in memory.
    tables: Vec<u64>,
    leaves: Vec<Leaf>,
    bad: Vec<Bad>,
}

impl Twin<'_> {
    /// Every leaf that the requests of `who` can use, and every entry that kept the walk from going on; both by
    /// ascending IOVA.
    ///
    /// Both are empty if there is no page table to walk: pass-through, or a fault that comes before.
    ///
    /// A leaf that permits neither reading nor writing, once the entries above it have their say, is left
    /// out. Nothing at or beyond the width of second-stage input (MGAW) is told, unless a first stage leads there. A leaf in the interrupt range is
    /// told like any other, although a request to it faults. A bad entry is told even where the
    /// entries above it permit nothing, so that no request would get as far. Behind each leaf of a first stage all that
    /// is bad in the second is told again.
    pub fn leaves(&self, who: impl Into<Who>) -> (Vec<Leaf>, Vec<Bad>) {
        let who = who.into();
        let device = self.devices().into_iter().find(|device| device.who() == who);
        device.map_or_else(Default::default, |device| self.leaves_of(&device))
    }

    /// The same for a device that was found.
    pub fn leaves_of(&self, device: &Device) -> (Vec<Leaf>, Vec<Bad>) {
        let (mut leaves, bad) = self.up_to(device, usize::MAX);
        leaves.retain(|leaf| leaf.read || leaf.write);
        (leaves, bad)
    }

    /// Whether a device has no more leaves and bad entries than this, counted for each path that leads to them.
    pub(crate) fn is_within(&self, device: &Device, limit: usize) -> bool {
        let (leaves, bad) = self.up_to(device, limit);
        leaves.len() + bad.len() <= limit
    }

    /// All leaves and bad entries if there are not more than this, and otherwise more than this.
    fn up_to(&self, device: &Device, limit: usize) -> (Vec<Leaf>, Vec<Bad>) {
        let (of, behind) = match &device.space {
            Ok(Space::Tables(tables)) => (tables, None),
            Ok(Space::Nested(first, second)) => (first, Some(second)),
            _ => return Default::default(),
        };
        let behind = behind.map(|second| {
            let alone = Device { space: Ok(Space::Tables(*second)), ..device.clone() };
            let (leaves, bad) = self.up_to(&alone, limit);
            Behind { of: second, leaves, bad }
        });
        let mut walk = Walk { of, behind, limit, tables: vec![], leaves: vec![], bad: vec![] };
        let at = *device.path.last().expect("something leads to the tables");
        match self.table(&walk, of.top, of.levels, at) {
            Ok((top, page)) => self.descend(&mut walk, of.levels, top, &page, 0, (true, true)),
            Err((at, code)) => walk.bad.push(Bad { at, iova: 0, code }),
        }
        (walk.leaves, walk.bad)
    }

    /// The table at `pointer`, which the entry `at` points to; or the entry to blame if there is none, and the reason.
    fn table(&self, walk: &Walk<'_>, pointer: u64, level: u8, at: Step) -> Result<(u64, Page), (Step, Option<u8>)> {
        let mut table = pointer;
        if let Some(Behind { of: second, .. }) = walk.behind {
            if !second.accepts(pointer) {
                return Err((at, Some(0x74)));
            }
            let mut way = Way::default();
            match self.follow(second, pointer, false, &mut way) {
                Ok((located, ..)) => table = located,
                Err(code) => {
                    let denied = if level == walk.of.levels { 0x75 } else { 0x76 };
                    let code = if code == 0x79 { denied } else { code };
                    return Err((way.path.last().copied().unwrap_or(at), Some(code)));
                }
            }
        }
        if walk.tables.contains(&table) {
            return Err((at, None));
        }
        let page = self.page(table).ok_or((at, Some(self.unreadable(walk.of, level))))?;
        Ok((table, page))
    }

    fn descend(
        &self,
        walk: &mut Walk<'_>,
        level: u8,
        table: u64,
        page: &Page,
        first: u64,
        (read, write): (bool, bool),
    ) {
        let of = walk.of;
        walk.tables.push(table);
        // A 64-bit address leaves seven bits for the sixth level.
        let entries = if level == 6 { 128 } else { 512 };
        for index in 0..entries {
            let iova = of.address_of(first, level, index);
            if !of.accepts(iova) || walk.leaves.len() + walk.bad.len() > walk.limit {
                break;
            }
            let entry = page.words()[index as usize].get();
            if !of.present(entry) {
                continue;
            }
            let read = read && of.reads(entry);
            let write = write && of.writes(entry);
            let at = Step { kind: of.kind(level), table, index, entry: [entry, 0, 0, 0, 0, 0, 0, 0] };
            let bad = |code| Bad { at, iova, code };
            if of.reserved(entry, level) {
                walk.bad.push(bad(Some(self.reserved(of.stage))));
            } else if bits::is_leaf(entry, level) {
                let size = 1 << bits::entry_shift(level);
                let phys = entry & bits::ADDRESS & !(size - 1);
                let leaf = Leaf { iova, size, phys, read, write, attributes: of.attributes(entry, level) };
                match &walk.behind {
                    None => walk.leaves.push(leaf),
                    Some(behind) if !behind.of.accepts(phys) => walk.bad.push(bad(Some(0x84))),
                    Some(behind) => {
                        walk.leaves.extend(behind.pages(&leaf));
                        walk.bad.extend(behind.faults(&leaf));
                    }
                }
            } else {
                match self.table(walk, entry & bits::ADDRESS, level - 1, at) {
                    Ok((next, page)) => self.descend(walk, level - 1, next, &page, iova, (read, write)),
                    Err((at, code)) => walk.bad.push(Bad { at, iova, code }),
                }
            }
        }
        walk.tables.pop();
    }
}

/// A second stage behind the first, and all that it maps.
struct Behind<'t> {
    of: &'t Tables,
    leaves: Vec<Leaf>,
    bad: Vec<Bad>,
}

impl Behind<'_> {
    /// The pages that a leaf of the first stage leads to: of both leaves the smaller.
    fn pages(&self, first: &Leaf) -> impl Iterator<Item = Leaf> {
        let (start, last) = (first.phys, first.phys + (first.size - 1));
        // They come by ascending address.
        let before = self.leaves.partition_point(|leaf| leaf.iova + (leaf.size - 1) < start);
        let common = self.leaves[before..].iter().take_while(move |leaf| leaf.iova <= last);
        common.map(move |second| Leaf {
            iova: first.iova + second.iova.saturating_sub(start),
            size: first.size.min(second.size),
            phys: second.phys + start.saturating_sub(second.iova),
            read: first.read && second.read,
            write: first.write && second.write,
            attributes: first.attributes | second.attributes,
        })
    }

    /// What it has behind a leaf of the first stage and can't be followed.
    fn faults(&self, first: &Leaf) -> impl Iterator<Item = Bad> {
        let (start, last) = (first.phys, first.phys + (first.size - 1));
        let common = self.bad.iter().filter(move |bad| bad.iova <= last && bad.last() >= start);
        common.map(move |bad| Bad { iova: first.iova + bad.iova.saturating_sub(start), ..*bad })
    }
}
