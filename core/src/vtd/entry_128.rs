//! What the 16-byte entries of a unit's tables have in common.

/// Defines the view of an entry that is two little-endian words, 256 of which fill a page.
macro_rules! entry_128 {
    ($(#[$attribute:meta])* $name:ident, table: $table:literal) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[derive(
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub struct $name {
            low: $crate::memory::Word,
            high: $crate::memory::Word,
        }

        impl $name {
            /// The entry whose words are `low` (bits 63:0) and `high` (127:64).
            #[must_use]
            pub const fn new(low: u64, high: u64) -> Self {
                Self { low: $crate::memory::Word::new(low), high: $crate::memory::Word::new(high) }
            }

            #[doc = $table]
            #[must_use]
            pub fn table(page: &$crate::memory::Page) -> &[Self; 256] {
                zerocopy::transmute_ref!(page)
            }

            /// All 128 bits.
            #[must_use]
            pub const fn raw(&self) -> u128 {
                (self.high.get() as u128) << 64 | self.low.get() as u128
            }
        }
    };
}
pub(super) use entry_128;
