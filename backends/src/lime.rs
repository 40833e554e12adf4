//! LiME, version 1: each range of memory behind a 32-byte header of its own, one after the other.

use crate::magic::{BIG_ENDIAN_LIME as BIG_ENDIAN_MAGIC, LIME as MAGIC};
use crate::range_header::RangeHeader;
use crate::segments::{Overlap, Segment, Segments};
use iopt::{PhysAddr, PhysRange};
use std::fmt;
use std::io::{self, Write};
use thiserror::Error;
use zerocopy::{FromBytes, IntoBytes};

const VERSION: u32 = 1;

/// A LiME image is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("LiME header at offset {offset:#x}: {kind}")]
pub struct LimeError {
    /// Where in the (decompressed) file the header starts, in bytes.
    pub offset: u64,
    /// What is wrong with it or with the range behind it.
    pub kind: LimeErrorKind,
}

/// What is wrong with a header of a LiME image, or with the range behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LimeErrorKind {
    /// The file ends inside the header.
    #[error("expected a header of 32 bytes, found the last {found} bytes of the file")]
    TruncatedHeader {
        /// How many bytes there are, 1 to 31.
        found: u64,
    },
    /// The file ends inside the range.
    #[error("expected {} bytes for the range {range}, but {missing} of them are missing at the end", range.size())]
    TruncatedPayload {
        /// The range that the header announces.
        range: PhysRange,
        /// How many of its bytes are not in the file.
        missing: u128,
    },
    /// There is something else where a header should start.
    #[error("expected the magic {}, found {}", Magic(&MAGIC), Magic(found))]
    BadMagic {
        /// The bytes in its place.
        found: [u8; 4],
    },
    /// A big-endian machine wrote the image.
    #[error(
        "expected the little-endian magic {}, found the big-endian {}: images of big-endian machines are not read",
        Magic(&MAGIC),
        Magic(&BIG_ENDIAN_MAGIC)
    )]
    BigEndian,
    /// A version of the format that is not known.
    #[error("expected version 1, found version {found}")]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// The range ends before it starts.
    #[error("expected a range that ends at or after its start {start}, found the last address {end}")]
    Backwards {
        /// The first address in the header.
        start: PhysAddr,
        /// The last address in the header.
        end: PhysAddr,
    },
    /// Two ranges hold the same address.
    #[error("expected ranges without overlap, found {range} and, with its header at offset {other_offset:#x}, {other}")]
    Overlap {
        /// The range of this header.
        range: PhysRange,
        /// A range that stands earlier in the file.
        other: PhysRange,
        /// Where in the file the header of the other range starts.
        other_offset: u64,
    },
}

/// Four bytes as text, if they are, and as hexadecimal.
struct Magic<'a>(&'a [u8; 4]);

impl fmt::Display for Magic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        if self.0.iter().all(u8::is_ascii_graphic) {
            write!(f, "\"{}\" ", self.0.escape_ascii())?;
        }
        write!(f, "({a:02x} {b:02x} {c:02x} {d:02x})")
    }
}

/// Writes the header of a range, whose bytes come behind it.
pub(crate) fn write_header(range: PhysRange, to: &mut impl Write) -> io::Result<()> {
    let (first, last) = (range.first().0.into(), range.last().0.into());
    let header = RangeHeader { magic: MAGIC, version: VERSION.into(), first, last, reserved: [0; 8] };
    to.write_all(header.as_bytes())
}

/// Reads all headers. There is at least one.
pub(crate) fn segments(bytes: &[u8]) -> Result<Segments, LimeError> {
    let mut segments = Vec::new();
    let mut offset = 0;
    loop {
        let rest = bytes.get(offset..).unwrap_or_default();
        let (range, size) = range(rest).map_err(|kind| LimeError { offset: in_file(offset), kind })?;
        let payload = offset.saturating_add(RangeHeader::SIZE);
        segments.push(Segment { range, offset: payload });
        offset = payload.saturating_add(size);
        if offset >= bytes.len() {
            return Segments::new(segments).map_err(LimeError::from);
        }
    }
}

/// The range that the header at the start of `bytes` announces, and its size, all of which is there.
fn range(bytes: &[u8]) -> Result<(PhysRange, usize), LimeErrorKind> {
    match bytes.first_chunk() {
        Some(&MAGIC) | None => {}
        Some(&BIG_ENDIAN_MAGIC) => return Err(LimeErrorKind::BigEndian),
        Some(&found) => return Err(LimeErrorKind::BadMagic { found }),
    }
    let (header, payload) = RangeHeader::ref_from_prefix(bytes)
        .map_err(|_| LimeErrorKind::TruncatedHeader { found: in_file(bytes.len()) })?;
    if header.version.get() != VERSION {
        return Err(LimeErrorKind::Version { found: header.version.get() });
    }
    let (start, end) = header.ends();
    let range = PhysRange::new(start, end).ok_or(LimeErrorKind::Backwards { start, end })?;
    match usize::try_from(range.size()) {
        Ok(size) if size <= payload.len() => Ok((range, size)),
        _ => {
            let missing = range.size().saturating_sub(u128::from(in_file(payload.len())));
            Err(LimeErrorKind::TruncatedPayload { range, missing })
        }
    }
}

impl From<Overlap> for LimeError {
    fn from(Overlap(a, b): Overlap) -> Self {
        let (other, this) = if a.offset < b.offset { (a, b) } else { (b, a) };
        let header = |segment: Segment| in_file(segment.offset.saturating_sub(RangeHeader::SIZE));
        let kind = LimeErrorKind::Overlap { range: this.range, other: other.range, other_offset: header(other) };
        Self { offset: header(this), kind }
    }
}

fn in_file(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}
