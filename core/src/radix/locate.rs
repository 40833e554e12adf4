use super::{Budget, Defect, Format, Statistics, translate};
use crate::access::Access;
use crate::address::{Iova, PhysAddr, PhysRange};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use core::cell::Cell;

/// Knows where in memory a table lies that an entry points to.
pub(super) trait Locate {
    /// Whether a table lies where its pointer says.
    const DIRECT: bool;

    /// The memory of the table at `addr`. Pages that have to be read for that count in `statistics`, as far as
    /// `budget` goes; `copy` is used where the reader can't lend.
    fn locate<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        addr: PhysAddr,
        statistics: &mut Statistics,
        budget: &Budget,
        copy: &mut Page,
    ) -> Result<PhysAddr, Defect>;
}

/// Tables lie where their pointers say.
pub(super) struct Direct;

impl Locate for Direct {
    const DIRECT: bool = true;

    #[inline(always)]
    fn locate<R: PhysReader + ?Sized>(
        &self,
        _: &R,
        addr: PhysAddr,
        _: &mut Statistics,
        _: &Budget,
        _: &mut Page,
    ) -> Result<PhysAddr, Defect> {
        Ok(addr)
    }
}

/// Tables lie where an inner tree maps their pointers to.
pub(super) struct Through<'i, I> {
    pub(super) format: &'i I,
    pub(super) root: PhysAddr,
    pub(super) input_bits: u8,
}

impl<I: Format> Locate for Through<'_, I> {
    const DIRECT: bool = false;

    fn locate<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        addr: PhysAddr,
        statistics: &mut Statistics,
        budget: &Budget,
        copy: &mut Page,
    ) -> Result<PhysAddr, Defect> {
        if addr.0 > last_input(self.format, self.input_bits) {
            return Err(Defect::BeyondInner { addr, bits: self.input_bits });
        }
        let counted = Counted { reader, statistics: Cell::new(*statistics), budget, overspent: Cell::new(None) };
        let located = translate(&counted, self.format, self.root, Iova(addr.0), Access::Read, copy, |_| ());
        *statistics = counted.statistics.get();
        match located {
            Ok(translation) => Ok(translation.phys),
            Err(refusal) => Err(counted.overspent.get().unwrap_or(Defect::NotLocated { table: addr, refusal })),
        }
    }
}

/// The last address that inner tables of this format take, of an input of `input_bits` bits.
pub(super) fn last_input<I: Format>(format: &I, input_bits: u8) -> u64 {
    let mapped = format.input_bits().saturating_sub(format.sign_extended().into());
    !u64::MAX.checked_shl(input_bits.min(mapped).into()).unwrap_or(0)
}

/// A reader whose pages count as tables, until the budget is used up.
struct Counted<'r, R: ?Sized> {
    reader: &'r R,
    statistics: Cell<Statistics>,
    budget: &'r Budget,
    /// The budget that is used up, once it is.
    overspent: Cell<Option<Defect>>,
}

impl<R: PhysReader + ?Sized> PhysReader for Counted<'_, R> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let mut statistics = self.statistics.get();
        if let Err(overspent) = self.budget.allows_table(&statistics) {
            self.overspent.set(Some(overspent));
            return Err(ReadError::new(addr, ReadErrorKind::Hole));
        }
        statistics.reads = statistics.reads.wrapping_add(1);
        self.statistics.set(statistics);
        self.reader.read_page(addr, page)?;
        statistics.tables = statistics.tables.wrapping_add(1);
        statistics.pages_read = statistics.pages_read.wrapping_add(1);
        self.statistics.set(statistics);
        Ok(())
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let mut statistics = self.statistics.get();
        self.budget.allows_table(&statistics).ok()?;
        let lent = self.reader.lend_page(addr)?;
        statistics.reads = statistics.reads.wrapping_add(1);
        statistics.tables = statistics.tables.wrapping_add(1);
        statistics.bytes_lent = statistics.bytes_lent.wrapping_add(Page::SIZE as u64);
        self.statistics.set(statistics);
        Some(lent)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.reader.next_range(from)
    }
}
