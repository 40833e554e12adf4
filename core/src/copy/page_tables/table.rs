//! What is done with one table: copied, looked at, or looked at again.

use super::leaves::Leaves;
use super::{Descent, Frame};
use crate::access::Permissions;
use crate::address::PhysAddr;
use crate::copy::copier::{Copier, read};
use crate::copy::in_use::Below;
use crate::copy::memo::Copied;
use crate::copy::{Error, Mode, Problem};
use crate::memory::{Page, PhysReader, ReadError};
use crate::radix::{Defect, Entry, Format};
use crate::vtd::Place;

impl<'c, R: PhysReader + ?Sized, F: Format> Descent<'_, 'c, '_, '_, R, F> {
    /// Gets a table of level 1 lent; otherwise its image is what can be looked at.
    pub(super) fn fetch_leaves(&mut self, table: PhysAddr) -> Result<Option<&'c Page>, ReadError> {
        let (old, images) = (self.copier.old, &mut self.copier.images);
        match (old.lend_page(table), images.page_table_mut(1)) {
            (None, Some(image)) => old.read_page(table, image).map(|()| None),
            (lent, _) => Ok(lent),
        }
    }

    /// Copies a table of level 1 and tells what it maps, if there is anybody to be told.
    pub(super) fn keep_leaves(&mut self, frame: &Frame, lent: Option<&Page>) -> Result<(PhysAddr, Below), Error> {
        let role = self.tree.stage.role(1);
        let copied = Copied { rules: self.tree.rules, ..Copied::NEW };
        if self.copier.mode == Mode::Adopt {
            let below = self.look(frame, lent, None)?;
            let adopted = Copied { copy: frame.table, allocated: false, below, ..copied };
            self.copier.memo.add_table(frame.table, role, &adopted)?;
            return Ok((frame.table, below));
        }
        let copy = self.copier.allocate(frame.table, 1)?;
        let kept = self.look(frame, lent, Some(copy)).and_then(|below| {
            self.copier.memo.add_table(frame.table, role, &Copied { copy, below, ..copied }).map(|()| (copy, below))
        });
        if let (Err(_), Some(pages)) = (&kept, &mut self.copier.pages) {
            pages.free(copy, 1);
        }
        kept
    }

    /// Looks at a table of level 1, and writes its copy if there is to be one.
    #[inline]
    pub(super) fn look(&mut self, frame: &Frame, lent: Option<&Page>, copy: Option<PhysAddr>) -> Result<Below, Error> {
        let tree = self.tree;
        let table_ahead = self.table_ahead();
        let Copier { old, images, report, pages, unit, .. } = &mut *self.copier;
        let (Some(shape), Some(page)) = (tree.shape(1), lent.or(images.page_table(1))) else {
            return Ok(Below::Various);
        };
        let failed = |error| Error::Pages { unit: *unit, table: frame.table, error };
        let is_plan = pages.is_none();
        let mut pages = pages.as_deref_mut().zip(copy);
        let to = match &mut pages {
            Some((pages, copy)) => Some(pages.page_mut(*copy).map_err(failed)?),
            None => None,
        };
        let look = frame.wanted || is_plan;
        // What nobody wants to know lets nothing through.
        let path = if frame.wanted { frame.path } else { Permissions::NONE };
        let leaves = Leaves { format: tree.format, shape, base: frame.base, path, to, look, uses: self.uses };
        let ahead = |from: usize, bytes| {
            if let Some(later) = table_ahead {
                old.prefetch(PhysAddr(later.0 | from as u64), bytes);
            }
        };
        let below = leaves.go(page, ahead, &mut |index, bits| {
            if !frame.again {
                let place = tree.place(1, (frame.table, frame.base), index, Some(page.word(index)));
                let refused = tree.fault(tree.stage.reserved(), Defect::ReservedBits(bits).into(), place);
                report(&Problem::Refused(refused));
            }
        });
        self.uses.check()?;
        if let Some((pages, copy)) = pages {
            pages.flush(copy).map_err(failed)?;
        }
        Ok(below)
    }

    /// The table of level 1 that comes two further than this one, all of which is going to be hinted at. Of the one
    /// that comes four further a line is: hints to a page whose address still has to be looked up tend to be dropped.
    fn table_ahead(&self) -> Option<PhysAddr> {
        let (frame, shape) = (self.frames.get(1)?, self.tree.shape(2)?);
        let image = self.copier.images.page_table(2)?;
        let table = |ahead: usize| match self.tree.format.decode(shape, image.word(frame.next.wrapping_add(ahead))) {
            Entry::Table(table) => Some(table),
            _ => None,
        };
        if let Some(later) = table(3) {
            self.copier.old.prefetch(later, 1);
        }
        table(1)
    }

    /// Copies a table above those of level 1, of which the image is complete, and remembers what is mapped below it.
    pub(super) fn keep(&mut self, level: u8, frame: &Frame, below: Below) -> Result<PhysAddr, Error> {
        let (copier, tree) = (&mut *self.copier, self.tree);
        let role = tree.stage.role(level);
        // Page tables are copied for what they map before the entry that leads to the top one is.
        let met = level < tree.top() || !self.uses.is_wanted();
        let copied = Copied { met, below, rules: tree.rules, ..Copied::NEW };
        if copier.mode == Mode::Adopt {
            let adopted = Copied { copy: frame.table, allocated: false, ..copied };
            return copier.memo.add_table(frame.table, role, &adopted).map(|()| frame.table);
        }
        let copy = copier.allocate_as(frame.table, role, 1, copied)?;
        copier.write(frame.table, copy, |images| images.page_table(level).unwrap_or(&images.root))?;
        Ok(copy)
    }

    /// Finds what is mapped below a table that has its copy, as far as it isn't known: its entries have to be looked at
    /// again, since what the path lets through may differ, or the domain does.
    pub(super) fn find(
        &mut self,
        level: u8,
        frame: Frame,
        below: Below,
        place: impl FnOnce(&Self) -> Place,
    ) -> Result<(), Error> {
        if !frame.wanted {
            return Ok(());
        }
        let spans = self.tree.spans(level, frame.base);
        let permissions = match below {
            Below::Nothing => return Ok(()),
            Below::All(all) => all & frame.path,
            Below::Various if self.uses.may_reread(self.copier.plan) => {
                return self.find_inside(level, Frame { again: true, ..frame }, place);
            }
            Below::Various => {
                let place = place(self);
                self.copier.tell(&Problem::Coarse { place, levels: level });
                frame.path
            }
        };
        for span in spans.into_iter().flatten() {
            self.uses.add(span.first().0, span.last().0, permissions);
        }
        Ok(())
    }

    fn find_inside(&mut self, level: u8, frame: Frame, place: impl FnOnce(&Self) -> Place) -> Result<(), Error> {
        let table = frame.table;
        let found = match self.copier.images.page_table_mut(level).filter(|_| level > 1) {
            Some(image) => read(self.copier.old, table, image).map(|()| self.enter(level, frame)),
            None => match self.fetch_leaves(table) {
                Ok(lent) => return self.look(&frame, lent, None).map(|_| ()),
                Err(error) => Err(error),
            },
        };
        if let Err(error) = found {
            let place = place(self);
            let fault = self.tree.fault(self.tree.stage.unreadable(), Defect::Unreadable(error).into(), place);
            self.copier.lose_table(fault, true)?;
        }
        Ok(())
    }
}
