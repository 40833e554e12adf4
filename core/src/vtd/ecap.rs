/// Extended Capability Register, ECAP_REG (offset 0x10): what more the unit can do, one method a field.
///
/// Source: Intel VT-d specification, "Extended Capability Register".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ecap(pub u64);

impl Ecap {
    /// PSS (39:35) plus one: how many bits a PASID has.
    #[must_use]
    pub const fn pasid_bits(self) -> u8 {
        (((self.0 >> 35) & 0x1f) as u8).wrapping_add(1)
    }

    /// IRO (17:8): where the IOTLB registers are, in 16-byte units.
    #[must_use]
    pub const fn iotlb_register_offset(self) -> u16 {
        ((self.0 >> 8) & 0x3ff) as u16
    }

    /// MHMV (23:20): log2 of the most interrupt entries that one invalidation can name.
    #[must_use]
    pub const fn max_handle_mask(self) -> u8 {
        ((self.0 >> 20) & 0xf) as u8
    }

    /// C (0): the unit snoops processor caches when it fetches tables.
    #[must_use]
    pub const fn coherent(self) -> bool {
        self.0 & 1 << 0 != 0
    }

    /// QI (1): invalidation by a queue.
    #[must_use]
    pub const fn queued_invalidation(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// DT (2): device-TLBs (ATS).
    #[must_use]
    pub const fn device_tlb(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// IR (3): interrupt remapping.
    #[must_use]
    pub const fn interrupt_remapping(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// EIM (4): 32-bit interrupt destinations.
    #[must_use]
    pub const fn extended_interrupt_mode(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// PT (6): requests may pass through untranslated.
    #[must_use]
    pub const fn pass_through(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// SC (7): bit 11 of a second-stage leaf, SNP, may be set.
    #[must_use]
    pub const fn snoop_control(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// ECS (24): the deprecated extended root and context entries.
    #[must_use]
    pub const fn extended_context(self) -> bool {
        self.0 & 1 << 24 != 0
    }

    /// MTS (25): memory types in tables.
    #[must_use]
    pub const fn memory_types(self) -> bool {
        self.0 & 1 << 25 != 0
    }

    /// NEST (26): nested translation.
    #[must_use]
    pub const fn nesting(self) -> bool {
        self.0 & 1 << 26 != 0
    }

    /// PRS (29): page requests.
    #[must_use]
    pub const fn page_requests(self) -> bool {
        self.0 & 1 << 29 != 0
    }

    /// ERS (30): execute requests.
    #[must_use]
    pub const fn execute_requests(self) -> bool {
        self.0 & 1 << 30 != 0
    }

    /// SRS (31): supervisor requests.
    #[must_use]
    pub const fn supervisor_requests(self) -> bool {
        self.0 & 1 << 31 != 0
    }

    /// NWFS (33): the no-write flag of translation requests.
    #[must_use]
    pub const fn no_write_flag(self) -> bool {
        self.0 & 1 << 33 != 0
    }

    /// EAFS (34): extended accessed bits in first-stage entries.
    #[must_use]
    pub const fn extended_accessed(self) -> bool {
        self.0 & 1 << 34 != 0
    }

    /// PASID (40): requests with PASID.
    #[must_use]
    pub const fn pasid(self) -> bool {
        self.0 & 1 << 40 != 0
    }

    /// DIT (41): throttled invalidation of device-TLBs.
    #[must_use]
    pub const fn device_tlb_throttling(self) -> bool {
        self.0 & 1 << 41 != 0
    }

    /// PDS (42): page requests are drained.
    #[must_use]
    pub const fn page_request_draining(self) -> bool {
        self.0 & 1 << 42 != 0
    }

    /// SMTS (43): scalable mode.
    #[must_use]
    pub const fn scalable_mode(self) -> bool {
        self.0 & 1 << 43 != 0
    }

    /// VCS (44): virtual commands.
    #[must_use]
    pub const fn virtual_commands(self) -> bool {
        self.0 & 1 << 44 != 0
    }

    /// SSADS (45): accessed and dirty bits in second-stage entries.
    #[must_use]
    pub const fn second_stage_accessed_dirty(self) -> bool {
        self.0 & 1 << 45 != 0
    }

    /// SSTS (46): second-stage translation in scalable mode.
    #[must_use]
    pub const fn second_stage(self) -> bool {
        self.0 & 1 << 46 != 0
    }

    /// FSTS (47): first-stage translation in scalable mode.
    #[must_use]
    pub const fn first_stage(self) -> bool {
        self.0 & 1 << 47 != 0
    }

    /// SMPWCS (48): page walks in scalable mode can be snooped.
    #[must_use]
    pub const fn scalable_page_walk_coherency(self) -> bool {
        self.0 & 1 << 48 != 0
    }

    /// RPS (49): the RID_PASID field of a context entry counts; otherwise the PASID of requests without one is 0.
    #[must_use]
    pub const fn rid_pasid(self) -> bool {
        self.0 & 1 << 49 != 0
    }

    /// PMS (51): performance monitoring; reserved in old revisions.
    #[must_use]
    pub const fn performance_monitoring(self) -> bool {
        self.0 & 1 << 51 != 0
    }

    /// ADMS (52): abort-DMA mode.
    #[must_use]
    pub const fn abort_dma_mode(self) -> bool {
        self.0 & 1 << 52 != 0
    }

    /// RPRIVS (53): the RID_PRIV field of a context entry counts.
    #[must_use]
    pub const fn rid_priv(self) -> bool {
        self.0 & 1 << 53 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    type Flag = (u32, fn(Ecap) -> bool);

    const FLAGS: [Flag; 28] = [
        (0, Ecap::coherent),
        (1, Ecap::queued_invalidation),
        (2, Ecap::device_tlb),
        (3, Ecap::interrupt_remapping),
        (4, Ecap::extended_interrupt_mode),
        (6, Ecap::pass_through),
        (7, Ecap::snoop_control),
        (24, Ecap::extended_context),
        (25, Ecap::memory_types),
        (26, Ecap::nesting),
        (29, Ecap::page_requests),
        (30, Ecap::execute_requests),
        (31, Ecap::supervisor_requests),
        (33, Ecap::no_write_flag),
        (34, Ecap::extended_accessed),
        (40, Ecap::pasid),
        (41, Ecap::device_tlb_throttling),
        (42, Ecap::page_request_draining),
        (43, Ecap::scalable_mode),
        (44, Ecap::virtual_commands),
        (45, Ecap::second_stage_accessed_dirty),
        (46, Ecap::second_stage),
        (47, Ecap::first_stage),
        (48, Ecap::scalable_page_walk_coherency),
        (49, Ecap::rid_pasid),
        (51, Ecap::performance_monitoring),
        (52, Ecap::abort_dma_mode),
        (53, Ecap::rid_priv),
    ];

    /// Registers of units that QEMU emulates, as a kernel read them: legacy, and scalable with first stage.
    #[test]
    fn real_registers_decode_to_what_the_kernel_made_of_them() {
        let legacy = Ecap(0xf42);
        assert!(legacy.pass_through() && legacy.queued_invalidation());
        assert!(!legacy.snoop_control() && !legacy.device_tlb() && !legacy.scalable_mode());
        assert_eq!(legacy.iotlb_register_offset(), 0xf);
        let scalable = Ecap(0x0000_8800_00f0_0f4a);
        assert!(scalable.scalable_mode() && scalable.first_stage() && !scalable.second_stage());
        assert!(scalable.interrupt_remapping() && !scalable.extended_interrupt_mode());
        assert_eq!(scalable.max_handle_mask(), 15);
    }

    /// Each of the 64 bits alone is in the field that the specification puts it in, and in no other.
    #[test]
    fn each_bit_is_in_one_field() {
        for bit in 0..64 {
            let ecap = Ecap(1 << bit);
            let set: Vec<u32> = FLAGS.iter().filter(|(_, flag)| flag(ecap)).map(|(bit, _)| *bit).collect();
            let known = FLAGS.iter().any(|(flag, _)| *flag == bit);
            assert_eq!(set, if known { vec![bit] } else { vec![] });
            assert_eq!(ecap.iotlb_register_offset() != 0, (8..18).contains(&bit));
            assert_eq!(ecap.max_handle_mask() != 0, (20..24).contains(&bit));
            assert_eq!(ecap.pasid_bits() != 1, (35..40).contains(&bit));
        }
        assert_eq!(Ecap(0x1f << 35).pasid_bits(), 32);
    }
}
