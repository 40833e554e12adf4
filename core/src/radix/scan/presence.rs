use super::{BLOCK, LINE};
use crate::memory::{Page, Word};

/// Which entries of one block of a table are present: a bit each.
#[derive(Clone, Copy, Debug)]
pub(in crate::radix) struct Presence {
    block: usize,
    bits: u64,
}

impl Presence {
    /// Of no block yet.
    pub(in crate::radix) const UNKNOWN: Self = Self { block: usize::MAX, bits: 0 };

    /// The first entry in `from..=last` that has any bit of `present` set. The page must be the same each time.
    #[inline(always)]
    pub(in crate::radix) fn next(&mut self, page: &Page, from: usize, last: usize, present: u64) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::radix::scan::tests::page;
    use std::vec::Vec;

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
}
