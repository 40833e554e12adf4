//! The first bytes of formats, which are recognised also where they are not read.

/// ELF.
pub(crate) const ELF: [u8; 4] = *b"\x7fELF";
/// LiME, 0x4C694D45 in the byte order of the machine: `EMiL` from a little-endian one.
pub(crate) const LIME: [u8; 4] = *b"EMiL";
/// The same from a big-endian machine.
pub(crate) const BIG_ENDIAN_LIME: [u8; 4] = *b"LiME";
/// AVML, 0x4C4D5641 in little-endian.
pub(crate) const AVML: [u8; 4] = *b"AVML";
