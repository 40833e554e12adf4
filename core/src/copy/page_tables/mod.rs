//! Page tables: the trees below a context or PASID table entry.

mod leaves;
mod table;
mod tree;

pub(super) use tree::{Owner, Stage, Tree};

use super::copier::{Copier, read};
use super::in_use::{Below, InUse, Tally};
use super::memo::Known;
use super::{Error, Problem};
use crate::access::Permissions;
use crate::address::PhysAddr;
use crate::memory::PhysReader;
use crate::radix::{Defect, Entry, Format, MAX_LEVELS};

/// A table that is looked at, entry by entry.
#[derive(Clone, Copy)]
struct Frame {
    table: PhysAddr,
    /// The first address that it maps.
    base: u64,
    /// What the path down to it lets through.
    path: Permissions,
    /// Whether somebody wants to know what it maps.
    wanted: bool,
    /// Whether it has its copy, and all that is looked for is what it maps.
    again: bool,
    /// The entry that is looked at next.
    next: usize,
    tally: Tally,
}

/// What became of a table.
enum Arrived {
    /// It is copied, and this is mapped below it.
    Copied(PhysAddr, Below),
    /// It had its copy before, and this is known of what is mapped below it.
    Known(PhysAddr, Below),
    /// It was read, and its entries come next.
    Begun,
    Lost(Defect),
}

/// An entry that points to a table.
struct Child {
    index: usize,
    table: PhysAddr,
}

/// A way through a page table. The images of the tables on it are copies as far as they were looked at.
struct Descent<'d, 'c, 'w, 'i, R: ?Sized, F> {
    copier: &'d mut Copier<'c, 'w, R>,
    tree: &'d Tree<'d, F>,
    uses: &'d mut InUse<'i>,
    frames: [Frame; MAX_LEVELS],
    level: u8,
}

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    /// Copies the page table at `root`, children before parents, and returns where its copy lies; a defect if its top
    /// table can't be read. What it maps is told to `uses`.
    ///
    /// There is one copy of each table for each level that it is read at, however many entries lead to it. Levels
    /// descend along every path, so a table that leads to itself is no more than one copy for each of them.
    pub(super) fn tree<F: Format>(
        &mut self,
        tree: &Tree<'_, F>,
        root: PhysAddr,
        uses: &mut InUse<'_>,
    ) -> Result<Result<PhysAddr, Defect>, Error> {
        let start = Frame {
            table: root,
            base: 0,
            path: Permissions::READ_WRITE,
            wanted: uses.is_wanted(),
            again: false,
            next: 0,
            tally: Tally::NOTHING,
        };
        Descent { copier: self, tree, uses, frames: [start; MAX_LEVELS], level: 0 }.run(start)
    }
}

