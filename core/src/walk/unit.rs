use super::{Flow, Step, Visitor};
use crate::address::{Iova, IovaRange, SourceId};
use crate::format::SecondStage;
use crate::memory::{Page, PhysReader};
use crate::radix::{Cursor, Defect, Extent, Found, Malformed, Statistics, Table, TableScratch};
use crate::vtd::{AddressSpace, Cause, ContextEntry, Device, Fault, FaultReason, Place, RootEntry, Structure, Unit};

/// Room for one page of each table on a path, 32 KiB: for readers that can't lend. The caller decides where
/// it lives.
#[derive(Clone, Debug)]
pub struct Scratch {
    root: Page,
    context: Page,
    tables: TableScratch,
}

impl Scratch {
    /// Room with nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: Page::ZERO, context: Page::ZERO, tables: [Page::ZERO; 6] }
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
/// use iopt::memory::{Slot, SparseMemory};
/// use iopt::vtd::{Rtaddr, Unit};
/// use iopt::walk::{Scratch, Step};
/// use iopt::PhysAddr;
///
/// let mut slots = [Slot::EMPTY; 4];
/// let mut memory = SparseMemory::new(&mut slots);
/// memory.write_u64(PhysAddr(0x1000), 0x2001)?; // bus 0
/// memory.write_u64(PhysAddr(0x2080), 0x3001)?; // 00:01.0, whose page table is not in memory …
/// memory.write_u64(PhysAddr(0x2088), 0x101)?; // … and would have three levels
///
/// let mut scratch = Scratch::new();
/// let mut walk = Unit::new(Rtaddr(0x1000))?.walk(&memory, &mut scratch);
/// while let Some(step) = walk.next() {
///     match step {
///         Step::Device(device) => assert_eq!(device.source_id.to_string(), "00:01.0"),
///         Step::Fault(fault) => assert!(fault.to_string().contains("page 0x3000 is not in the memory image")),
///         Step::Table(_) | Step::Run(_) => unreachable!(),
///     }
/// }
/// assert_eq!(walk.statistics().faults, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct UnitWalk<'m, R: ?Sized> {
    unit: Unit,
    reader: &'m R,
    root_copy: &'m mut Page,
    context_copy: &'m mut Page,
    /// The tables if they were lent; otherwise they are in the copies.
    root: Option<&'m Page>,
    context: Option<&'m Page>,
    cursor: Cursor<'m, R, SecondStage>,
    stage: Stage,
    /// The bus whose root entry is looked at next; 256 after the last.
    bus: u16,
    /// The devfn whose context entry is looked at next; 256 after the last.
    devfn: u16,
    root_entry: RootEntry,
    device: Option<Device>,
    faults: u64,
    only: Option<SourceId>,
    window: IovaRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has been read.
    Root,
    /// The next root entry comes.
    Bus,
    /// The next context entry comes.
    Context,
    /// The page tables of the current device come.
    Enter,
    /// The cursor is in the page tables of the current device.
    Tables,
    /// The cursor looks for leaves that the tables have and the unit can't reach.
    Beyond,
    /// There is no more.
    Done,
}

/// A [`Step`] without its borrows.
pub(crate) enum Event {
    Device,
    Table(Table),
    Run(Extent),
    Fault(Fault),
}

impl Unit {
    /// Walks all tables of this unit.
    pub fn walk<'m, R: PhysReader + ?Sized>(&self, reader: &'m R, scratch: &'m mut Scratch) -> UnitWalk<'m, R> {
        UnitWalk {
            unit: *self,
            reader,
            root_copy: &mut scratch.root,
            context_copy: &mut scratch.context,
            root: None,
            context: None,
            cursor: Cursor::new(reader, &mut scratch.tables),
            stage: Stage::Root,
            bus: 0,
            devfn: 0,
            root_entry: RootEntry::new(0, 0),
            device: None,
            faults: 0,
            only: None,
            window: IovaRange::all(),
        }
    }
}

