use crate::address::{Pasid, PhysAddr};
use crate::vtd::entry_words::entry_words;
use crate::vtd::{Bits, beyond_host};
entry_words! {
    /// Context entry of scalable mode: where the PASIDs of one device are. 128 of them, one per device and function
    /// of half a bus, fill a page.
    ///
    /// Source: Intel VT-d specification, "Scalable-Mode Context Entry" (9.4).
    ///
    /// | bits | field |
    /// |---|---|
    /// | 0 | P, present |
    /// | 1 | FPD, fault processing disable |
    /// | 2 | DTE, device-TLB enable |
    /// | 3 | PASIDE, PASID enable |
    /// | 4 | PRE, page request enable |
    /// | 8:5 | reserved |
    /// | 11:9 | PDTS, PASID directory size: 2^(PDTS + 7) entries |
    /// | 63:12 | PASIDDIRPTR, the PASID directory; bits 63:HAW reserved |
    /// | 83:64 | RID_PASID, the PASID of requests without one |
    /// | 84 | RID_PRIV, the privilege of requests without PASID |
    /// | 127:85 | reserved |
    /// | 255:128 | reserved |
    ScalableContextEntry,
    words: 4,
    table: 128 "The page seen as a context table, indexed by bits 6:0 of devfn."
}

impl ScalableContextEntry {
    /// P: whether requests of the device are processed at all.
    #[must_use]
    pub const fn present(&self) -> bool {
        self.0[0].get() & 1 != 0
    }

    /// FPD: faults of the device are not recorded. It counts even where P is 0.
    #[must_use]
    pub const fn fault_disabled(&self) -> bool {
        self.0[0].get() & 1 << 1 != 0
    }

    /// DTE: the device may translate by itself (ATS).
    #[must_use]
    pub const fn device_tlb(&self) -> bool {
        self.0[0].get() & 1 << 2 != 0
    }

    /// PASIDE: the device may name a PASID. Without it, requests without PASID still go through
    /// [`rid_pasid`](Self::rid_pasid).
    #[must_use]
    pub const fn pasid_enabled(&self) -> bool {
        self.0[0].get() & 1 << 3 != 0
    }

    /// PRE: the device may request pages.
    #[must_use]
    pub const fn page_requests(&self) -> bool {
        self.0[0].get() & 1 << 4 != 0
    }

    /// PDTS: the size of the PASID directory in its encoding, 0 to 7.
    #[must_use]
    pub const fn directory_size(&self) -> u8 {
        ((self.0[0].get() >> 9) & 7) as u8
    }

    /// How many entries the PASID directory has, 128 to 16,384. More than 512 fill more than one page, and the pages
    /// follow each other in memory.
    #[must_use]
    pub const fn directory_entries(&self) -> u32 {
        0x80 << self.directory_size()
    }

    /// How many PASIDs the directory has room for, 2^13 to 2^20: the first one that is too large.
    #[must_use]
    pub const fn pasids(&self) -> u32 {
        self.directory_entries() << 6
    }

    /// PASIDDIRPTR: the PASID directory.
    #[must_use]
    pub const fn directory_table(&self) -> PhysAddr {
        PhysAddr(self.0[0].get() & !0xfff)
    }

    /// RID_PASID: the PASID of requests without one. On units without ECAP.RPS that is 0, whatever stands here.
    #[must_use]
    pub const fn rid_pasid(&self) -> Pasid {
        Pasid((self.0[1].get() & 0xf_ffff) as u32)
    }

    /// RID_PRIV: requests without PASID are privileged. It means nothing on units without ECAP.RPRIVS.
    #[must_use]
    pub const fn rid_privileged(&self) -> bool {
        self.0[1].get() & 1 << 20 != 0
    }

