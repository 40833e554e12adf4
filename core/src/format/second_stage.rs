use super::levels::{ADDRESS, Levels, beyond_host, inside_leaf};
use crate::access::Permissions;
use crate::radix::{Format, Level};

/// Second-stage page tables of Intel VT-d, 2 to 6 levels.
///
/// Source: Intel VT-d specification, "Second-Stage Translation" (3.7) and "Second-Stage Paging Entries" (9.8).
///
/// | bits | entry that points to a table | leaf |
/// |---|---|---|
/// | 0 R, 1 W | permission, ANDed down the path; neither: absent | the same |
/// | 2 X | ignored | ignored |
/// | 6:3 | ignored | EMT, IPAT: ignored in legacy mode |
/// | 7 | PS = 0 at levels 2 and 3, reserved above | PS = 1; ignored at level 1 |
/// | 10:8 | ignored (A, D) | ignored (A, D) |
/// | 11 | reserved | SNP, reserved without ECAP.SC |
/// | 51:12 | table; bits 51:HAW reserved | memory; below the leaf's size and in 51:HAW reserved |
/// | 61:52, 63 | ignored | ignored |
/// | 62 | reserved | reserved (TM in old revisions) |
///
/// The default has no levels: there is nothing to walk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondStage {
    levels: Levels,
}

/// What a unit's capabilities say about second-stage entries. What isn't known is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SecondStageRules {
    /// Host address width in bits: physical addresses from 2^width on are reserved.
    pub host_address_width: Option<u8>,
    /// Whether leaves of 2 MiB are supported (CAP.SSLPS bit 34).
    pub pages_2m: Option<bool>,
    /// Whether leaves of 1 GiB are supported (CAP.SSLPS bit 35).
    pub pages_1g: Option<bool>,
    /// Whether bit 11 of a leaf (SNP) may be set (ECAP.SC).
    pub snoop_control: Option<bool>,
}

pub(crate) const READ: u64 = 1 << 0;
pub(crate) const WRITE: u64 = 1 << 1;
pub(crate) const PAGE_SIZE_BIT: u64 = 1 << 7;
const SNOOP: u64 = 1 << 11;
const RESERVED_62: u64 = 1 << 62;

impl SecondStage {
    /// The format with `levels` levels; `None` unless there are 2 to 6.
    #[must_use]
    pub fn new(levels: u8, rules: &SecondStageRules) -> Option<Self> {
        (2..=6).contains(&levels).then(|| Self { levels: Levels::new(levels, |number| shape(number, rules)) })
    }

    /// How many bits of an address the tables translate: AGAW, 64 with six levels.
    #[must_use]
    pub fn input_bits(&self) -> u8 {
        Format::input_bits(self)
    }
}

fn shape(number: u8, rules: &SecondStageRules) -> Level {
    let size_log2 = number.saturating_mul(9).saturating_add(3);
    let beyond_host = beyond_host(rules.host_address_width);
    let inside_leaf = inside_leaf(size_log2);
    let large_leaf = match number {
        2 => rules.pages_2m != Some(false),
        3 => rules.pages_1g != Some(false),
        _ => false,
    };
    let leaf = match number {
        1 => READ | WRITE,
        _ if large_leaf => PAGE_SIZE_BIT,
        _ => 0,
    };
    let no_large_leaf = if large_leaf { 0 } else { PAGE_SIZE_BIT };
    let no_snoop = if rules.snoop_control == Some(false) { SNOOP } else { 0 };
    Level {
        size_log2,
        // The top table of six levels has only what is left of 64 bits.
        index_bits: 9.min(64u8.saturating_sub(size_log2)),
        present: READ | WRITE,
        leaf,
        table_address: ADDRESS & !beyond_host,
        leaf_address: ADDRESS & !beyond_host & !inside_leaf,
        table_reserved: SNOOP | RESERVED_62 | no_large_leaf | beyond_host,
        leaf_reserved: no_snoop | RESERVED_62 | inside_leaf | beyond_host,
        permissions: READ | WRITE,
        attributes: SNOOP & !no_snoop,
    }
}

impl Format for SecondStage {
    #[inline]
    fn levels(&self) -> &[Level] {
        self.levels.as_slice()
    }

