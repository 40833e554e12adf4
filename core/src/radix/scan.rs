//! The inner loops. They look at a table in blocks of a fixed size, in a shape that compilers turn into straight
//! vector code even for the oldest processors; only the block in which something ends is looked at more closely.

use crate::memory::{Page, Word};

/// Entries in a cache line.
const LINE: usize = 8;
/// Entries that are judged together.
pub(crate) const BLOCK: usize = 64;

/// Which entries of one block of a table are present: a bit each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Presence {
    block: usize,
    bits: u64,
}

impl Presence {
    /// Of no block yet.
    pub(super) const UNKNOWN: Self = Self { block: usize::MAX, bits: 0 };

    /// The first entry in `from..=last` that has any bit of `present` set. The page must be the same each time.
    #[inline(always)]
    pub(super) fn next(&mut self, page: &Page, from: usize, last: usize, present: u64) -> Option<usize> {
        if from > last {
            return None;
        }
        // In a dense table it is always the next one.
        if page.word(from) & present != 0 {
            return Some(from);
        }
        let mut block = from / BLOCK;
        let mut at = from % BLOCK;
        loop {
            if block != self.block {
                let words = page.words().get(block.wrapping_mul(BLOCK)..)?.first_chunk()?;
                *self = Self { block, bits: present_bits(words, present) };
            }
            let bits = self.bits & u64::MAX.wrapping_shl(u32::try_from(at).unwrap_or(0));
            if bits != 0 {
                let index = block.wrapping_mul(BLOCK).wrapping_add(bits.trailing_zeros() as usize);
                return (index <= last).then_some(index);
            }
            block = block.wrapping_add(1);
            at = 0;
            if block.wrapping_mul(BLOCK) > last {
                return None;
            }
        }
    }
}

/// A bit for each word that has any bit of `mask` set. It takes no branches, since there is no guessing which.
#[inline(never)]
fn present_bits(block: &[Word; BLOCK], mask: u64) -> u64 {
    let mut flags = [[0u8; LINE]; BLOCK / LINE];
    for (flags, line) in flags.iter_mut().zip(block.chunks_exact(LINE)) {
        for (flag, word) in flags.iter_mut().zip(line) {
            *flag = u8::from(word.get() & mask != 0);
        }
    }
    let mut bits = 0;
    for line in flags.iter().rev() {
        // Gathers bit 0 of byte i at bit 56 + i.
        let gathered = u64::from_le_bytes(*line).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        bits = bits << LINE | gathered;
    }
    bits
}

/// Where the present entries of a table are, as far as its blocks were looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Survey {
    /// A bit for each cache line that has any.
    lines: u64,
    /// A bit for each block of which all entries are present and alike.
    uniform: u64,
}

/// Which entries count as present, and the bits in which they are alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks {
    pub(crate) present: u64,
    pub(crate) alike: u64,
}

impl Survey {
    /// Looks at a block, of which this is the number.
    #[inline(always)]
    pub(crate) fn add(&mut self, number: usize, block: &[Word; BLOCK], masks: Masks) {
        let number = u32::try_from(number).unwrap_or(0);
        let [first, .., last] = block;
        let (first, last) = (first.get(), last.get());
        let differs = |bits: u64| bits & masks.alike != 0;
        let is_uniform = first & masks.present != 0 && !differs(first ^ last) && !differs(uniform(block, first));
        self.uniform |= u64::from(is_uniform).wrapping_shl(number);
        let lines = if is_uniform { u64::from(u8::MAX) } else { lines(block, masks.present) };
        self.lines |= lines.wrapping_shl(number.wrapping_mul(LINES));
    }

    /// Whether no entry of a table is present.
    pub(crate) fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// The first entry of a table in which all are present and alike.
    pub(crate) fn uniform(&self, page: &Page, masks: Masks) -> Option<u64> {
        let first = page.word(0);
        let is_uniform = self.uniform == u64::from(u8::MAX)
            && page.words().iter().step_by(BLOCK).all(|word| (word.get() ^ first) & masks.alike == 0);
        is_uniform.then_some(first)
    }

    /// Hands the present entries to `visit`, in runs that are alike: the number of the first one, how many there are, and
    /// the first one. A run that goes on may come in parts.
    #[inline(always)]
    pub(crate) fn each_run(&self, page: &Page, masks: Masks, mut visit: impl FnMut(usize, usize, u64)) {
        let mut lines = self.lines;
        while lines != 0 {
            let line = lines.trailing_zeros();
            let first = (line as usize).wrapping_mul(LINE);
            let is_uniform = self.uniform.wrapping_shr(line / LINES) & 1 != 0;
            lines &= lines.wrapping_sub(1);
            let mut bits = 1;
            if is_uniform {
                lines &= !u64::from(u8::MAX).wrapping_shl(line);
            } else {
                let Some(words) = page.words().get(first..).and_then(|words| words.first_chunk()) else { return };
                bits = line_bits(words, masks.present);
            }
            while bits != 0 {
                let at = bits.trailing_zeros();
                let index = first.wrapping_add(at as usize);
                let neighbours = bits.wrapping_shr(at).trailing_ones() as usize;
                let raw = page.word(index);
                let len = match neighbours {
                    _ if is_uniform => BLOCK,
                    1 => 1,
                    _ => agreeing(
                        page.words().get(index..index.wrapping_add(neighbours)).unwrap_or_default(),
                        raw,
                        0,
                        masks.alike,
                    ),
                };
                bits &= u64::MAX.checked_shl(at.wrapping_add(u32::try_from(len).unwrap_or(0))).unwrap_or(0);
                // It is called in one place, so that it becomes part of the loop.
                visit(index, len, raw);
            }
        }
    }
}

/// Lines in a block.
const LINES: u32 = 8;

