mod frame;
mod seek;

use super::item::{Extent, Found};
use super::locate::{Direct, Locate};
use super::scan::Presence;
use super::{Bound, Budget, Defect, Entry, Format, Item, Level, MAX_LEVELS, Malformed, Run, Statistics, Table};
use crate::access::Permissions;
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::memory::{Page, PhysReader};
use frame::{Frame, NOWHERE, leaf_run, level_number, offset, place, repeats, run_at, window};

/// Room for the tables on one path, for readers that can't lend: a page per level.
pub type TableScratch = [Page; MAX_LEVELS];

/// A place in a tree of tables, and the way onward: in ascending IOVA order, with a fixed stack and no heap.
///
/// Each table page is fetched once per visit and never looked at again after the cursor has left it. The
/// work is bounded by a [`Budget`]; a table on its own path is reported, not followed.
#[derive(Debug)]
pub struct Cursor<'m, R: ?Sized, F> {
    reader: &'m R,
    format: F,
    copies: &'m mut TableScratch,
    frames: [Frame<'m>; MAX_LEVELS],
    /// The level of the table that the cursor stands in; 0 when it has left the tree.
    level: u8,
    /// The level of the lowest table on the path that it came to last, which may be below where it stands.
    at_hand: u8,
    /// The level of the tree's top table; 0 before the first successful start.
    top: u8,
    /// Whether the upper half of the top table is still to come, where the format visits it by halves.
    upper_to_come: bool,
    /// Nothing that ends before this address is yielded.
    from: u64,
    /// Nothing that starts behind this address is yielded.
    last: u64,
    statistics: Statistics,
    budget: Budget,
    fold: bool,
}

impl<'m, R: PhysReader + ?Sized, F: Format> Cursor<'m, R, F> {
    /// A cursor in no tree yet: [`start`](Self::start) puts it into one.
    pub fn new(reader: &'m R, copies: &'m mut TableScratch) -> Self
    where
        F: Default,
    {
        Self {
            reader,
            format: F::default(),
            copies,
            frames: [NOWHERE; MAX_LEVELS],
            level: 0,
            at_hand: 0,
            top: 0,
            upper_to_come: false,
            from: 0,
            last: 0,
            statistics: Statistics::default(),
            budget: Budget::default(),
            fold: false,
        }
    }

    /// Sets how much may be done, all starts taken together.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// From here on, of neighbouring entries that are equal and lead to a table only the first is followed:
    /// [`Table::repeats`] tells of the others.
    pub fn fold(&mut self, fold: bool) {
        self.fold = fold;
    }

    /// What has been done so far, all starts taken together.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// Leaves that were yielded turned out to be of no use.
    pub(crate) fn forget_leaves(&mut self, leaves: u64) {
        self.statistics.leaves = self.statistics.leaves.wrapping_sub(leaves);
    }

    /// Goes on counting from here.
    pub(super) fn set_statistics(&mut self, statistics: Statistics) {
        self.statistics = statistics;
    }

    pub(super) fn format(&self) -> &F {
        &self.format
    }

    /// Where what is yielded lies, at least in part.
    pub(super) fn window(&self) -> IovaRange {
        IovaRange::from_to(Iova(self.from), Iova(self.last))
    }

    /// Gets the page at `addr` lent, or copies it to `copy` and returns `None`. It counts as a table.
    #[inline]
    pub(crate) fn fetch(&mut self, reader: &'m R, addr: PhysAddr, copy: &mut Page) -> Result<Option<&'m Page>, Defect> {
        self.budget.allows_table(&self.statistics)?;
        self.statistics.fetch(reader, addr, copy).map_err(Defect::Unreadable)
    }

    /// Goes to the top table of another tree, at `root`, to visit the leaves that overlap `window`. A leaf
    /// that only partly lies in the window is yielded whole.
    ///
    /// # Errors
    /// The [`Defect`] that keeps the top table from being read: there is no memory, or no budget.
    pub fn start(&mut self, format: F, root: PhysAddr, window: IovaRange) -> Result<Table, Defect> {
        self.start_by(&Direct, format, root, window)
    }

    /// [`start`](Self::start), where `locate` knows where tables lie.
    #[inline]
    pub(super) fn start_by<L: Locate>(
        &mut self,
        locate: &L,
        format: F,
        root: PhysAddr,
        window: IovaRange,
    ) -> Result<Table, Defect> {
        (self.level, self.at_hand, self.top) = (0, 0, 0);
        self.format = format;
        self.from = window.first().0;
        self.last = window.last().0;
        let height = level_number(self.format.levels().len());
        let table = self.enter(locate, height, root, Permissions::READ_WRITE, 0)?;
        self.top = height;
        self.stand_at_top();
        Ok(table)
    }

    /// The next item, in ascending IOVA order; `None` when there is no more.
    ///
    /// It is no `Iterator`, since a run borrows the table page that the next call may replace.
    #[allow(clippy::should_implement_trait, reason = "a run borrows from the cursor, which no Iterator can say")]
    pub fn next(&mut self) -> Option<Item<'_>> {
        match self.advance()? {
            Found::Table(table) => Some(Item::Table(table)),
            Found::Run(extent) => Some(Item::Run(self.run(&extent)?)),
            Found::Malformed(malformed) => Some(Item::Malformed(malformed)),
        }
    }

