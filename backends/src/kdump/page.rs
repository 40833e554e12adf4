use super::error::{KdumpPageErrorKind, PageCompression};
use super::source::Source;
use super::{lzo, zstd};
use flate2::{Decompress, FlushDecompress, Status};
use std::fmt;

/// Where and how the bytes of a page are stored: the first 16 of the 24 bytes of a page descriptor (makedumpfile,
/// `diskdump_mod.h`, `page_desc_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Descriptor {
    pub(super) offset: u64,
    pub(super) size: u32,
    pub(super) flags: u32,
}

/// Size in bytes of a page descriptor.
pub(super) const DESCRIPTOR: u64 = 24;

impl Descriptor {
    /// How the page is compressed, if it is; the flags where that can't be told.
    pub(super) fn compression(&self) -> Result<Option<PageCompression>, u32> {
        match self.flags {
            0 => Ok(None),
            0x1 => Ok(Some(PageCompression::Zlib)),
            0x2 => Ok(Some(PageCompression::Lzo)),
            0x4 => Ok(Some(PageCompression::Snappy)),
            0x20 => Ok(Some(PageCompression::Zstd)),
            flags => Err(flags),
        }
    }
}

/// What it takes to decompress a page. Made once, since to make it costs a tenth of a page.
pub(super) struct Work {
    zlib: Decompress,
    /// Room for what is stored, which is no more than a page.
    pub(super) stored: Box<[u8]>,
    /// Has the size of a page.
    pub(super) page: Box<[u8]>,
}

impl Work {
    pub(super) fn new(block_size: usize) -> Self {
        let room = || vec![0; block_size].into_boxed_slice();
        Self { zlib: Decompress::new(true), stored: room(), page: room() }
    }

    /// Decompresses the `size` bytes at `offset`, which must make a whole page.
    pub(super) fn fill(
        &mut self,
        source: &Source,
        (offset, size): (u64, u32),
        compression: PageCompression,
    ) -> Result<(), KdumpPageErrorKind> {
        let missing = KdumpPageErrorKind::DataMissing { offset, size, end: source.end() };
        let room = usize::try_from(size).ok().and_then(|size| self.stored.get_mut(..size)).ok_or(missing)?;
        let stored = source.read(offset, room).ok_or(missing)?;
        let stored = stored.map_err(|error| KdumpPageErrorKind::File { offset, code: error.raw_os_error() })?;
        let page = &mut self.page;
        let length = match compression {
            PageCompression::Zlib => zlib(&mut self.zlib, stored, page),
            PageCompression::Lzo => lzo::decompress(stored, page),
            PageCompression::Snappy => snappy(stored, page),
            PageCompression::Zstd => zstd::decompress(stored, page),
        };
        if length == Some(page.len()) {
            return Ok(());
        }
        Err(KdumpPageErrorKind::Damaged { compression, offset, block_size: u32::try_from(page.len()).unwrap_or(0) })
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

fn zlib(decompressor: &mut Decompress, stored: &[u8], page: &mut [u8]) -> Option<usize> {
    decompressor.reset(true);
    let status = decompressor.decompress(stored, page, FlushDecompress::Finish).ok()?;
    if status == Status::StreamEnd { usize::try_from(decompressor.total_out()).ok() } else { None }
}

/// The decoder refuses what does not fit.
fn snappy(stored: &[u8], page: &mut [u8]) -> Option<usize> {
    snap::raw::Decoder::new().decompress(stored, page).ok()
}
