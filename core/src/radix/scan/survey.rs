use super::{BLOCK, LINE, agreeing};
use crate::memory::{Page, Word};

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

    /// Hands the present entries to `visit`, in runs that are alike: the number of the first one, how many there are,
    /// and the first one. A run that goes on may come in parts.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radix::scan::tests::page;
    use std::vec::Vec;

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
}
