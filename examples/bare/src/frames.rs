//! Physical memory behind a function that copies bytes of a page frame.

use core::sync::atomic::{AtomicU64, Ordering};
use iopt::PhysAddr;
use iopt::memory::Page;

/// How many frames the machine has, from address 0 on.
pub const COUNT: usize = 16;

/// The machine's memory. It is live: anyone may write to it at any time, so it can be copied but not lent.
pub static MEMORY: [[AtomicU64; Page::WORDS]; COUNT] = [const { [const { AtomicU64::new(0) }; Page::WORDS] }; COUNT];

/// Copies what `into` takes of a frame from `offset` on, as Linux's `copy_oldmem_page` does. Returns how many bytes
/// that was, or an error number.
pub fn copy_oldmem_page(frame: u64, offset: usize, into: &mut [u8]) -> Result<usize, i32> {
    const EFAULT: i32 = 14;
    let words = usize::try_from(frame).ok().and_then(|frame| MEMORY.get(frame)).ok_or(-EFAULT)?;
    let bytes = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    Ok(into.iter_mut().zip(bytes.skip(offset)).map(|(to, from)| *to = from).count())
}

/// Writes one word of the machine's memory.
pub fn write(addr: PhysAddr, value: u64) {
    let frame = usize::try_from(addr.0 / 4096).ok().and_then(|number| MEMORY.get(number));
    let index = usize::try_from(addr.0 % 4096 / 8).unwrap_or(0);
    if let Some(word) = frame.and_then(|frame| frame.get(index)) {
        word.store(value, Ordering::Relaxed);
    }
}
