use super::compression::PageCompression;
use std::io;
use thiserror::Error;

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
