use crate::address::PhysAddr;
use crate::memory::{Page, Word};
use crate::vtd::Bits;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Entry of a PASID directory: where 64 PASIDs of a device are. 512 of them fill a page; a directory is 128 to 16,384
/// entries long, as the context entry says.
///
/// Source: Intel VT-d specification, "Scalable-Mode PASID Directory Entry" (9.5).
///
/// | bits | field |
/// |---|---|
/// | 0 | P, present |
/// | 1 | FPD, fault processing disable |
/// | 11:2 | reserved |
/// | 63:12 | SMPTBLPTR, the PASID table |
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(transparent)]
pub struct PasidDirectoryEntry(Word);

impl PasidDirectoryEntry {
    /// The entry of these bits.
    #[must_use]
    pub const fn new(raw: u64) -> Self {
        Self(Word::new(raw))
    }

    /// The page seen as a part of the directory, indexed by bits 14:6 of the PASID.
    #[must_use]
    pub fn table(page: &Page) -> &[Self; 512] {
        zerocopy::transmute_ref!(page)
    }

    /// All 64 bits.
    #[must_use]
    pub const fn raw(&self) -> u64 {
        self.0.get()
    }

    /// P: whether the 64 PASIDs have a table.
    #[must_use]
    pub const fn present(&self) -> bool {
        self.raw() & 1 != 0
    }

    /// FPD: faults of the 64 PASIDs are not recorded. It counts even where P is 0.
    #[must_use]
    pub const fn fault_disabled(&self) -> bool {
        self.raw() & 2 != 0
    }

    /// SMPTBLPTR: the PASID table, one page.
    #[must_use]
    pub const fn pasid_table(&self) -> PhysAddr {
        PhysAddr(self.raw() & !0xfff)
    }

    /// The reserved bits that are set. Address bits beyond the host address width are reserved too, and not told here.
    #[must_use]
    pub fn reserved(&self) -> Bits {
        Bits::from(self.raw() & 0xffc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_specification_puts_them() {
        let entry = PasidDirectoryEntry::new(0x009c_a003);
        assert!(entry.present() && entry.fault_disabled());
        assert_eq!(entry.pasid_table(), PhysAddr(0x009c_a000));
        assert!(entry.reserved().is_zero());
    }

    /// Each of the 64 bits alone: reserved, or a field that survives decoding in its own place.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..64 {
            let raw = 1 << bit;
            let entry = PasidDirectoryEntry::new(raw);
            let reserved = (2..12).contains(&bit);
            assert_eq!(entry.reserved(), Bits::from(if reserved { raw } else { 0 }), "bit {bit}");
            let kept = u64::from(entry.present()) | u64::from(entry.fault_disabled()) << 1 | entry.pasid_table().0;
            assert_eq!(kept, if reserved { 0 } else { raw }, "bit {bit}");
            assert_eq!(entry.raw(), raw);
        }
        assert_eq!(PasidDirectoryEntry::new(!0).pasid_table(), PhysAddr(!0xfff));
    }

    #[test]
    fn a_page_is_a_part_of_the_directory() {
        let mut page = Page::ZERO;
        page.words_mut()[511] = Word::new(0x5001);
        assert_eq!(PasidDirectoryEntry::table(&page)[511], PasidDirectoryEntry::new(0x5001));
    }
}
