use core::fmt;
use core::ops::BitAnd;

/// The bits of an entry of 64 to 512 bits, or a mask of some of them.
///
/// As a number in hexadecimal it has no padding; [`mask`](Self::mask) writes the few bits of a wide mask so that
/// they can be found.
///
/// ```
/// use iopt::vtd::Bits;
///
/// assert_eq!(format!("{:#x}", Bits::from([2, 0x10])), "0x100000000000000002");
/// assert_eq!(Bits::from([1, 0, 0x400, 0]).mask().to_string(), "0x1 | 0x400 << 128");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bits([u64; 8]);

impl Bits {
    /// The words, bits 63:0 first.
    #[must_use]
    pub const fn words(&self) -> &[u64; 8] {
        &self.0
    }

    /// Whether no bit is set.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Bits 127:0.
    #[must_use]
    pub const fn low_u128(&self) -> u128 {
        let [low, high, ..] = self.0;
        (high as u128) << 64 | low as u128
    }

    /// The bits for people: one number when none lies above bit 127, else each word that has any, shifted to its
    /// place.
    #[must_use]
    pub fn mask(&self) -> impl fmt::Display + use<> {
        Mask(*self)
    }
}

struct Mask(Bits);

impl fmt::Display for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Bits(words @ [_, _, above @ ..])) = self;
        if above.iter().all(|&word| word == 0) {
            return write!(f, "{:#x}", self.0.low_u128());
        }
        let places = (0_u32..).step_by(64).zip(words).filter(|&(_, &word)| word != 0);
        for (number, (shift, word)) in places.enumerate() {
            if number != 0 {
                f.write_str(" | ")?;
            }
            write!(f, "{word:#x}")?;
            if shift != 0 {
                write!(f, " << {shift}")?;
            }
        }
        Ok(())
    }
}

/// The whole number, without padding.
impl fmt::LowerHex for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            f.write_str("0x")?;
        }
        let mut words = self.0.iter().rev().skip_while(|&&word| word == 0);
        write!(f, "{:x}", words.next().unwrap_or(&0))?;
        words.try_for_each(|word| write!(f, "{word:016x}"))
    }
}

impl fmt::Debug for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bits({self:#x})")
    }
}

impl BitAnd for Bits {
    type Output = Self;

    fn bitand(mut self, other: Self) -> Self {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= other;
        }
        self
    }
}

impl From<u64> for Bits {
    fn from(word: u64) -> Self {
        Self::from([word, 0])
    }
}

impl From<u128> for Bits {
    fn from(raw: u128) -> Self {
        Self::from([(raw & 0xffff_ffff_ffff_ffff) as u64, (raw >> 64) as u64])
    }
}

impl From<[u64; 2]> for Bits {
    fn from([a, b]: [u64; 2]) -> Self {
        Self::from([a, b, 0, 0])
    }
}

impl From<[u64; 4]> for Bits {
    fn from([a, b, c, d]: [u64; 4]) -> Self {
        Self([a, b, c, d, 0, 0, 0, 0])
    }
}

impl From<[u64; 8]> for Bits {
    fn from(words: [u64; 8]) -> Self {
        Self(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn narrow_numbers_are_the_low_words() {
        let raw = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        let bits = Bits::from(raw);
        assert_eq!(bits.words(), &[0x0011_2233_4455_6677, 0x0123_4567_89ab_cdef, 0, 0, 0, 0, 0, 0]);
        assert_eq!((bits.low_u128(), Bits::from([1, 2, 3, 4]).low_u128()), (raw, 2 << 64 | 1));
        assert_eq!(Bits::from(7_u64), Bits::from([7, 0, 0, 0, 0, 0, 0, 0]));
        assert_eq!(Bits::from([7, 8]), Bits::from([7, 8, 0, 0]));
        assert!(Bits::default().is_zero() && !Bits::from([0, 0, 0, 0, 0, 0, 0, 1]).is_zero());
    }

    #[test]
    fn a_mask_keeps_what_both_have() {
        let all = Bits::from([!0; 8]);
        let some = Bits::from([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(all & some, some);
        assert_eq!(some & Bits::from([1, 1, 1, 1]), Bits::from([1, 0, 1, 0]));
        assert!((some & Bits::default()).is_zero());
    }

    /// Up to 128 bits the number reads as the integer does.
    #[test]
    fn a_number_is_written_once_and_without_padding() {
        for raw in [0, 1, 0xabc, u128::from(u64::MAX), 1 << 64, 0x10 << 64 | 0xf, u128::MAX] {
            let bits = Bits::from(raw);
            assert_eq!(format!("{bits:x} {bits:#x}"), format!("{raw:x} {raw:#x}"));
            assert_eq!(bits.mask().to_string(), format!("{raw:#x}"));
        }
        let wide = Bits::from([0x5, 0, 0x400, 0]);
        assert_eq!(format!("{wide:x}"), format!("400{:032x}", 5));
        assert_eq!(format!("{wide:?}"), format!("Bits(0x400{:032x})", 5));
        assert_eq!(format!("{:x}", Bits::from([!0; 8])), "f".repeat(128));
    }

    #[test]
    fn a_wide_mask_names_the_words_that_have_bits() {
        let mask = |words: [u64; 8]| Bits::from(words).mask().to_string();
        assert_eq!(mask([0, 0, 0x400, 0, 0, 0, 0, 0]), "0x400 << 128");
        assert_eq!(mask([1, 2, 0x400, 0, 0, 0, 0, 0xf0]), "0x1 | 0x2 << 64 | 0x400 << 128 | 0xf0 << 448");
        assert_eq!(mask([3, 4, 0, 0, 0, 0, 0, 0]), "0x40000000000000003");
    }
}
