//! The inner loops. They look at a table in blocks of a fixed size, in a shape that compilers turn into straight
//! vector code even for the oldest processors; only the block in which something ends is looked at more closely.

mod presence;
mod survey;

pub(super) use presence::Presence;
pub(crate) use survey::{Masks, Survey};

use crate::memory::Word;

/// Entries in a cache line.
const LINE: usize = 8;
/// Entries that are judged together.
pub(crate) const BLOCK: usize = 64;

/// How many entries, from the first of `words` on, are leaves like it (equal in the bits of `mask`).
#[inline]
pub(super) fn equal(words: &[Word], mask: u64) -> usize {
    run(words, mask, 0)
}

/// How many of `words`, from the first on, equal it in the bits of `mask` and have an address (the bits of
/// `address`) that is 2^`step_log2` higher each time.
#[inline(always)]
pub(super) fn linear(words: &[Word], mask: u64, address: u64, step_log2: u8) -> usize {
    let step = 1u64.wrapping_shl(step_log2.into());
    match words {
        [] => 0,
        // In a sparse table this is the rule.
        [_] => 1,
        [first, second, ..] if (first.get().wrapping_add(step) ^ second.get()) & (mask | address) != 0 => 1,
        [first, ..] => long_linear(words, first.get(), mask, address, step_log2),
    }
}

#[inline(never)]
fn long_linear(words: &[Word], first: u64, mask: u64, address: u64, step_log2: u8) -> usize {
    // Past the last address that an entry can hold, the sum would run into other bits.
    let room = address.wrapping_sub(first & address).wrapping_shr(step_log2.into());
    let room = usize::try_from(room).unwrap_or(usize::MAX).saturating_add(1);
    run(words.get(..room).unwrap_or(words), mask | address, 1u64.wrapping_shl(step_log2.into()))
}

/// How many of `words`, from the first on, are as expected in the bits of `mask`: each is `step` more than the
/// one before it.
#[inline]
fn run(words: &[Word], mask: u64, step: u64) -> usize {
    let Some(first) = words.first().map(|word| word.get()) else { return 0 };
    // A short run must not pay for the setup of a long one.
    let eighth = first.wrapping_add(step.wrapping_mul((LINE as u64).wrapping_sub(1)));
    if words.get(LINE.wrapping_sub(1)).is_none_or(|word| (word.get() ^ eighth) & mask != 0) {
        return agreeing(words, first, step, mask);
    }
    let mut line = [first; LINE];
    for (entry, number) in line.iter_mut().zip(0u64..) {
        *entry = first.wrapping_add(step.wrapping_mul(number));
    }
    let line_step = step.wrapping_mul(LINE as u64);
    let mut count = 0usize;
    let mut blocks = words.chunks_exact(BLOCK);
    let rest = loop {
        let Some(block) = blocks.next() else { break blocks.remainder() };
        // Its length has to be known for the loop to become vector code.
        let Ok(whole) = block.try_into() else { break block };
        if differs(whole, &mut line, line_step) & mask != 0 {
            break block;
        }
        count = count.wrapping_add(BLOCK);
    };
    count.wrapping_add(agreeing(rest, first.wrapping_add(step.wrapping_mul(count as u64)), step, mask))
}

/// The bits in which any entry of `block` is not as `line` says of its first eight, `line_step` more for the next
/// eight, and so on. Leaves `line` for the block behind it.
// Inlined, it gets mixed up with the registers around it, and compilers give up on vectors.
#[inline(never)]
fn differs(block: &[Word; BLOCK], line: &mut [u64; LINE], line_step: u64) -> u64 {
    let (mut expected, mut diff) = (*line, [0; LINE]);
    for line in block.chunks_exact(LINE) {
        for ((diff, word), expected) in diff.iter_mut().zip(line).zip(expected.iter_mut()) {
            *diff |= word.get() ^ *expected;
            *expected = expected.wrapping_add(line_step);
        }
    }
    *line = expected;
    diff.iter().fold(0, |all, diff| all | diff)
}

/// How many of `words` are as expected, in the bits of `mask`, before the first that is not.
#[inline]
fn agreeing(words: &[Word], mut expected: u64, step: u64, mask: u64) -> usize {
    let end = position(words, |word| {
        let differs = (word ^ expected) & mask != 0;
        expected = expected.wrapping_add(step);
        differs
    });
    end.unwrap_or(words.len())
}

#[inline]
fn position(words: &[Word], mut stop: impl FnMut(u64) -> bool) -> Option<usize> {
    words.iter().position(|word| stop(word.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Page;
    use crate::radix::Level;

    const LEVEL: Level = Level {
        size_log2: 12,
        index_bits: 9,
        present: 3,
        leaf: 3,
        table_address: 0,
        leaf_address: 0x000f_ffff_ffff_f000,
        table_reserved: 0,
        leaf_reserved: 1 << 62,
        permissions: 3,
        attributes: 0,
    };

    fn linear_at(words: &[Word]) -> usize {
        linear(words, LEVEL.run_mask(), LEVEL.leaf_address, 12)
    }

    pub(super) fn page(entry: impl Fn(usize) -> u64) -> Page {
        let mut page = Page::ZERO;
        for (index, word) in page.words_mut().iter_mut().enumerate() {
            *word = Word::new(entry(index));
        }
        page
    }

    #[test]
    fn a_run_ends_at_the_first_entry_that_differs_and_nowhere_else() {
        for breaks_at in 1..=512 {
            for bit in [0, 1, 12, 30, 51, 62] {
                let table = page(|index| {
                    let entry = 0x1003 + index as u64 * 4096;
                    let ignored = (index as u64 * 37 % 8) << 8 | (index as u64 % 3) << 52;
                    entry | ignored
                });
                let mut table = table;
                if let Some(word) = table.words_mut().get_mut(breaks_at) {
                    *word = Word::new(word.get() ^ 1 << bit);
                }
                for from in [0, 1, 8, 13, 500, 511] {
                    if from >= breaks_at {
                        continue;
                    }
                    let words = &table.words()[from..];
                    assert_eq!(linear_at(words), breaks_at - from, "bit {bit} at {breaks_at} from {from}");
                    let is_address = (12..52).contains(&bit);
                    let end = if is_address { 512 } else { breaks_at };
                    assert_eq!(equal(words, LEVEL.run_mask()), end - from, "bit {bit} at {breaks_at} from {from}");
                }
            }
        }
    }

    #[test]
    fn a_run_of_consecutive_leaves_ends_at_the_last_address_there_is() {
        let table = page(|index| (0x000f_ffff_ffff_e000 + index as u64 * 4096) & LEVEL.leaf_address | 1);
        assert_eq!(linear_at(table.words()), 2);
        assert_eq!(equal(table.words(), LEVEL.run_mask()), 512);
    }
}
