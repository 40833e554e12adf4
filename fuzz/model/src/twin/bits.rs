//! The bits of structures, as the specification's tables list them.

/// Bits 63:12, the address in RTADDR and in everything that leads to page tables.
pub const POINTER: u64 = 0xffff_ffff_ffff_f000;
/// Bits 51:12, the address in a page-table entry.
pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// Present: in everything but second-stage entries.
pub const PRESENT: u64 = 1;
/// Fault processing disable of context, PASID directory and PASID table entries.
pub const FPD: u64 = 1 << 1;
/// Second-stage entries: read, write, page size, snoop. Write and page size are the same in first-stage ones.
pub const READ: u64 = 1;
pub const WRITE: u64 = 1 << 1;
pub const PAGE_SIZE: u64 = 1 << 7;
pub const SNOOP: u64 = 1 << 11;
/// First-stage entries: user, accessed, dirty, extended accessed, execute disable.
pub const USER: u64 = 1 << 2;
pub const ACCESSED: u64 = 1 << 5;
pub const DIRTY: u64 = 1 << 6;
pub const EXTENDED_ACCESSED: u64 = 1 << 10;
pub const EXECUTE_DISABLE: u64 = 1 << 63;

/// Bits 63:52 that a page-table entry leaves to software: all of them but 62.
const IGNORED_HIGH: u64 = 0xbff0_0000_0000_0000;

/// Bits `width - 1` down to 0.
pub fn low(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

/// `width` bits of `word` from bit `first` up.
fn field(word: u64, first: u32, width: u32) -> u64 {
    (word >> first) & low(width)
}

/// Reserved bits that are set in the two words of a root entry.
pub fn root_reserved(words: [u64; 2], haw: Option<u8>) -> bool {
    let above_haw = haw.map_or(0, |haw| !low(haw.into()));
    words[0] & (0xffe | above_haw) != 0 || words[1] != 0
}

/// Reserved bits that are set in the two words of a context entry.
pub fn context_reserved(words: [u64; 2], haw: Option<u8>, cap: Option<u64>) -> bool {
    let above_haw = haw.map_or(0, |haw| !low(haw.into()));
    // The domain-id has 4 + 2 * ND bits; it starts at bit 72, and what is left of its 16 bits is reserved.
    let above_nd = cap.map_or(0, |cap| !low(4 + 2 * field(cap, 0, 3) as u32) & 0xffff);
    words[0] & (0xff0 | above_haw) != 0
        || words[1] & 0xffff_ffff_ff00_0080 != 0
        || field(words[1], 8, 16) & above_nd != 0
}

/// The translation type of a context entry, bits 3:2.
pub fn translation_type(words: [u64; 2]) -> u64 {
    field(words[0], 2, 2)
}

/// The address width encoding of a context entry, bits 66:64.
pub fn address_width(words: [u64; 2]) -> u64 {
    field(words[1], 0, 3)
}

/// Whether the unit walks tables of this address width: CAP.SAGAW, bits 12:8.
pub fn address_width_supported(encoding: u64, cap: Option<u64>) -> bool {
    encoding <= 4 && cap.is_none_or(|cap| field(cap, 8, 5) >> encoding & 1 == 1)
}

/// Whether the unit knows this translation type: ECAP.DT (bit 2) for 01, ECAP.PT (bit 6) for 10.
pub fn translation_type_supported(kind: u64, ecap: Option<u64>) -> bool {
    match kind {
        0b00 => true,
        0b01 => ecap.is_none_or(|ecap| ecap & (1 << 2) != 0),
        0b10 => ecap.is_none_or(|ecap| ecap & (1 << 6) != 0),
        _ => false,
    }
}

/// How many address bits a request may use: the smaller of AGAW and MGAW (CAP bits 21:16, plus one).
pub fn input_width(encoding: u64, cap: Option<u64>) -> u32 {
    let agaw = match encoding {
        0 => 30,
        1 => 39,
        2 => 48,
        3 => 57,
        _ => 64,
    };
    cap.map_or(agaw, |cap| agaw.min(field(cap, 16, 6) as u32 + 1))
}

/// Whether a present entry ends the walk, malformed or not.
pub fn is_leaf(entry: u64, level: u8) -> bool {
    level == 1 || (level <= 3 && entry & PAGE_SIZE != 0)
}

/// Whether a present second-stage entry at `level` has a reserved bit set.
pub fn second_reserved(entry: u64, level: u8, haw: Option<u8>, snoop_reserved: bool) -> bool {
    // Bits 63:52 have rules of their own, so a host address wider than 52 bits adds nothing here.
    let address = low(haw.unwrap_or(52).min(52).into());
    // Leaves have the snoop bit at 11.
    let leaf = if snoop_reserved { !0 } else { !0x800 };
    let mask = match (level, is_leaf(entry, level)) {
        (1, _) => 0x800 & leaf,
        (2, true) => 0x1f_f800 & leaf,
        (3, true) => 0x3fff_f800 & leaf,
        (2 | 3, false) => 0x800,
        _ => 0x880,
    } | !(address | IGNORED_HIGH);
    entry & mask != 0
}

/// Whether a present first-stage entry at `level` has a reserved bit set.
pub fn first_reserved(entry: u64, level: u8, haw: Option<u8>, nxe: bool) -> bool {
    let above_haw = ADDRESS & !low(haw.unwrap_or(52).into());
    let inside = match (level, is_leaf(entry, level)) {
        // Bit 12 is PAT.
        (2, true) => 0x1f_e000,
        (3, true) => 0x3fff_e000,
        (4 | 5, _) => PAGE_SIZE,
        _ => 0,
    };
    let execute_disable = if nxe { 0 } else { EXECUTE_DISABLE };
    entry & (above_haw | inside | execute_disable) != 0
}

/// How much one entry at `level` covers, as a power of two.
pub fn entry_shift(level: u8) -> u32 {
    12 + 9 * (u32::from(level) - 1)
}
