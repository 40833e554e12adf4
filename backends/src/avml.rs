//! AVML, version 2: each block of memory behind a header like LiME's, in a framed snappy stream, and behind that the
//! stream's length (Microsoft's avml, `image.rs` and `io/snappy.rs`). Version 1 is LiME.

use crate::magic::AVML as MAGIC;
use crate::range_header::RangeHeader;
use crate::segments::{Overlap, Segment, Segments};
use crate::sink::{Sink, Stop};
use iopt::{PhysAddr, PhysRange};
use snap::read::FrameDecoder;
use std::io::Read;
use thiserror::Error;
use zerocopy::FromBytes;

const VERSION: u32 = 2;

/// An AVML image is malformed.
#[derive(Debug, Error)]
#[error("AVML block at offset {offset:#x}: {kind}")]
pub struct AvmlError {
    /// Where in the (decompressed) file the header of the block starts, in bytes.
    pub offset: u64,
    /// What is wrong with it.
    pub kind: AvmlErrorKind,
}

/// What is wrong with a block of an AVML image.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AvmlErrorKind {
    /// The file ends inside the header.
    #[error("expected a header of 32 bytes, found the last {found} bytes of the file")]
    TruncatedHeader {
        /// How many bytes there are, 1 to 31.
        found: u64,
    },
    /// There is something else where a header should start.
    #[error("expected the magic \"AVML\", found \"{}\"", found.escape_ascii())]
    BadMagic {
        /// The bytes in its place.
        found: [u8; 4],
    },
    /// A version of the format that is not known.
    #[error("expected version 2, found version {found}")]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// The block ends before it starts.
    #[error("expected a block that ends at or after its start {start}, found the last address {end}")]
    Backwards {
        /// The first address in the header.
        start: PhysAddr,
        /// The last address in the header.
        end: PhysAddr,
    },
    /// The snappy stream is damaged or cut short, or holds more than the block.
    #[error("expected {} bytes in framed snappy for the block {range}, found {found}: {why}", range.size())]
    Stream {
        /// The memory that the header announces.
        range: PhysRange,
        /// How many bytes were decompressed before the stream ended or could not be followed.
        found: u64,
        /// What is amiss with it.
        why: String,
    },
    /// What stands behind the stream is not its length.
    #[error(
        "expected the stream's length, {expected}, behind it at offset {at:#x}, found {}",
        found.map_or("the end of the file".to_owned(), |found| found.to_string())
    )]
    Length {
        /// Where in the (decompressed) file, in bytes.
        at: u64,
        /// How many bytes the stream has.
        expected: u64,
        /// What stands there; `None` if the file ends before.
        found: Option<u64>,
    },
    /// Two blocks hold the same address.
    #[error("expected blocks without overlap, found {range} and, earlier in the file, {other}")]
    Overlap {
        /// The memory of this block.
        range: PhysRange,
        /// That of an earlier one.
        other: PhysRange,
    },
    /// The image is larger than allowed.
    #[error("the image decompresses to more than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// There is no memory to decompress into.
    #[error("out of memory after {bytes} decompressed bytes")]
    OutOfMemory {
        /// How many bytes were decompressed so far.
        bytes: usize,
    },
}

/// Decompresses all blocks into `to`. There is at least one.
pub(crate) fn read(bytes: &[u8], to: &mut Sink) -> Result<Segments, AvmlError> {
    let mut segments = Vec::new();
    let mut rest = bytes;
    loop {
        let start = in_file(bytes.len().saturating_sub(rest.len()));
        let here = |kind| AvmlError { offset: start, kind };
        let range = header(rest).map_err(here)?;
        let offset = to.bytes.len();
        rest = block(rest, start, range, to).map_err(here)?;
        segments.push(Segment { range, offset });
        if rest.is_empty() {
            return Segments::new(segments).map_err(|Overlap(a, b)| {
                let (other, this) = if a.offset < b.offset { (a, b) } else { (b, a) };
                here(AvmlErrorKind::Overlap { range: this.range, other: other.range })
            });
        }
    }
}

fn header(bytes: &[u8]) -> Result<PhysRange, AvmlErrorKind> {
    if let Some(&found) = bytes.first_chunk().filter(|found| **found != MAGIC) {
        return Err(AvmlErrorKind::BadMagic { found });
    }
    let (header, _) = RangeHeader::ref_from_prefix(bytes)
        .map_err(|_| AvmlErrorKind::TruncatedHeader { found: in_file(bytes.len()) })?;
    if header.version.get() != VERSION {
        return Err(AvmlErrorKind::Version { found: header.version.get() });
    }
    let (start, end) = header.ends();
    PhysRange::new(start, end).ok_or(AvmlErrorKind::Backwards { start, end })
}

/// Decompresses the block at the start of `bytes`, which are at `start` in the file, and returns what is behind it.
fn block<'b>(bytes: &'b [u8], start: u64, range: PhysRange, to: &mut Sink) -> Result<&'b [u8], AvmlErrorKind> {
    let stream = bytes.get(RangeHeader::SIZE..).unwrap_or_default();
    let before = to.bytes.len();
    // A range of 2^64 bytes is larger than any limit.
    let size = u64::try_from(range.size()).unwrap_or(u64::MAX);
    let mut decoder = FrameDecoder::new(stream);
    let filled = to.fill(decoder.by_ref().take(size));
    let found = in_file(to.bytes.len().saturating_sub(before));
    let bad = |why: String| AvmlErrorKind::Stream { range, found, why };
    match filled {
        Ok(()) if found == size => {}
        Ok(()) => return Err(bad("the file ends".to_owned())),
        Err(Stop::Limit) => return Err(AvmlErrorKind::TooLarge { limit: to.limit }),
        Err(Stop::Memory) => return Err(AvmlErrorKind::OutOfMemory { bytes: to.bytes.len() }),
        Err(Stop::Failed(error)) => return Err(bad(error.to_string())),
        Err(Stop::Window(_)) => return Err(bad("too large a window".to_owned())),
    }
    // Whether the last chunk holds more: no other may be read for that.
    let behind = std::mem::take(decoder.get_mut());
    if !matches!(decoder.read(&mut [0]), Ok(0)) {
        return Err(bad("and more in the last chunk".to_owned()));
    }
    let length = in_file(stream.len().saturating_sub(behind.len()));
    let found = behind.first_chunk().copied().map(u64::from_le_bytes);
    if found != Some(length) {
        let at = start.saturating_add(in_file(RangeHeader::SIZE)).saturating_add(length);
        return Err(AvmlErrorKind::Length { at, expected: length, found });
    }
    Ok(behind.get(size_of::<u64>()..).unwrap_or_default())
}

fn in_file(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}
