use super::{DeliveryMode, DestinationMode, Interrupt, InterruptCause, SourceValidation, TriggerMode};
use crate::address::{PhysAddr, SourceId};
use crate::vtd::entry_128::entry_128;
entry_128! {
    /// Interrupt remapping table entry (IRTE). 256 of them fill a page; the table is up to 256 pages long.
    ///
    /// Source: Intel VT-d specification, "Interrupt Remapping Table Entry (IRTE)". Common to both formats:
    ///
    /// | bits | field |
    /// |---|---|
    /// | 0 | P, present |
    /// | 1 | FPD, fault processing disable |
    /// | 11:8 | available to software |
    /// | 15 | IM: 0 remapped format, 1 posted format |
    /// | 23:16 | V, the vector; in posted format the virtual vector |
    /// | 31:24 | reserved |
    /// | 79:64 | SID, source-id |
    /// | 81:80 | SQ, which bits of SID are compared: 00 all, 01 not bit 2, 10 not bits 2:1, 11 not bits 2:0 |
    /// | 83:82 | SVT, source validation: 00 none, 01 SID under SQ, 10 SID is first and last bus, 11 reserved |
    /// | 95:84 | reserved |
    ///
    /// | bits | remapped format | posted format |
    /// |---|---|---|
    /// | 2 | DM: 0 physical, 1 logical destination | reserved |
    /// | 3 | RH, redirection hint | reserved |
    /// | 4 | TM: 0 edge, 1 level | reserved |
    /// | 7:5 | DLM, delivery mode; 011 and 110 reserved | reserved |
    /// | 13:12 | reserved | reserved |
    /// | 14 | reserved | URG, urgent |
    /// | 37:32 | DST 5:0 | reserved |
    /// | 63:38 | DST 31:6 | PDA 31:6 |
    /// | 127:96 | reserved | PDA 63:32 |
    ///
    /// Without extended interrupt mode (IRTA_REG.EIME) only bits 47:40 of DST are the destination, and bits 39:32
    /// and 63:48 are reserved.
    InterruptEntry,
    table: "The page seen as a part of the table, indexed by bits 7:0 of the interrupt index."
}

impl InterruptEntry {
    /// P: whether the interrupt is delivered at all.
    #[must_use]
    pub const fn present(&self) -> bool {
        self.low.get() & 1 != 0
    }

    /// FPD: faults at this entry are not recorded. It counts even where P is 0.
    #[must_use]
    pub const fn fault_disabled(&self) -> bool {
        self.low.get() & 2 != 0
    }

    /// The four bits available to software.
    #[must_use]
    pub const fn available(&self) -> u8 {
        ((self.low.get() >> 8) & 0xf) as u8
    }

    /// IM: whether the entry has the posted format.
    #[must_use]
    pub const fn posted(&self) -> bool {
        self.low.get() & 1 << 15 != 0
    }

    /// SID, whatever SVT makes of it.
    #[must_use]
    pub const fn source_id(&self) -> SourceId {
        SourceId((self.high.get() & 0xffff) as u16)
    }

    /// SQ: the encoding of the bits of SID that are not compared, 0 to 3.
    #[must_use]
    pub const fn source_qualifier(&self) -> u8 {
        ((self.high.get() >> 16) & 3) as u8
    }

    /// Whose interrupts the entry is for: SVT with what it makes of SID and SQ.
    #[must_use]
    pub const fn validation(&self) -> SourceValidation {
        let source_id = self.source_id();
        match (self.high.get() >> 18) & 3 {
            0 => SourceValidation::None,
            1 => {
                let mask = match self.source_qualifier() {
                    0 => 0xffff,
                    1 => 0xfffb,
                    2 => 0xfff9,
                    _ => 0xfff8,
                };
                SourceValidation::SourceId { source_id, mask }
            }
            2 => SourceValidation::BusRange { first: source_id.bus(), last: source_id.devfn() },
            _ => SourceValidation::Reserved,
        }
    }

    /// What the interrupt becomes, in a table whose IRTA_REG.EIME is `extended`. Nothing is judged.
    #[must_use]
    pub const fn interrupt(&self, extended: bool) -> Interrupt {
        let low = self.low.get();
        let vector = ((low >> 16) & 0xff) as u8;
        if self.posted() {
            let descriptor = PhysAddr(self.high.get() & 0xffff_ffff_0000_0000 | low >> 32 & 0xffff_ffc0);
            return Interrupt::Posted { urgent: low & 1 << 14 != 0, vector, descriptor };
        }
        Interrupt::Remapped {
            destination_mode: if low & 1 << 2 == 0 { DestinationMode::Physical } else { DestinationMode::Logical },
            redirection_hint: low & 1 << 3 != 0,
            trigger: if low & 1 << 4 == 0 { TriggerMode::Edge } else { TriggerMode::Level },
            delivery: DeliveryMode::from_bits(((low >> 5) & 7) as u8),
            vector,
            destination: if extended { (low >> 32) as u32 } else { ((low >> 40) & 0xff) as u32 },
        }
    }

