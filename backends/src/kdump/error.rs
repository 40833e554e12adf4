use crate::flattened::{FlattenedError, FlattenedErrorKind};
use std::fmt;
use std::io;
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

/// A page of a kdump-compressed file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("page frame {pfn:#x}: {kind}")]
pub struct KdumpPageError {
    /// The page frame, in pages of the file's block size.
    pub pfn: u64,
    /// Why it is not there.
    pub kind: KdumpPageErrorKind,
}

/// Why a page of a kdump-compressed file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KdumpPageErrorKind {
    /// The first bitmap says that this is no memory.
    #[error("expected memory, found none in the first bitmap")]
    NotMemory,
    /// The second bitmap says that the page was left out.
    #[error("expected a page, found it left out by the dump's filter")]
    Excluded,
    /// Another file of a split dump has the page.
    #[error("expected a page frame from {start:#x} up to {end:#x}, the part that this file has of a split dump")]
    OtherPart {
        /// The first page frame of this file.
        start: u64,
        /// The page frame behind its last.
        end: u64,
    },
    /// The dump was not finished, and the page was lost.
    #[error("expected the page's bytes, found none: the dump was not finished")]
    Lost,
    /// The descriptor of the page is not in the file.
    #[error("expected the page's descriptor at offset {offset:#x}, found a file that ends at {end:#x} or has a gap")]
    DescriptorMissing {
        /// Where it should be.
        offset: u64,
        /// Behind the last byte that is there.
        end: u64,
    },
    /// The page's bytes are not in the file.
    #[error("expected {size} bytes at offset {offset:#x}, found a file that ends at {end:#x} or has a gap")]
    DataMissing {
        /// Where they should be.
        offset: u64,
        /// How many they are.
        size: u32,
        /// Behind the last byte that is there.
        end: u64,
    },
    /// The file can't be read there.
    #[error("expected the page's bytes at offset {offset:#x}, can't be read: {}", reason(*code))]
    File {
        /// Where they are.
        offset: u64,
        /// The code of the operating system, if it gave one.
        code: Option<i32>,
    },
    /// More bytes than a page has, or a plain page with fewer.
    #[error("expected a page of {} {block_size} bytes, found {size}", if *plain { "exactly" } else { "at most" })]
    Size {
        /// The size in the descriptor.
        size: u32,
        /// What a page has.
        block_size: u32,
        /// Whether it is not compressed.
        plain: bool,
    },
    /// No compression that is known, or several.
    #[error("expected at most one of the compressions 0x1, 0x2, 0x4 and 0x20, found flags {flags:#x}")]
    Compression {
        /// The flags in the descriptor.
        flags: u32,
    },
    /// The compressed page is damaged, or has another size.
    #[error("expected {block_size} bytes of {compression} at offset {offset:#x}, found a damaged stream")]
    Damaged {
        /// How the page is compressed.
        compression: PageCompression,
        /// Where its bytes are.
        offset: u64,
        /// What a page has.
        block_size: u32,
    },
}

fn reason(code: Option<i32>) -> io::Error {
    code.map_or_else(|| io::ErrorKind::UnexpectedEof.into(), io::Error::from_raw_os_error)
}

/// How a page is compressed. [`Display`](fmt::Display) writes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageCompression {
    /// A zlib stream (RFC 1950).
    Zlib,
    /// A block of LZO1X.
    Lzo,
    /// A block of snappy, without framing.
    Snappy,
    /// A frame of Zstandard (RFC 8878).
    Zstd,
}

impl PageCompression {
    /// The one that is set in these flags of a page, or in the status of a dump, if it is one.
    pub(super) fn of(flags: u32) -> Option<Self> {
        match flags & 0x27 {
            0x1 => Some(Self::Zlib),
            0x2 => Some(Self::Lzo),
            0x4 => Some(Self::Snappy),
            0x20 => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for PageCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zlib => "zlib",
            Self::Lzo => "LZO",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        })
    }
}
