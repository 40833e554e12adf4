//! What `--stats` tells.

use crate::args::Common;
use crate::error::tell_plain;
use iopt::memory::Counts;
use iopt::radix;
use serde::Serialize;
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

/// Of work that keeps no statistics of its own: each page that it was given is a table.
impl From<Counts> for Statistics {
    fn from(counts: Counts) -> Self {
        Self {
            tables: counts.pages_lent.saturating_add(counts.pages_read),
            pages_read: counts.pages_read,
            bytes_lent: counts.bytes_lent(),
            ..Self::default()
        }
    }
}