    /// The reserved bits that are set, with a host address width of `host_width` bits where that is known.
    ///
    /// Revision 5 of the specification has two fields among them: HPTE (5), on units with host permission tables,
    /// and EPTR (6), on units that take a PASID in translated requests. On other units both are reserved. Fields that
    /// the unit does not support are reserved too, and not told here: DTE, PASIDE, PRE, RID_PASID and RID_PRIV.
    #[must_use]
    pub fn reserved(&self, host_width: Option<u8>) -> Bits {
        let masks = [0x1e0 | beyond_host(host_width), 0xffff_ffff_ffe0_0000, !0, !0];
        Bits::from(self.words()) & Bits::from(masks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Page, Word};
    use std::ops::RangeInclusive;

    /// Everything that can be read out of an entry, in its own place.
    fn fields(entry: &ScalableContextEntry) -> [u64; 4] {
        let low = u64::from(entry.present())
            | u64::from(entry.fault_disabled()) << 1
            | u64::from(entry.device_tlb()) << 2
            | u64::from(entry.pasid_enabled()) << 3
            | u64::from(entry.page_requests()) << 4
            | u64::from(entry.directory_size()) << 9
            | entry.directory_table().0;
        [low, u64::from(entry.rid_pasid().0) | u64::from(entry.rid_privileged()) << 20, 0, 0]
    }

    fn with_bits(bits: RangeInclusive<usize>) -> [u64; 4] {
        let mut words = [0; 4];
        bits.for_each(|bit| words[bit / 64] |= 1 << (bit % 64));
        words
    }

    #[test]
    fn a_real_entry_reads_as_the_kernel_wrote_it() {
        let entry = ScalableContextEntry::new([0x009b_b401, 0, 0, 0]);
        assert!(entry.present() && !entry.fault_disabled() && !entry.device_tlb());
        assert!(!entry.pasid_enabled() && !entry.page_requests() && !entry.rid_privileged());
        assert_eq!((entry.directory_size(), entry.directory_entries(), entry.pasids()), (2, 512, 0x8000));
        assert_eq!((entry.directory_table(), entry.rid_pasid()), (PhysAddr(0x009b_b000), Pasid(0)));
        assert!(entry.reserved(Some(39)).is_zero());
        assert_eq!(entry.words(), [0x009b_b401, 0, 0, 0]);
    }

    #[test]
    fn directories_have_room_for_2_to_the_13_to_2_to_the_20_pasids() {
        for size in 0..8u64 {
            let entry = ScalableContextEntry::new([size << 9, 0, 0, 0]);
            assert_eq!(entry.directory_entries(), 1 << (size + 7));
            assert_eq!(entry.pasids(), 1 << (size + 13));
        }
    }

    /// Each of the 256 bits alone: reserved, or a field that survives decoding in its own place.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..256 {
            let words = with_bits(bit..=bit);
            let entry = ScalableContextEntry::new(words);
            let field = matches!(bit, 0..=4 | 9..=63 | 64..=84);
            let beyond = matches!(bit, 39..=63);
            let told = |told| Bits::from(if told { words } else { [0; 4] });
            assert_eq!(entry.reserved(None), told(!field), "bit {bit}");
            assert_eq!(entry.reserved(Some(39)), told(!field || beyond), "bit {bit}");
            assert_eq!(fields(&entry), if field { words } else { [0; 4] }, "bit {bit}");
        }
    }

    #[test]
    fn every_field_alone_is_kept_whole() {
        for bits in [0..=0, 1..=1, 2..=2, 3..=3, 4..=4, 9..=11, 12..=63, 64..=83, 84..=84] {
            let words = with_bits(bits.clone());
            assert_eq!(fields(&ScalableContextEntry::new(words)), words, "bits {bits:?}");
        }
    }

    #[test]
    fn a_page_is_a_table_indexed_by_devfn() {
        let mut page = Page::ZERO;
        page.words_mut()[4 * 127 + 1] = Word::new(0x5001);
        assert_eq!(ScalableContextEntry::table(&page)[127], ScalableContextEntry::new([0, 0x5001, 0, 0]));
    }
}
