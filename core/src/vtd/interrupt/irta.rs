use super::InterruptPlace;
use crate::address::PhysAddr;

/// Interrupt Remapping Table Address Register, IRTA_REG (offset 0xb8).
///
/// Source: Intel VT-d specification, "Interrupt Remapping Table Address Register".
///
/// | bits | field |
/// |---|---|
/// | 3:0 | S, the size: the table has 2^(S + 1) entries of 16 bytes |
/// | 10:4 | reserved |
/// | 11 | EIME, extended interrupt mode: destinations have 32 bits instead of 8 |
/// | 63:12 | IRTA, the table |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Irta(pub u64);

impl Irta {
    /// How many entries the table has, 2 to 65,536.
    #[must_use]
    pub const fn entry_count(self) -> u32 {
        2 << (self.0 & 0xf)
    }

    /// EIME: destinations have 32 bits, and interrupts in compatibility format are blocked.
    #[must_use]
    pub const fn extended(self) -> bool {
        self.0 & 1 << 11 != 0
    }

    /// Where the table lies. It is contiguous, up to 1 MiB.
    #[must_use]
    pub const fn table(self) -> PhysAddr {
        PhysAddr(self.0 & !0xfff)
    }

    /// The reserved bits that are set.
    #[must_use]
    pub const fn reserved(self) -> u64 {
        self.0 & 0x7f0
    }

    /// The page of the table that holds entry `index`; `None` past the end of the 64-bit space.
    pub(super) fn page(self, index: u32) -> Option<PhysAddr> {
        self.table().checked_add(u64::from(index >> 8) << 12)
    }

    pub(super) fn place(self, index: u32, entry: Option<u128>) -> InterruptPlace {
        InterruptPlace { table: self.table(), index, entry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_register_reads_as_the_kernel_wrote_it() {
        let irta = Irta(0x0080_000f);
        assert_eq!((irta.table(), irta.entry_count()), (PhysAddr(0x0080_0000), 65_536));
        assert!(!irta.extended());
        assert_eq!(irta.reserved(), 0);
    }

    #[test]
    fn the_size_is_a_power_of_two_from_2_to_65536() {
        for size in 0..16u32 {
            assert_eq!(Irta(u64::from(size) | !0xf).entry_count(), 2u32.pow(size + 1));
        }
    }

    /// Each of the 64 bits alone: size, reserved, mode or address.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..64 {
            let irta = Irta(1 << bit);
            assert_eq!(irta.entry_count() != 2, bit < 4, "bit {bit}");
            assert_eq!(irta.reserved() != 0, (4..11).contains(&bit), "bit {bit}");
            assert_eq!(irta.extended(), bit == 11, "bit {bit}");
            assert_eq!(irta.table().0 != 0, bit >= 12, "bit {bit}");
        }
    }

    #[test]
    fn a_page_holds_256_entries() {
        let irta = Irta(0x0080_000f);
        let pages = [0, 255, 256, 65_535].map(|index| irta.page(index));
        assert_eq!(pages, [0x80_0000, 0x80_0000, 0x80_1000, 0x8f_f000].map(|page| Some(PhysAddr(page))));
        assert_eq!(Irta(!0xfff).page(256), None);
    }
}
