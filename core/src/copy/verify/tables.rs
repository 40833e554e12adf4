//! Compares page tables.

use super::{Led, Verifier, read, same};
use crate::address::PhysAddr;
use crate::copy::page_tables::Stage;
use crate::copy::{Difference, Partial};
use crate::memory::PhysReader;
use crate::radix::{Entry, Format, MAX_LEVELS};
use crate::vtd::Place;

impl<R: PhysReader + ?Sized> Verifier<'_, '_, R> {
    /// Compares the page table at `root` with its copy; `words` are those of the entries that point to them.
    pub(super) fn tree<F: Format>(
        &mut self,
        format: &F,
        root: PhysAddr,
        words: (u64, u64),
        pointer: u64,
        stage: Stage,
        parent: Place,
    ) -> Result<(), Difference> {
        let top = u8::try_from(format.levels().len()).unwrap_or(0);
        let Led::Both(new) = self.led(words.0, words.1, pointer, None, stage.role(top), parent, 1)? else {
            return Ok(());
        };
        // The tables on the path, and the entry that is looked at next in each.
        let mut path = [(PhysAddr(0), PhysAddr(0), 0usize); MAX_LEVELS];
        let mut level = top;
        self.enter(level, root, new, &mut path, parent)?;
        while let (Some(shape), Some(&(old, new, from))) =
            (format.levels().get(usize::from(level).wrapping_sub(1)), path.get(usize::from(level).wrapping_sub(1)))
        {
            let Some(image) = self.images.page_table(level) else { return Ok(()) };
            let made = self.pages.page(new).map_err(|_| Difference::OldMemory { old: parent, table: new })?;
            let mut child = None;
            for (index, (was, is)) in (from..).zip(image.words().iter().zip(made.words()).skip(from)) {
                let (was, is) = (was.get(), is.get());
                let place = || Place {
                    structure: stage.structure(level),
                    table: old,
                    index: u16::try_from(index).unwrap_or(0),
                    entry: Some(was.into()),
                    ..parent
                };
                // Beyond the entries there is nothing that hardware looks at.
                match format.decode(shape, was) {
                    Entry::Table(table) if index < shape.entries() => {
                        if is == was & !(shape.table_address | shape.present) && self.options.partial == Partial::Keep {
                            self.verified.missing = self.verified.missing.saturating_add(1);
                            continue;
                        }
                        if is & shape.present == 0 {
                            return Err(Difference::Missing { old: place() });
                        }
                        same(was & !shape.table_address, is & !shape.table_address, place())?;
                        child = Some((index, table, PhysAddr(is & shape.table_address), place()));
                        break;
                    }
                    Entry::Malformed(_) if was & shape.leaf == 0 && index < shape.entries() => {
                        same(was & !shape.table_address, is, place())?;
                    }
                    _ => same(was, is, place())?,
                }
            }
            let depth = usize::from(level).wrapping_sub(1);
            match child {
                None => {
                    if level >= top {
                        return Ok(());
                    }
                    level = level.wrapping_add(1);
                }
                Some((index, table, copy, place)) => {
                    if let Some(frame) = path.get_mut(depth) {
                        frame.2 = index.wrapping_add(1);
                    }
                    let below = level.wrapping_sub(1);
                    if let Led::Both(copy) = self.pair(table, copy, stage.role(below), place, 1)? {
                        self.enter(below, table, copy, &mut path, place)?;
                        level = below;
                    }
                }
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        level: u8,
        old: PhysAddr,
        new: PhysAddr,
        path: &mut [(PhysAddr, PhysAddr, usize); MAX_LEVELS],
        parent: Place,
    ) -> Result<(), Difference> {
        if let (Some(frame), Some(image)) =
            (path.get_mut(usize::from(level).wrapping_sub(1)), self.images.page_table_mut(level))
        {
            *frame = (old, new, 0);
            read(self.old, old, image, parent)?;
        }
        Ok(())
    }
}
