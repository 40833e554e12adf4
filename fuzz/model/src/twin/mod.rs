//! A legacy-mode walk written for being right at a glance, not for speed.
//!
//! A page that is not in memory is an error fetching the entry. What is not known about the unit
//! (CAP, ECAP, host address width) is not tested.

pub(crate) mod bits;
mod leaves;
mod ranges;

pub use leaves::{Bad, Device, Leaf, Root};
pub use ranges::{Range, ranges};

use bits::{PRESENT, READ, WRITE};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader};
use std::fmt;

/// [`Step::level`] of a root entry.
pub const ROOT: u8 = 255;
/// [`Step::level`] of a context entry.
pub const CONTEXT: u8 = 254;

/// One unit in legacy mode, as its registers and its memory tell.
#[derive(Clone, Copy)]
pub struct Twin<'m> {
    /// Where the tables are.
    pub memory: &'m dyn PhysReader,
    /// RTADDR_REG; the twin takes bits 63:12 and does not look at the mode in bits 11:10.
    pub rtaddr: u64,
    /// CAP_REG, if known.
    pub cap: Option<u64>,
    /// ECAP_REG, if known.
    pub ecap: Option<u64>,
    /// The host address width in bits, if known.
    pub haw: Option<u8>,
}

impl fmt::Debug for Twin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory: _, rtaddr, cap, ecap, haw } = self;
        write!(f, "Twin {{ rtaddr: {rtaddr:#x}, cap: {cap:#x?}, ecap: {ecap:#x?}, haw: {haw:?} }}")
    }
}

/// Where a request ends up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The address in host memory, byte-exact.
    pub phys: u64,
    /// Size of the leaf, in bytes; 4096 under pass-through, which has none.
    pub page_size: u64,
    /// R of every page-table entry on the path, ANDed.
    pub read: bool,
    /// W of every page-table entry on the path, ANDed.
    pub write: bool,
    /// Every entry that was read, root first.
    pub path: Vec<Step>,
}

/// Why a request does not end up anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The fault reason, as hardware numbers it.
    pub code: u8,
    /// Every entry that was read, root first; the faulty one is the last. An entry that could not be
    /// fetched is not in it.
    pub path: Vec<Step>,
}

/// One entry on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// [`ROOT`], [`CONTEXT`], or the level of the page table: 1 holds 4 KiB leaves.
    pub level: u8,
    /// The address of the table that the entry is in.
    pub table: u64,
    /// Which entry: the bus in a root table, device and function in a context table.
    pub index: u64,
    /// The entry; page-table entries use the low 64 bits.
    pub entry: u128,
}

impl Twin<'_> {
    /// Translates one request of `source`, in the order in which hardware checks.
    pub fn translate(&self, source: u16, iova: u64, write: bool) -> Result<Translated, Fault> {
        let mut path = Vec::new();
        match self.walk(source, iova, write, &mut path) {
            Ok((phys, page_size, read, write)) => Ok(Translated { phys, page_size, read, write, path }),
            Err(code) => Err(Fault { code, path }),
        }
    }

    fn walk(&self, source: u16, iova: u64, write: bool, path: &mut Vec<Step>) -> Result<(u64, u64, bool, bool), u8> {
        let (bus, devfn) = (u64::from(source >> 8), u64::from(source & 0xff));

        let table = self.rtaddr & bits::POINTER;
        let root = self.pair(table, bus).ok_or(0x08)?;
        path.push(Step { level: ROOT, table, index: bus, entry: join(root) });
        if root[0] & PRESENT == 0 {
            return Err(0x01);
        }
        if bits::root_reserved(root, self.haw) {
            return Err(0x0a);
        }

        let table = root[0] & bits::POINTER;
        let context = self.pair(table, devfn).ok_or(0x09)?;
        path.push(Step { level: CONTEXT, table, index: devfn, entry: join(context) });
        if context[0] & PRESENT == 0 {
            return Err(0x02);
        }
        if let Some(code) = self.context_fault(context) {
            return Err(code);
        }

        if bits::translation_type(context) == 0b10 {
            // Identity has no leaf, so the test of a leaf's result against the interrupt range does not apply.
            if self.haw.is_some_and(|haw| iova & !bits::low(haw.into()) != 0) {
                return Err(0x04);
            }
            return Ok((iova, 4096, true, true));
        }
        let width = bits::address_width(context);
        if iova & !bits::low(bits::input_width(width, self.cap)) != 0 {
            return Err(0x04);
        }

        let top = width as u8 + 2;
        let (mut readable, mut writable) = (true, true);
        let mut table = context[0] & bits::POINTER;
        for level in (1..=top).rev() {
            let shift = bits::entry_shift(level);
            let index = (iova >> shift) & 0x1ff;
            let entry = self.word(table, index).ok_or(if level == top { 0x03 } else { 0x07 })?;
            path.push(Step { level, table, index, entry: entry.into() });
            if write && entry & WRITE == 0 {
                return Err(0x05);
            }
            if !write && entry & READ == 0 {
                return Err(0x06);
            }
            if bits::entry_reserved(entry, level, self.haw, self.cap, self.ecap) {
                return Err(0x0c);
            }
            readable &= entry & READ != 0;
            writable &= entry & WRITE != 0;
            if bits::is_leaf(entry, level) {
                let size = 1 << shift;
                let page = entry & bits::ADDRESS & !(size - 1);
                if page <= 0xfeef_ffff && page + (size - 1) >= 0xfee0_0000 {
                    return Err(0x0e);
                }
                return Ok((page | (iova & (size - 1)), size, readable, writable));
            }
            table = entry & bits::ADDRESS;
        }
        unreachable!("an entry at level 1 is a leaf")
    }

    /// What is wrong with a present context entry, before any page table is looked at.
    fn context_fault(&self, words: [u64; 2]) -> Option<u8> {
        if bits::context_reserved(words, self.haw, self.cap) {
            return Some(0x0b);
        }
        if !bits::address_width_supported(bits::address_width(words), self.cap) {
            return Some(0x03);
        }
        if !bits::translation_type_supported(bits::translation_type(words), self.ecap) {
            return Some(0x03);
        }
        None
    }

    fn page(&self, table: u64) -> Option<Page> {
        let mut page = Page::ZERO;
        self.memory.read_page(PhysAddr(table), &mut page).ok()?;
        Some(page)
    }

    fn word(&self, table: u64, index: u64) -> Option<u64> {
        Some(self.page(table)?.words()[index as usize].get())
    }

    /// The two words of a 16-byte entry.
    fn pair(&self, table: u64, index: u64) -> Option<[u64; 2]> {
        Some(pair_in(&self.page(table)?, index))
    }
}

fn pair_in(page: &Page, index: u64) -> [u64; 2] {
    let first = 2 * index as usize;
    [page.words()[first].get(), page.words()[first + 1].get()]
}

fn join(words: [u64; 2]) -> u128 {
    u128::from(words[0]) | u128::from(words[1]) << 64
}
