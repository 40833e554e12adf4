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