/// A bit for each line of a block that has a word with any bit of `mask` set.
#[inline(never)]
fn lines(block: &[Word; BLOCK], mask: u64) -> u64 {
    let mut bits = 0;
    for (number, line) in (0u32..).zip(block.chunks_exact(LINE)) {
        let any = line.iter().fold(0, |any, word| any | word.get());
        bits |= u64::from(any & mask != 0).wrapping_shl(number);
    }
    bits
}

/// A bit for each word of a line that has any bit of `mask` set.
#[inline(always)]
fn line_bits(line: &[Word; LINE], mask: u64) -> u64 {
    (0u32..).zip(line).fold(0, |bits, (index, word)| bits | u64::from(word.get() & mask != 0).wrapping_shl(index))
}

/// The bits in which any entry of `block` is not as `first`.
#[inline(never)]
fn uniform(block: &[Word; BLOCK], first: u64) -> u64 {
    let mut diff = [0; LINE];
    for line in block.chunks_exact(LINE) {
        for (diff, word) in diff.iter_mut().zip(line) {
            *diff |= word.get() ^ first;
        }
    }
    diff.iter().fold(0, |all, diff| all | diff)
}

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
    use crate::radix::Level;
    use std::vec::Vec;

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

    fn page(entry: impl Fn(usize) -> u64) -> Page {
        let mut page = Page::ZERO;
        for (index, word) in page.words_mut().iter_mut().enumerate() {
            *word = Word::new(entry(index));
        }
        page
    }

    /// Every start, several ends, one present entry: the answer is plain.
    #[test]
    fn finds_the_one_present_entry_wherever_it_is() {
        for at in [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 255, 504, 510, 511] {
            let page = page(|index| if index == at { 2 } else { 0xffff_ffff_ffff_fffc });
            for from in 0..512 {
                for last in [from, from + 1, from + 7, from + 8, 510, 511] {
                    if last > 511 || from > last {
                        continue;
                    }
                    let expected = (from..=last).contains(&at).then_some(at);
                    let found = { Presence::UNKNOWN }.next(&page, from, last, 3);
                    assert_eq!(found, expected, "{at} in {from}..={last}");
                }
            }
        }
        assert_eq!({ Presence::UNKNOWN }.next(&Page::ZERO, 5, 4, 3), None);
        assert_eq!({ Presence::UNKNOWN }.next(&Page::ZERO, 0, 600, 3), None);
    }

    /// What is known of a block is used again, forwards and after a step back.
    #[test]
    fn finds_all_present_entries_in_turn() {
        let present = |index: usize| index * 7 % 11 < 3 || index % 64 == 63;
        let page = page(|index| u64::from(present(index)) << 1);
        let expected: Vec<usize> = (0..512).filter(|index| present(*index)).collect();
        let mut presence = Presence::UNKNOWN;
        for start in [0, 100, 0] {
            let mut found = Vec::new();
            let mut from = start;
            while let Some(index) = presence.next(&page, from, 511, 3) {
                found.push(index);
                from = index + 1;
            }
            assert_eq!(found, expected.iter().copied().filter(|index| *index >= start).collect::<Vec<_>>());
        }
    }

    const MASKS: Masks = Masks { present: 3, alike: 3 | 1 << 62 };

    fn survey(page: &Page) -> Survey {
        let mut survey = Survey::default();
        for (number, block) in page.words().chunks(BLOCK).enumerate() {
            survey.add(number, block.try_into().unwrap(), MASKS);
        }
        survey
    }

    /// Blocks that are empty, full, alike, alternating and of runs of all lengths, next to each other.
    #[test]
    fn a_survey_finds_every_present_entry_once_and_in_order() {
        let kinds: [fn(usize) -> u64; 7] = [
            |_| 4,
            |_| 0x1003,
            |index| if index == 63 { 0x1001 } else { 0x1003 },
            |index| (index as u64 & 1) * 0x2003,
            |index| if index * 7 % 11 < 5 { 0x3003 | (index as u64 % 5 / 4) << 62 } else { 0xffc },
            |index| if index < 60 { 0x1003 } else { 0 },
            |index| 1 + index as u64 % 3,
        ];
        for seed in 0..kinds.len().pow(2) {
            let kind = |block: usize| kinds[(seed / 7 * block + seed) % kinds.len()];
            let page = page(|index| kind(index / BLOCK)(index % BLOCK));
            let (mut found, mut next) = (Vec::new(), 0);
            survey(&page).each_run(&page, MASKS, |index, len, raw| {
                assert!(index >= next && len > 0 && raw == page.word(index), "{index} {len}");
                let alike = |at: usize| (page.word(at) ^ raw) & MASKS.alike == 0;
                assert!((index..index + len).all(alike), "{index} {len}");
                found.extend(index..index + len);
                next = index + len;
            });
            let expected: Vec<usize> = (0..512).filter(|index| page.word(*index) & MASKS.present != 0).collect();
            assert_eq!(found, expected, "{seed}");
            assert_eq!(survey(&page).is_empty(), expected.is_empty());
        }
    }

    #[test]
    fn a_table_is_uniform_when_all_its_entries_are_present_and_alike() {
        let uniform = page(|index| 0x1003 + index as u64 * 4096);
        assert_eq!(survey(&uniform).uniform(&uniform, MASKS), Some(0x1003));
        for index in [0, 1, 63, 64, 300, 511] {
            for other in [0, 1, 1 << 62 | 3] {
                let mut page = uniform.clone();
                page.words_mut()[index] = other.into();
                assert_eq!(survey(&page).uniform(&page, MASKS), None, "{index}");
            }
        }
        // Each block by itself is uniform.
        let halves = page(|index| if index < 256 { 1 } else { 3 });
        assert_eq!(survey(&halves).uniform(&halves, MASKS), None);
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
