use super::bits;
use super::{Device, Space, Step, Tables, Twin, Who};
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
    /// The entry: of a page table, or the one that leads to the top table, if that is not in memory.
    pub at: Step,
    /// The first address that it covers.
    pub iova: u64,
    /// The fault reason of a malformed entry, or of a table that is not in memory.
    /// `None` if the table is on its own path, which hardware doesn't mind.
    pub code: Option<u8>,
}

/// What is collected on the way down.
struct Walk<'t> {
    of: &'t Tables,
    /// The page tables from the top to here.
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
    /// out. Nothing at or beyond the width of second-stage input (MGAW) is told. A leaf in the interrupt range is
    /// told like any other, although a request to it faults. A bad entry is told even where the
    /// entries above it permit nothing, so that no request would get as far.
    pub fn leaves(&self, who: impl Into<Who>) -> (Vec<Leaf>, Vec<Bad>) {
        let who = who.into();
        let device = self.devices().into_iter().find(|device| device.who() == who);
        device.map_or_else(Default::default, |device| self.leaves_of(&device))
    }

    /// The same for a device that was found.
    pub fn leaves_of(&self, device: &Device) -> (Vec<Leaf>, Vec<Bad>) {
        // What two stages make of each other is checked request by request.
        let Ok(Space::Tables(tables)) = &device.space else { return Default::default() };
        let mut walk = Walk { of: tables, tables: vec![], leaves: vec![], bad: vec![] };
        match self.page(tables.top) {
            Some(page) => self.descend(&mut walk, tables.levels, tables.top, &page, 0, (true, true)),
            None => {
                let at = *device.path.last().expect("something leads to it");
                walk.bad.push(Bad { at, iova: 0, code: Some(self.unreadable(tables, tables.levels)) });
            }
        }
        (walk.leaves, walk.bad)
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
            if !of.accepts(iova) {
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
                if read || write {
                    let size = 1 << bits::entry_shift(level);
                    let phys = entry & bits::ADDRESS & !(size - 1);
                    let attributes = of.attributes(entry, level);
                    walk.leaves.push(Leaf { iova, size, phys, read, write, attributes });
                }
            } else {
                let next = entry & bits::ADDRESS;
                if walk.tables.contains(&next) {
                    walk.bad.push(bad(None));
                } else if let Some(page) = self.page(next) {
                    self.descend(walk, level - 1, next, &page, iova, (read, write));
                } else {
                    walk.bad.push(bad(Some(self.unreadable(of, level - 1))));
                }
            }
        }
        walk.tables.pop();
    }
}
