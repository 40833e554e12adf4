//! Physical memory behind a function that copies one page frame.

use core::sync::atomic::{AtomicU64, Ordering};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, Word};
use iopt::{PhysAddr, PhysRange};

/// How many frames the machine has, from address 0 on.
pub const COUNT: usize = 15;

/// The machine's memory. It is live: anyone may write to it at any time, so it can be copied but not lent.
pub static MEMORY: [[AtomicU64; Page::WORDS]; COUNT] = [const { [const { AtomicU64::new(0) }; Page::WORDS] }; COUNT];

/// Copies the frame with this number; false if there is none. A crash kernel has `copy_oldmem_page` here.
pub fn copy_frame(number: u64, words: &mut [Word; Page::WORDS]) -> bool {
    let Some(frame) = usize::try_from(number).ok().and_then(|number| MEMORY.get(number)) else { return false };
    for (word, live) in words.iter_mut().zip(frame) {
        word.set(live.load(Ordering::Relaxed));
    }
    true
}

/// Writes one word of the machine's memory.
pub fn write(addr: PhysAddr, value: u64) {
    let frame = usize::try_from(addr.0 / 4096).ok().and_then(|number| MEMORY.get(number));
    let index = usize::try_from(addr.0 % 4096 / 8).unwrap_or(0);
    if let Some(word) = frame.and_then(|frame| frame.get(index)) {
        word.store(value, Ordering::Relaxed);
    }
}

/// Reads memory through a function that copies a frame.
pub struct Frames<F>(pub F);

impl<F: Fn(u64, &mut [Word; Page::WORDS]) -> bool> PhysReader for Frames<F> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        match (self.0)(addr.0 / 4096, page.words_mut()) {
            true => Ok(()),
            false => Err(ReadError::new(addr, ReadErrorKind::Hole)),
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let all = PhysRange::new(PhysAddr(0), PhysAddr(COUNT as u64 * 4096 - 1))?;
        (from <= all.last()).then_some(all)
    }
}
