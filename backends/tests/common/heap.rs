//! How much memory a piece of code takes at most.
//!
//! It is counted for each thread, by an allocator that a program or a test chooses for itself:
//!
//! ```
//! use iopt_model::heap::{Counting, peak};
//!
//! #[global_allocator]
//! static COUNTING: Counting = Counting;
//!
//! let (sum, bytes) = peak(|| vec![1u8; 1000].iter().map(|byte| u64::from(*byte)).sum::<u64>());
//! assert_eq!((sum, bytes), (1000, 1000));
//! ```

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// May be negative: another thread may have allocated what this one frees.
    static HELD: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

/// The allocator of the system, which counts.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

/// Does `work`, and says how many bytes it held at once at most, on top of what the thread held before; 0 if
/// [`Counting`] is not the allocator.
///
/// What grows counts twice while it does, with its old and its new size.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let (before, outer) = (HELD.get(), PEAK.get());
    PEAK.set(before);
    let done = work();
    let peak = PEAK.get();
    PEAK.set(outer.max(peak));
    (done, u64::try_from(peak - before).unwrap_or(0))
}

fn count(bytes: usize, sign: i64) {
    // An allocator must not panic, and a thread that ends has nothing to count any more.
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let _ = HELD.try_with(|held| {
        held.set(held.get() + sign * bytes);
        PEAK.try_with(|peak| peak.set(peak.get().max(held.get())))
    });
}

// SAFETY: every call goes on to the allocator of the system with the arguments of the caller, who keeps the contract of
// this trait, and gives back what that returns. Counting touches no memory but two cells of the thread, and neither
// allocates nor panics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's layout, as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller's layout, as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, 1);
        count(layout.size(), -1);
        // SAFETY: the caller's block, layout and size, as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller's block and layout, as above.
        unsafe { System.dealloc(block, layout) }
    }
}
