//! A reader that can be watched, and kept from what it has.

use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use iopt_backends::Image;
use std::cell::{Cell, RefCell};

/// Notes which pages are asked for, and lends them only if it may.
pub struct Watched<'m> {
    memory: &'m Image,
    pub lends: bool,
    pub asked: RefCell<Vec<u64>>,
    /// A page that the memory has not.
    pub missing: Cell<Option<PhysAddr>>,
}

impl<'m> Watched<'m> {
    pub fn new(memory: &'m Image, lends: bool) -> Self {
        Self { memory, lends, asked: RefCell::default(), missing: Cell::default() }
    }

    /// The words of a page, behind everything that this reader is for.
    pub fn words(&self, page: u64) -> [u64; 512] {
        let mut copy = Page::ZERO;
        self.memory.read_page(PhysAddr(page), &mut copy).unwrap();
        copy.words().map(|word| word.get())
    }

    fn is_missing(&self, addr: PhysAddr) -> bool {
        self.missing.get() == Some(addr.page())
    }
}

impl PhysReader for Watched<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.asked.borrow_mut().push(addr.0);
        if self.is_missing(addr) {
            return Err(ReadError::new(addr, ReadErrorKind::Hole));
        }
        self.memory.read_page(addr, page)
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        // What is missing will be asked for again.
        if !self.lends || self.is_missing(addr) {
            return None;
        }
        self.asked.borrow_mut().push(addr.0);
        self.memory.lend_page(addr)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.memory.next_range(from)
    }
}
