//! How shapes are drawn from bytes.
//!
//! When the bytes run dry, `arbitrary` goes on with zeros. Everything here takes zeros for a small and
//! plain choice, so that a short input is a small program and not an empty one.

use arbitrary::{Arbitrary, Result, Unstructured};

/// `len` bytes from SplitMix64, started at `seed`.
///
/// The state goes up by 0x9e3779b97f4a7c15 each time; a word is the state, mixed by two rounds of
/// shift, xor and multiply; the bytes are its little-endian ones. The same seed gives the same bytes
/// everywhere and for ever, and fewer bytes are a prefix of more.
pub fn random_bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        bytes.extend(mix(state).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// SplitMix64's mixing of one word: equal words give equal results, near ones give unlike ones.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// `MIN` to `MAX` things. `arbitrary`'s own vectors have one element on average, and none half the time.
pub fn few<'a, T: Arbitrary<'a>, const MIN: usize, const MAX: usize>(u: &mut Unstructured<'a>) -> Result<Vec<T>> {
    let count = u.int_in_range(MIN..=MAX)?;
    (0..count).map(|_| u.arbitrary()).collect()
}

/// True one time in `N`.
pub fn rarely<const N: u8>(u: &mut Unstructured<'_>) -> Result<bool> {
    Ok(u.int_in_range(0..=N - 1)? == N - 1)
}

/// `LOW` to `HIGH`, both inclusive.
pub fn between<const LOW: u8, const HIGH: u8>(u: &mut Unstructured<'_>) -> Result<u8> {
    u.int_in_range(LOW..=HIGH)
}

/// Something one time in `N`.
pub fn seldom<'a, T: Arbitrary<'a>, const N: u8>(u: &mut Unstructured<'a>) -> Result<Option<T>> {
    if rarely::<N>(u)? { u.arbitrary().map(Some) } else { Ok(None) }
}

/// How many entries: about the sizes at which a scan in chunks of 8 or 64, or a table, ends; or anything.
pub fn length(u: &mut Unstructured<'_>) -> Result<u16> {
    const EDGES: [u16; 20] = [1, 1, 2, 3, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1024];
    if u.int_in_range(0..=3u8)? == 3 { u.int_in_range(1..=600) } else { u.choose(&EDGES).copied() }
}

/// An index into weights that add up to at most 256, with that probability each.
pub fn weighted(u: &mut Unstructured<'_>, weights: &[u16]) -> Result<usize> {
    let total = weights.iter().sum::<u16>();
    let mut at = u.int_in_range(0..=total - 1)?;
    for (index, weight) in weights.iter().enumerate() {
        if at < *weight {
            return Ok(index);
        }
        at -= weight;
    }
    Ok(0)
}