    /// Leaves the table that the cursor stands in, without looking at the rest of it: after an
    /// [`Item::Table`], all that lies below that table.
    pub fn skip_table(&mut self) {
        // After the end there is no table to leave.
        if self.level != 0 {
            self.upper_to_come &= self.level < self.top;
            self.pop();
        }
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Found> {
        self.advance_by(&Direct)
    }

    /// [`advance`](Self::advance), where `locate` knows where tables lie.
    #[inline(always)]
    pub(super) fn advance_by<L: Locate>(&mut self, locate: &L) -> Option<Found> {
        loop {
            let depth = place(self.level);
            let shape = self.format.levels().get(depth)?;
            let frame = self.frames.get_mut(depth)?;
            let page = match frame.lent {
                Some(page) => page,
                None => self.copies.get(depth)?,
            };
            let Some(index) = frame.presence.next(page, frame.next, frame.last, shape.present) else {
                self.pop();
                continue;
            };
            let raw = page.word(index);
            let permissions = frame.permissions & self.format.permissions(raw);
            match self.format.decode(shape, raw) {
                Entry::Absent => frame.next = index.wrapping_add(1),
                Entry::Leaf(_) => {
                    if self.statistics.runs >= self.budget.runs {
                        return self.malformed(index, raw, Defect::Budget(Bound::Runs(self.budget.runs)));
                    }
                    let run = leaf_run(&self.format, shape, self.level, frame, page, index, permissions)?;
                    let extent = Extent { level: self.level, index, len: run.len(), linear: run.linear, permissions };
                    frame.next = index.wrapping_add(extent.len);
                    self.statistics.leaves = self.statistics.leaves.wrapping_add(extent.len as u64);
                    self.statistics.runs = self.statistics.runs.wrapping_add(1);
                    return Some(Found::Run(extent));
                }
                Entry::Table(table) => {
                    let repeats = if self.fold { repeats(page, index, frame.last) } else { 0 };
                    frame.next = index.wrapping_add(1);
                    let base = frame.base.wrapping_add(offset(shape, index));
                    for (ahead, bytes) in HINTS {
                        let later = index.wrapping_add(ahead);
                        if L::DIRECT && later <= frame.last {
                            if let Entry::Table(next) = self.format.decode(shape, page.word(later)) {
                                self.reader.prefetch(next, bytes);
                            }
                        }
                    }
                    return match self.enter(locate, self.level.wrapping_sub(1), table, permissions, base) {
                        Ok(table) => Some(Found::Table(Table { repeats: self.pass_over(repeats), ..table })),
                        Err(defect) => {
                            // The copy below may have been written to.
                            self.at_hand = self.level;
                            self.malformed(index, raw, defect)
                        }
                    };
                }
                Entry::Malformed(bits) => {
                    frame.next = index.wrapping_add(1);
                    return self.malformed(index, raw, Defect::ReservedBits(bits));
                }
            }
        }
    }

    /// Hands the runs that come next to `visit`, as long as nothing else comes and it answers `true`.
    ///
    /// It is what [`advance`](Self::advance) does for a run, without leaving the table in between: that matters
    /// where a table has many short runs.
    #[inline]
    pub(crate) fn drain(&mut self, mut visit: impl FnMut(&Run<'_>) -> bool) {
        let depth = place(self.level);
        let (Some(shape), Some(frame)) = (self.format.levels().get(depth), self.frames.get_mut(depth)) else {
            return;
        };
        let Some(page) = frame.lent.or(self.copies.get(depth)) else { return };
        let mut leaves = 0u64;
        let mut runs = self.statistics.runs;
        while let Some(index) = frame.presence.next(page, frame.next, frame.last, shape.present) {
            // The end of the budget is for `advance` to tell.
            if runs >= self.budget.runs {
                break;
            }
            let raw = page.word(index);
            let Entry::Leaf(_) = self.format.decode(shape, raw) else { break };
            let permissions = frame.permissions & self.format.permissions(raw);
            let Some(run) = leaf_run(&self.format, shape, self.level, frame, page, index, permissions) else { break };
            leaves = leaves.wrapping_add(run.len() as u64);
            runs = runs.wrapping_add(1);
            frame.next = index.wrapping_add(run.len());
            if !visit(&run) {
                break;
            }
        }
        self.statistics.leaves = self.statistics.leaves.wrapping_add(leaves);
        self.statistics.runs = runs;
    }

    /// The run at `extent`, which [`advance`](Self::advance) returned last.
    #[inline]
    pub(crate) fn run(&self, extent: &Extent) -> Option<Run<'_>> {
        let shape = self.shape(extent.level)?;
        let frame = self.frame(extent.level)?;
        let page = frame.lent.or(self.copies.get(place(extent.level)))?;
        let entries = page.words().get(extent.index..)?.get(..extent.len)?;
        let run = run_at(&self.format, shape, extent.level, frame, extent.index, extent.permissions, entries)?;
        Some(Run { linear: extent.linear, ..run })
    }

    /// Reads the table at `addr` and makes it the one that the cursor stands in.
    #[inline(always)]
    fn enter<L: Locate>(
        &mut self,
        locate: &L,
        level: u8,
        addr: PhysAddr,
        permissions: Permissions,
        base: u64,
    ) -> Result<Table, Defect> {
        let depth = place(level);
        let (Some(shape), Some(copy)) = (self.format.levels().get(depth), self.copies.get_mut(depth)) else {
            return Err(Defect::NoSuchLevel { level });
        };
        let addr = locate.locate(self.reader, addr, &mut self.statistics, &self.budget, copy)?;
        for ancestor in level.wrapping_add(1)..=self.top {
            if self.frames.get(place(ancestor)).is_some_and(|frame| frame.table == addr) {
                return Err(Defect::Loop { table: addr, level: ancestor });
            }
        }
        self.budget.allows_table(&self.statistics)?;
        let lent = self.statistics.fetch(self.reader, addr, copy).map_err(Defect::Unreadable)?;
        let (next, last) = window(shape, base, self.from, self.last);
        let Some(frame) = self.frames.get_mut(depth) else { return Err(Defect::NoSuchLevel { level }) };
        *frame = Frame { lent, table: addr, permissions, base, next, last, presence: Presence::UNKNOWN };
        (self.level, self.at_hand) = (level, level);
        Ok(Table { addr, level, iova: Iova(base), repeats: 0 })
    }

    fn malformed(&mut self, index: usize, raw: u64, defect: Defect) -> Option<Found> {
        let malformed = self.judge(index, raw, defect)?;
        if let Defect::Budget(_) = malformed.defect {
            self.level = 0;
        }
        Some(Found::Malformed(malformed))
    }

    /// What there is to tell about an entry, of the table that the cursor stands in, that can't be followed.
    pub(super) fn judge(&mut self, index: usize, raw: u64, defect: Defect) -> Option<Malformed> {
        let defect = self.budget.bound_faults(self.statistics.faults).map_or(defect, Defect::Budget);
        let frame = self.frame(self.level)?;
        let malformed = Malformed {
            table: frame.table,
            level: self.level,
            index: u16::try_from(index).unwrap_or(0),
            raw,
            iova: Iova(frame.base.wrapping_add(offset(self.shape(self.level)?, index))),
            defect,
        };
        self.statistics.faults = self.statistics.faults.wrapping_add(1);
        Some(malformed)
    }

    /// Leaves out as many entries of the table above, which is returned.
    fn pass_over(&mut self, entries: u16) -> u16 {
        if let Some(frame) = self.frames.get_mut(usize::from(self.level)) {
            frame.next = frame.next.wrapping_add(entries.into());
        }
        entries
    }

    /// Whether all of the table that the cursor stands in is looked at.
    pub(crate) fn sees_all(&self) -> bool {
        let entries = self.shape(self.level).map(Level::entries);
        self.frame(self.level).is_some_and(|frame| frame.next == 0 && entries == frame.last.checked_add(1))
    }

    fn pop(&mut self) {
        if self.level < self.top {
            self.level = self.level.wrapping_add(1);
        } else if self.format.sign_extended() && self.upper_to_come {
            self.stand_in_half(true);
        } else {
            self.level = 0;
        }
    }

    fn shape(&self, level: u8) -> Option<&Level> {
        self.format.levels().get(place(level))
    }

    fn frame(&self, level: u8) -> Option<&Frame<'m>> {
        self.frames.get(place(level))
    }
}

/// What is hinted at when a table is entered, by how many entries further its pointer is: the whole of one table,
/// and one line of a later one, so that where that lies is known to the processor by the time that all of it is
/// hinted at. Hints to a page whose address still has to be looked up tend to be dropped.
const HINTS: [(usize, usize); 2] = [(2, Page::SIZE), (4, 1)];
