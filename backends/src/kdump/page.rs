use super::error::PageCompression;
use super::{lzo, zstd};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

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

/// Decompresses a page into `page`, which it must fill.
pub(super) fn fill(compression: PageCompression, stored: &[u8], page: &mut [u8]) -> Option<()> {
    let length = match compression {
        PageCompression::Zlib => zlib(stored, page),
        PageCompression::Lzo => lzo::decompress(stored, page),
        PageCompression::Snappy => snappy(stored, page),
        PageCompression::Zstd => zstd::decompress(stored, page),
    };
    (length == Some(page.len())).then_some(())
}

fn zlib(stored: &[u8], page: &mut [u8]) -> Option<usize> {
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, written) = decompress(&mut DecompressorOxide::new(), stored, page, 0, flags);
    (status == TINFLStatus::Done).then_some(written)
}

/// The decoder refuses what does not fit.
fn snappy(stored: &[u8], page: &mut [u8]) -> Option<usize> {
    snap::raw::Decoder::new().decompress(stored, page).ok()
}
