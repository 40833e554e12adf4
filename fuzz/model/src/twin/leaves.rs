use super::bits::{self, PRESENT, READ, SNOOP, WRITE};
use super::{CONTEXT, Twin, pair_in};
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
    /// R of every entry on the path, ANDed.
    pub read: bool,
    /// W of every entry on the path, ANDed.
    pub write: bool,
    /// Bit 11 of the leaf itself.
    pub snoop: bool,
}

/// An entry at which the walk could not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    /// The level of its table; [`CONTEXT`] if it is a context entry.
    pub level: u8,
    /// The address of its table.
    pub table: u64,
    /// Which entry; device and function in a context table.
    pub index: u64,
    /// The entry; the low word of a context entry.
    pub entry: u64,
    /// The first address that it covers.
    pub iova: u64,
    /// The fault reason: 0x0c for a malformed entry, 0x07 or 0x03 for a table that is not in memory.
    /// `None` if the table is on its own path, which hardware doesn't mind.
    pub code: Option<u8>,
}

/// A present root entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// The bus.
    pub bus: u8,
    /// The entry's two words.
    pub words: [u64; 2],
    /// The reason with which every request from the bus faults before a context entry is looked at:
    /// 0x0a or 0x09.
    pub code: Option<u8>,
}

/// A present context entry, in a context table that can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Bus, device and function.
    pub source: u16,
    /// The entry's two words.
    pub words: [u64; 2],
    /// The reason with which every request faults before a page table is looked at: 0x0b or 0x03.
    pub code: Option<u8>,
}

/// What is collected on the way down.
struct Walk {
    /// The page tables from the top to here.
    tables: Vec<u64>,
    /// The first address that no request can have; 2^64 does not fit 64 bits.
    limit: u128,
    leaves: Vec<Leaf>,
    bad: Vec<Bad>,
}

impl Twin<'_> {
    /// Every leaf that `source` can use, and every entry that kept the walk from going on; both by
    /// ascending IOVA.
    ///
    /// Both are empty if there is no page table to walk: pass-through, or a fault that comes before.
    ///
    /// A leaf that permits neither reading nor writing, once the entries above it have their say, is left
    /// out. Nothing at or beyond the unit's address width (MGAW) is told. A leaf in the interrupt range is
    /// told like any other, although a request to it faults with 0x0e. A bad entry is told even where the
    /// entries above it permit nothing, so that no request would get as far.
    pub fn leaves(&self, source: u16) -> (Vec<Leaf>, Vec<Bad>) {
        let mut walk = Walk { tables: vec![], limit: 0, leaves: vec![], bad: vec![] };
        let device = self.devices().into_iter().find(|device| device.source == source && device.code.is_none());
        if let Some(device) = device.filter(|device| bits::translation_type(device.words) != 0b10) {
            let width = bits::address_width(device.words);
            walk.limit = 1 << bits::input_width(width, self.cap);
            let top = device.words[0] & bits::POINTER;
            match self.page(top) {
                Some(page) => self.descend(&mut walk, width as u8 + 2, top, &page, 0, (true, true)),
                None => {
                    let root = self.pair(self.rtaddr & bits::POINTER, (source >> 8).into()).expect("it was just read");
                    walk.bad.push(Bad {
                        level: CONTEXT,
                        table: root[0] & bits::POINTER,
                        index: (source & 0xff).into(),
                        entry: device.words[0],
                        iova: 0,
                        code: Some(0x03),
                    });
                }
            }
        }
        (walk.leaves, walk.bad)
    }

    fn descend(&self, walk: &mut Walk, level: u8, table: u64, page: &Page, first: u64, (read, write): (bool, bool)) {
        walk.tables.push(table);
        let shift = bits::entry_shift(level);
        // A 64-bit address leaves seven bits for the sixth level.
        let entries = if level == 6 { 128 } else { 512 };
        for index in 0..entries {
            let iova = first | index << shift;
            if u128::from(iova) >= walk.limit {
                break;
            }
            let entry = page.words()[index as usize].get();
            if entry & (READ | WRITE) == 0 {
                continue;
            }
            let read = read && entry & READ != 0;
            let write = write && entry & WRITE != 0;
            let bad = |code| Bad { level, table, index, entry, iova, code };
            if bits::entry_reserved(entry, level, self.haw, self.cap, self.ecap) {
                walk.bad.push(bad(Some(0x0c)));
            } else if bits::is_leaf(entry, level) {
                if read || write {
                    let size = 1 << shift;
                    let phys = entry & bits::ADDRESS & !(size - 1);
                    walk.leaves.push(Leaf { iova, size, phys, read, write, snoop: entry & SNOOP != 0 });
                }
            } else {
                let next = entry & bits::ADDRESS;
                if walk.tables.contains(&next) {
                    walk.bad.push(bad(None));
                } else if let Some(page) = self.page(next) {
                    self.descend(walk, level - 1, next, &page, iova, (read, write));
                } else {
                    walk.bad.push(bad(Some(0x07)));
                }
            }
        }
        walk.tables.pop();
    }

    /// Every present root entry, by bus.
    ///
    /// # Errors
    /// The reason 0x08 if the root table is not in memory.
    pub fn roots(&self) -> Result<Vec<Root>, u8> {
        let page = self.page(self.rtaddr & bits::POINTER).ok_or(0x08)?;
        let mut roots = Vec::new();
        for bus in 0..=255 {
            let words = pair_in(&page, u64::from(bus));
            if words[0] & PRESENT != 0 {
                let code = if bits::root_reserved(words, self.haw) {
                    Some(0x0a)
                } else if self.page(words[0] & bits::POINTER).is_none() {
                    Some(0x09)
                } else {
                    None
                };
                roots.push(Root { bus, words, code });
            }
        }
        Ok(roots)
    }

    /// Every present context entry, by source-id. Buses that fault before their context table are left
    /// out: [`roots`](Self::roots) has them.
    pub fn devices(&self) -> Vec<Device> {
        let mut devices = Vec::new();
        for root in self.roots().unwrap_or_default() {
            if root.code.is_some() {
                continue;
            }
            let page = self.page(root.words[0] & bits::POINTER).expect("the root entry has no fault");
            for devfn in 0..=255 {
                let words = pair_in(&page, u64::from(devfn));
                if words[0] & PRESENT != 0 {
                    let source = u16::from_be_bytes([root.bus, devfn]);
                    devices.push(Device { source, words, code: self.context_fault(words) });
                }
            }
        }
        devices
    }
}
