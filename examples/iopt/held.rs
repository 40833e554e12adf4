//! Ranges that people are told as one.

use iopt::IovaRange;
use iopt::coalesce::DeviceRange;

/// A range, or several of one page each that follow each other and lead to the same page: a driver maps a spare page so,
/// and a table that is full of one entry would take as many lines as it has entries.
pub struct Held {
    pub range: DeviceRange,
    /// How many pages lead to the same one; 1 for an ordinary range, however long.
    pub times: u64,
    /// Whether requests reach all of it.
    pub is_reachable: bool,
}

impl Held {
    pub fn new(range: DeviceRange, is_reachable: bool) -> Self {
        Self { range, times: 1, is_reachable }
    }

    /// Takes in a reachable range, if it repeats this one.
    pub fn take_in(&mut self, next: &DeviceRange) -> bool {
        let DeviceRange { iova, phys, permissions, page_size_log2, .. } = self.range;
        let repeats = self.is_reachable
            && iova.last().0.checked_add(1) == Some(next.iova.first().0)
            && phys.is_some()
            && (phys, permissions, page_size_log2) == (next.phys, next.permissions, next.page_size_log2)
            && is_pages(&self.range, self.times)
            && is_pages(next, 1);
        if repeats {
            self.range.iova = IovaRange::new(iova.first(), next.iova.last()).unwrap_or(iova);
            self.times = self.times.saturating_add(1);
        }
        repeats
    }
}

fn is_pages(range: &DeviceRange, pages: u64) -> bool {
    let page = range.page_size_log2.and_then(|log2| 1_u128.checked_shl(log2.into()));
    page.and_then(|page| page.checked_mul(pages.into())) == Some(range.iova.size())
}
