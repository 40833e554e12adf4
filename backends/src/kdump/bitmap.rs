use super::source::Source;
use std::borrow::Cow;
use zerocopy::FromBytes;
use zerocopy::little_endian::U64;

/// Bits that share a rank.
const BLOCK: u64 = 1024;
const WORDS: usize = 16;

/// A bitmap of page frames: the bit of frame `n` is bit `n % 8` of byte `n / 8`.
#[derive(Debug)]
pub(super) struct Bitmap {
    offset: u64,
    length: usize,
    /// The bits, where they don't lie side by side in memory.
    copy: Option<Vec<u8>>,
}

impl Bitmap {
    /// The bitmap of `length` bytes, a multiple of 8, if all is there that has the bits of `needed` bytes. The rest is
    /// padding, which makedumpfile does not write to a stream.
    pub(super) fn new(source: &Source, offset: u64, length: u64, needed: u64) -> Option<Self> {
        if let Some(bits) = source.get(offset, length) {
            let copy = if let Cow::Owned(bits) = bits { Some(bits) } else { None };
            return Some(Self { offset, length: usize::try_from(length).ok()?, copy });
        }
        let mut bits = source.get(offset, needed)?.into_owned();
        bits.resize(bits.len().checked_next_multiple_of(8)?, 0);
        Some(Self { offset, length: bits.len(), copy: Some(bits) })
    }

    #[inline]
    pub(super) fn words<'a>(&'a self, source: &'a Source) -> &'a [U64] {
        let bytes = match &self.copy {
            Some(bits) => bits,
            None => source.borrow(self.offset, self.length).unwrap_or_default(),
        };
        <[U64]>::ref_from_bytes(bytes).unwrap_or_default()
    }
}

/// How many bits are set below each block of bits: 8 bytes for 128 of the bitmap.
#[derive(Debug)]
pub(super) struct Ranks {
    blocks: Vec<u64>,
    /// How many set bits are below the first that counts.
    skipped: u64,
}

impl Ranks {
    /// Ranks that start at bit `first`, which is that of the first page in a file.
    pub(super) fn new(words: &[U64], first: u64) -> Self {
        let mut below = 0u64;
        let blocks = words.chunks(WORDS).map(|block| {
            let rank = below;
            below = below.saturating_add(ones(block));
            rank
        });
        let mut ranks = Self { blocks: blocks.collect(), skipped: 0 };
        ranks.skipped = ranks.rank(words, first).unwrap_or(0);
        ranks
    }

    /// How many bits are set from the first one up to below bit `index`.
    #[inline]
    pub(super) fn rank(&self, words: &[U64], index: u64) -> Option<u64> {
        let block = usize::try_from(index / BLOCK).ok()?;
        let word = usize::try_from(index / 64).ok()?;
        let whole = words.get(block.checked_mul(WORDS)?..word)?;
        let part = words.get(word)?.get() & !high(index);
        let below = self.blocks.get(block)?.checked_add(ones(whole))?.checked_add(u64::from(part.count_ones()))?;
        below.checked_sub(self.skipped)
    }
}

fn ones(words: &[U64]) -> u64 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from(word.get().count_ones())))
}

#[inline]
pub(super) fn is_set(words: &[U64], index: u64) -> bool {
    let word = usize::try_from(index / 64).ok().and_then(|word| words.get(word));
    word.is_some_and(|word| word.get().wrapping_shr(low_bits(index)) & 1 != 0)
}

/// The first bit from `from` on that is `set`.
pub(super) fn next(words: &[U64], from: u64, set: bool) -> Option<u64> {
    let flip = if set { 0 } else { u64::MAX };
    let mut mask = high(from);
    let mut base = from & !63;
    for word in words.get(usize::try_from(from / 64).ok()?..)? {
        let found = (word.get() ^ flip) & mask;
        if found != 0 {
            return base.checked_add(u64::from(found.trailing_zeros()));
        }
        mask = u64::MAX;
        base = base.checked_add(64)?;
    }
    None
}

/// The first bit of the run of set bits that `index` is in.
pub(super) fn run_start(words: &[U64], index: u64) -> u64 {
    let mut mask = !high(index);
    let mut base = index & !63;
    let last = usize::try_from(index / 64).unwrap_or(usize::MAX);
    for word in words.get(..=last).unwrap_or_default().iter().rev() {
        let clear = !word.get() & mask;
        if let Some(highest) = clear.checked_ilog2() {
            return base.saturating_add(u64::from(highest)).saturating_add(1);
        }
        mask = u64::MAX;
        base = base.saturating_sub(64);
    }
    0
}

/// The bits of a word from that of `index` on.
#[inline]
fn high(index: u64) -> u64 {
    u64::MAX.wrapping_shl(low_bits(index))
}

#[inline]
fn low_bits(index: u64) -> u32 {
    u32::try_from(index % 64).unwrap_or(0)
}
