use crate::address::{PAGE_SIZE, PhysAddr};
use crate::memory::{Page, PhysReader, ReadError};

/// What a walk has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Table pages visited.
    pub tables: u64,
    /// Pages that the reader was asked for, whether it had them or not.
    pub reads: u64,
    /// Runs of leaves found; behind a first stage, those of both stages.
    pub runs: u64,
    /// Leaves in the runs that were yielded.
    pub leaves: u64,
    /// Entries that could not be followed.
    pub faults: u64,
    /// Pages copied out of memory that could not be lent.
    pub pages_read: u64,
    /// Bytes of table pages that were lent, so not copied.
    pub bytes_lent: u64,
}

impl Statistics {
    /// Gets the page at `addr` lent, or copies it to `copy` and returns `None`.
    #[inline(always)]
    pub(crate) fn fetch<'m, R: PhysReader + ?Sized>(
        &mut self,
        reader: &'m R,
        addr: PhysAddr,
        copy: &mut Page,
    ) -> Result<Option<&'m Page>, ReadError> {
        self.reads = self.reads.wrapping_add(1);
        let lent = reader.lend_page(addr);
        if lent.is_some() {
            self.bytes_lent = self.bytes_lent.wrapping_add(PAGE_SIZE);
        } else {
            reader.read_page(addr, copy)?;
            self.pages_read = self.pages_read.wrapping_add(1);
        }
        self.tables = self.tables.wrapping_add(1);
        Ok(lent)
    }
}
