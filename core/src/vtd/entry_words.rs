//! What the entries of more than 16 bytes have in common.

/// Defines the view of an entry that is several little-endian words.
macro_rules! entry_words {
    ($(#[$attribute:meta])* $name:ident, words: $words:literal, table: $entries:literal $table:literal) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(transparent)]
        pub struct $name([$crate::memory::Word; $words]);

        impl $name {
            /// The entry of these words, bits 63:0 first.
            #[must_use]
            pub fn new(words: [u64; $words]) -> Self {
                Self(words.map($crate::memory::Word::new))
            }

            #[doc = $table]
            #[must_use]
            pub fn table(page: &$crate::memory::Page) -> &[Self; $entries] {
                zerocopy::transmute_ref!(page)
            }

            /// All its words, bits 63:0 first.
            #[must_use]
            pub fn words(&self) -> [u64; $words] {
                self.0.map($crate::memory::Word::get)
            }
        }
    };
}
pub(super) use entry_words;
