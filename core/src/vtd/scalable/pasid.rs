use crate::address::{DomainId, PhysAddr};
use crate::vtd::entry_words::entry_words;
use crate::vtd::{Bits, Ecap};
entry_words! {
    /// PASID table entry: what the addresses mean that a device emits under one PASID. 64 of them fill a page.
    ///
    /// Source: Intel VT-d specification, "Scalable-Mode PASID Table Entry" (9.6).
    ///
    /// | bits | field |
    /// |---|---|
    /// | 0 | P, present |
    /// | 1 | FPD, fault processing disable |
    /// | 4:2 | AW, address width of the second stage: AW + 2 levels |
    /// | 5 | SSEE, second-stage execute enable |
    /// | 8:6 | PGTT, PASID granular translation type |
    /// | 9 | SSADE, second-stage accessed and dirty enable |
    /// | 11:10 | reserved |
    /// | 63:12 | SSPTPTR, the top second-stage table |
    /// | 79:64 | DID, domain-id |
    /// | 86:80 | reserved |
    /// | 87 | PWSNP, page-walk snoop |
    /// | 88 | PGSNP, page snoop |
    /// | 89 | CD, cache disable |
    /// | 90 | EMTE, extended memory type enable |
    /// | 93:91 | EMT, extended memory type |
    /// | 94 | PWT, write-through fetch of the top first-stage table |
    /// | 95 | PCD, uncached fetch of the top first-stage table |
    /// | 127:96 | PAT, page attribute table: eight memory types of 4 bits |
    /// | 128 | SRE, supervisor request enable |
    /// | 129 | ERE, execute request enable |
    /// | 131:130 | FSPM, first-stage paging mode: 00 4 levels, 01 5 levels |
    /// | 132 | WPE, write protect enable |
    /// | 133 | NXE, no-execute enable |
    /// | 134 | SMEP, supervisor-mode execute prevention |
    /// | 135 | EAFE, extended accessed flag enable |
    /// | 139:136 | reserved |
    /// | 191:140 | FSPTPTR, the top first-stage table |
    /// | 255:192 | reserved |
    /// | 511:256 | reserved |
    ///
    /// Revision 5 has no SSEE, EMT, PWT, PCD and ERE, whose bits it reserves, and ignores NXE and SMEP. On units with
    /// host permission tables it has fields for them in bits 335:256.
    PasidEntry,
    words: 8,
    table: 64 "The page seen as a PASID table, indexed by bits 5:0 of the PASID."
}

/// How a PASID's addresses are translated, the PGTT field of a PASID table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PasidTranslation {
    /// 001b: through the first stage alone.
    FirstStage,
    /// 010b: through the second stage alone.
    SecondStage,
    /// 011b: through the first stage, whose tables and results go through the second.
    Nested,
    /// 100b: they pass through.
    PassThrough,
    /// Any other value, which has no meaning.
    Reserved(u8),
}

impl PasidEntry {
    /// P: whether requests of the PASID are processed at all.
    #[must_use]
    pub const fn present(&self) -> bool {
        self.0[0].get() & 1 != 0
    }

    /// FPD: faults of the PASID are not recorded. It counts even where P is 0.
    #[must_use]
    pub const fn fault_disabled(&self) -> bool {
        self.0[0].get() & 1 << 1 != 0
    }

    /// AW: the address width of the second stage in its encoding, 0 to 7. Tables have AW + 2 levels.
    #[must_use]
    pub const fn address_width(&self) -> u8 {
        ((self.0[0].get() >> 2) & 7) as u8
    }

    /// SSEE: second-stage entries say what may be executed.
    #[must_use]
    pub const fn second_stage_execute(&self) -> bool {
        self.0[0].get() & 1 << 5 != 0
    }

    /// PGTT: what happens to the PASID's requests.
    #[must_use]
    pub const fn translation_type(&self) -> PasidTranslation {
        match ((self.0[0].get() >> 6) & 7) as u8 {
            1 => PasidTranslation::FirstStage,
            2 => PasidTranslation::SecondStage,
            3 => PasidTranslation::Nested,
            4 => PasidTranslation::PassThrough,
            reserved => PasidTranslation::Reserved(reserved),
        }
    }

    /// SSADE: the unit writes accessed and dirty bits into second-stage entries.
    #[must_use]
    pub const fn second_stage_accessed_dirty(&self) -> bool {
        self.0[0].get() & 1 << 9 != 0
    }

