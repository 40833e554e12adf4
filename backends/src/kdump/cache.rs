use super::page::Descriptor;
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
}

#[derive(Debug)]
struct Slot {
    descriptor: Descriptor,
    page: Box<[u8]>,
    used: bool,
}

impl Cache {
    pub(super) fn new() -> Self {
        Self { slots: Vec::new(), index: HashMap::new(), hand: 0 }
    }

    pub(super) fn get(&mut self, descriptor: &Descriptor) -> Option<&[u8]> {
        let slot = self.slots.get_mut(*self.index.get(descriptor)?)?;
        slot.used = true;
        Some(&slot.page)
    }

    pub(super) fn insert(&mut self, descriptor: Descriptor, page: Box<[u8]>) {
        let most = BYTES.checked_div(page.len()).unwrap_or(0);
        let new = Slot { descriptor, page, used: false };
        if self.index.contains_key(&descriptor) {
            return;
        }
        if self.slots.len() < most {
            self.index.insert(descriptor, self.slots.len());
            self.slots.push(new);
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
                *slot = new;
                return;
            }
        }
    }
}
