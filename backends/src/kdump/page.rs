use super::error::PageCompression;

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
#[cfg(feature = "kdump")]
pub(super) fn fill(compression: PageCompression, stored: &[u8], page: &mut [u8]) -> Option<()> {
    let length = match compression {
        PageCompression::Zlib => zlib(stored, page),
        PageCompression::Lzo => super::lzo::decompress(stored, page),
        // The decoder refuses what does not fit.
        PageCompression::Snappy => snap::raw::Decoder::new().decompress(stored, page).ok(),
        PageCompression::Zstd => super::zstd::decompress(stored, page),
    };
    (length == Some(page.len())).then_some(())
}

/// There is no file whose pages could be asked for.
#[cfg(not(feature = "kdump"))]
pub(super) fn fill(_: PageCompression, _: &[u8], _: &mut [u8]) -> Option<()> {
    None
}

#[cfg(feature = "kdump")]
fn zlib(stored: &[u8], page: &mut [u8]) -> Option<usize> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
    let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, _, written) = decompress(&mut DecompressorOxide::new(), stored, page, 0, flags);
    (status == TINFLStatus::Done).then_some(written)
}
