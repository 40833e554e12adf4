//! A kdump-compressed file, of which a test says only what it is about.

use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind};
use iopt_backends::{Kdump, KdumpError, KdumpPageErrorKind};
use std::collections::BTreeMap;
use zerocopy::IntoBytes;

pub const ZLIB: u32 = 1;
pub const LZO: u32 = 2;
pub const SNAPPY: u32 = 4;
pub const ZSTD: u32 = 0x20;

/// What is stored for a page.
#[derive(Clone)]
pub struct Stored {
    pub flags: u32,
    pub bytes: Vec<u8>,
}

#[derive(Clone)]
pub struct Builder {
    pub wide: bool,
    pub big_endian: bool,
    pub version: u32,
    pub machine: &'static str,
    pub block_size: u32,
    pub status: u32,
    pub max_mapnr: u64,
    /// Page frames that are memory; those of the pages are too.
    pub memory: Vec<u64>,
    pub pages: BTreeMap<u64, Stored>,
    pub part: Option<(u64, u64)>,
    pub vmcoreinfo: Vec<u8>,
    /// Old dumps have only one.
    pub bitmaps: u64,
}

impl Builder {
    pub fn new() -> Self {
        Self {
            wide: true,
            big_endian: false,
            version: 6,
            machine: "x86_64",
            block_size: 4096,
            status: 1,
            max_mapnr: 1000,
            memory: Vec::new(),
            pages: BTreeMap::new(),
            part: None,
            vmcoreinfo: Vec::new(),
            bitmaps: 2,
        }
    }

    /// With the frames of `pages`, plain, each holding what [`content`](Self::content) says.
    pub fn plain(mut self, pages: impl IntoIterator<Item = u64>) -> Self {
        for pfn in pages {
            let bytes = self.content(pfn);
            self.pages.insert(pfn, Stored { flags: 0, bytes });
        }
        self
    }

    pub fn stored(mut self, pfn: u64, flags: u32, bytes: Vec<u8>) -> Self {
        self.pages.insert(pfn, Stored { flags, bytes });
        self
    }

    /// What every plain page holds.
    pub fn content(&self, pfn: u64) -> Vec<u8> {
        (0..u64::from(self.block_size)).map(|at| (pfn * 37 + at / 7 + at / 4096 * 5) as u8).collect()
    }