    #[inline]
    fn permissions(&self, raw: u64) -> Permissions {
        Permissions::new(raw & READ != 0, raw & WRITE != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::address::PhysAddr;
    use crate::radix::Entry;

    fn decode(rules: SecondStageRules, level: usize, raw: u64) -> Entry {
        let format = SecondStage::new(6, &rules).unwrap();
        format.decode(&format.levels()[level - 1], raw)
    }

    #[test]
    fn geometry_is_nine_bits_a_level_and_seven_at_the_sixth() {
        for (levels, bits) in [(2, 30), (3, 39), (4, 48), (5, 57), (6, 64)] {
            let format = SecondStage::new(levels, &SecondStageRules::default()).unwrap();
            assert_eq!(format.input_bits(), bits);
            assert_eq!(format.levels()[0].size_log2, 12);
        }
        assert_eq!(SecondStage::new(1, &SecondStageRules::default()), None);
        assert_eq!(SecondStage::new(7, &SecondStageRules::default()), None);
        let six = SecondStage::new(6, &SecondStageRules::default()).unwrap();
        assert_eq!((six.levels()[5].entries(), six.levels()[5].index(u64::MAX)), (128, 127));
    }

    /// The masks that the specification's tables give, for a host address width of 39 bits; bits 62:52 and 63
    /// but 62 are ignored.
    #[test]
    fn reserved_masks_are_those_of_the_specification() {
        let high = !((1u64 << 39) - 1) & !0xbff0_0000_0000_0000;
        let rules = SecondStageRules { host_address_width: Some(39), snoop_control: Some(false), ..Default::default() };
        let format = SecondStage::new(5, &rules).unwrap();
        let levels = format.levels();
        assert_eq!(levels[0].leaf_reserved, 0x800 | high);
        assert_eq!(levels[1].leaf_reserved, 0x001f_f800 & !0x7ff | high | 0x800);
        assert_eq!(levels[2].leaf_reserved, 0x3fff_f800 & !0x7ff | high | 0x800);
        assert_eq!(levels[1].table_reserved, 0x800 | high);
        assert_eq!(levels[2].table_reserved, 0x800 | high);
        assert_eq!(levels[3].table_reserved, 0x880 | high);
        assert_eq!(levels[4].table_reserved, 0x880 | high);
    }

    #[test]
    fn an_entry_without_r_and_w_is_absent_whatever_else_it_holds() {
        assert_eq!(decode(SecondStageRules::default(), 1, !3), Entry::Absent);
        assert_eq!(decode(SecondStageRules::default(), 4, !3), Entry::Absent);
    }

    #[test]
    fn nothing_is_to_be_written_into_an_entry() {
        let format = SecondStage::new(4, &SecondStageRules::default()).unwrap();
        for access in [Access::Read, Access::Write] {
            assert!(!format.must_mark(&format.levels()[0], 0x7003, true, access));
        }
    }

    #[test]
    fn bit_7_is_a_large_page_only_where_there_are_such_pages() {
        let unknown = SecondStageRules::default();
        assert_eq!(decode(unknown, 1, 0x5083), Entry::Leaf(PhysAddr(0x5000)));
        assert_eq!(decode(unknown, 2, 0x20_0083), Entry::Leaf(PhysAddr(0x20_0000)));
        assert_eq!(decode(unknown, 2, 0x20_0003), Entry::Table(PhysAddr(0x20_0000)));
        assert_eq!(decode(unknown, 3, 0x4000_0083), Entry::Leaf(PhysAddr(0x4000_0000)));
        assert_eq!(decode(unknown, 4, 0x4000_0083), Entry::Malformed(0x80));
        let small = SecondStageRules { pages_2m: Some(false), pages_1g: Some(false), ..Default::default() };
        assert_eq!(decode(small, 2, 0x20_0083), Entry::Malformed(0x80));
        assert_eq!(decode(small, 3, 0x4000_0083), Entry::Malformed(0x80));
    }

    #[test]
    fn what_the_capabilities_decide_is_allowed_until_they_are_known() {
        assert_eq!(decode(SecondStageRules::default(), 1, 0x5803), Entry::Leaf(PhysAddr(0x5000)));
        let no_snoop = SecondStageRules { snoop_control: Some(false), ..Default::default() };
        assert_eq!(decode(no_snoop, 1, 0x5803), Entry::Malformed(0x800));
        let high = 1 << 45;
        assert_eq!(decode(SecondStageRules::default(), 1, high | 3), Entry::Leaf(PhysAddr(high)));
        let narrow = SecondStageRules { host_address_width: Some(45), ..Default::default() };
        assert_eq!(decode(narrow, 1, high | 3), Entry::Malformed(high));
        assert_eq!(decode(narrow, 2, high | 3), Entry::Malformed(high));
    }

    #[test]
    fn misaligned_large_pages_are_malformed() {
        assert_eq!(decode(SecondStageRules::default(), 2, 0x20_1083), Entry::Malformed(0x1000));
        assert_eq!(decode(SecondStageRules::default(), 3, 0x4020_0083), Entry::Malformed(0x20_0000));
    }

    #[test]
    fn permissions_are_bits_0_and_1() {
        let format = SecondStage::new(4, &SecondStageRules::default()).unwrap();
        assert_eq!(format.permissions(0xfffc), Permissions::NONE);
        assert_eq!(format.permissions(1), Permissions::READ);
        assert_eq!(format.permissions(2), Permissions::WRITE);
        assert_eq!(format.permissions(3), Permissions::READ_WRITE);
    }
}
