//! Two trees, one behind the other: the addresses that an outer tree (the first stage) holds are the input of an
//! inner tree (the second stage).

mod stretch;
mod translate;

pub use translate::{NestedRefusal, translate_nested};

use super::item::{Extent, Found};
use super::locate::Through;
use super::{Budget, Cursor, Defect, Format, Malformed, Run, Statistics, Table, TableScratch};
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::memory::PhysReader;
use stretch::Stretch;

/// Which of two trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The first: from the addresses of the device to intermediate ones.
    Outer,
    /// The second: from intermediate addresses to memory.
    Inner,
}

/// A tree that maps intermediate addresses to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner<I> {
    /// Its format.
    pub format: I,
    /// Where its top table lies in memory.
    pub root: PhysAddr,
    /// How many bits an intermediate address may have; with more it is refused.
    pub input_bits: u8,
}

/// What [`Nested`] yields.
#[derive(Clone, Copy, Debug)]
pub enum NestedItem<'p> {
    /// A table of the outer tree was read and its entries come next; [`skip_table`](Nested::skip_table) leaves them
    /// out.
    Table(Table),
    /// A run of pages that both trees map.
    ///
    /// Its entries are those of the tree with the smaller leaves; with the outer tree's,
    /// [`Run::offset`] makes up for the other one.
    Run(Run<'p>),
    /// An entry of either tree that can't be followed; the walk goes on behind it. Its `iova` is where a device
    /// comes to it.
    Malformed(Stage, Malformed),
}

/// A [`NestedItem`] without its borrow of the page.
pub(crate) enum NestedFound {
    Table(Table),
    Run(NestedExtent),
    Malformed(Stage, Malformed),
}

/// Where a run of [`Nested`] lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NestedExtent {
    /// Whose entries it has.
    stage: Stage,
    extent: Extent,
    /// From the addresses of that stage to those of the device.
    shift: u64,
    /// Those of the other stage.
    attributes: u64,
    offset: u64,
}

/// Walks an outer tree whose tables and leaves are at intermediate addresses, and the inner tree behind them, in
/// ascending order of the addresses of the device.
///
/// * Runs are of pages of the lesser size of both leaves. Their permissions are those that both paths grant, their
///   attributes are the bits of both leaves.
/// * Of the inner tree only the parts are walked that outer leaves lead to, once for each stretch of leaves that
///   continue each other. What it does not map is like an absent entry.
/// * A page is yielded whole if it overlaps the window, however large the leaves are.
///
/// There is one budget for both trees. All pages read count: tables of the outer tree, tables of the inner
/// tree that are walked, and those that are read on the way to an outer table, which the inner tree has to locate.
#[derive(Debug)]
pub struct Nested<'m, R: ?Sized, O, I> {
    outer: Cursor<'m, R, O>,
    inner: Cursor<'m, R, I>,
    /// Whose statistics are up to date.
    counts: Stage,
    /// The root of the inner tree, and the bits it takes; `None` before the first successful start.
    root: Option<(PhysAddr, u8)>,
    /// The outer leaves that are still to be looked up.
    rest: Option<Extent>,
    /// The first of them, which the inner cursor is in.
    stretch: Option<Stretch>,
}