    pub fn u32(&self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u64(&self, value: u64) -> [u8; 8] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// Where a field of the header is that has this offset on a 64-bit machine.
    pub fn at(&self, offset: usize) -> usize {
        if self.wide { offset } else { offset - 12 }
    }

    fn long(&self, to: &mut Vec<u8>, value: u64) {
        if self.wide { to.extend(self.u64(value)) } else { to.extend(self.u32(value as u32)) }
    }

    fn long_long(&self, to: &mut Vec<u8>, value: u64) {
        if self.machine != "i686" {
            to.resize(to.len().next_multiple_of(8), 0xee);
        }
        to.extend(self.u64(value));
    }

    fn bitmap_bytes(&self) -> usize {
        (self.max_mapnr as usize).div_ceil(8).next_multiple_of(self.block_size as usize)
    }

    /// Where the descriptors start.
    pub fn descriptors(&self) -> usize {
        2 * self.block_size as usize + self.bitmaps as usize * self.bitmap_bytes()
    }

    /// Where the bits end that mean anything; padding follows up to the descriptors.
    pub fn last_bits(&self) -> usize {
        self.descriptors() - self.bitmap_bytes() + (self.max_mapnr as usize).div_ceil(8)
    }

    fn header(&self) -> Vec<u8> {
        let mut header = b"KDUMP   ".to_vec();
        header.extend(self.u32(self.version));
        header.resize(272, 0);
        header.extend(self.machine.bytes());
        header.resize(self.at(424), 0);
        let blocks = self.bitmaps as u32 * self.bitmap_bytes() as u32 / self.block_size;
        let low = if self.version < 6 { self.max_mapnr as u32 } else { 0 };
        for value in [self.status, self.block_size, 1, blocks, low, 0, 0, 0, 0, 1] {
            header.extend(self.u32(value));
        }
        header.resize(self.block_size as usize, 0);
        header
    }

    fn sub_header(&self) -> Vec<u8> {
        let mut sub = Vec::new();
        let (start, end) = self.part.unwrap_or((0, 0));
        let old = if self.version < 6 { (start, end) } else { (77, 7) };
        self.long(&mut sub, 0);
        sub.extend(self.u32(31));
        sub.extend(self.u32(self.part.is_some().into()));
        self.long(&mut sub, old.0);
        self.long(&mut sub, old.1);
        self.long_long(&mut sub, u64::from(self.block_size) + 2048);
        self.long(&mut sub, self.vmcoreinfo.len() as u64);
        for _ in 0..2 {
            self.long_long(&mut sub, 0);
            self.long(&mut sub, 0);
        }
        // What the version has not is garbage.
        for value in if self.version < 6 { [!0; 3] } else { [start, end, self.max_mapnr] } {
            self.long_long(&mut sub, value);
        }
        sub.resize(2048, 0xee);
        sub.extend(&self.vmcoreinfo);
        sub.resize(self.block_size as usize, 0xee);
        sub
    }

    fn bitmap(&self, frames: impl Iterator<Item = u64>) -> Vec<u8> {
        let mut bits = vec![0; self.bitmap_bytes()];
        for frame in frames {
            bits[frame as usize / 8] |= 1 << (frame % 8);
        }
        bits
    }

    pub fn build(&self) -> Vec<u8> {
        let mut file = [self.header(), self.sub_header()].concat();
        if self.bitmaps == 2 {
            file.extend(self.bitmap(self.memory.iter().chain(self.pages.keys()).copied()));
        }
        file.extend(self.bitmap(self.pages.keys().copied()));
        let (start, end) = self.part.unwrap_or((0, u64::MAX));
        let stored: Vec<&Stored> = self.pages.range(start..end).map(|(_, stored)| stored).collect();
        let mut offset = (file.len() + 24 * stored.len()) as u64;
        for page in &stored {
            file.extend(self.u64(offset));
            file.extend(self.u32(page.bytes.len() as u32));
            file.extend(self.u32(page.flags));
            file.extend(self.u64(0));
            offset += page.bytes.len() as u64;
        }
        stored.iter().for_each(|page| file.extend(&page.bytes));
        file
    }

    pub fn open(&self) -> Kdump {
        Kdump::from_bytes(self.build()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether the block at `pfn` reads as [`content`](Self::content) says.
    pub fn check(&self, dump: &Kdump, pfn: u64) {
        let content = self.content(pfn);
        for (index, expected) in content.chunks(4096).enumerate() {
            let addr = PhysAddr(pfn * u64::from(self.block_size) + index as u64 * 4096 + 5);
            let mut page = Page::ZERO;
            dump.read_page(addr, &mut page).unwrap_or_else(|error| panic!("{error}"));
            assert!(page.as_bytes() == expected, "{addr}");
            if let Some(lent) = dump.lend_page(addr) {
                assert!(lent.as_bytes() == expected, "{addr}");
            }
        }
    }
}

/// Why a file is refused.
pub fn refused(bytes: Vec<u8>) -> KdumpError {
    let error = Kdump::from_bytes(bytes).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1);
    error
}

/// Why a page is not there, in full and in short.
pub fn absent(dump: &Kdump, addr: u64) -> (KdumpPageErrorKind, ReadErrorKind) {
    let (addr, mut page) = (PhysAddr(addr), Page::ZERO);
    assert!(dump.lend_page(addr).is_none());
    let long = dump.read(addr, &mut page).unwrap_err();
    assert_eq!(long.to_string().lines().count(), 1);
    let short = dump.read_page(addr, &mut page).unwrap_err();
    assert_eq!(short.addr, addr.page());
    (long.kind, short.kind)
}
