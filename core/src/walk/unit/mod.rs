mod advance;

use super::devices::{Devices, Fetch, Pages};
use super::memo::Memo;
use super::{Flow, MemoSlot, Shared, Step, Visitor};
use crate::address::{IovaRange, Pasid, PhysAddr, SourceId};
use crate::format::{FirstStage, SecondStage};
use crate::memory::{Page, PhysReader};
use crate::radix::{
    Budget, Cursor, Defect, Extent, Format, Nested, NestedExtent, Run, Statistics, Table, TableScratch,
};
use crate::vtd::{Device, Fault, Unit};

/// Room for one page of each table on a path, 64 KiB: for readers that can't lend. The caller decides where
/// it lives.
#[derive(Clone, Debug)]
pub struct Scratch {
    pages: Pages,
    first_stage: TableScratch,
    second_stage: TableScratch,
}

impl Scratch {
    /// Room with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { pages: Pages::new(), first_stage: [Page::ZERO; 6], second_stage: [Page::ZERO; 6] }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// The walk over all tables of a unit.
///
/// ```
/// use iopt::builder::{At, Target, UnitBuilder}; // with the feature `builder`
/// use iopt::memory::{Slot, SparseMemory};
/// use iopt::walk::{Scratch, Step};
/// use iopt::{SourceId, vtd::TranslationMode};
///
/// let (mut slots, device) = ([Slot::EMPTY; 4], SourceId::new(0, 8));
/// let mut memory = SparseMemory::new(&mut slots);
/// let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
/// let table = tables.second_stage(3)?;
/// tables.device(device, Target::second_stage(table))?;
/// tables.free(At::Context(device))?; // the page table is not in memory
///
/// let mut scratch = Scratch::new();
/// let mut walk = tables.unit().walk(tables.pages(), &mut scratch);
/// while let Some(step) = walk.next() {
///     match step {
///         Step::Device(device) => assert_eq!(device.source_id.to_string(), "00:01.0"),
///         Step::Fault(fault) => assert!(fault.to_string().contains("page 0x2000 is not in the memory image")),
///         Step::Table(_) | Step::Shared(_) | Step::Run(_) => unreachable!(),
///     }
/// }
/// assert_eq!(walk.statistics().faults, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnitWalk<'m, R: ?Sized> {
    reader: &'m R,
    devices: Devices<'m>,
    pub(super) tables: Nested<'m, R, FirstStage, SecondStage>,
    pub(super) stage: Stage,
    pub(super) device: Option<Device>,
    faults: u64,
    budget: Budget,
    pub(super) window: IovaRange,
    pub(super) memo: Option<Memo<'m>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The next device comes.
    Device,
    /// The page tables of the current device come.
    Enter,
    /// The cursor is in the first-stage tables of the current device.
    First,
    /// The cursor is in the second-stage tables of the current device.
    Second,
    /// Both cursors are in the tables of the current device.
    Nested,
    /// The cursor looks for leaves that the second stage has and the unit can't reach.
    Beyond,
    /// There is no more.
    Done,
}

/// A [`Step`] without its borrows.
pub(crate) enum Event {
    Device,
    Table(Table),
    Shared(Shared),
    Run(RunAt),
    Fault(Fault),
}

/// Where a run lies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunAt {
    First(Extent),
    Second(Extent),
    Nested(NestedExtent),
}

impl Unit {
    /// Walks all tables of this unit.
    pub fn walk<'m, R: PhysReader + ?Sized>(&self, reader: &'m R, scratch: &'m mut Scratch) -> UnitWalk<'m, R> {
        UnitWalk {
            reader,
            devices: Devices::new(self, &mut scratch.pages),
            tables: Nested::new(reader, &mut scratch.first_stage, &mut scratch.second_stage),
            stage: Stage::Device,
            device: None,
            faults: 0,
            budget: Budget::default(),
            window: IovaRange::all(),
            memo: None,
        }
    }
}

impl<'m, R: PhysReader + ?Sized> Fetch<'m> for (&'m R, &mut Cursor<'m, R, SecondStage>) {
    fn fetch(&mut self, addr: PhysAddr, copy: &mut Page) -> Result<Option<&'m Page>, Defect> {
        self.1.fetch(self.0, addr, copy)
    }
}

impl<'m, R: PhysReader + ?Sized> UnitWalk<'m, R> {
    /// Visits this device only.
    #[must_use]
    pub fn only_device(mut self, source_id: SourceId) -> Self {
        self.devices.only_device(source_id);
        self
    }

    /// Visits only this PASID of each device.
    #[must_use]
    pub fn only_pasid(mut self, pasid: Pasid) -> Self {
        self.devices.only_pasid(pasid);
        self
    }

    /// Visits only leaves that overlap `window`. A leaf that partly lies in it is yielded whole.
    #[must_use]
    pub fn only_range(mut self, window: IovaRange) -> Self {
        self.window = window;
        self
    }