impl<'m, R: PhysReader + ?Sized, O: Format, I: Format> Nested<'m, R, O, I> {
    /// A walk in no tree yet: [`start`](Self::start) puts it into one.
    pub fn new(reader: &'m R, outer_copies: &'m mut TableScratch, inner_copies: &'m mut TableScratch) -> Self
    where
        O: Default,
        I: Default,
    {
        Self {
            outer: Cursor::new(reader, outer_copies),
            inner: Cursor::new(reader, inner_copies),
            counts: Stage::Outer,
            root: None,
            rest: None,
            stretch: None,
        }
    }

    /// Sets how much may be done, in both trees and all starts taken together.
    pub fn set_budget(&mut self, budget: Budget) {
        self.outer.set_budget(budget);
        self.inner.set_budget(budget);
    }

    /// From here on, of neighbouring entries of the outer tree that are equal and lead to a table only the first is
    /// followed: [`Table::repeats`] tells of the others.
    pub fn fold(&mut self, fold: bool) {
        self.outer.fold(fold);
    }

    /// What has been done so far, in both trees and all starts taken together.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        match self.counts {
            Stage::Outer => self.outer.statistics(),
            Stage::Inner => self.inner.statistics(),
        }
    }

    /// Goes to the top table of an outer tree, at the intermediate address `root`, to visit the pages that overlap
    /// `window`.
    ///
    /// # Errors
    /// The [`Defect`] that keeps a top table from being read: the outer one is [beyond](Defect::BeyondInner) the
    /// inner tree or [not mapped](Defect::NotLocated) by it, there is no memory, or no budget.
    pub fn start(&mut self, format: O, root: PhysAddr, window: IovaRange, inner: Inner<I>) -> Result<Table, Defect> {
        self.end();
        self.hand_over(Stage::Outer);
        let Inner { format: inner_format, root: inner_root, input_bits } = inner;
        let through = Through { format: &inner_format, root: inner_root, input_bits };
        let table = self.outer.start_by(&through, format, root, window)?;
        self.hand_over(Stage::Inner);
        // Each stretch that leads into the inner tree is looked up for itself.
        self.inner.fold(false);
        self.inner.start(inner_format, inner_root, IovaRange::all())?;
        self.root = Some((inner_root, input_bits));
        Ok(table)
    }

    /// Replaces the window given to [`start`](Self::start), and goes to its start. Tables on the path that both places
    /// share are not read again.
    pub fn set_window(&mut self, window: IovaRange) {
        (self.rest, self.stretch) = (None, None);
        self.outer.set_window(window);
    }

    /// The next item, in ascending IOVA order; `None` when there is no more.
    ///
    /// It is no `Iterator`, since a run borrows the table page that the next call may replace.
    #[allow(clippy::should_implement_trait, reason = "a run borrows from the walk, which no Iterator can say")]
    pub fn next(&mut self) -> Option<NestedItem<'_>> {
        match self.advance()? {
            NestedFound::Table(table) => Some(NestedItem::Table(table)),
            NestedFound::Run(extent) => Some(NestedItem::Run(self.run(&extent)?)),
            NestedFound::Malformed(stage, malformed) => Some(NestedItem::Malformed(stage, malformed)),
        }
    }

    /// Leaves the outer table that the walk is in, without looking at the rest of it: after a
    /// [`NestedItem::Table`], all that lies below that table.
    pub fn skip_table(&mut self) {
        (self.rest, self.stretch) = (None, None);
        self.outer.skip_table();
    }

    pub(crate) fn advance(&mut self) -> Option<NestedFound> {
        loop {
            let (root, input_bits) = self.root?;
            if self.stretch.is_some() {
                self.hand_over(Stage::Inner);
                if let Some(found) = self.look_up() {
                    return Some(found);
                }
            } else if let Some(rest) = self.rest.take() {
                self.hand_over(Stage::Outer);
                if let Some(found) = self.begin(&rest, input_bits) {
                    return Some(found);
                }
            } else {
                self.hand_over(Stage::Outer);
                let through = Through { format: self.inner.format(), root, input_bits };
                match self.outer.advance_by(&through)? {
                    Found::Table(table) => return Some(NestedFound::Table(table)),
                    Found::Malformed(malformed) => return Some(NestedFound::Malformed(Stage::Outer, malformed)),
                    Found::Run(extent) => {
                        self.outer.forget_leaves(extent.len as u64);
                        self.rest = Some(extent);
                    }
                }
            }
        }
    }

    /// The run at `extent`, which [`advance`](Self::advance) returned last.
    pub(crate) fn run(&self, extent: &NestedExtent) -> Option<Run<'_>> {
        let run = match extent.stage {
            Stage::Outer => self.outer.run(&extent.extent)?,
            Stage::Inner => self.inner.run(&extent.extent)?,
        };
        Some(Run {
            iova: Iova(run.iova.0.wrapping_add(extent.shift)),
            attributes: run.attributes | extent.attributes,
            offset: extent.offset,
            ..run
        })
    }

    /// Leaves the trees.
    fn end(&mut self) {
        (self.root, self.rest, self.stretch) = (None, None, None);
    }

    /// Makes the counts of one cursor those of the other, which goes on from there.
    fn hand_over(&mut self, to: Stage) {
        if self.counts != to {
            match to {
                Stage::Outer => self.outer.set_statistics(self.inner.statistics()),
                Stage::Inner => self.inner.set_statistics(self.outer.statistics()),
            }
            self.counts = to;
        }
    }
}

/// Each cursor by itself, for an address space of one stage. The budget and the statistics stay shared.
impl<'m, R: PhysReader + ?Sized, O: Format, I: Format> Nested<'m, R, O, I> {
    /// The cursor of the outer tree, to start it. What was under way in both is over.
    pub(crate) fn begin_outer(&mut self) -> &mut Cursor<'m, R, O> {
        self.end();
        self.hand_over(Stage::Outer);
        &mut self.outer
    }

    /// The cursor of the inner tree, to start it or to fetch a page by itself. What was under way in both is over.
    pub(crate) fn begin_inner(&mut self) -> &mut Cursor<'m, R, I> {
        self.end();
        self.hand_over(Stage::Inner);
        &mut self.inner
    }

    /// The cursor that [`begin_outer`](Self::begin_outer) gave.
    #[inline]
    pub(crate) fn outer(&mut self) -> &mut Cursor<'m, R, O> {
        &mut self.outer
    }

    /// The cursor that [`begin_inner`](Self::begin_inner) gave.
    #[inline]
    pub(crate) fn inner(&mut self) -> &mut Cursor<'m, R, I> {
        &mut self.inner
    }

    /// The run at `extent`, which the outer cursor returned last.
    #[inline]
    pub(crate) fn outer_run(&self, extent: &Extent) -> Option<Run<'_>> {
        self.outer.run(extent)
    }

    /// The run at `extent`, which the inner cursor returned last.
    #[inline]
    pub(crate) fn inner_run(&self, extent: &Extent) -> Option<Run<'_>> {
        self.inner.run(extent)
    }
}
