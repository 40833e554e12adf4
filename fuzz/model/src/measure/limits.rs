//! What the machine allows: the least that any program must do to the same memory, to measure against.

use iopt::Iova;
use iopt::memory::Page;

/// Reads every word of the pages, in the order given.
#[inline(never)]
pub fn read_words(pages: &[&Page]) -> u64 {
    let sum = |page: &Page| page.words().iter().fold(0, |sum: u64, word| sum.wrapping_add(word.get()));
    pages.iter().fold(0, |total: u64, page| total.wrapping_add(sum(page)))
}

/// Four dependent loads for each address, as a walk of four levels without any check; the addresses do not
/// depend on each other. `load` gives the word at a physical address.
#[inline(always)]
pub fn independent_chains(root: u64, iovas: &[Iova], load: impl Fn(u64) -> u64) -> u64 {
    iovas.iter().fold(0, |sum: u64, iova| sum.wrapping_add(chain(root, iova.0, &load)))
}

/// The same, and no chain starts before the one before it has ended.
#[inline(always)]
pub fn serialised_chains(root: u64, iovas: &[Iova], load: impl Fn(u64) -> u64) -> u64 {
    let mut last = 0;
    for iova in iovas {
        // Adds 0, since no entry has its bit 62 set; but that is known only when the last load is done.
        last = chain(root, iova.0.wrapping_add(last >> 62 & 1), &load);
    }
    last
}

#[inline(always)]
fn chain(root: u64, iova: u64, load: impl Fn(u64) -> u64) -> u64 {
    let mut word = root;
    for shift in [39, 30, 21, 12] {
        word = load((word & 0x000f_ffff_ffff_f000) + (iova >> shift & 511) * 8);
    }
    word
}