    /// Does at most this much, in place of what [`Budget::default`] allows. When it is used up, the walk ends with a
    /// [`Cause::Budget`](crate::vtd::Cause::Budget).
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.tables.set_budget(budget);
        self.budget = budget;
        self
    }

    /// Walks each page table once for each level that it is met at, however many entries lead to it: a table that the
    /// walk came to before is a [`Step::Shared`], and neighbouring entries that are equal are one
    /// [table that repeats](Table::repeats). Then no walk is longer than the tables in memory are many, whatever they
    /// say.
    ///
    /// `slots` is one more than the tables that can be remembered; half as many again make it fast. When they are all
    /// used, further tables are walked each time that they are met, and [`is_memo_full`](Self::is_memo_full).
    ///
    /// What can't be followed below a shared table is told where it was come to first. Tables that two devices read by
    /// different rules are not shared, nor are those of which just a part is [in the window](Self::only_range).
    /// Behind a first stage, second-stage tables are read for every stretch of addresses that leads to them.
    ///
    /// ```
    /// use iopt::builder::{Leaves, Target, UnitBuilder}; // with the feature `builder`
    /// use iopt::memory::{Slot, SparseMemory};
    /// use iopt::walk::{MemoSlot, Scratch, Step};
    /// use iopt::{Iova, PhysAddr, SourceId, vtd::TranslationMode};
    ///
    /// let mut slots = [Slot::EMPTY; 4];
    /// let mut memory = SparseMemory::new(&mut slots);
    /// let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
    /// let table = tables.second_stage(3)?;
    /// tables.map(table, Leaves::of_1g(Iova(0), PhysAddr(0x8000_0000)))?;
    /// for device in [8, 16] {
    ///     tables.device(SourceId::new(0, device), Target::second_stage(table))?;
    /// }
    ///
    /// let (mut scratch, mut memo) = (Scratch::new(), [MemoSlot::EMPTY; 8]);
    /// let mut walk = tables.unit().walk(tables.pages(), &mut scratch).memo(&mut memo);
    /// let mut shared = Vec::new();
    /// while let Some(step) = walk.next() {
    ///     shared.extend(if let Step::Shared(shared) = step { Some(shared.with.source_id) } else { None });
    /// }
    /// assert_eq!(shared, [SourceId::new(0, 8)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn memo(mut self, slots: &'m mut [MemoSlot]) -> Self {
        self.memo = Some(Memo::new(slots));
        self.tables.fold(true);
        self
    }

    /// Whether the [memo](Self::memo) had no room for a table, so that the walk may have come to it again.
    #[must_use]
    pub fn is_memo_full(&self) -> bool {
        self.memo.as_ref().is_some_and(Memo::is_full)
    }

    /// Walks everything wherever it is met, without a [memo](Self::memo).
    pub(crate) fn without_memo(mut self) -> Self {
        self.memo = None;
        self.tables.fold(false);
        self
    }

    /// The device that the walk is at.
    #[must_use]
    pub fn device(&self) -> Option<&Device> {
        self.device.as_ref()
    }

    /// What has been done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics { faults: self.faults, ..self.tables.statistics() }
    }

    /// Leaves out what is below the last step: the rest of the device, or of the table.
    pub fn skip(&mut self) {
        match self.stage {
            Stage::Enter => self.stage = Stage::Device,
            Stage::First => self.tables.outer().skip_table(),
            Stage::Second | Stage::Beyond => self.tables.inner().skip_table(),
            Stage::Nested => self.tables.skip_table(),
            Stage::Device | Stage::Done => {}
        }
    }

    /// The next step; `None` when there is no more.
    ///
    /// It is no `Iterator`, since a run borrows the table page that the next call may replace.
    #[allow(clippy::should_implement_trait, reason = "a run borrows from the walk, which no Iterator can say")]
    pub fn next(&mut self) -> Option<Step<'_>> {
        match self.advance()? {
            Event::Device => self.device.as_ref().map(Step::Device),
            Event::Table(table) => Some(Step::Table(table)),
            Event::Shared(shared) => Some(Step::Shared(shared)),
            Event::Run(extent) => self.run(&extent).map(Step::Run),
            Event::Fault(fault) => Some(Step::Fault(fault)),
        }
    }

    /// Pushes everything through `visitor`.
    #[inline]
    pub fn visit<V: Visitor + ?Sized>(&mut self, visitor: &mut V) {
        loop {
            let mut flow = match self.stage {
                Stage::Second => drain(self.tables.inner(), visitor),
                Stage::First => drain(self.tables.outer(), visitor),
                _ => Flow::Enter,
            };
            if flow == Flow::Enter {
                flow = match self.next() {
                    Some(Step::Device(device)) => visitor.device(device),
                    Some(Step::Table(table)) => visitor.table(&table),
                    Some(Step::Shared(shared)) => visitor.shared(&shared),
                    Some(Step::Run(run)) => visitor.run(&run),
                    Some(Step::Fault(fault)) => visitor.fault(&fault),
                    None => return,
                };
            }
            match flow {
                Flow::Enter => {}
                Flow::Skip => self.skip(),
                Flow::Stop => return,
            }
        }
    }

    /// The run that [`advance`](Self::advance) returned last.
    #[inline]
    pub(crate) fn run(&self, at: &RunAt) -> Option<Run<'_>> {
        match at {
            RunAt::First(extent) => self.tables.outer_run(extent),
            RunAt::Second(extent) => self.tables.inner_run(extent),
            RunAt::Nested(extent) => self.tables.run(extent),
        }
    }
}

/// Pushes the runs that come next through `visitor`. Tells how to go on behind them.
#[inline(always)]
fn drain<R, F, V>(cursor: &mut Cursor<'_, R, F>, visitor: &mut V) -> Flow
where
    R: PhysReader + ?Sized,
    F: Format,
    V: Visitor + ?Sized,
{
    let mut flow = Flow::Enter;
    cursor.drain(|run| {
        flow = visitor.run(run);
        flow == Flow::Enter
    });
    flow
}