    /// The reserved bits that are set, in a table whose IRTA_REG.EIME is `extended`.
    #[must_use]
    pub const fn reserved(&self, extended: bool) -> u128 {
        let (low, high): (u128, u128) = match (self.posted(), extended) {
            (true, _) => (0x0000_003f_ff00_30fc, 0x0000_0000_fff0_0000),
            (false, true) => (0x0000_0000_ff00_7000, 0xffff_ffff_fff0_0000),
            (false, false) => (0xffff_00ff_ff00_7000, 0xffff_ffff_fff0_0000),
        };
        self.raw() & (high << 64 | low)
    }

    /// Whether hardware accepts a present entry, in a table whose IRTA_REG.EIME is `extended`. Whether the unit
    /// has posted interrupts at all (CAP.PI) is not asked.
    ///
    /// # Errors
    /// [`InterruptCause::ReservedBits`], [`InterruptCause::DeliveryMode`] or
    /// [`InterruptCause::ValidationReserved`], in this order; to hardware they are one.
    pub const fn check(&self, extended: bool) -> Result<(), InterruptCause> {
        let reserved = self.reserved(extended);
        if reserved != 0 {
            return Err(InterruptCause::ReservedBits(reserved));
        }
        if let Interrupt::Remapped { delivery: DeliveryMode::Reserved(bits), .. } = self.interrupt(extended) {
            return Err(InterruptCause::DeliveryMode(bits));
        }
        match self.validation() {
            SourceValidation::Reserved => Err(InterruptCause::ValidationReserved),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Page, Word};

    const IM: u64 = 1 << 15;

    fn entry(raw: u128) -> InterruptEntry {
        InterruptEntry::new(raw as u64, (raw >> 64) as u64)
    }

    /// Everything that can be read out of an entry, in bits of its own.
    fn fields(entry: InterruptEntry, extended: bool) -> u128 {
        let common = u128::from(entry.present())
            | u128::from(entry.fault_disabled()) << 1
            | u128::from(entry.available()) << 8
            | u128::from(entry.posted()) << 15
            | u128::from(entry.source_id().0) << 64
            | u128::from(entry.source_qualifier()) << 80;
        let validation = match entry.validation() {
            SourceValidation::None => 0,
            SourceValidation::SourceId { .. } => 1,
            SourceValidation::BusRange { .. } => 2,
            SourceValidation::Reserved => 3,
        };
        let special = match entry.interrupt(extended) {
            Interrupt::Remapped { destination_mode, redirection_hint, trigger, delivery, vector, destination } => {
                let delivery = (0..8).find(|&bits| DeliveryMode::from_bits(bits) == delivery).unwrap();
                u128::from(destination_mode == DestinationMode::Logical) << 2
                    | u128::from(redirection_hint) << 3
                    | u128::from(trigger == TriggerMode::Level) << 4
                    | u128::from(delivery) << 5
                    | u128::from(vector) << 16
                    | u128::from(destination) << if extended { 32 } else { 40 }
            }
            Interrupt::Posted { urgent, vector, descriptor } => {
                u128::from(urgent) << 14
                    | u128::from(vector) << 16
                    | u128::from(descriptor.0 & 0xffff_ffff) << 32
                    | u128::from(descriptor.0 >> 32) << 96
            }
        };
        common | validation << 82 | special
    }

    #[test]
    fn a_real_entry_reads_as_the_kernel_wrote_it() {
        let entry = InterruptEntry::new(0x0030_0009, 0x4_ff00);
        assert!(entry.present() && !entry.fault_disabled() && !entry.posted());
        assert_eq!((entry.available(), entry.source_qualifier()), (0, 0));
        let source_id = SourceId(0xff00);
        assert_eq!(entry.validation(), SourceValidation::SourceId { source_id, mask: 0xffff });
        assert_eq!(
            entry.interrupt(false),
            Interrupt::Remapped {
                destination_mode: DestinationMode::Physical,
                redirection_hint: true,
                trigger: TriggerMode::Edge,
                delivery: DeliveryMode::Fixed,
                vector: 0x30,
                destination: 0,
            }
        );
        assert_eq!(entry.check(false), Ok(()));
    }

    /// Each of the 128 bits alone, in either format and mode: reserved, or a field that survives decoding in its
    /// own place. No bit is both and none is neither.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for (format, extended) in [(0, false), (0, true), (IM, false), (IM, true)] {
            for bit in (0..128).filter(|bit| *bit != 15) {
                let raw = 1u128 << bit;
                let entry = entry(raw | u128::from(format));
                let reserved = match (format, extended) {
                    (0, true) => matches!(bit, 12..=14 | 24..=31 | 84..),
                    (0, false) => matches!(bit, 12..=14 | 24..=39 | 48..=63 | 84..),
                    _ => matches!(bit, 2..=7 | 12..=13 | 24..=37 | 84..=95),
                };
                let (told, kept) = (entry.reserved(extended), fields(entry, extended));
                assert_eq!(told, if reserved { raw } else { 0 }, "bit {bit} of {format:#x}, {extended}");
                let field = if reserved { 0 } else { raw };
                assert_eq!(kept, field | u128::from(format), "bit {bit} of {format:#x}, {extended}");
            }
        }
    }

    #[test]
    fn reserved_bits_are_told_together() {
        let all = |low, extended| InterruptEntry::new(low, u64::MAX).reserved(extended);
        assert_eq!(all(!IM, false), 0xffff_ffff_fff0_0000_ffff_00ff_ff00_7000);
        assert_eq!(all(!IM, true), 0xffff_ffff_fff0_0000_0000_0000_ff00_7000);
        assert_eq!(all(!0, false), 0x0000_0000_fff0_0000_0000_003f_ff00_30fc);
        assert_eq!(all(!0, true), all(!0, false));
    }

    #[test]
    fn the_descriptor_address_has_two_halves() {
        let entry = InterruptEntry::new(0x8765_43c0_0042_c001, 0xabcd_ef01_0005_0028);
        let descriptor = PhysAddr(0xabcd_ef01_8765_43c0);
        assert_eq!(entry.interrupt(false), Interrupt::Posted { urgent: true, vector: 0x42, descriptor });
        assert_eq!(entry.interrupt(true), entry.interrupt(false));
        let source_id = SourceId(0x28);
        assert_eq!(entry.validation(), SourceValidation::SourceId { source_id, mask: 0xfffb });
        assert_eq!(entry.check(false), Ok(()));
    }

    #[test]
    fn qualifiers_are_masks_and_bus_ranges_are_bytes() {
        let masks = [0u64, 1, 2, 3].map(|sq| InterruptEntry::new(1, 0x4_0000 | sq << 16).validation());
        let expected = |mask| SourceValidation::SourceId { source_id: SourceId(0), mask };
        assert_eq!(masks, [0xffff, 0xfffb, 0xfff9, 0xfff8].map(expected));
        let range = InterruptEntry::new(1, 0x8_0509).validation();
        assert_eq!(range, SourceValidation::BusRange { first: 5, last: 9 });
    }

    #[test]
    fn values_without_meaning_are_malformed() {
        for (bits, valid) in [true, true, true, false, true, true, false, true].into_iter().enumerate() {
            let checked = InterruptEntry::new(1 | (bits as u64) << 5, 0).check(false);
            assert_eq!(checked, if valid { Ok(()) } else { Err(InterruptCause::DeliveryMode(bits as u8)) });
        }
        let reserved = InterruptEntry::new(1, 0xc_0000).check(true);
        assert_eq!(reserved, Err(InterruptCause::ValidationReserved));
    }

    #[test]
    fn extended_mode_decides_what_a_destination_is() {
        let entry = InterruptEntry::new(0x1234_5678_0000_0001, 0);
        let destination = |extended| match entry.interrupt(extended) {
            Interrupt::Remapped { destination, .. } => destination,
            Interrupt::Posted { .. } => 0,
        };
        assert_eq!((destination(true), destination(false)), (0x1234_5678, 0x56));
        assert_eq!(entry.check(true), Ok(()));
        assert_eq!(entry.check(false), Err(InterruptCause::ReservedBits(0x1234_0078_0000_0000)));
    }

    #[test]
    fn a_page_is_a_part_of_the_table() {
        let mut page = Page::ZERO;
        page.words_mut()[2 * 255] = Word::new(0x0030_0009);
        assert_eq!(InterruptEntry::table(&page)[255], InterruptEntry::new(0x0030_0009, 0));
    }
}
