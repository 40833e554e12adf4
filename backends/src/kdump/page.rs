use super::compression::PageCompression;

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
            flags => PageCompression::of(flags).filter(|_| flags & !0x27 == 0).map(Some).ok_or(flags),
        }
    }
}
