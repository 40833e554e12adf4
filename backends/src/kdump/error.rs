use crate::flattened::{FlattenedError, FlattenedErrorKind};
use std::fmt;
use thiserror::Error;

/// A kdump-compressed file is malformed, so that nothing of it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("kdump file at offset {offset:#x}: {kind}")]
pub struct KdumpError {
    /// The place in the (decompressed) file, in bytes. What is inside a flattened dump is placed as if the file were
    /// put together; what is wrong with the flattening itself, in the file as it is.
    pub offset: u64,
    /// What is wrong there.
    pub kind: KdumpErrorKind,
}

/// What is wrong with the headers or bitmaps of a kdump-compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KdumpErrorKind {
    /// There is something else where the signature should be.
    #[error("expected the signature \"KDUMP   \" or \"DISKDUMP\", found \"{}\"", found.escape_ascii())]
    Signature {
        /// The bytes in its place; zeros for those behind the end of the file.
        found: [u8; 8],
    },
    /// A version of the header that is not known.
    #[error("expected header_version 0 to 6, found {found}")]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// No page size.
    #[error("expected a power of two from 4096 to 65536 as block_size, found {found}")]
    BlockSize {
        /// The size in the header.
        found: u32,
    },
    /// There is no sub header.
    #[error("expected a sub_hdr_size of at least 1 block, found 0")]
    SubHeaderSize,
    /// The dump has no page frame.
    #[error("expected page frames, found max_mapnr 0")]
    NoMemory,
    /// There are more page frames than bits.
    #[error("expected a bitmap of at least max_mapnr = {max_mapnr} bits, found bitmap_blocks for {bits}")]
    BitmapTooShort {
        /// How many page frames there are.
        max_mapnr: u64,
        /// How many bits all blocks of the bitmap have.
        bits: u64,
    },
    /// The part of a split dump ends before it starts.
    #[error("expected a part that ends at or behind its start_pfn {start:#x}, found end_pfn {end:#x}")]
    Part {
        /// The first page frame in the sub header.
        start: u64,
        /// The page frame behind the last.
        end: u64,
    },
    /// The file ends too early.
    #[error("expected {expected} bytes for {part}, found {found}")]
    Truncated {
        /// What is not there.
        part: KdumpPart,
        /// How many bytes it has.
        expected: u64,
        /// How many of them are there.
        found: u64,
    },
    /// The file is flattened, and that is malformed.
    #[error(transparent)]
    Flattened(FlattenedErrorKind),
}

impl From<FlattenedError> for KdumpError {
    fn from(error: FlattenedError) -> Self {
        let offset = u64::try_from(error.offset).unwrap_or(u64::MAX);
        Self { offset, kind: KdumpErrorKind::Flattened(error.kind) }
    }
}

/// A part of a kdump-compressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KdumpPart {
    /// The header at the start.
    Header,
    /// The header in the second block.
    SubHeader,
    /// The bitmap of the page frames that are memory.
    Memory,
    /// The bitmap of the page frames that are in the file.
    Dumped,
    /// The kernel's notes about itself.
    Vmcoreinfo,
    /// All notes, which have that too.
    Notes,
}

impl fmt::Display for KdumpPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Header => "the header",
            Self::SubHeader => "the sub header",
            Self::Memory => "the first bitmap",
            Self::Dumped => "the second bitmap",
            Self::Vmcoreinfo => "the VMCOREINFO",
            Self::Notes => "the notes",
        })
    }
}
