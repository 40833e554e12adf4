use super::levels::{ADDRESS, Levels, beyond_host, inside_leaf};
use crate::access::{Access, Permissions};
use crate::radix::{Format, Level};

/// First-stage page tables of Intel VT-d: those of an x86-64 processor, 4 or 5 levels.
///
/// Source: Intel VT-d specification, "First-Stage Translation" (3.6) and "First-Stage Paging Entries" (9.7, 9.8).
///
/// | bits | entry that points to a table | leaf of 2 MiB, 1 GiB | leaf of 4 KiB |
/// |---|---|---|---|
/// | 0 P | neither reads nor writes without it | the same | the same |
/// | 1 R/W | writes, ANDed down the path | the same | the same |
/// | 2 U/S | reads and writes, ANDed down the path | the same | the same |
/// | 3 PWT, 4 PCD | ignored: they concern the next table | attribute | attribute |
/// | 5 A | ignored: hardware sets it | the same | the same |
/// | 6 D | ignored | ignored: hardware sets it for a write | the same |
/// | 7 | PS = 0 at levels 2 and 3, reserved above | PS = 1 | PAT, attribute |
/// | 8 G | ignored | ignored | ignored |
/// | 11:9 | ignored (10: EA) | ignored (10: EA) | ignored (10: EA) |
/// | 12 | table | PAT, attribute | memory |
/// | 51:13 | table; bits 51:HAW reserved | memory; below the leaf's size and in 51:HAW reserved | memory; 51:HAW reserved |
/// | 62:52 | ignored | ignored | ignored |
/// | 63 XD | ignored, reserved with NXE = 0 | the same | the same |
///
/// * The input is signed: its 48 or 57 bits are sign-extended to 64, and other addresses are not canonical.
/// * Permissions are those of a user request, which a request is that asks for no privilege: U/S = 0 denies it.
///   Those of a supervisor request need no U/S, and without WPE no R/W either.
///   To execute is no [`Access`](crate::access::Access), so XD takes nothing away.
/// * Memory attributes are PWT, PCD and PAT, the last one always at bit 7, so that a large leaf joins a small one.
///
/// The default has no levels: there is nothing to walk.
///
/// ```
/// use iopt::format::{FirstStage, FirstStageRules};
/// use iopt::memory::{Page, Slot, SparseMemory};
/// use iopt::radix::{Format, translate};
/// use iopt::{Access, Iova, PhysAddr};
///
/// let mut slots = [Slot::EMPTY; 3];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_u64(PhysAddr(0x1ff8), 0x2007)?; // the last entry of the top table: the end of the space
/// memory.write_u64(PhysAddr(0x2ff8), 0x3007)?;
/// memory.write_u64(PhysAddr(0x3ff8), 0x4000_0085)?; // 2 MiB, read-only
///
/// let format = FirstStage::new(4, &FirstStageRules::default()).expect("4 levels");
/// let iova = Iova(0xffff_ffff_ffff_fff8);
/// assert!(format.accepts(iova));
/// let found = translate(&memory, &format, PhysAddr(0x1000), iova, Access::Read, &mut Page::ZERO, |_| ());
/// assert_eq!(found.expect("it is mapped").phys, PhysAddr(0x401f_fff8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstStage {
    levels: Levels,
    /// The bits that an entry needs to let a read through.
    read: u64,
    /// The bits that it needs to let a write through.
    write: u64,
    /// The bits that hardware sets in every entry that it uses.
    accessed: u64,
}

/// What a unit's capabilities and a PASID entry say about first-stage entries. What isn't known is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FirstStageRules {
    /// Host address width in bits: physical addresses from 2^width on are reserved.
    pub host_address_width: Option<u8>,
    /// Whether leaves of 1 GiB are supported (CAP.FS1GP).
    pub pages_1g: Option<bool>,
    /// Whether bit 63 (XD) may be set (NXE of the PASID entry).
    pub execute_disable: Option<bool>,
    /// Whether the hardware sets bit 10 (EA) in the entries that it uses (EAFE of the PASID entry).
    pub extended_accessed: Option<bool>,
    /// Whether the requests ask for supervisor privilege, which needs no U/S.
    pub supervisor: bool,
    /// Whether supervisor writes need R/W like those of a user (WPE of the PASID entry).
    pub write_protect: bool,
}

pub(crate) const PRESENT: u64 = 1 << 0;
pub(crate) const WRITE: u64 = 1 << 1;
pub(crate) const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
pub(crate) const ACCESSED: u64 = 1 << 5;
pub(crate) const DIRTY: u64 = 1 << 6;
pub(crate) const PAGE_SIZE_BIT: u64 = 1 << 7;
const EXTENDED_ACCESSED: u64 = 1 << 10;
const PAT: u64 = 1 << 7;
const PAT_OF_LARGE: u64 = 1 << 12;
const EXECUTE_DISABLE: u64 = 1 << 63;

