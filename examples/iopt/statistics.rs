//! What `--stats` tells.

use crate::args::Common;
use crate::error::tell_plain;
use iopt::address::PAGE_SIZE;
use iopt::memory::{Page, PhysReader, ReadError};
use iopt::{PhysAddr, PhysRange, radix};
use serde::Serialize;
use std::cell::Cell;
use std::time::Duration;

/// The sum over all units.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Statistics {
    pub tables: u64,
    pub leaves: u64,
    pub ranges: u64,
    pub faults: u64,
    pub pages_read: u64,
    pub bytes_lent: u64,
    elapsed_ns: u64,
}

impl Statistics {
    pub fn add(&mut self, walk: &radix::Statistics) {
        self.tables = self.tables.saturating_add(walk.tables);
        self.leaves = self.leaves.saturating_add(walk.leaves);
        self.faults = self.faults.saturating_add(walk.faults);
        self.pages_read = self.pages_read.saturating_add(walk.pages_read);
        self.bytes_lent = self.bytes_lent.saturating_add(walk.bytes_lent);
    }

    /// Tells them if they are asked for.
    pub fn tell(mut self, common: &Common, elapsed: Duration) {
        self.elapsed_ns = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        if let (true, Ok(line)) = (common.stats, serde_json::to_string(&self)) {
            tell_plain(&line);
        }
    }
}

/// A reader that counts the pages it gives away, for work that keeps no statistics of its own.
#[derive(Debug)]
pub struct Counting<'r, R> {
    reader: &'r R,
    lent: Cell<u64>,
    copied: Cell<u64>,
}

impl<'r, R> Counting<'r, R> {
    pub fn new(reader: &'r R) -> Self {
        Self { reader, lent: Cell::new(0), copied: Cell::new(0) }
    }

    pub fn statistics(&self) -> Statistics {
        let (lent, copied) = (self.lent.get(), self.copied.get());
        Statistics {
            tables: lent.saturating_add(copied),
            pages_read: copied,
            bytes_lent: lent.saturating_mul(PAGE_SIZE),
            ..Statistics::default()
        }
    }
}

impl<R: PhysReader> PhysReader for Counting<'_, R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.reader.read_page(addr, page)?;
        self.copied.set(self.copied.get().saturating_add(1));
        Ok(())
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let page = self.reader.lend_page(addr)?;
        self.lent.set(self.lent.get().saturating_add(1));
        Some(page)
    }

    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        self.reader.prefetch(addr, bytes);
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.reader.next_range(from)
    }
}
