use super::{InterruptCause, InterruptEntry, InterruptFault, Irta};
use crate::memory::{Page, PhysReader};
use crate::vtd::lookup::entry_at;

/// A present and well-formed entry with its index in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedEntry {
    /// The interrupt index, below 65,536.
    pub index: u32,
    /// The entry.
    pub entry: InterruptEntry,
}

/// The present entries of an interrupt remapping table, by ascending index; made by [`Irta::entries`].
///
/// Each page of the table is read once, 256 at most.
#[derive(Debug)]
pub struct Entries<'r, R: ?Sized> {
    irta: Irta,
    reader: &'r R,
    copy: &'r mut Page,
    /// The page that `next` is in, if it could be lent.
    lent: Option<&'r Page>,
    next: u32,
}

impl Irta {
    /// The present entries of the table, with `copy` to hold pages that can't be lent.
    ///
    /// # Errors
    /// What can't be used is an `Err` in its place, and the next call goes on behind it: an entry that hardware
    /// takes for malformed (fault 0x24), or a page that can't be read (fault 0x23 if it is a hole), of which the
    /// first entry is the place. A table that runs past the 64-bit space ends with one (0x21).
    ///
    /// ```
    /// use iopt::memory::{Page, Slot, SparseMemory};
    /// use iopt::vtd::{FaultReason, Irta};
    /// use iopt::PhysAddr;
    ///
    /// let mut slots = [Slot::EMPTY; 1];
    /// let mut memory = SparseMemory::new(&mut slots);
    /// memory.write_u64(PhysAddr(0x1010), 0x30_0009)?; // vector 0x30, fixed, edge …
    /// memory.write_u64(PhysAddr(0x1018), 0x4_00fa)?; // … for 00:1f.2 alone
    /// memory.write_u64(PhysAddr(0x1020), 0x1001)?; // bit 12 is reserved
    ///
    /// let mut copy = Page::ZERO;
    /// let mut entries = Irta(0x1007).entries(&memory, &mut copy);
    /// assert_eq!(entries.next().and_then(|found| found.ok()).map(|found| found.index), Some(1));
    /// let malformed = entries.next().and_then(|found| found.err());
    /// assert_eq!(malformed.and_then(|fault| fault.reason), Some(FaultReason::InterruptReserved));
    /// assert!(entries.next().is_none());
    /// # Ok::<(), iopt::memory::MemoryFull>(())
    /// ```
    pub fn entries<'r, R: PhysReader + ?Sized>(self, reader: &'r R, copy: &'r mut Page) -> Entries<'r, R> {
        Entries { irta: self, reader, copy, lent: None, next: 0 }
    }
}

impl<R: PhysReader + ?Sized> Entries<'_, R> {
    /// Reads the page that begins with entry `index`.
    fn read(&mut self, index: u32) -> Result<(), InterruptCause> {
        let page = self.irta.page(index).ok_or(InterruptCause::BeyondMemory)?;
        self.lent = self.reader.lend_page(page);
        match self.lent {
            Some(_) => Ok(()),
            None => self.reader.read_page(page, self.copy).map_err(InterruptCause::Unreadable),
        }
    }
}

impl<R: PhysReader + ?Sized> Iterator for Entries<'_, R> {
    type Item = Result<IndexedEntry, InterruptFault>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.irta.entry_count() {
            let index = self.next;
            if index & 0xff == 0 {
                if let Err(cause) = self.read(index) {
                    self.next = match cause {
                        // All that follows is beyond it too.
                        InterruptCause::BeyondMemory => u32::MAX,
                        _ => index.saturating_add(256),
                    };
                    return Some(Err(cause.at(Some(self.irta.place(index, None)), None)));
                }
            }
            self.next = index.saturating_add(1);
            let page = self.lent.unwrap_or(self.copy);
            let entry = entry_at(InterruptEntry::table(page), (index & 0xff) as u8);
            if entry.present() {
                let place = self.irta.place(index, Some(entry.raw()));
                let checked = entry.check(self.irta.extended());
                return Some(match checked {
                    Ok(()) => Ok(IndexedEntry { index, entry }),
                    Err(cause) => Err(cause.at(Some(place), None)),
                });
            }
        }
        None
    }
}

impl<R: PhysReader + ?Sized> core::iter::FusedIterator for Entries<'_, R> {}
