//! The one place that hints to the processor's caches.

use iopt::memory::Page;
use std::hint::black_box;

/// Asks for the cache lines that hold the first `bytes` bytes of `page`.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn prefetch(page: &Page, bytes: usize) {
    let words @ [.., last] = page.words();
    if bytes < Page::SIZE {
        for line in words.chunks(LINE).take(bytes.div_ceil(64)) {
            prefetch_line(line);
        }
        return;
    }
    for line in words.chunks_exact(LINE) {
        // In a straight line the hints come faster than misses can be queued, and half of their use is lost.
        prefetch_line(black_box(line));
    }
    // A page that does not start on a line ends in a 65th one.
    prefetch_line(core::slice::from_ref(last));
}

/// Words in a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 8;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "the intrinsic takes a raw pointer")]
fn prefetch_line(line: &[iopt::memory::Word]) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: PREFETCHT0 is part of SSE, which every x86_64 has. It is a hint that never faults and changes no
    // memory or register, whatever the address; this one is moreover that of a live slice.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
}

/// There is no stable way to ask on this target.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch(_page: &Page, _bytes: usize) {}