    /// SSPTPTR: the top second-stage table, where there is a second stage.
    #[must_use]
    pub const fn second_stage_table(&self) -> PhysAddr {
        PhysAddr(self.0[0].get() & !0xfff)
    }

    /// DID: the domain-id.
    #[must_use]
    pub const fn domain(&self) -> DomainId {
        DomainId((self.0[1].get() & 0xffff) as u16)
    }

    /// PWSNP: the unit snoops processor caches when it fetches tables.
    #[must_use]
    pub const fn page_walk_snoop(&self) -> bool {
        self.0[1].get() & 1 << 23 != 0
    }

    /// PGSNP: accesses to the final page snoop processor caches, whatever the request says.
    #[must_use]
    pub const fn page_snoop(&self) -> bool {
        self.0[1].get() & 1 << 24 != 0
    }

    /// CD: nothing is cached, whatever the memory types say.
    #[must_use]
    pub const fn cache_disable(&self) -> bool {
        self.0[1].get() & 1 << 25 != 0
    }

    /// EMTE: second-stage entries and EMT say memory types.
    #[must_use]
    pub const fn extended_memory_type_enable(&self) -> bool {
        self.0[1].get() & 1 << 26 != 0
    }

    /// EMT: the memory type in its encoding, 0 to 7.
    #[must_use]
    pub const fn extended_memory_type(&self) -> u8 {
        ((self.0[1].get() >> 27) & 7) as u8
    }

    /// PWT: the top first-stage table is fetched write-through.
    #[must_use]
    pub const fn table_write_through(&self) -> bool {
        self.0[1].get() & 1 << 30 != 0
    }

    /// PCD: the top first-stage table is fetched uncached.
    #[must_use]
    pub const fn table_cache_disable(&self) -> bool {
        self.0[1].get() & 1 << 31 != 0
    }

    /// PAT: the eight memory types that first-stage entries choose from, 4 bits each of which the top one is reserved.
    #[must_use]
    pub const fn page_attribute_table(&self) -> u32 {
        (self.0[1].get() >> 32) as u32
    }

    /// SRE: supervisor requests are allowed.
    #[must_use]
    pub const fn supervisor_requests(&self) -> bool {
        self.0[2].get() & 1 != 0
    }

    /// ERE: execute requests are allowed.
    #[must_use]
    pub const fn execute_requests(&self) -> bool {
        self.0[2].get() & 1 << 1 != 0
    }

    /// FSPM: how many levels the first stage has, in its encoding: 0 is 4, 1 is 5, and 2 and 3 have no meaning.
    #[must_use]
    pub const fn first_stage_paging_mode(&self) -> u8 {
        ((self.0[2].get() >> 2) & 3) as u8
    }

    /// WPE: supervisor writes too need write permission.
    #[must_use]
    pub const fn write_protect(&self) -> bool {
        self.0[2].get() & 1 << 4 != 0
    }

    /// NXE: bit 63 of a first-stage entry, XD, denies execution; without it the bit is reserved.
    #[must_use]
    pub const fn execute_disable(&self) -> bool {
        self.0[2].get() & 1 << 5 != 0
    }

    /// SMEP: supervisor requests can't execute what is a user's.
    #[must_use]
    pub const fn supervisor_execute_prevention(&self) -> bool {
        self.0[2].get() & 1 << 6 != 0
    }

    /// EAFE: the unit writes extended accessed bits into first-stage entries.
    #[must_use]
    pub const fn extended_accessed(&self) -> bool {
        self.0[2].get() & 1 << 7 != 0
    }

    /// FSPTPTR: the top first-stage table, where there is a first stage. In nested translation it is an address that
    /// the second stage translates, and not yet a physical one.
    #[must_use]
    pub const fn first_stage_table(&self) -> PhysAddr {
        PhysAddr(self.0[2].get() & !0xfff)
    }

