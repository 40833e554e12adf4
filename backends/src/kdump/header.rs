use super::compression::PageCompression;
use std::ops::Range;

/// What the headers of a kdump-compressed file say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KdumpHeader {
    /// `header_version`, 0 to 6.
    pub version: u32,
    /// Whether the dumped machine has a `long` of 64 bits.
    pub is_64_bit: bool,
    /// Whether the dumped machine is big-endian.
    pub big_endian: bool,
    /// `machine`, as `uname -m` has it; what is not UTF-8 is replaced.
    pub machine: String,
    /// `release`, as `uname -r` has it; what is not UTF-8 is replaced.
    pub release: String,
    /// When the machine crashed, or the dump was made: seconds and microseconds.
    pub timestamp: (u64, u64),
    /// The size of a page of the dumped kernel: a power of two from 4096 to 65536.
    pub block_size: u32,
    /// How many page frames the bitmaps are for.
    pub max_mapnr: u64,
    /// Whether the dump was not finished, for lack of space: pages may be lost.
    pub incomplete: bool,
    /// How the pages are compressed that are, as the header says; each page says it itself. `None` if the header says
    /// nothing of it, or of several ways.
    pub compression: Option<PageCompression>,
    /// The page frames that this file of a split dump has, the last exclusive.
    pub part: Option<Range<u64>>,
    /// All of the kernel's `utsname`.
    pub(super) names: Vec<u8>,
}

impl KdumpHeader {
    /// What this and `other` differ in, if they can't be of files of one split dump.
    pub(crate) fn differs(&self, other: &Self) -> Option<&'static str> {
        let layout = |header: &Self| (header.is_64_bit, header.big_endian, header.block_size);
        [
            (self.version != other.version, "header_version"),
            (layout(self) != layout(other), "block_size or layout of the header"),
            (self.names != other.names, "utsname"),
            (self.timestamp != other.timestamp, "timestamp"),
            (self.max_mapnr != other.max_mapnr, "max_mapnr"),
        ]
        .into_iter()
        .find_map(|(differs, name)| differs.then_some(name))
    }
}
