use super::{ElfError, in_file};
use std::borrow::Cow;

/// Where the headers and notes of an ELF image are read from.
pub(crate) trait Source {
    type Error: From<ElfError>;

    /// How many bytes there are, where that is known.
    fn size(&self) -> Option<usize>;

    /// The `size` bytes at `offset`, or as many of them as there are.
    fn bytes(&self, offset: u64, size: u64) -> Result<Cow<'_, [u8]>, Self::Error>;
}

impl Source for [u8] {
    type Error = ElfError;

    fn size(&self) -> Option<usize> {
        Some(self.len())
    }

    fn bytes(&self, offset: u64, size: u64) -> Result<Cow<'_, [u8]>, ElfError> {
        let [start, end] = [offset, offset.saturating_add(size)]
            .map(|at| usize::try_from(at.min(in_file(self.len()))).unwrap_or(self.len()));
        Ok(Cow::Borrowed(self.get(start..end).unwrap_or_default()))
    }
}