    /// The reserved bits that are set, on a unit with these extended capabilities where they are known.
    ///
    /// The top bit of each type in PAT is one of them. A field that the unit does not support is reserved, too:
    ///
    /// | field | needs |
    /// |---|---|
    /// | SSEE, ERE | ECAP.ERS |
    /// | SSADE | ECAP.SSADS |
    /// | PWSNP | ECAP.SMPWCS |
    /// | PGSNP | ECAP.SC |
    /// | EMTE, EMT | ECAP.MTS |
    /// | SRE | ECAP.SRS |
    /// | EAFE | ECAP.EAFS |
    ///
    /// Reserved too, and not told here: address bits beyond the host address width, bits of DID beyond CAP.ND, and
    /// more fields that the unit does not support (CD and PAT without ECAP.MTS, AW and SSPTPTR without ECAP.SSTS,
    /// FSPM, WPE and FSPTPTR without ECAP.FSTS).
    #[must_use]
    pub fn reserved(&self, ecap: Option<Ecap>) -> Bits {
        let unless = |supports: fn(Ecap) -> bool, bits: u64| match ecap {
            Some(ecap) if !supports(ecap) => bits,
            _ => 0,
        };
        let masks = [
            0xc00 | unless(Ecap::execute_requests, 1 << 5) | unless(Ecap::second_stage_accessed_dirty, 1 << 9),
            0x8888_8888_007f_0000
                | unless(Ecap::scalable_page_walk_coherency, 1 << 23)
                | unless(Ecap::snoop_control, 1 << 24)
                | unless(Ecap::memory_types, 0xf << 26),
            0xf00
                | unless(Ecap::supervisor_requests, 1)
                | unless(Ecap::execute_requests, 1 << 1)
                | unless(Ecap::extended_accessed, 1 << 7),
            !0,
            !0,
            !0,
            !0,
            !0,
        ];
        Bits::from(self.words()) & Bits::from(masks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Page, Word};
    use std::ops::RangeInclusive;

    /// Everything that can be read out of an entry, in its own place.
    fn fields(entry: &PasidEntry) -> [u64; 8] {
        let translation = match entry.translation_type() {
            PasidTranslation::FirstStage => 1,
            PasidTranslation::SecondStage => 2,
            PasidTranslation::Nested => 3,
            PasidTranslation::PassThrough => 4,
            PasidTranslation::Reserved(bits) => bits,
        };
        let flags = |flags: &[(bool, u32)]| flags.iter().map(|&(flag, bit)| u64::from(flag) << bit).sum::<u64>();
        let stage_two = [
            (entry.present(), 0),
            (entry.fault_disabled(), 1),
            (entry.second_stage_execute(), 5),
            (entry.second_stage_accessed_dirty(), 9),
        ];
        let caches = [
            (entry.page_walk_snoop(), 23),
            (entry.page_snoop(), 24),
            (entry.cache_disable(), 25),
            (entry.extended_memory_type_enable(), 26),
            (entry.table_write_through(), 30),
            (entry.table_cache_disable(), 31),
        ];
        let stage_one = [
            (entry.supervisor_requests(), 0),
            (entry.execute_requests(), 1),
            (entry.write_protect(), 4),
            (entry.execute_disable(), 5),
            (entry.supervisor_execute_prevention(), 6),
            (entry.extended_accessed(), 7),
        ];
        let first = u64::from(entry.address_width()) << 2 | u64::from(translation) << 6 | entry.second_stage_table().0;
        let second = u64::from(entry.domain().0)
            | u64::from(entry.extended_memory_type()) << 27
            | u64::from(entry.page_attribute_table()) << 32;
        let third = u64::from(entry.first_stage_paging_mode()) << 2 | entry.first_stage_table().0;
        [first | flags(&stage_two), second | flags(&caches), third | flags(&stage_one), 0, 0, 0, 0, 0]
    }

    fn with_bits(bits: RangeInclusive<usize>) -> [u64; 8] {
        let mut words = [0; 8];
        bits.for_each(|bit| words[bit / 64] |= 1 << (bit % 64));
        words
    }

    /// Second stage, and first stage, as Linux programs them, with the ECAP of their units. In all entries of a
    /// capture only the table and the domain differ.
    const SECOND_STAGE: (Ecap, [(u64, u16); 8]) = (
        Ecap(0x4800_8000_0f42),
        [
            (0x009c_c000, 2),
            (0x009d_1000, 3),
            (0x00a3_2000, 4),
            (0x00a3_9000, 5),
            (0x00a3_f000, 6),
            (0x00c5_a000, 7),
            (0x00fd_2000, 8),
            (0x00a6_9000, 10),
        ],
    );
    const FIRST_STAGE: (Ecap, [(u64, u16); 8]) = (
        Ecap(0x8800_00f0_0f4a),
        [
            (0x00bc_c000, 2),
            (0x00bd_1000, 3),
            (0x00c3_2000, 4),
            (0x00c3_9000, 5),
            (0x00c3_f000, 6),
            (0x0214_9000, 7),
            (0x022c_3000, 8),
            (0x00c5_b000, 10),
        ],
    );

    #[test]
    fn real_entries_read_as_the_kernel_wrote_them() {
        let (ecap, entries) = SECOND_STAGE;
        for (table, domain) in entries {
            let entry = PasidEntry::new([table | 0x89, u64::from(domain), 0, 0, 0, 0, 0, 0]);
            assert!(entry.present() && !entry.fault_disabled());
            assert_eq!((entry.translation_type(), entry.address_width()), (PasidTranslation::SecondStage, 2));
            assert_eq!((entry.second_stage_table(), entry.domain()), (PhysAddr(table), DomainId(domain)));
            assert!(entry.reserved(Some(ecap)).is_zero());
        }
        let (ecap, entries) = FIRST_STAGE;
        for (table, domain) in entries {
            let entry = PasidEntry::new([0x49, u64::from(domain), table, 0, 0, 0, 0, 0]);
            assert_eq!((entry.translation_type(), entry.first_stage_paging_mode()), (PasidTranslation::FirstStage, 0));
            assert_eq!((entry.first_stage_table(), entry.domain()), (PhysAddr(table), DomainId(domain)));
            assert!(entry.reserved(Some(ecap)).is_zero());
        }
    }

    #[test]
    fn translation_types_are_bits_8_to_6() {
        let types = [0, 1, 2, 3, 4, 5, 6, 7].map(|pgtt| PasidEntry::new([pgtt << 6, 0, 0, 0, 0, 0, 0, 0]));
        use PasidTranslation::*;
        let expected =
            [Reserved(0), FirstStage, SecondStage, Nested, PassThrough, Reserved(5), Reserved(6), Reserved(7)];
        assert_eq!(types.map(|entry| entry.translation_type()), expected);
    }

    /// Each of the 512 bits alone: reserved, or a field that survives decoding in its own place.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..512 {
            let words = with_bits(bit..=bit);
            let entry = PasidEntry::new(words);
            assert_eq!(entry.words(), words);
            // The types in PAT are read whole, with their reserved bits.
            let pat_top = (96..128).contains(&bit) && bit % 4 == 3;
            let nothing = matches!(bit, 10..=11 | 80..=86 | 136..=139 | 192..);
            let told = if nothing || pat_top { words } else { [0; 8] };
            let kept = if nothing { [0; 8] } else { words };
            assert_eq!(entry.reserved(None), Bits::from(told), "bit {bit}");
            assert_eq!(entry.reserved(Some(Ecap(!0))), Bits::from(told), "bit {bit}");
            assert_eq!(fields(&entry), kept, "bit {bit}");
        }
    }

    #[test]
    fn every_field_alone_is_kept_whole() {
        for bits in [2..=4, 6..=8, 12..=63, 64..=79, 91..=93, 96..=127, 130..=131, 140..=191] {
            let words = with_bits(bits.clone());
            assert_eq!(fields(&PasidEntry::new(words)), words, "bits {bits:?}");
        }
    }

    /// Each bit that needs a capability, on a unit that lacks it alone and on one that has it alone.
    #[test]
    fn what_the_unit_does_not_support_is_reserved() {
        let memory_types = (90..=93).map(|bit| (bit, 25));
        let others = [(5, 30), (9, 45), (87, 48), (88, 7), (128, 31), (129, 30), (135, 34)];
        for (bit, needs) in others.into_iter().chain(memory_types) {
            let words = with_bits(bit..=bit);
            let reserved = |ecap| PasidEntry::new(words).reserved(ecap);
            assert_eq!(reserved(Some(Ecap(!(1 << needs)))), Bits::from(words), "bit {bit}");
            assert!(reserved(Some(Ecap(1 << needs))).is_zero() && reserved(None).is_zero(), "bit {bit}");
        }
        let bare = PasidEntry::new([!0; 8]).reserved(Some(Ecap(0)));
        assert_eq!(bare, Bits::from([0xe20, 0x8888_8888_3dff_0000, 0xf83, !0, !0, !0, !0, !0]));
    }

    #[test]
    fn a_page_is_a_table_of_64_pasids() {
        let mut page = Page::ZERO;
        page.words_mut()[8 * 63 + 2] = Word::new(0x5001);
        assert_eq!(PasidEntry::table(&page)[63], PasidEntry::new([0, 0, 0x5001, 0, 0, 0, 0, 0]));
    }
}
