use super::entry_128::entry_128;
use crate::address::PhysAddr;
entry_128! {
    /// Root entry of legacy mode: which context table serves a bus. 256 of them, one per bus, fill a page.
    ///
    /// Source: Intel VT-d specification, "Root Entry" (9.1).
    ///
    /// | bits | field |
    /// |---|---|
    /// | 0 | P, present |
    /// | 11:1 | reserved |
    /// | 63:12 | CTP, the context table; bits 63:HAW reserved |
    /// | 127:64 | reserved |
    RootEntry,
    table: "The page seen as a root table, indexed by bus number."
}

impl RootEntry {
    /// P: whether the bus has a context table.
    #[must_use]
    pub const fn present(&self) -> bool {
        self.low.get() & 1 != 0
    }

    /// CTP: the context table.
    #[must_use]
    pub const fn context_table(&self) -> PhysAddr {
        PhysAddr(self.low.get() & !0xfff)
    }

    /// The reserved bits that are set, with a host address width of `width` bits where that is known.
    #[must_use]
    pub fn reserved(&self, width: Option<u8>) -> u128 {
        self.raw() & (u128::from(u64::MAX) << 64 | 0xffe | u128::from(super::beyond_host(width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Page, Word};

    #[test]
    fn fields_are_where_the_specification_puts_them() {
        let entry = RootEntry::new(0x009b_3001, 0);
        assert!(entry.present());
        assert_eq!(entry.context_table(), PhysAddr(0x009b_3000));
        assert_eq!(entry.reserved(Some(39)), 0);
        assert_eq!(entry.raw(), 0x009b_3001);
    }

    /// Each of the 128 bits alone: reserved, or a field.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..128 {
            let raw = 1u128 << bit;
            let entry = RootEntry::new(raw as u64, (raw >> 64) as u64);
            let field = bit == 0 || (12..39).contains(&bit);
            assert_eq!(entry.reserved(Some(39)) == 0, field, "bit {bit}");
            assert_eq!(entry.reserved(None) == 0, field || (39..64).contains(&bit), "bit {bit}");
        }
    }

    #[test]
    fn a_page_is_a_table_indexed_by_bus() {
        let mut page = Page::ZERO;
        page.words_mut()[2 * 255] = Word::new(0x5001);
        assert_eq!(RootEntry::table(&page)[255], RootEntry::new(0x5001, 0));
    }
}
