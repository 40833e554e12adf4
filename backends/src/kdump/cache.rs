use super::page::Descriptor;
use super::work::Work;
use std::collections::HashMap;

/// Bytes of decompressed pages that are kept: 1024 tables of 4 KiB.
const BYTES: usize = 4 << 20;

/// Decompressed pages, by descriptor: page frames with the same bytes may share them. The least used go first
/// (second chance).
#[derive(Debug)]
pub(super) struct Cache {
    slots: Vec<Slot>,
    index: HashMap<Descriptor, usize>,
    /// The next slot to take.
    hand: usize,
    /// What nobody decompresses with just now.
    spare: Option<Work>,
}

#[derive(Debug)]
struct Slot {
    descriptor: Descriptor,
    page: Box<[u8]>,
    used: bool,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), index: HashMap::new(), hand: 0, spare: None }
    }

    pub(super) fn get(&mut self, descriptor: &Descriptor) -> Option<&[u8]> {
        let slot = self.slots.get_mut(*self.index.get(descriptor)?)?;
        slot.used = true;
        Some(&slot.page)
    }

    /// Something to decompress a page of this size with.
    pub(super) fn work(&mut self, block_size: usize) -> Work {
        self.spare.take().unwrap_or_else(|| Work::new(block_size))
    }

    /// Keeps a page that was decompressed, and what that was done with.
    pub(super) fn insert(&mut self, descriptor: Descriptor, mut work: Work) {
        self.keep(descriptor, &mut work.page);
        self.spare = Some(work);
    }

    /// Takes a page, and leaves one of the same size.
    fn keep(&mut self, descriptor: Descriptor, page: &mut Box<[u8]>) {
        let most = BYTES.checked_div(page.len()).unwrap_or(0);
        if self.index.contains_key(&descriptor) {
            return;
        }
        if self.slots.len() < most {
            self.index.insert(descriptor, self.slots.len());
            let next = vec![0; page.len()].into_boxed_slice();
            self.slots.push(Slot { descriptor, page: std::mem::replace(page, next), used: false });
            return;
        }
        // After one round all are unused, so this ends.
        loop {
            let Some(slot) = self.slots.get_mut(self.hand) else {
                if self.hand == 0 {
                    return;
                }
                self.hand = 0;
                continue;
            };
            let here = self.hand;
            self.hand = self.hand.saturating_add(1);
            if !std::mem::take(&mut slot.used) {
                self.index.remove(&slot.descriptor);
                self.index.insert(descriptor, here);
                slot.descriptor = descriptor;
                // Not swapped: it is faster to decompress where the last page was than where an old one is.
                slot.page.clone_from(page);
                return;
            }
        }
    }
}
