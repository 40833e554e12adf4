//! Numbers of any number of bits, least significant bits first.

/// As they lie.
pub(super) struct Forward<'a> {
    bytes: &'a [u8],
    /// How many bits were taken.
    pub(super) at: usize,
}

impl<'a> Forward<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    pub(super) fn take(&mut self, count: u32) -> Option<u32> {
        let end = self.at.checked_add(usize::try_from(count).ok()?)?;
        if end.div_ceil(8) > self.bytes.len() {
            return None;
        }
        let number = bits(self.bytes, self.at)? & !(u64::MAX.checked_shl(count)?);
        self.at = end;
        u32::try_from(number).ok()
    }

    /// Gives the last bit back.
    pub(super) fn back(&mut self) {
        self.at = self.at.saturating_sub(1);
    }
}

/// From the end to the start. A set bit marks the end.
pub(super) struct Backward<'a> {
    bytes: &'a [u8],
    /// How many bits are left.
    left: usize,
}

impl<'a> Backward<'a> {
    /// `None` if there is no set bit in the last byte.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let zeros = usize::try_from(bytes.last()?.checked_ilog2()?).ok()?;
        let left = bytes.len().checked_sub(1)?.checked_mul(8)?.checked_add(zeros)?;
        Some(Self { bytes, left })
    }

    /// The next `count` bits, at most 32.
    pub(super) fn take(&mut self, count: u8) -> Option<u64> {
        self.left = self.left.checked_sub(count.into())?;
        Some(bits(self.bytes, self.left)? & !(u64::MAX.checked_shl(count.into())?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.left == 0
    }
}

/// The bits from number `at` on: 57 at least, with zeros for those behind the end.
fn bits(bytes: &[u8], at: usize) -> Option<u64> {
    let rest = bytes.get(at / 8..)?;
    let number = match rest.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => rest.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    Some(number >> (at % 8))
}