impl FirstStage {
    /// The format with `levels` levels; `None` unless there are 4 or 5.
    #[must_use]
    pub fn new(levels: u8, rules: &FirstStageRules) -> Option<Self> {
        let read = if rules.supervisor { PRESENT } else { PRESENT | USER };
        let write = if rules.supervisor && !rules.write_protect { read } else { read | WRITE };
        let extended = if rules.extended_accessed == Some(true) { EXTENDED_ACCESSED } else { 0 };
        (4..=5).contains(&levels).then(|| Self {
            levels: Levels::new(levels, |number| shape(number, rules, write)),
            read,
            write,
            accessed: ACCESSED | extended,
        })
    }

    /// Whether P of an entry is set.
    #[must_use]
    pub const fn is_present(raw: u64) -> bool {
        raw & PRESENT != 0
    }

    /// Which of its rules for entries a requester has, as a number below 8: the same tables may mean different things
    /// to two of them.
    pub(crate) fn rules(&self) -> u8 {
        let bit = |set: bool, shift: u8| u8::from(set) << shift;
        let user = self.read & USER != 0;
        bit(user, 0) | bit(self.write & WRITE != 0, 1) | bit(self.refuses_execute_disable(), 2)
    }

    /// Whether XD is reserved: then entries that point to tables are refused for it.
    fn refuses_execute_disable(&self) -> bool {
        self.levels.as_slice().iter().any(|level| level.table_reserved & EXECUTE_DISABLE != 0)
    }

    /// How many bits of an address the tables translate, of which the highest is the sign.
    #[must_use]
    pub fn input_bits(&self) -> u8 {
        Format::input_bits(self)
    }
}

fn shape(number: u8, rules: &FirstStageRules, permissions: u64) -> Level {
    let size_log2 = number.saturating_mul(9).saturating_add(3);
    let beyond_host = beyond_host(rules.host_address_width);
    let inside_leaf = inside_leaf(size_log2);
    let large_leaf = match number {
        2 => true,
        3 => rules.pages_1g != Some(false),
        _ => false,
    };
    let leaf = match number {
        1 => PRESENT,
        _ if large_leaf => PAGE_SIZE_BIT,
        _ => 0,
    };
    let pat = if number == 1 { PAT } else { PAT_OF_LARGE };
    let no_large_leaf = if large_leaf { 0 } else { PAGE_SIZE_BIT };
    let no_execute_disable = if rules.execute_disable == Some(false) { EXECUTE_DISABLE } else { 0 };
    Level {
        size_log2,
        index_bits: 9,
        present: PRESENT,
        leaf,
        table_address: ADDRESS & !beyond_host,
        leaf_address: ADDRESS & !beyond_host & !inside_leaf,
        table_reserved: no_large_leaf | beyond_host | no_execute_disable,
        leaf_reserved: inside_leaf & !pat | beyond_host | no_execute_disable,
        permissions,
        attributes: WRITE_THROUGH | CACHE_DISABLE | pat,
    }
}

impl Format for FirstStage {
    #[inline]
    fn levels(&self) -> &[Level] {
        self.levels.as_slice()
    }

    #[inline]
    fn permissions(&self, raw: u64) -> Permissions {
        Permissions::new(raw & self.read == self.read, raw & self.write == self.write)
    }

    #[inline]
    fn must_mark(&self, _: &Level, raw: u64, leaf: bool, access: Access) -> bool {
        let dirty = if leaf && access == Access::Write { DIRTY } else { 0 };
        let marks = self.accessed | dirty;
        raw & marks != marks
    }

    #[inline]
    fn attributes(&self, level: &Level, raw: u64) -> u64 {
        let pat = if raw & level.attributes & (PAT | PAT_OF_LARGE) == 0 { 0 } else { PAT };
        raw & level.attributes & (WRITE_THROUGH | CACHE_DISABLE) | pat
    }

    #[inline]
    fn sign_extended(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Iova, PhysAddr};
    use crate::radix::Entry;

    fn decode(rules: FirstStageRules, level: usize, raw: u64) -> Entry {
        let format = FirstStage::new(5, &rules).unwrap();
        format.decode(&format.levels()[level - 1], raw)
    }

    #[test]
    fn there_are_four_or_five_levels_and_an_input_of_48_or_57_signed_bits() {
        for levels in 0..=8 {
            let bits = FirstStage::new(levels, &FirstStageRules::default()).map(|format| format.input_bits());
            assert_eq!(bits, [(4, 48), (5, 57)].iter().find(|known| known.0 == levels).map(|known| known.1));
        }
        let format = FirstStage::new(4, &FirstStageRules::default()).unwrap();
        for canonical in [0, 0x7fff_ffff_ffff, 0xffff_8000_0000_0000, u64::MAX] {
            assert!(format.accepts(Iova(canonical)), "{canonical:#x}");
        }
        for other in [0x8000_0000_0000, 0xffff_7fff_ffff_ffff, 1 << 63, 1 << 48] {
            assert!(!format.accepts(Iova(other)), "{other:#x}");
        }
    }

