use super::memo::{Memo, MemoSlot};
use crate::address::PhysAddr;
use crate::memory::{Page, Word};
use crate::radix::MAX_LEVELS;
use crate::walk;

/// Room for the tables that are looked at, about 104 KiB. The caller decides where it lives.
#[derive(Clone, Debug)]
pub struct Room {
    pub(super) images: Images,
    pub(super) walk: walk::Scratch,
}

impl Room {
    /// Room with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { images: Images::new(), walk: walk::Scratch::new() }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

/// What a copy works in: room for tables, and for what it has to remember.
///
/// Of the memo it takes one slot for each table that is copied or of which the ranges are looked for, one for each
/// domain-id, two for each page table that a domain-id stands for, and one more. Half as many again make it fast.
#[derive(Debug)]
pub struct Workspace<'w> {
    pub(super) memo: Memo<'w>,
    pub(super) room: &'w mut Room,
}

impl<'w> Workspace<'w> {
    /// A place to work in.
    #[must_use]
    pub fn new(memo: &'w mut [MemoSlot], room: &'w mut Room) -> Self {
        Self { memo: Memo::new(memo), room }
    }
}

/// Images of the tables on one path, in which pointers are replaced before they are written.
#[derive(Clone, Debug)]
pub(super) struct Images {
    pub(super) root: Page,
    pub(super) context: Page,
    pub(super) directory: Page,
    pub(super) pasids: Page,
    page_tables: [Page; MAX_LEVELS],
}

impl Images {
    const fn new() -> Self {
        Self {
            root: Page::ZERO,
            context: Page::ZERO,
            directory: Page::ZERO,
            pasids: Page::ZERO,
            page_tables: [Page::ZERO; MAX_LEVELS],
        }
    }

    pub(super) fn page_table(&self, level: u8) -> Option<&Page> {
        self.page_tables.get(usize::from(level).wrapping_sub(1))
    }

    pub(super) fn page_table_mut(&mut self, level: u8) -> Option<&mut Page> {
        self.page_tables.get_mut(usize::from(level).wrapping_sub(1))
    }

    /// Gives the bits `address` of an entry of a page table those of `copy`.
    pub(super) fn point(&mut self, level: u8, index: usize, address: u64, copy: PhysAddr) {
        if let Some(word) = self.page_table_mut(level).and_then(|image| image.words_mut().get_mut(index)) {
            *word = Word::new(word.get() & !address | copy.0 & address);
        }
    }
}
