//! A walk in legacy and in scalable mode, written for being right at a glance, not for speed.
//!
//! A page that is not in memory is an error fetching the entry. What is not known about the unit
//! (CAP, ECAP, host address width) is not tested.

pub(crate) mod bits;
mod copied;
mod leaves;
mod ranges;
mod request;
mod scalable;
mod survey;
mod tables;

pub use copied::Role;
pub use leaves::{Bad, Leaf};
pub use ranges::{Range, ranges};
pub use survey::{Device, Found, Lost};
pub use tables::{Stage, Tables};

use bits::PRESENT;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader};
use std::fmt;

/// One unit, as its registers and its memory tell.
#[derive(Clone, Copy)]
pub struct Twin<'m> {
    /// Where the tables are.
    pub memory: &'m dyn PhysReader,
    /// RTADDR_REG; bits 11:10 are 00 in legacy mode and 01 in scalable mode, and the twin knows no others.
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

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    /// Bus, device and function.
    pub source: u16,
    /// The PASID that the request carries, if any.
    pub pasid: Option<u32>,
}

impl From<u16> for Who {
    fn from(source: u16) -> Self {
        Self { source, pasid: None }
    }
}

/// Where a request ends up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The address in host memory, byte-exact.
    pub phys: u64,
    /// Size of the leaf, in bytes, and of two nested ones the lesser; 4096 under pass-through, which has none.
    pub page_size: u64,
    /// Whether every page-table entry on the path lets reads through.
    pub read: bool,
    /// Whether every page-table entry on the path lets writes through.
    pub write: bool,
    /// Every entry that was read, root first.
    pub path: Vec<Step>,
}

/// Why a request does not end up anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The fault reason, as hardware numbers it.
    pub code: u8,
    /// Whether FPD of a context, PASID directory or PASID table entry that was read keeps it from being recorded.
    pub suppressed: bool,
    /// Every entry that was read, root first; the faulty one is the last. An entry that could not be
    /// fetched is not in it.
    pub path: Vec<Step>,
}

/// One entry on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is an entry of.
    pub kind: Kind,
    /// The address of the table that the entry is in; of a PASID directory, its first page.
    pub table: u64,
    /// Which entry: the bus in a root table, devfn in a context table (in scalable mode of half a bus), bits 19:6 of
    /// the PASID in a PASID directory and 5:0 in a PASID table.
    pub index: u64,
    /// The words of the entry; what is shorter than eight ends with zeros.
    pub entry: [u64; 8],
}

/// A kind of table. Page tables have a level: 1 holds 4 KiB leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Root,
    Context,
    Directory,
    Pasids,
    First(u8),
    Second(u8),
}

/// What a device's addresses mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// They are addresses in host memory.
    PassThrough,
    /// They go through the tables of one stage.
    Tables(Tables),
    /// They go through those of the first stage, whose own addresses and results go through those of the second.
    Nested(Tables, Tables),
}

/// What a request has come by so far.
#[derive(Default)]
pub(crate) struct Way {
    path: Vec<Step>,
    /// FPD of any context, PASID directory or PASID table entry.
    suppressed: bool,
}

impl Way {
    fn see(&mut self, kind: Kind, table: u64, index: u64, words: &[u64]) {
        let mut entry = [0; 8];
        entry[..words.len()].copy_from_slice(words);
        self.path.push(Step { kind, table, index, entry });
        if matches!(kind, Kind::Context | Kind::Directory | Kind::Pasids) {
            self.suppressed |= words[0] & bits::FPD != 0;
        }
    }
}

/// FPD does not keep it from being recorded that a PASID directory or table can't be read.
pub(crate) fn obeys_fpd(code: u8) -> bool {
    code != 0x50 && code != 0x58
}

impl Twin<'_> {
    /// Whether the unit is in scalable mode.
    pub fn is_scalable(&self) -> bool {
        self.rtaddr >> 10 & 3 == 1
    }

    /// Translates one request, in the order in which hardware checks.
    pub fn translate(&self, who: impl Into<Who>, iova: u64, write: bool) -> Result<Translated, Fault> {
        let (who, mut way) = (who.into(), Way::default());
        let space = self.space(who, &mut way);
        match space.and_then(|space| self.request(&space, who, iova, write, &mut way)) {
            Ok((phys, page_size, read, write)) => Ok(Translated { phys, page_size, read, write, path: way.path }),
            Err(code) => Err(Fault { code, suppressed: way.suppressed && obeys_fpd(code), path: way.path }),
        }
    }

    /// What the addresses of a requester mean.
    fn space(&self, who: Who, way: &mut Way) -> Result<Space, u8> {
        if self.is_scalable() { self.scalable_space(who, way) } else { self.legacy_space(who, way) }
    }

    fn legacy_space(&self, who: Who, way: &mut Way) -> Result<Space, u8> {
        if who.pasid.is_some() {
            return Err(0x31);
        }
        let [bus, devfn] = who.source.to_be_bytes().map(u64::from);
        let table = self.rtaddr & bits::POINTER;
        let root: [u64; 2] = self.entry(table, bus).ok_or(0x08)?;
        way.see(Kind::Root, table, bus, &root);
        if root[0] & PRESENT == 0 {
            return Err(0x01);
        }
        if bits::root_reserved(root, self.haw) {
            return Err(0x0a);
        }
        let table = root[0] & bits::POINTER;
        let context: [u64; 2] = self.entry(table, devfn).ok_or(0x09)?;
        way.see(Kind::Context, table, devfn, &context);
        if context[0] & PRESENT == 0 {
            return Err(0x02);
        }
        self.context_space(context)
    }

    /// What a present context entry of legacy mode makes of addresses.
    fn context_space(&self, words: [u64; 2]) -> Result<Space, u8> {
        if bits::context_reserved(words, self.haw, self.cap) {
            return Err(0x0b);
        }
        let width = bits::address_width(words);
        if !bits::address_width_supported(width, self.cap) {
            return Err(0x03);
        }
        let kind = bits::translation_type(words);
        if !bits::translation_type_supported(kind, self.ecap) {
            return Err(0x03);
        }
        if kind == 0b10 {
            return Ok(Space::PassThrough);
        }
        // Only a unit that is known to lack snoop control (ECAP.SC, bit 7) reserves the snoop bit.
        let snoop_reserved = self.ecap.is_some_and(|ecap| ecap & (1 << 7) == 0);
        Ok(Space::Tables(self.second_stage(words[0] & bits::POINTER, width, snoop_reserved)))
    }

    fn page(&self, table: u64) -> Option<Page> {
        let mut page = Page::ZERO;
        self.memory.read_page(PhysAddr(table), &mut page).ok()?;
        Some(page)
    }

    /// Entry `index` of a table, which has `N` words.
    fn entry<const N: usize>(&self, table: u64, index: u64) -> Option<[u64; N]> {
        Some(entry_in(&self.page(table)?, index))
    }
}

fn entry_in<const N: usize>(page: &Page, index: u64) -> [u64; N] {
    std::array::from_fn(|word| page.words()[N * index as usize + word].get())
}
