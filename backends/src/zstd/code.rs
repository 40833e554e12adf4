//! What the codes of lengths stand for (RFC 8878, 3.1.1.3.2.1.1).

use super::bits::Backward;

/// Lengths as codes: the first stand for one length each, the others for the lengths behind those, as many as the
/// bits that follow tell apart.
pub(super) struct Code {
    /// The least length, of code 0.
    first: u64,
    /// How many codes have no bits.
    plain: u8,
    /// How many bits the other codes have.
    bits: &'static [u8],
}

pub(super) const LITERALS: Code =
    Code { first: 0, plain: 16, bits: &[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] };
pub(super) const MATCHES: Code =
    Code { first: 3, plain: 32, bits: &[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] };

impl Code {
    /// The length that `code` and its bits stand for. `None` if those are not there.
    pub(super) fn value(&self, code: u8, bits: &mut Backward) -> Option<u64> {
        let Some(index) = code.checked_sub(self.plain) else { return Some(self.first.saturating_add(code.into())) };
        let index = usize::from(index);
        let before: u64 = self.bits.get(..index)?.iter().map(|bits| 1u64 << bits).sum();
        let base = self.first.saturating_add(self.plain.into()).saturating_add(before);
        Some(base.saturating_add(bits.take(*self.bits.get(index)?)?))
    }
}
