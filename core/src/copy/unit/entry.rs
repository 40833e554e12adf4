//! What a copy changes in an entry above page tables.

use crate::address::PhysAddr;
use crate::memory::{Page, Word};
use crate::vtd::Cause;

/// Bits of a word that hold the address of a table.
pub(in crate::copy) const POINTER: u64 = !0xfff;
/// P of every entry above page tables.
pub(in crate::copy) const PRESENT: u64 = 1;

/// The bits of an entry's `word` for which the hardware refuses it. They stay as they are, even those of a pointer:
/// without them it would be followed, to address 0.
pub(in crate::copy) fn reserved(cause: &Cause, word: usize) -> u64 {
    match cause {
        Cause::ReservedBits(bits) => bits.words().get(word).copied().unwrap_or(0),
        _ => 0,
    }
}

/// Makes the entry at `word` point to a copy, or not present where there is none.
pub(super) fn point(image: &mut Page, word: usize, copy: Option<PhysAddr>) {
    match copy {
        Some(copy) => set(image, word, POINTER, copy.0),
        None => set(image, word, POINTER | PRESENT, 0),
    }
}

/// Sets these bits of a word to those of `value`.
pub(super) fn set(image: &mut Page, word: usize, bits: u64, value: u64) {
    if let Some(word) = image.words_mut().get_mut(word) {
        *word = Word::new(word.get() & !bits | value & bits);
    }
}
