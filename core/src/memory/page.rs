use core::fmt;
use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 64-bit little-endian word as it lies in memory; [`get`](U64::get) gives its value on any host.
pub type Word = U64;

/// The contents of one 4 KiB page: 512 little-endian 64-bit words.
///
/// It has no alignment of its own, since a page of an image lies wherever the file's headers put it.
#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct Page([Word; Page::WORDS]);

impl Page {
    /// Size in bytes.
    pub const SIZE: usize = 4096;
    /// Size in 64-bit words.
    pub const WORDS: usize = 512;
    /// A page of zeros: a table in which nothing is present.
    pub const ZERO: Self = Self([Word::ZERO; Self::WORDS]);

    /// The words, in order.
    #[must_use]
    pub const fn words(&self) -> &[Word; Self::WORDS] {
        &self.0
    }

    /// The words, to write.
    pub const fn words_mut(&mut self) -> &mut [Word; Self::WORDS] {
        &mut self.0
    }

    /// The word at `index`; bits above the ninth do not matter.
    #[must_use]
    #[inline(always)]
    #[allow(
        clippy::indexing_slicing,
        reason = "the mask keeps it below 512; shown by `an_index_never_leaves_the_page`"
    )]
    pub const fn word(&self, index: usize) -> u64 {
        self.0[index & 511].get()
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filled = self.0.iter().filter(|word| word.get() != 0).count();
        write!(f, "Page({filled} of {} words are not 0)", Self::WORDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_never_leaves_the_page() {
        let mut page = Page::ZERO;
        page.words_mut()[511] = Word::new(7);
        assert_eq!(page.word(511), 7);
        assert_eq!(page.word(usize::MAX), 7);
        assert_eq!(page.word(512), 0);
    }

    #[test]
    fn words_are_little_endian() -> Result<(), &'static str> {
        let mut bytes = [0; Page::SIZE];
        bytes[8] = 0x34;
        bytes[9] = 0x12;
        let page = Page::ref_from_bytes(&bytes).map_err(|_| "a page has 4096 bytes")?;
        assert_eq!(page.word(1), 0x1234);
        Ok(())
    }
}
