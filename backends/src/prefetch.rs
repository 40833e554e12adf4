//! The one place that hints to the processor's caches.

use iopt::memory::Page;

/// Asks for all cache lines of `page`.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(unsafe_code, reason = "the intrinsic takes a raw pointer")]
pub(crate) fn prefetch(page: &Page) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    use zerocopy::IntoBytes;

    let bytes = page.as_bytes();
    // A page that does not start on a line ends in a 65th one.
    for byte in bytes.iter().step_by(64).chain(bytes.last()) {
        // SAFETY: PREFETCHT0 is part of SSE, which every x86_64 has. It is a hint that never faults and changes no
        // memory or register, whatever the address; this one is moreover that of a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(byte).cast()) };
    }
}

/// There is no stable way to ask on this target.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch(_page: &Page) {}
