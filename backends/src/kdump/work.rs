use super::compression::PageCompression;
use super::page_error::KdumpPageErrorKind;
use super::source::Source;
use super::{lzo, zstd};
use flate2::{Decompress, FlushDecompress, Status};
use std::fmt;

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
            // The decoder refuses what does not fit.
            PageCompression::Snappy => snap::raw::Decoder::new().decompress(stored, page).ok(),
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