impl<'c, R: PhysReader + ?Sized, F: Format> Descent<'_, 'c, '_, '_, R, F> {
    fn run(&mut self, start: Frame) -> Result<Result<PhysAddr, Defect>, Error> {
        let (top, parent) = (self.tree.top(), self.tree.parent);
        let known = match self.arrive(top, start)? {
            Arrived::Begun => None,
            Arrived::Copied(copy, _) => return Ok(Ok(copy)),
            Arrived::Known(copy, below) => {
                self.find(top, start, below, |_| parent)?;
                Some(copy)
            }
            Arrived::Lost(defect) => return Ok(Err(defect)),
        };
        let mut made = None;
        while self.level != 0 {
            match self.next_child()? {
                Some(child) => self.follow(&child)?,
                None => made = self.leave()?,
            }
        }
        Ok(known.or(made).ok_or(Defect::NoSuchLevel { level: top }))
    }

    fn frame(&mut self) -> Option<&mut Frame> {
        self.frames.get_mut(usize::from(self.level).wrapping_sub(1))
    }

    /// Makes a table of this level the one that is looked at.
    fn enter(&mut self, level: u8, frame: Frame) {
        self.level = level;
        if let Some(here) = self.frame() {
            *here = frame;
        }
    }

    /// The next entry that points to a table. Leaves on the way there are in use; what is refused is told, and its
    /// pointer cleared.
    fn next_child(&mut self) -> Result<Option<Child>, Error> {
        let (level, tree) = (self.level, self.tree);
        let depth = usize::from(level).wrapping_sub(1);
        let (Some(shape), Some(frame)) = (tree.shape(level), self.frames.get_mut(depth)) else { return Ok(None) };
        while frame.next < shape.entries() {
            let index = frame.next;
            frame.next = index.wrapping_add(1);
            let Some(image) = self.copier.images.page_table(level) else { return Ok(None) };
            let raw = image.word(index);
            match tree.format.decode(shape, raw) {
                Entry::Absent => {}
                Entry::Leaf(_) => {
                    let permissions = tree.format.permissions(raw);
                    frame.tally.add(1, permissions);
                    if frame.wanted {
                        let first = tree.iova(level, frame.base, index);
                        self.uses.add(
                            first,
                            first.wrapping_add(shape.size().wrapping_sub(1)),
                            permissions & frame.path,
                        );
                    }
                }
                Entry::Table(table) => return Ok(Some(Child { index, table })),
                Entry::Malformed(_) if frame.again => {}
                Entry::Malformed(bits) => {
                    let place = tree.place(level, (frame.table, frame.base), index, Some(raw));
                    let refused = tree.fault(tree.stage.reserved(), Defect::ReservedBits(bits).into(), place);
                    self.copier.tell(&Problem::Refused(refused));
                    // The memory of a leaf is no table.
                    if raw & shape.leaf == 0 {
                        self.copier.images.point(level, index, shape.table_address, PhysAddr(0));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Goes to the table that an entry points to.
    fn follow(&mut self, child: &Child) -> Result<(), Error> {
        let (level, tree, index) = (self.level, self.tree, child.index);
        let above = self.frames.get(usize::from(level).wrapping_sub(1)..usize::from(tree.top())).unwrap_or_default();
        let is_loop = above.iter().any(|frame| frame.table == child.table);
        let (Some(shape), Some(&mut frame)) = (tree.shape(level), self.frame()) else { return Ok(()) };
        let raw = self.copier.images.page_table(level).map(|image| image.word(index));
        let permissions = tree.format.permissions(raw.unwrap_or(0));
        let place = |_: &Self| tree.place(level, (frame.table, frame.base), index, raw);
        if is_loop && !frame.again {
            let cause = Defect::Loop { table: child.table, level }.into();
            self.copier.tell(&Problem::Loop(tree.fault(tree.stage.unreadable(), cause, place(self))));
        }
        if child.table.0 == 0 && !frame.again {
            self.copier.tell(&Problem::NullTable(place(self)));
        }
        let path = frame.path & permissions;
        let next = Frame {
            table: child.table,
            base: tree.iova(level, frame.base, index),
            path,
            wanted: frame.wanted && path != Permissions::NONE && !is_loop,
            again: frame.again,
            next: 0,
            tally: Tally::NOTHING,
        };
        let mapped = match self.arrive(level.wrapping_sub(1), next)? {
            Arrived::Begun => None,
            Arrived::Copied(copy, below) => {
                self.copier.images.point(level, index, shape.table_address, copy);
                Some(below)
            }
            Arrived::Known(copy, below) => {
                if !frame.again {
                    self.copier.images.point(level, index, shape.table_address, copy);
                    self.copier.plan.shared = self.copier.plan.shared.wrapping_add(1);
                }
                self.find(level.wrapping_sub(1), next, below, place)?;
                Some(below)
            }
            Arrived::Lost(defect) => {
                let fault = tree.fault(tree.stage.unreadable(), defect.into(), place(self));
                self.copier.lose_table(fault, frame.again)?;
                if !frame.again {
                    self.copier.images.point(level, index, shape.table_address | shape.present, PhysAddr(0));
                }
                Some(Below::Nothing)
            }
        };
        // What is mapped through a loop depends on the way to it.
        let mapped = if is_loop { Some(Below::Various) } else { mapped };
        let here = self.frames.get_mut(usize::from(level).wrapping_sub(1));
        if let (Some(here), Some(mapped)) = (here, mapped) {
            here.tally.add_table(permissions, mapped);
        }
        Ok(())
    }

    /// Leaves a table of which all entries were looked at. Returns its copy, if it was made just now.
    fn leave(&mut self) -> Result<Option<PhysAddr>, Error> {
        let (level, tree) = (self.level, self.tree);
        let (Some(shape), Some(&mut frame)) = (tree.shape(level), self.frame()) else { return Ok(None) };
        let below = frame.tally.below(shape.entries());
        let copy = if frame.again { None } else { Some(self.keep(level, &frame, below)?) };
        self.level = if level < tree.top() { level.wrapping_add(1) } else { 0 };
        let (Some(shape), Some(parent)) = (tree.shape(self.level), self.frame()) else { return Ok(copy) };
        let index = parent.next.wrapping_sub(1);
        let raw = self.copier.images.page_table(self.level).map_or(0, |image| image.word(index));
        if let Some(parent) = self.frame() {
            parent.tally.add_table(tree.format.permissions(raw), below);
        }
        if let Some(copy) = copy {
            self.copier.images.point(self.level, index, shape.table_address, copy);
        }
        Ok(None)
    }

    /// Finds the copy of a table, or reads it: a leaf table is copied at once.
    fn arrive(&mut self, level: u8, frame: Frame) -> Result<Arrived, Error> {
        let role = self.tree.stage.role(level);
        match self.copier.memo.table(frame.table, role, self.tree.rules) {
            Some(Known::Copied(copy, below)) => return Ok(Arrived::Known(copy, below)),
            Some(Known::Lost(error)) => return Ok(Arrived::Lost(Defect::Unreadable(error))),
            None => {}
        }
        self.copier.spend()?;
        if level > 1 {
            let Some(image) = self.copier.images.page_table_mut(level) else {
                return Ok(Arrived::Lost(Defect::NoSuchLevel { level }));
            };
            if let Err(error) = read(self.copier.old, frame.table, image) {
                if level == self.tree.top() {
                    // So that it is lost to the entry that leads to it too, which is looked at later.
                    self.copier.memo.add_lost(frame.table, role, error)?;
                }
                return Ok(Arrived::Lost(Defect::Unreadable(error)));
            }
            self.enter(level, frame);
            return Ok(Arrived::Begun);
        }
        let lent = match self.fetch_leaves(frame.table) {
            Ok(lent) => lent,
            Err(error) => return Ok(Arrived::Lost(Defect::Unreadable(error))),
        };
        // It was not there when its parent was copied: nothing leads to a copy of it.
        if frame.again {
            return self.look(&frame, lent, None).map(|below| Arrived::Copied(PhysAddr(0), below));
        }
        self.keep_leaves(&frame, lent).map(|(copy, below)| Arrived::Copied(copy, below))
    }
}
