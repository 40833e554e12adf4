use crate::ADDRESS;
use crate::common::Words;
use iopt::{Pasid, SourceId};

/// Where every root table is.
pub const ROOT: u64 = 0x1000;

/// Tables, made as they are needed. Between any two is a hole, so that a step too far leads out of memory.
#[derive(Clone, Debug)]
pub struct Builder {
    pub words: Words,
    next: u64,
}

impl Builder {
    /// An empty root table.
    pub fn new() -> Self {
        let mut words = Words::default();
        words.set(ROOT, 0);
        Self { words, next: 0x3000 }
    }

    /// Room for a table of so many pages.
    pub fn table(&mut self, pages: u64) -> u64 {
        let table = self.next;
        for page in 0..pages {
            self.words.set(table + 0x1000 * page, 0);
        }
        self.next += 0x1000 * (pages + 1);
        table
    }

    /// A word, which is made to point to a new table of so many pages if it is zero.
    fn follow(&mut self, at: u64, pages: u64, flags: u64) -> u64 {
        if self.words.get(at) == 0 {
            let table = self.table(pages);
            self.words.set(at, table | flags);
        }
        self.words.get(at) & ADDRESS
    }

    /// Where the context entry of `source` is.
    pub fn context_at(&mut self, source: SourceId) -> u64 {
        let half = ROOT + 16 * u64::from(source.bus()) + 8 * u64::from(source.devfn() >> 7);
        self.follow(half, 1, 1) + 32 * u64::from(source.devfn() & 0x7f)
    }

    /// Gives `source` a PASID directory of the size that PDTS says, and these low flags.
    pub fn context(&mut self, source: SourceId, pdts: u64, flags: u64, rid: u64) -> u64 {
        let at = self.context_at(source);
        let pages = (1 << (pdts + 7) >> 9_u64).max(1);
        self.follow(at, pages, pdts << 9 | flags);
        self.words.set(at + 8, rid);
        at
    }

    /// Where the directory entry of a PASID of `source` is.
    pub fn directory_at(&mut self, source: SourceId, pasid: Pasid) -> u64 {
        let context = self.context_at(source);
        (self.words.get(context) & ADDRESS) + 8 * u64::from(pasid.0 >> 6)
    }

    /// Gives a PASID of `source` an entry.
    pub fn pasid(&mut self, source: SourceId, pasid: Pasid, entry: [u64; 3]) -> u64 {
        let directory = self.directory_at(source, pasid);
        let at = self.follow(directory, 1, 1) + 64 * u64::from(pasid.0 & 0x3f);
        for (word, addr) in entry.into_iter().zip((at..).step_by(8)) {
            self.words.set(addr, word);
        }
        at
    }

    /// Where the entry of `iova` at `level` is, in the page table of `levels` levels at `top`. Tables on the way are
    /// made, with these flags in their pointers.
    pub fn at(&mut self, (top, levels): (u64, u8), level: u8, iova: u64, flags: u64) -> u64 {
        let mut table = top;
        for above in (level..=levels).rev() {
            let entry = table + 8 * (iova >> (3 + 9 * u32::from(above)) & 0x1ff);
            if above == level {
                return entry;
            }
            table = self.follow(entry, 1, flags);
        }
        unreachable!("no level {level} of {levels}")
    }

    /// Makes `raw` the entry of `iova` at `level`.
    pub fn map(&mut self, tables: (u64, u8), level: u8, iova: u64, raw: u64, flags: u64) -> u64 {
        let at = self.at(tables, level, iova, flags);
        self.words.set(at, raw);
        at
    }
}

/// PASID table entries: first stage of 4 or 5 levels, second stage of 3 to 5, and neither.
pub fn first_stage(top: u64, levels: u8) -> [u64; 3] {
    [1 << 6 | 1, 7, top | u64::from(levels - 4) << 2]
}

pub fn second_stage(top: u64, levels: u8) -> [u64; 3] {
    [top | 2 << 6 | u64::from(levels - 2) << 2 | 1, 7, 0]
}

pub const PASS_THROUGH: [u64; 3] = [4 << 6 | 2 << 2 | 1, 7, 0];
