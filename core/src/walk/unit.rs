use super::devices::{Devices, Fetch, Pages};
use super::{Flow, Step, Visitor};
use crate::address::{Iova, IovaRange, Pasid, PhysAddr, SourceId};
use crate::format::{FirstStage, SecondStage};
use crate::memory::{Page, PhysReader};
use crate::radix::{
    self, Budget, Cursor, Defect, Extent, Format, Found, Malformed, Nested, NestedExtent, NestedFound, Run, Statistics,
    Table, TableScratch,
};
use crate::vtd::{AddressSpace, Cause, Device, Fault, Place, Structure, Unit};

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
///         Step::Table(_) | Step::Run(_) => unreachable!(),
///     }
/// }
/// assert_eq!(walk.statistics().faults, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnitWalk<'m, R: ?Sized> {
    reader: &'m R,
    devices: Devices<'m>,
    tables: Nested<'m, R, FirstStage, SecondStage>,
    stage: Stage,
    device: Option<Device>,
    faults: u64,
    window: IovaRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
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
            window: IovaRange::all(),
        }
    }
}

impl<'m, R: PhysReader + ?Sized> Fetch<'m> for (&'m R, &mut Cursor<'m, R, SecondStage>) {
    fn fetch(&mut self, addr: PhysAddr, copy: &mut Page) -> Result<Option<&'m Page>, Defect> {
        self.1.fetch(self.0, addr, copy)
    }
}

impl<R: PhysReader + ?Sized> UnitWalk<'_, R> {
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
    /// [`Cause::Budget`].
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.tables.set_budget(budget);
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

    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Event> {
        loop {
            let found = match self.stage {
                Stage::Second => self.tables.inner().advance(),
                Stage::First => self.tables.outer().advance(),
                _ => match self.advance_elsewhere() {
                    Some(event) => return Some(event),
                    None if self.stage == Stage::Done => return None,
                    None => continue,
                },
            };
            return Some(match found {
                Some(Found::Run(extent)) if self.stage == Stage::First => Event::Run(RunAt::First(extent)),
                Some(Found::Run(extent)) => Event::Run(RunAt::Second(extent)),
                Some(Found::Table(table)) => Event::Table(table),
                Some(Found::Malformed(malformed)) => {
                    let stage = if self.stage == Stage::First { radix::Stage::Outer } else { radix::Stage::Inner };
                    let fault = self.malformed(stage, &malformed)?;
                    self.fault(fault)
                }
                None => {
                    self.leave_tables();
                    continue;
                }
            });
        }
    }

    /// Takes a step in nested page tables.
    fn advance_nested(&mut self) -> Option<Event> {
        match self.tables.advance() {
            Some(NestedFound::Table(table)) => Some(Event::Table(table)),
            Some(NestedFound::Run(extent)) => Some(Event::Run(RunAt::Nested(extent))),
            Some(NestedFound::Malformed(stage, malformed)) => {
                let fault = self.malformed(stage, &malformed)?;
                Some(self.fault(fault))
            }
            None => {
                self.stage = Stage::Device;
                None
            }
        }
    }

    /// Takes a step outside of the page tables, or in nested ones.
    fn advance_elsewhere(&mut self) -> Option<Event> {
        match self.stage {
            Stage::Device => match self.devices.next(&mut (self.reader, self.tables.begin_inner())) {
                Some(Ok(device)) => {
                    self.device = Some(device);
                    self.stage = Stage::Enter;
                    Some(Event::Device)
                }
                Some(Err(fault)) => Some(self.fault(fault)),
                None => {
                    self.stage = Stage::Done;
                    None
                }
            },
            Stage::Enter => match self.enter_tables()? {
                Ok(table) => Some(Event::Table(table)),
                Err(fault) => Some(self.fault(fault)),
            },
            Stage::Beyond => match self.find_beyond() {
                Some(fault) => Some(self.fault(fault)),
                None => {
                    self.stage = Stage::Device;
                    None
                }
            },
            Stage::Nested => self.advance_nested(),
            Stage::First | Stage::Second | Stage::Done => None,
        }
    }

    /// Enters the page tables of the current device, if it has any.
    fn enter_tables(&mut self) -> Option<Result<Table, Fault>> {
        self.stage = Stage::Device;
        let device = self.device.as_ref()?;
        let window = device.space.input()?.intersection(&self.window)?;
        let (stage, entered) = match &device.space {
            AddressSpace::SecondStage(space) => {
                (Stage::Second, self.tables.begin_inner().start(space.format, space.root, window))
            }
            AddressSpace::FirstStage(space) => {
                (Stage::First, self.tables.begin_outer().start(space.format, space.root, window))
            }
            AddressSpace::Nested(first, second) => {
                (Stage::Nested, self.tables.start(first.format, first.root, window, second.inner()))
            }
            AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => return None,
        };
        Some(match entered {
            Ok(table) => {
                self.stage = stage;
                Ok(table)
            }
            Err(defect) => Err(device.top_defect(defect)),
        })
    }

    /// The walk of the current device is over, but for what its second stage maps beyond the unit's reach.
    fn leave_tables(&mut self) {
        self.stage = Stage::Device;
        let Some(Device { space: AddressSpace::SecondStage(space), .. }) = &self.device else { return };
        let reach = IovaRange::block(Iova(0), space.input_bits);
        let table = IovaRange::block(Iova(0), space.format.input_bits());
        let beyond = reach.last().0.checked_add(1).and_then(|first| IovaRange::new(Iova(first), table.last()));
        if let Some(beyond) = beyond.and_then(|beyond| beyond.intersection(&self.window)) {
            self.tables.inner().set_window(beyond);
            self.stage = Stage::Beyond;
        }
    }

    /// The first leaf or malformed entry that the second stage has and the unit can't reach.
    fn find_beyond(&mut self) -> Option<Fault> {
        loop {
            let (table, level, index, raw, iova) = match self.tables.inner().advance()? {
                Found::Table(_) => continue,
                Found::Run(extent) => {
                    let run = self.tables.inner_run(&extent)?;
                    let found = (run.table, run.level, run.index, run.entries.first()?.get(), run.iova);
                    let leaves = run.len() as u64;
                    self.tables.inner().forget_leaves(leaves);
                    found
                }
                Found::Malformed(malformed) => {
                    if let Defect::Budget(_) = malformed.defect {
                        return self.malformed(radix::Stage::Inner, &malformed);
                    }
                    let Malformed { level, table, index, raw, iova, .. } = malformed;
                    (table, level, index, raw, iova)
                }
            };
            let device = self.device.as_ref()?;
            let space = device.space.second_stage()?;
            self.stage = Stage::Device;
            let place = Place {
                structure: Structure::SecondStage(level),
                table,
                index,
                entry: Some(raw.into()),
                iova: Some(iova),
                ..device.place()
            };
            let reason = device.reasons().too_wide;
            return Some(Fault::new(reason, space.too_wide(), place, device.fault_disabled()));
        }
    }

    fn malformed(&self, stage: radix::Stage, malformed: &Malformed) -> Option<Fault> {
        Some(self.device.as_ref()?.defect(stage, malformed))
    }

    /// An event, and the end of the walk if the budget is used up.
    #[cold]
    fn fault(&mut self, fault: Fault) -> Event {
        if let Cause::Budget(_) = fault.cause {
            self.stage = Stage::Done;
        }
        self.faults = self.faults.wrapping_add(1);
        Event::Fault(fault)
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