impl<R: PhysReader + ?Sized> UnitWalk<'_, R> {
    /// Visits this device only.
    #[must_use]
    pub fn only_device(mut self, source_id: SourceId) -> Self {
        self.only = Some(source_id);
        self
    }

    /// Visits only leaves that overlap `window`. A leaf that partly lies in it is yielded whole.
    #[must_use]
    pub fn only_range(mut self, window: IovaRange) -> Self {
        self.window = window;
        self
    }

    /// Visits at most this many table pages, root and context tables included. When they are used up, the walk
    /// ends with a [`Cause::Budget`].
    #[must_use]
    pub fn max_tables(mut self, max_tables: u64) -> Self {
        self.cursor.set_max_tables(max_tables);
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
        Statistics { faults: self.faults, ..self.cursor.statistics() }
    }

    /// Leaves out what is below the last step: the rest of the device, or of the table.
    pub fn skip(&mut self) {
        match self.stage {
            Stage::Enter => self.stage = Stage::Context,
            Stage::Tables | Stage::Beyond => self.cursor.skip_table(),
            Stage::Root | Stage::Bus | Stage::Context | Stage::Done => {}
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
            let mut flow = Flow::Enter;
            if self.stage == Stage::Tables {
                self.cursor.drain(|run| {
                    flow = visitor.run(run);
                    flow == Flow::Enter
                });
            }
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
    pub(crate) fn run(&self, extent: &Extent) -> Option<crate::radix::Run<'_>> {
        self.cursor.run(extent)
    }

    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Event> {
        loop {
            match self.stage {
                Stage::Tables => match self.cursor.advance() {
                    Some(Found::Run(extent)) => return Some(Event::Run(extent)),
                    Some(Found::Table(table)) => return Some(Event::Table(table)),
                    Some(Found::Malformed(malformed)) => {
                        let fault = self.malformed(&malformed);
                        return Some(self.fault(fault));
                    }
                    None => self.leave_window(),
                },
                Stage::Root => match self.read_root() {
                    Ok(()) => self.stage = Stage::Bus,
                    Err(fault) => {
                        self.stage = Stage::Done;
                        return Some(self.fault(fault));
                    }
                },
                Stage::Bus => match self.next_bus() {
                    Some(Ok(())) => self.stage = Stage::Context,
                    Some(Err(fault)) => return Some(self.fault(fault)),
                    None => self.stage = Stage::Done,
                },
                Stage::Context => match self.next_device() {
                    Some(Ok(device)) => {
                        self.device = Some(device);
                        self.stage = Stage::Enter;
                        return Some(Event::Device);
                    }
                    Some(Err(fault)) => return Some(self.fault(fault)),
                    None => self.stage = Stage::Bus,
                },
                Stage::Enter => match self.enter_tables() {
                    Some(Ok(table)) => return Some(Event::Table(table)),
                    Some(Err(fault)) => return Some(self.fault(fault)),
                    None => {}
                },
                Stage::Beyond => match self.find_beyond() {
                    Some(fault) => return Some(self.fault(fault)),
                    None => self.stage = Stage::Context,
                },
                Stage::Done => return None,
            }
        }
    }

    fn read_root(&mut self) -> Result<(), Fault> {
        let table = self.unit.rtaddr().root_table();
        let bus = self.only.map_or(0, SourceId::bus);
        let place = RootEntry::place(table, bus, None, self.only);
        let fetched = self.cursor.fetch(self.reader, table, self.root_copy);
        self.root = fetched.map_err(|defect| unfollowed(defect, FaultReason::RootUnreadable, place))?;
        self.bus = bus.into();
        Ok(())
    }

    /// Goes to the next bus that has a context table.
    fn next_bus(&mut self) -> Option<Result<(), Fault>> {
        let last = self.only.map_or(255, |source| source.bus().into());
        while self.bus <= last {
            let bus = self.bus;
            self.bus = bus.wrapping_add(1);
            let entry = *RootEntry::table(self.root.unwrap_or(self.root_copy)).get(usize::from(bus))?;
            if !entry.present() {
                continue;
            }
            let number = u8::try_from(bus).unwrap_or(0);
            let place = RootEntry::place(self.unit.rtaddr().root_table(), number, Some(&entry), self.only);
            if let Err((reason, cause)) = self.unit.check_root(&entry) {
                return Some(Err(Fault { reason: Some(reason), cause, place }));
            }
            self.root_entry = entry;
            self.devfn = self.only.map_or(0, |source| source.devfn().into());
            let fetched = self.cursor.fetch(self.reader, entry.context_table(), self.context_copy);
            return Some(match fetched {
                Ok(context) => {
                    self.context = context;
                    Ok(())
                }
                Err(defect) => Err(unfollowed(defect, FaultReason::ContextUnreadable, place)),
            });
        }
        None
    }

    /// Finds the next device of this bus.
    fn next_device(&mut self) -> Option<Result<Device, Fault>> {
        let last = self.only.map_or(255, |source| source.devfn().into());
        while self.devfn <= last {
            let devfn = self.devfn;
            self.devfn = devfn.wrapping_add(1);
            let context_entry =
                *ContextEntry::table(self.context.unwrap_or(self.context_copy)).get(usize::from(devfn))?;
            if !context_entry.present() {
                continue;
            }
            // The bus counter is already at the next bus.
            let [bus, devfn] = [self.bus.wrapping_sub(1), devfn].map(|number| u8::try_from(number).unwrap_or(0));
            let source_id = SourceId::new(bus, devfn);
            let (root_table, root_entry) = (self.unit.rtaddr().root_table(), self.root_entry);
            return Some(match self.unit.check_context(&context_entry) {
                Ok(space) => Ok(Device { source_id, root_table, root_entry, context_entry, space }),
                Err((reason, cause)) => {
                    let place = context_entry.place(source_id, &root_entry);
                    Err(Fault { reason: Some(reason), cause, place })
                }
            });
        }
        None
    }

    /// Enters the page tables of the current device, if it has any.
    fn enter_tables(&mut self) -> Option<Result<Table, Fault>> {
        self.stage = Stage::Context;
        let device = self.device.as_ref()?;
        let AddressSpace::SecondStage(space) = &device.space else { return None };
        let window = device.space.input().intersection(&self.window)?;
        Some(match self.cursor.start(space.format, space.root, window) {
            Ok(table) => {
                self.stage = Stage::Tables;
                Ok(table)
            }
            Err(defect) => Err(unfollowed(
                defect,
                FaultReason::ContextInvalid,
                device.context_entry.place(device.source_id, &device.root_entry),
            )),
        })
    }

    /// The walk of the current device is over, but for what its tables map beyond the unit's reach.
    fn leave_window(&mut self) {
        self.stage = Stage::Context;
        let Some(Device { space: AddressSpace::SecondStage(space), .. }) = &self.device else { return };
        let reach = IovaRange::block(Iova(0), space.input_bits);
        let table = IovaRange::block(Iova(0), space.format.input_bits());
        let beyond = reach.last().0.checked_add(1).and_then(|first| IovaRange::new(Iova(first), table.last()));
        if let Some(beyond) = beyond.and_then(|beyond| beyond.intersection(&self.window)) {
            self.cursor.set_window(beyond);
            self.stage = Stage::Beyond;
        }
    }

    /// The first leaf or malformed entry that the tables have and the unit can't reach.
    fn find_beyond(&mut self) -> Option<Fault> {
        loop {
            let (structure, table, index, raw, iova) = match self.cursor.advance()? {
                Found::Table(_) => continue,
                Found::Run(extent) => {
                    let run = self.cursor.run(&extent)?;
                    let raw = run.entries.first()?.get();
                    let place = (Structure::PageTable(run.level), run.table, run.index, raw, run.iova);
                    let leaves = run.len() as u64;
                    self.cursor.forget_leaves(leaves);
                    place
                }
                Found::Malformed(malformed) => {
                    if let Defect::Budget { .. } = malformed.defect {
                        return Some(self.malformed(&malformed));
                    }
                    let Malformed { level, table, index, raw, iova, .. } = malformed;
                    (Structure::PageTable(level), table, index, raw, iova)
                }
            };
            let device = self.device.as_ref()?;
            let AddressSpace::SecondStage(space) = &device.space else { return None };
            self.stage = Stage::Context;
            let source_id = Some(device.source_id);
            let place = Place { structure, table, index, entry: Some(raw.into()), source_id, iova: Some(iova) };
            return Some(Fault { reason: Some(FaultReason::AddressTooWide), cause: space.too_wide(), place });
        }
    }

    fn malformed(&self, malformed: &Malformed) -> Fault {
        let reason = match malformed.defect {
            Defect::ReservedBits(_) => FaultReason::PageTableReserved,
            _ => FaultReason::PageTableUnreadable,
        };
        let place = Place {
            structure: Structure::PageTable(malformed.level),
            table: malformed.table,
            index: malformed.index,
            entry: Some(malformed.raw.into()),
            source_id: self.device.map(|device| device.source_id),
            iova: Some(malformed.iova),
        };
        unfollowed(malformed.defect, reason, place)
    }

    /// An event, and the end of the walk if the budget is used up.
    #[cold]
    fn fault(&mut self, fault: Fault) -> Event {
        if let Cause::Budget { .. } = fault.cause {
            self.stage = Stage::Done;
        }
        self.faults = self.faults.wrapping_add(1);
        Event::Fault(fault)
    }
}

fn unfollowed(defect: Defect, reason: FaultReason, place: Place) -> Fault {
    let cause = Cause::from(defect);
    Fault { reason: cause.reason(reason), cause, place }
}
