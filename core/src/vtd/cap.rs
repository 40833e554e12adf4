/// Capability Register, CAP_REG (offset 0x08): what the unit can do, one method a field.
///
/// Source: Intel VT-d specification, "Capability Register".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cap(pub u64);

impl Cap {
    /// ND (2:0): how many bits a domain-id has, 4 to 16.
    #[must_use]
    pub const fn domain_id_bits(self) -> u8 {
        match self.0 & 7 {
            0 => 4,
            1 => 6,
            2 => 8,
            3 => 10,
            4 => 12,
            5 => 14,
            // 7 is reserved; nothing wider than the field can be meant.
            _ => 16,
        }
    }

    /// SAGAW (12:8): the address widths that the unit can walk; bit `i` is AW encoding `i`.
    #[must_use]
    pub const fn sagaw(self) -> u8 {
        ((self.0 >> 8) & 0x1f) as u8
    }

    /// MGAW (21:16) plus one: how many bits the address of a request can have.
    #[must_use]
    pub const fn max_guest_address_width(self) -> u8 {
        (((self.0 >> 16) & 0x3f) as u8).wrapping_add(1)
    }

    /// FRO (33:24): where the fault recording registers are, in 16-byte units.
    #[must_use]
    pub const fn fault_record_offset(self) -> u16 {
        ((self.0 >> 24) & 0x3ff) as u16
    }

    /// NFR (47:40): the number of fault recording registers, minus one.
    #[must_use]
    pub const fn fault_records(self) -> u8 {
        ((self.0 >> 40) & 0xff) as u8
    }

    /// MAMV (53:48): log2 of the most pages that one invalidation can name.
    #[must_use]
    pub const fn max_address_mask(self) -> u8 {
        ((self.0 >> 48) & 0x3f) as u8
    }

    /// AFL (3): advanced fault logging.
    #[must_use]
    pub const fn advanced_fault_logging(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// RWBF (4): software must flush a write buffer after editing tables.
    #[must_use]
    pub const fn write_buffer_flush(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// PLMR (5): the protected low-memory region is supported.
    #[must_use]
    pub const fn protected_low_memory(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// PHMR (6): the protected high-memory region is supported.
    #[must_use]
    pub const fn protected_high_memory(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// CM (7): entries that are not present may be cached too; domain-id 0 is then reserved.
    #[must_use]
    pub const fn caching_mode(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// ZLR (22): zero-length reads of write-only pages are allowed.
    #[must_use]
    pub const fn zero_length_read(self) -> bool {
        self.0 & 1 << 22 != 0
    }

    /// SSLPS bit 0 (34): second-stage leaves of 2 MiB.
    #[must_use]
    pub const fn second_stage_2m(self) -> bool {
        self.0 & 1 << 34 != 0
    }

    /// SSLPS bit 1 (35): second-stage leaves of 1 GiB.
    #[must_use]
    pub const fn second_stage_1g(self) -> bool {
        self.0 & 1 << 35 != 0
    }

    /// PSI (39): single pages can be invalidated.
    #[must_use]
    pub const fn page_selective_invalidation(self) -> bool {
        self.0 & 1 << 39 != 0
    }

    /// DWD (54): writes are drained.
    #[must_use]
    pub const fn drain_write(self) -> bool {
        self.0 & 1 << 54 != 0
    }

    /// DRD (55): reads are drained.
    #[must_use]
    pub const fn drain_read(self) -> bool {
        self.0 & 1 << 55 != 0
    }

    /// FS1GP (56): first-stage leaves of 1 GiB.
    #[must_use]
    pub const fn first_stage_1g(self) -> bool {
        self.0 & 1 << 56 != 0
    }

    /// PI (59): interrupts can be posted.
    #[must_use]
    pub const fn posted_interrupts(self) -> bool {
        self.0 & 1 << 59 != 0
    }

    /// FS5LP (60): first-stage tables of 5 levels.
    #[must_use]
    pub const fn first_stage_5_level(self) -> bool {
        self.0 & 1 << 60 != 0
    }

    /// ECMDS (61): enhanced commands; reserved in old revisions.
    #[must_use]
    pub const fn enhanced_commands(self) -> bool {
        self.0 & 1 << 61 != 0
    }

    /// ESIRTPS (62): setting the interrupt-remapping table pointer invalidates what is cached of the old one.
    #[must_use]
    pub const fn interrupt_table_invalidates(self) -> bool {
        self.0 & 1 << 62 != 0
    }

    /// ESRTPS (63): setting the root table pointer invalidates what is cached of the old one.
    #[must_use]
    pub const fn root_table_invalidates(self) -> bool {
        self.0 & 1 << 63 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    type Flag = (u32, fn(Cap) -> bool);

    const FLAGS: [Flag; 17] = [
        (3, Cap::advanced_fault_logging),
        (4, Cap::write_buffer_flush),
        (5, Cap::protected_low_memory),
        (6, Cap::protected_high_memory),
        (7, Cap::caching_mode),
        (22, Cap::zero_length_read),
        (34, Cap::second_stage_2m),
        (35, Cap::second_stage_1g),
        (39, Cap::page_selective_invalidation),
        (54, Cap::drain_write),
        (55, Cap::drain_read),
        (56, Cap::first_stage_1g),
        (59, Cap::posted_interrupts),
        (60, Cap::first_stage_5_level),
        (61, Cap::enhanced_commands),
        (62, Cap::interrupt_table_invalidates),
        (63, Cap::root_table_invalidates),
    ];

    /// The register of the unit that QEMU emulates, as a kernel read it.
    #[test]
    fn a_real_register_decodes_to_what_the_kernel_made_of_it() {
        let cap = Cap(0x00d2_008c_222f_0606);
        assert_eq!((cap.domain_id_bits(), cap.sagaw(), cap.max_guest_address_width()), (16, 0b00110, 48));
        assert!(cap.second_stage_2m() && cap.second_stage_1g() && !cap.first_stage_5_level());
        assert_eq!((cap.fault_record_offset(), cap.fault_records(), cap.max_address_mask()), (0x22, 0, 0x12));
    }

    /// Each of the 64 bits alone is in the field that the specification puts it in, and in no other.
    #[test]
    fn each_bit_is_in_one_field() {
        for bit in 0..64 {
            let cap = Cap(1 << bit);
            let set: Vec<u32> = FLAGS.iter().filter(|(_, flag)| flag(cap)).map(|(bit, _)| *bit).collect();
            let known = FLAGS.iter().any(|(flag, _)| *flag == bit);
            assert_eq!(set, if known { vec![bit] } else { vec![] });
            assert_eq!(cap.sagaw() != 0, (8..13).contains(&bit));
            assert_eq!(cap.max_guest_address_width() != 1, (16..22).contains(&bit));
            assert_eq!(cap.domain_id_bits() != 4, bit < 3);
            assert_eq!(cap.fault_record_offset() != 0, (24..34).contains(&bit));
            assert_eq!(cap.fault_records() != 0, (40..48).contains(&bit));
            assert_eq!(cap.max_address_mask() != 0, (48..54).contains(&bit));
        }
        assert_eq!(Cap(0x3f << 16).max_guest_address_width(), 64);
        assert_eq!([0, 1, 6, 7].map(|nd| Cap(nd).domain_id_bits()), [4, 6, 16, 16]);
    }
}
