use crate::bytes::Bytes;
use crate::compressed::Compression;
use crate::detect::Format;
use crate::prefetch::prefetch;
use crate::segments::Segments;
use iopt::memory::{Page, PhysReader, ReadError};
use iopt::{PhysAddr, PhysRange};

/// A memory image: physical memory as some tool saved it.
///
/// Pages are lent wherever a page lies whole in one range of the image; a page that several adjacent ranges share
/// is copied together. Ranges come with neighbours joined, so a page is there exactly if one range holds all of
/// it: part of a page, as at the end of a raw file of odd length, reads as a hole.
#[derive(Debug)]
pub struct Image {
    pub(crate) bytes: Bytes,
    pub(crate) segments: Segments,
    pub(crate) format: Format,
    pub(crate) compression: Option<Compression>,
    pub(crate) size: u64,
}

impl Image {
    /// The format of the image, inside any compression.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The compression around the image, if there is one.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The bytes of the image as they lie in the file, decompressed.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// Size in bytes of the file, or of the bytes, as they were given: before any decompression.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl PhysReader for Image {
    // Apart from the path of a reader that lends, so that this path stays small.
    #[inline(never)]
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        match self.lend_page(addr) {
            Some(lent) => {
                page.clone_from(lent);
                Ok(())
            }
            None => self.segments.copy(self.bytes.as_slice(), addr, page),
        }
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        self.segments.lend(self.bytes.as_slice(), addr)
    }

    #[inline]
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        if let Some(page) = self.lend_page(addr) {
            prefetch(page, usize::try_from(addr.0 % 4096).unwrap_or(0), bytes);
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.segments.next_range(from)
    }
}
