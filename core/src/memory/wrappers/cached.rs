use crate::address::{PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError};
use core::cell::Cell;
use core::fmt;

/// Room for one page of a [`Cached`] reader.
#[derive(Clone, Debug)]
pub struct CacheSlot {
    /// The page that is kept, if any.
    addr: Option<PhysAddr>,
    /// When it was last asked for.
    used: u64,
    page: Page,
}

impl CacheSlot {
    /// Room for a page, with nothing in it.
    pub const EMPTY: Self = Self { addr: None, used: 0, page: Page::ZERO };
}

/// Keeps the pages that were read last, for a reader that can't lend and is slow to copy: a system call, a
/// decompression, a read over a wire.
///
/// The pages are kept in an array that the caller owns. A page may lie in one of four slots, of which the one that was
/// not asked for the longest makes room; an array of four slots keeps the last four pages, whichever they are.
/// What the inner reader lends is passed on and not kept, and the cache itself lends nothing: a page that it has costs
/// one copy, and one that it has not costs one copy more than without it.
///
/// Errors are not kept: a page that could not be read is asked for again. The memory may change behind the cache, so
/// that of a running machine has to be [forgotten](Self::invalidate) from time to time.
///
/// ```
/// use iopt::PhysAddr;
/// use iopt::memory::{CacheSlot, Cached, Counted, OldMemory, Page, PhysReader};
///
/// let slow = OldMemory::new(|_frame, _offset, into: &mut [u8]| Ok::<usize, i32>(into.len()));
/// let counted = Counted::new(slow);
/// let mut slots = [CacheSlot::EMPTY; 4];
/// let cached = Cached::new(&counted, &mut slots);
/// for addr in [0x1000, 0x2000, 0x1008, 0x2ff8] {
///     cached.read_page(PhysAddr(addr), &mut Page::ZERO.clone())?;
/// }
/// assert_eq!(counted.counts().pages_read, 2);
/// # Ok::<(), iopt::memory::ReadError>(())
/// ```
pub struct Cached<'s, R> {
    reader: R,
    /// Empty while a page is looked up.
    slots: Cell<&'s mut [CacheSlot]>,
    /// Counts lookups.
    now: Cell<u64>,
}

/// How many slots a page may lie in.
const WAYS: usize = 4;

impl<'s, R> Cached<'s, R> {
    /// Keeps pages of `reader` in `slots`, and forgets what was in them.
    pub fn new(reader: R, slots: &'s mut [CacheSlot]) -> Self {
        let mut cached = Self { reader, slots: Cell::new(slots), now: Cell::new(0) };
        cached.invalidate();
        cached
    }

    /// Forgets all pages.
    pub fn invalidate(&mut self) {
        for slot in self.slots.get_mut().iter_mut() {
            slot.addr = None;
        }
    }

    /// Lets `look` see the slots that the page at `addr`, which is a page's first address, may lie in.
    fn with_slots<T>(&self, addr: PhysAddr, look: impl FnOnce(&mut [CacheSlot], u64) -> T) -> Option<T> {
        let now = self.now.get().wrapping_add(1);
        self.now.set(now);
        let slots = self.slots.take();
        let sets = slots.len().div_ceil(WAYS);
        // Tables are often a power of two apart; by the multiplication they come to lie in different sets.
        let hash = (addr.0 >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let set = usize::try_from(hash.wrapping_mul(sets as u64) >> 32).unwrap_or(0);
        let found = slots.chunks_mut(WAYS).nth(set).map(|set| look(set, now));
        self.slots.set(slots);
        found
    }
}

impl<R: PhysReader> PhysReader for Cached<'_, R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let key = addr.page();
        let hit = self.with_slots(key, |set, now| {
            let slot = set.iter_mut().find(|slot| slot.addr == Some(key));
            slot.map(|slot| {
                slot.used = now;
                page.clone_from(&slot.page);
            })
        });
        if hit.flatten().is_some() {
            return Ok(());
        }
        self.reader.read_page(addr, page)?;
        self.with_slots(key, |set, now| {
            let oldest = set.iter_mut().min_by_key(|slot| (slot.addr.is_some(), slot.used));
            if let Some(slot) = oldest {
                (slot.addr, slot.used) = (Some(key), now);
                slot.page.clone_from(page);
            }
        });
        Ok(())
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        self.reader.lend_page(addr)
    }

    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        self.reader.prefetch(addr, bytes);
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.reader.next_range(from)
    }
}

impl<R: fmt::Debug> fmt::Debug for Cached<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cached").field("reader", &self.reader).finish_non_exhaustive()
    }
}
