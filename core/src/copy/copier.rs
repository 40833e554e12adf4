use super::memo::{Copied, Known, Memo, Role};
use super::workspace::Images;
use super::{Error, Mode, Partial, Plan, Problem};
use crate::address::PhysAddr;
use crate::memory::{Page, PageAllocator, PhysReader, ReadError};
use crate::radix::Bound;
use crate::vtd::Fault;

/// Copies the tables of one unit; without pages to copy them to, it only looks.
pub(super) struct Copier<'c, 'w, R: ?Sized> {
    pub(super) old: &'c R,
    pub(super) pages: Option<&'c mut dyn PageAllocator>,
    pub(super) plan: &'c mut Plan,
    pub(super) mode: Mode,
    pub(super) unit: usize,
    pub(super) memo: &'c mut Memo<'w>,
    pub(super) images: &'c mut Images,
    pub(super) report: &'c mut dyn FnMut(&Problem),
    /// The new root table, once it is allocated.
    pub(super) root: Option<PhysAddr>,
    /// How many pages may be allocated.
    pub(super) planned: Option<u64>,
    /// The first table that could not be read when looking for what is in use, until something is told.
    pub(super) unread: Option<Fault>,
    told: bool,
}

impl<'c, 'w, R: PhysReader + ?Sized> Copier<'c, 'w, R> {
    pub(super) fn new(
        old: &'c R,
        pages: Option<&'c mut dyn PageAllocator>,
        plan: &'c mut Plan,
        unit: usize,
        memo: &'c mut Memo<'w>,
        images: &'c mut Images,
        report: &'c mut dyn FnMut(&Problem),
    ) -> Self {
        let mode = plan.options.mode;
        Self {
            old,
            pages,
            plan,
            mode,
            unit,
            memo,
            images,
            report,
            root: None,
            planned: None,
            unread: None,
            told: false,
        }
    }

    pub(super) fn tell(&mut self, problem: &Problem) {
        self.told = true;
        (self.report)(problem);
    }

    /// A table that could not be read when looking for what is in use is met again when it is copied, and told then. If
    /// nothing was told, it could be read in the end: what was looked for through it need not be all.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        match self.unread.take() {
            Some(fault) if !self.told => self.lose_table(fault, true),
            _ => Ok(()),
        }
    }

    /// Something is lost. It is an error only when that was not so at the time of planning.
    pub(super) fn lose(&mut self, problem: &Problem) -> Result<(), Error> {
        self.tell(problem);
        if let Problem::Lost(fault) | Problem::Unreserved(fault) = problem {
            let error = Error::Incomplete { unit: self.unit, fault: *fault };
            self.plan.lost = self.plan.lost.saturating_add(1);
            self.plan.first_loss.get_or_insert(error);
            if self.planned.is_some() && self.plan.options.partial == Partial::Refuse {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A page table can't be read. If it `stays` where it is, what is mapped through it is all that can be lost. Where
    /// there is no memory, the hardware can't read it either, and nothing is in use; where the image only lacks it,
    /// that can't be known.
    pub(super) fn lose_table(&mut self, fault: Fault, stays: bool) -> Result<(), Error> {
        match (stays || self.mode == Mode::Adopt, fault.reason) {
            (false, _) => self.lose(&Problem::Lost(fault)),
            (true, None) => self.lose(&Problem::Unreserved(fault)),
            (true, Some(_)) => {
                self.tell(&Problem::Refused(fault));
                Ok(())
            }
        }
    }

    /// Takes a table out of the budget.
    pub(super) fn spend(&mut self) -> Result<(), Error> {
        let tables = self.plan.options.budget.tables;
        if self.plan.tables >= tables {
            return Err(Error::Budget { unit: self.unit, bound: Bound::Tables(tables) });
        }
        self.plan.tables = self.plan.tables.saturating_add(1);
        Ok(())
    }

    /// The copy of a table that was met before.
    pub(super) fn known(&mut self, table: PhysAddr, role: Role) -> Option<PhysAddr> {
        let Some(Known::Copied(copy, _)) = self.memo.table(table, role, 0) else { return None };
        self.plan.shared = self.plan.shared.wrapping_add(1);
        Some(copy)
    }

    /// Pages for the copy of the table at `table`.
    pub(super) fn allocate(&mut self, table: PhysAddr, pages: u8) -> Result<PhysAddr, Error> {
        self.plan.pages = self.plan.pages.saturating_add(pages.into());
        if let Some(planned) = self.planned.filter(|planned| self.plan.pages > *planned) {
            return Err(Error::Changed { planned, found: self.plan.pages });
        }
        match &mut self.pages {
            Some(allocator) => {
                allocator.allocate(pages.into()).map_err(|error| Error::Pages { unit: self.unit, table, error })
            }
            None => Ok(PhysAddr(0)),
        }
    }

    /// The same, remembered by what the table is read as.
    pub(super) fn allocate_as(
        &mut self,
        table: PhysAddr,
        role: Role,
        pages: u8,
        copied: Copied,
    ) -> Result<PhysAddr, Error> {
        let copy = self.allocate(table, pages)?;
        let remembered = self.memo.add_table(table, role, &Copied { copy, ..copied });
        if let (Err(_), Some(allocator)) = (&remembered, &mut self.pages) {
            allocator.free(copy, pages.into());
        }
        remembered.map(|()| copy)
    }

    /// Writes the copy of a table, which is its only write.
    pub(super) fn write(
        &mut self,
        table: PhysAddr,
        copy: PhysAddr,
        image: impl Fn(&Images) -> &Page,
    ) -> Result<(), Error> {
        let Some(pages) = &mut self.pages else { return Ok(()) };
        let failed = |error| Error::Pages { unit: self.unit, table, error };
        pages.page_mut(copy).map_err(failed)?.clone_from(image(self.images));
        pages.flush(copy).map_err(failed)
    }

    /// Allocates the copy of a table whose image is complete, and writes it.
    pub(super) fn finish(
        &mut self,
        table: PhysAddr,
        role: Role,
        image: impl Fn(&Images) -> &Page,
    ) -> Result<PhysAddr, Error> {
        let copy = self.allocate_as(table, role, 1, Copied::NEW)?;
        self.write(table, copy, image)?;
        Ok(copy)
    }
}

/// The page at `addr`, which is whole or an error.
pub(super) fn read<R: PhysReader + ?Sized>(old: &R, addr: PhysAddr, image: &mut Page) -> Result<(), ReadError> {
    match old.lend_page(addr) {
        Some(page) => {
            image.clone_from(page);
            Ok(())
        }
        None => old.read_page(addr, image),
    }
}
