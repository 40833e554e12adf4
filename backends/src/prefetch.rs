//! The one place that hints to the processor's caches.

use iopt::memory::{Page, Word};
use std::hint::black_box;

/// Asks for the cache lines that hold the `bytes` bytes of `page` from the `from`th on.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn prefetch(page: &Page, from: usize, bytes: usize) {
    let words = page.words().get(from.div_ceil(size_of::<Word>())..).unwrap_or_default();
    let words = words.get(..bytes.div_ceil(size_of::<Word>())).unwrap_or(words);
    let lines = words.chunks_exact(LINE);
    // A part of a line is left over, and where the page does not start on a line so is the end of a 65th one.
    let is_more = !lines.remainder().is_empty() || from.saturating_add(bytes) >= Page::SIZE;
    if bytes < Page::SIZE {
        lines.for_each(prefetch_line);
    } else {
        // In a straight line so many hints come faster than misses can be queued, and half of their use is lost.
        lines.for_each(|line| prefetch_line(black_box(line)));
    }
    if let (Some(last), true) = (words.last(), is_more) {
        prefetch_line(core::slice::from_ref(last));
    }
}

/// Words in a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 8;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the intrinsic takes a raw pointer")]
fn prefetch_line(line: &[Word]) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: PREFETCHT0 is part of SSE, which every x86_64 has. It is a hint that never faults and changes no
    // memory or register, whatever the address; this one is moreover that of a live slice.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
}

/// There is no stable way to ask on this target.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch(_page: &Page, _from: usize, _bytes: usize) {}
