mod bitmap;
mod cache;
mod compression;
mod error;
mod header;
mod layout;
#[cfg(feature = "kdump")]
mod lzo;
mod missing;
mod page;
mod page_error;
mod parse;
mod read;
mod source;
#[cfg(feature = "kdump")]
mod work;
#[cfg(not(feature = "kdump"))]
#[path = "no_work.rs"]
mod work;
#[cfg(feature = "kdump")]
mod zstd;

pub use compression::PageCompression;
pub use error::{KdumpError, KdumpErrorKind, KdumpPart};
pub use header::KdumpHeader;
pub use page_error::{KdumpPageError, KdumpPageErrorKind};

use crate::bytes::Bytes;
use crate::elf::{ByteOrder, Notes};
use bitmap::{Bitmap, Ranks};
use cache::Cache;
use parse::{parse, truncated};
pub(crate) use source::Source;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

/// A kdump-compressed file (also called diskdump), as makedumpfile and QEMU write it, plain or flattened.
///
/// A page that is stored plain is lent. A compressed one is decompressed when it is asked for, and kept: the last
/// 4 MiB of them, so a walk that comes back to its tables finds them.
///
/// | a page | reads as |
/// |---|---|
/// | that was no memory | [`Hole`] |
/// | that the filter left out, or that another file of a split dump has | [`Excluded`] |
/// | that was lost because the dump was not finished | [`Io`]: no filter meant to leave it out |
/// | that is damaged, or not in the file | [`Io`] |
///
/// [`read`](Self::read) tells more about it.
///
/// [`Hole`]: iopt::memory::ReadErrorKind::Hole
/// [`Excluded`]: iopt::memory::ReadErrorKind::Excluded
/// [`Io`]: iopt::memory::ReadErrorKind::Io
///
/// # Memory
/// Nothing but the headers is looked at before a page is asked for, and then the bitmaps, once. What is kept is 1/16
/// of the second bitmap, 4 MiB of pages, and what a page is decompressed with: twice its size and 64 KiB. Of a
/// flattened dump it is also up to 48 bytes for each of its records, four times that while it is opened, and the
/// bitmaps if they lie in several. Whatever a header says, no more is allocated for it than the file holds. While a
/// page is decompressed from zstd that takes up to 2 MiB more.
///
/// Compressed pages are read from the file and not mapped, so that a walk over a large dump keeps no more of it in
/// memory than its bitmaps and descriptors.
#[derive(Debug)]
pub struct Kdump {
    source: Source,
    header: KdumpHeader,
    memory: Bitmap,
    /// Absent in old dumps, where all memory is in the file.
    dumped: Option<Bitmap>,
    /// Counted when the first page is asked for.
    ranks: OnceLock<Ranks>,
    /// How many page frames there are.
    frames: u64,
    /// The page frames that this file has.
    part: Range<u64>,
    descriptors: u64,
    /// Offset and size, as of the notes.
    vmcoreinfo: Option<(u64, u64)>,
    notes: Option<(u64, u64)>,
    /// The size of a page is 1 << this.
    shift: u32,
    cache: Mutex<Cache>,
    decompressions: AtomicU64,
}

impl Kdump {
    /// Reads a kdump-compressed file that is in memory already.
    ///
    /// # Errors
    /// [`KdumpErrorKind`] tells what is malformed: headers that make no sense, or bitmaps that are cut short. A file
    /// that ends behind its bitmaps is read as far as it goes.
    #[cfg(feature = "kdump")]
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, KdumpError> {
        Self::new(Source::new(Bytes::Memory(bytes.into()))?)
    }

    pub(crate) fn new(source: Source) -> Result<Self, KdumpError> {
        let parsed = parse(&source)?;
        let header = parsed.header;
        let half = parsed.bitmap_bytes / 2;
        let bitmap = |part, offset, length: u64| {
            let needed = length.min(header.max_mapnr.div_ceil(8));
            let missing = || truncated(offset, part, needed, source.available(offset, needed));
            Bitmap::new(&source, offset, length, needed).ok_or_else(missing)
        };
        let (memory, dumped) = if parsed.single {
            (bitmap(KdumpPart::Memory, parsed.bitmap, parsed.bitmap_bytes)?, None)
        } else {
            let second = parsed.bitmap.saturating_add(half);
            (bitmap(KdumpPart::Memory, parsed.bitmap, half)?, Some(bitmap(KdumpPart::Dumped, second, half)?))
        };
        let shift = header.block_size.trailing_zeros();
        // Frames that no 64-bit address reaches are not there.
        let frames = header.max_mapnr.min(u64::MAX.wrapping_shr(shift).saturating_add(1));
        let part = header.part.clone().map_or(0..frames, |part| part.start.min(frames)..part.end.min(frames));
        Ok(Self {
            memory,
            dumped,
            ranks: OnceLock::new(),
            frames,
            part,
            descriptors: parsed.descriptors,
            vmcoreinfo: parsed.vmcoreinfo,
            notes: parsed.notes,
            shift,
            cache: Mutex::new(Cache::new()),
            decompressions: AtomicU64::new(0),
            header,
            source,
        })
    }

    /// What the headers say.
    #[must_use]
    pub fn header(&self) -> &KdumpHeader {
        &self.header
    }

    /// Whether the file is flattened: a stream of records.
    #[must_use]
    pub fn is_flattened(&self) -> bool {
        matches!(self.source, Source::Flattened(_))
    }

    /// Whether the file is flattened and ends before its last record: pages may be lost.
    #[must_use]
    pub fn is_stream_truncated(&self) -> bool {
        matches!(&self.source, Source::Flattened(flattened) if flattened.truncated())
    }

    /// The bytes of the file as they are, flattened or not.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.source.bytes().as_slice()
    }

    /// The VMCOREINFO of the dumped kernel, lines of `KEY=value`, if the header has its place or that of the notes.
    ///
    /// # Errors
    /// [`KdumpErrorKind::Truncated`] if it is not in the file.
    pub fn vmcoreinfo(&self) -> Result<Option<Cow<'_, [u8]>>, KdumpError> {
        let part = |part, (offset, size)| {
            let missing = || truncated(offset, part, size, self.source.available(offset, size));
            self.source.get(offset, size).ok_or_else(missing)
        };
        if let Some(place) = self.vmcoreinfo {
            return part(KdumpPart::Vmcoreinfo, place).map(Some);
        }
        let Some(place) = self.notes else { return Ok(None) };
        let notes = part(KdumpPart::Notes, place)?;
        let byte_order = if self.header.big_endian { ByteOrder::Big } else { ByteOrder::Little };
        let whole = 0..notes.len();
        let mut found = Notes::new(&notes, byte_order, std::slice::from_ref(&whole)).filter_map(Result::ok);
        let vmcoreinfo = found.find(|note| note.name == b"VMCOREINFO").map(|note| note.contents.to_vec());
        Ok(vmcoreinfo.map(Cow::Owned))
    }

    /// How many pages were decompressed so far. A page that is lent, or that is still kept, is not counted again.
    #[must_use]
    pub fn decompressions(&self) -> u64 {
        self.decompressions.load(Ordering::Relaxed)
    }
}
