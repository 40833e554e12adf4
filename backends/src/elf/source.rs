use super::ElfError;
use crate::extents::Extents;
use std::borrow::Cow;
use std::ops::Range;

/// Where the headers and notes of an ELF image are read from.
pub(crate) trait Source {
    type Error: From<ElfError>;

    /// Behind the last byte of the file, where that is known.
    fn end(&self) -> Option<u64>;

    /// Where the `size` bytes at `offset` are kept, as far as they are there without a gap.
    fn find(&self, offset: u64, size: u64) -> Range<usize>;

    /// The `size` bytes at `offset`, or as many of them as there are.
    fn bytes(&self, offset: u64, size: u64) -> Result<Cow<'_, [u8]>, Self::Error>;
}

/// A file that is in memory.
pub(crate) struct Kept<'f> {
    pub(crate) file: &'f [u8],
    /// Which parts of it are there.
    pub(crate) extents: &'f Extents,
}

impl Source for Kept<'_> {
    type Error = ElfError;

    fn end(&self) -> Option<u64> {
        Some(self.extents.end())
    }

    fn find(&self, offset: u64, size: u64) -> Range<usize> {
        self.extents.find(offset, size)
    }

    fn bytes(&self, offset: u64, size: u64) -> Result<Cow<'_, [u8]>, ElfError> {
        Ok(Cow::Borrowed(self.file.get(self.find(offset, size)).unwrap_or_default()))
    }
}
