use super::entry_128::entry_128;
use crate::address::{DomainId, PhysAddr};
entry_128! {
    /// Context entry of legacy mode: how requests of one device are translated. 256 of them, one per device
    /// and function, fill a page.
    ///
    /// Source: Intel VT-d specification, "Context Entry" (9.3).
    ///
    /// | bits | field |
    /// |---|---|
    /// | 0 | P, present |
    /// | 1 | FPD, fault processing disable |
    /// | 3:2 | TT, translation type |
    /// | 11:4 | reserved |
    /// | 63:12 | SSPTPTR, the top second-stage table; bits 63:HAW reserved |
    /// | 66:64 | AW, address width: AW + 2 levels |
    /// | 70:67 | available to software |
    /// | 71 | reserved |
    /// | 87:72 | DID, domain-id; bits above CAP.ND's width reserved |
    /// | 127:88 | reserved |
    ContextEntry,
    table: "The page seen as a context table, indexed by devfn."
}

/// Translation type, the TT field of a context entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TranslationType {
    /// 00b: untranslated requests go through the second stage; others are blocked.
    Untranslated,
    /// 01b: as 00b, and the device may translate by itself (ATS, device-TLB).
    DeviceTlb,
    /// 10b: untranslated requests pass through.
    PassThrough,
    /// 11b.
    Reserved,
}

impl ContextEntry {
    /// P: whether requests of the device are processed at all.
    #[must_use]
    pub const fn present(&self) -> bool {
        self.low.get() & 1 != 0
    }

    /// FPD: faults of the device are not recorded. It counts even where P is 0.
    #[must_use]
    pub const fn fault_disabled(&self) -> bool {
        self.low.get() & 2 != 0
    }

    /// TT: what happens to the device's requests.
    #[must_use]
    pub const fn translation_type(&self) -> TranslationType {
        match (self.low.get() >> 2) & 3 {
            0 => TranslationType::Untranslated,
            1 => TranslationType::DeviceTlb,
            2 => TranslationType::PassThrough,
            _ => TranslationType::Reserved,
        }
    }

    /// SSPTPTR: the top second-stage table. It means nothing when requests pass through.
    #[must_use]
    pub const fn second_stage_table(&self) -> PhysAddr {
        PhysAddr(self.low.get() & !0xfff)
    }

    /// AW: the address width in its encoding, 0 to 7. Tables have AW + 2 levels.
    #[must_use]
    pub const fn address_width(&self) -> u8 {
        (self.high.get() & 7) as u8
    }

    /// DID: the domain-id.
    #[must_use]
    pub const fn domain(&self) -> DomainId {
        DomainId(((self.high.get() >> 8) & 0xffff) as u16)
    }

    /// The reserved bits that are set, with a host address width of `width` bits and domain-ids of
    /// `domain_bits` bits where those are known.
    #[must_use]
    pub fn reserved(&self, width: Option<u8>, domain_bits: Option<u8>) -> u128 {
        let domain_bits = u32::from(domain_bits.unwrap_or(16).min(16));
        let beyond_domain = 0xffff_u64 & u64::MAX.checked_shl(domain_bits).unwrap_or(0);
        let high = 0xffff_ffff_ff00_0080 | beyond_domain << 8;
        self.raw() & (u128::from(high) << 64 | 0xff0 | u128::from(super::beyond_host(width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_entry_reads_as_the_kernel_wrote_it() {
        let entry = ContextEntry::new(0x0202_b001, 0x702);
        assert!(entry.present() && !entry.fault_disabled());
        assert_eq!(entry.translation_type(), TranslationType::Untranslated);
        assert_eq!(entry.second_stage_table(), PhysAddr(0x0202_b000));
        assert_eq!((entry.address_width(), entry.domain()), (2, DomainId(7)));
        assert_eq!(entry.reserved(Some(39), Some(16)), 0);
    }

    #[test]
    fn translation_types_are_bits_3_and_2() {
        let types = [0, 4, 8, 12].map(|low| ContextEntry::new(low, 0).translation_type());
        use TranslationType::*;
        assert_eq!(types, [Untranslated, DeviceTlb, PassThrough, Reserved]);
        assert!(ContextEntry::new(2, 0).fault_disabled());
    }

    /// Each of the 128 bits alone: reserved, a field, or available to software.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..128 {
            let raw = 1u128 << bit;
            let entry = ContextEntry::new(raw as u64, (raw >> 64) as u64);
            let field = (0..4).contains(&bit) || (12..39).contains(&bit) || (64..71).contains(&bit);
            let domain = (72..88).contains(&bit);
            let narrow_domain = (72..80).contains(&bit);
            assert_eq!(entry.reserved(Some(39), Some(8)) == 0, field || narrow_domain, "bit {bit}");
            let high = (39..64).contains(&bit);
            assert_eq!(entry.reserved(None, None) == 0, field || domain || high, "bit {bit}");
        }
    }
}