    /// The masks that the specification's tables give, for a host address width of 39 bits and NXE = 0.
    #[test]
    fn reserved_masks_are_those_of_the_specification() {
        let high = 0x800f_ff80_0000_0000;
        let rules =
            FirstStageRules { host_address_width: Some(39), execute_disable: Some(false), ..Default::default() };
        let format = FirstStage::new(5, &rules).unwrap();
        let levels = format.levels();
        assert_eq!(levels[0].leaf_reserved, high);
        assert_eq!(levels[1].leaf_reserved, 0x001f_e000 | high);
        assert_eq!(levels[2].leaf_reserved, 0x3fff_e000 | high);
        assert_eq!(levels[1].table_reserved, high);
        assert_eq!(levels[2].table_reserved, high);
        assert_eq!(levels[3].table_reserved, 0x80 | high);
        assert_eq!(levels[4].table_reserved, 0x80 | high);
    }

    #[test]
    fn an_entry_without_p_is_absent_whatever_else_it_holds() {
        for level in 1..=5 {
            assert_eq!(decode(FirstStageRules::default(), level, !1), Entry::Absent);
        }
    }

    #[test]
    fn what_the_capabilities_decide_is_allowed_until_they_are_known() {
        let unknown = FirstStageRules::default();
        assert_eq!(decode(unknown, 3, 0x4000_0087), Entry::Leaf(PhysAddr(0x4000_0000)));
        assert_eq!(decode(unknown, 1, 1 << 63 | 0x5007), Entry::Leaf(PhysAddr(0x5000)));
        let no_1g = FirstStageRules { pages_1g: Some(false), ..unknown };
        assert_eq!(decode(no_1g, 3, 0x4000_0087), Entry::Malformed(0x80));
        assert_eq!(decode(no_1g, 2, 0x4000_0087), Entry::Leaf(PhysAddr(0x4000_0000)));
        let no_xd = FirstStageRules { execute_disable: Some(false), ..unknown };
        assert_eq!(decode(no_xd, 1, 1 << 63 | 0x5007), Entry::Malformed(1 << 63));
        assert_eq!(decode(no_xd, 4, 1 << 63 | 0x5007), Entry::Malformed(1 << 63));
    }

    #[test]
    fn pat_lies_elsewhere_in_large_leaves_and_means_the_same() {
        let format = FirstStage::new(4, &FirstStageRules::default()).unwrap();
        let [small, medium, large, _] = format.levels() else { panic!() };
        assert_eq!(format.attributes(small, 0x1_1087), 0x80);
        assert_eq!(format.attributes(small, 0x1_1007), 0);
        for level in [medium, large] {
            assert_eq!(format.attributes(level, 0x4000_109f), 0x98);
            assert_eq!(format.attributes(level, 0x4000_0087), 0);
            assert_eq!(format.decode(level, 0x4000_1087), Entry::Leaf(PhysAddr(0x4000_0000)));
        }
    }

    #[test]
    fn permissions_are_those_of_a_user_request() {
        let format = FirstStage::new(4, &FirstStageRules::default()).unwrap();
        assert_eq!(format.permissions(0b011), Permissions::NONE);
        assert_eq!(format.permissions(0b110), Permissions::NONE);
        assert_eq!(format.permissions(0b101), Permissions::READ);
        assert_eq!(format.permissions(0b111), Permissions::READ_WRITE);
    }
    #[test]
    fn a_supervisor_needs_no_user_bit_and_may_need_no_write_bit() {
        let permissions = |write_protect, raw| {
            let rules = FirstStageRules { supervisor: true, write_protect, ..Default::default() };
            FirstStage::new(4, &rules).unwrap().permissions(raw)
        };
        for write_protect in [false, true] {
            assert_eq!(permissions(write_protect, 0b110), Permissions::NONE);
            assert_eq!(permissions(write_protect, 0b011), Permissions::READ_WRITE);
        }
        assert_eq!(permissions(true, 0b101), Permissions::READ);
        assert_eq!(permissions(false, 0b001), Permissions::READ_WRITE);
        let user = FirstStageRules { write_protect: true, ..Default::default() };
        assert_eq!(FirstStage::new(4, &user).unwrap().permissions(0b011), Permissions::NONE);
    }

    #[test]
    fn accessed_and_dirty_bits_that_are_missing_are_to_be_written() {
        let must_mark = |extended_accessed, raw, leaf, access| {
            let rules = FirstStageRules { extended_accessed, ..Default::default() };
            let format = FirstStage::new(4, &rules).unwrap();
            format.must_mark(&format.levels()[0], raw, leaf, access)
        };
        for access in [Access::Read, Access::Write] {
            for leaf in [false, true] {
                let write = leaf && access == Access::Write;
                assert!(must_mark(None, 0x47, leaf, access));
                assert_eq!(must_mark(None, 0x27, leaf, access), write);
                assert!(!must_mark(None, 0x67, leaf, access));
                assert!(!must_mark(Some(false), 0x67, leaf, access));
                assert!(must_mark(Some(true), 0x67, leaf, access));
                assert!(!must_mark(Some(true), 0x467, leaf, access));
            }
        }
    }
}
