use super::{Coalescer, Join, MappedRange};
use crate::access::Permissions;
use crate::address::{DomainId, IovaRange, Pasid, PhysAddr, Requester, SourceId};
use crate::memory::PhysReader;
use crate::radix::Statistics;
use crate::vtd::{AddressSpace, Device, Fault, Unit};
use crate::walk::{Event, RunAt, Scratch, UnitWalk};
use core::fmt;

/// A stretch of memory that a device can reach, or for [`Join::Iova`] of addresses that it can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRange {
    /// Whose requests it is about.
    pub source_id: SourceId,
    /// The PASID whose table entry leads to the tables; `None` in legacy mode.
    pub pasid: Option<Pasid>,
    /// The domain-id under which the unit caches the translations.
    pub domain: DomainId,
    /// The addresses that the device uses.
    pub iova: IovaRange,
    /// The memory behind the first of them, if the memory is consecutive throughout.
    pub phys: Option<PhysAddr>,
    /// What the device may do there.
    pub permissions: Permissions,
    /// log2 of the size of the smallest leaf; `None` when requests pass through without page tables.
    pub page_size_log2: Option<u8>,
}

impl DeviceRange {
    /// `range`, as one of the device `source_id` with `pasid` in `domain`.
    #[must_use]
    pub fn new(source_id: SourceId, pasid: Option<Pasid>, domain: DomainId, range: &MappedRange) -> Self {
        let MappedRange { iova, phys, permissions, page_size_log2, .. } = *range;
        Self { source_id, pasid, domain, iova, phys, permissions, page_size_log2: Some(page_size_log2) }
    }

    /// All that `device` reaches if its requests pass through; `None` if they don't.
    #[must_use]
    pub fn pass_through(device: &Device) -> Option<Self> {
        match &device.space {
            AddressSpace::PassThrough { .. } => Some(Self {
                source_id: device.source_id,
                pasid: device.pasid,
                domain: device.domain()?,
                iova: device.space.input()?,
                phys: Some(PhysAddr(0)),
                permissions: Permissions::READ_WRITE,
                page_size_log2: None,
            }),
            _ => None,
        }
    }
}

/// Written as `source-id first-last -> memory permissions`, with `scattered` for memory that is not consecutive.
impl fmt::Display for DeviceRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> ", Requester { source_id: self.source_id, pasid: self.pasid }, self.iova)?;
        match self.phys {
            Some(phys) => write!(f, "{phys}")?,
            None => f.write_str("scattered")?,
        }
        write!(f, " {}", self.permissions)
    }
}

/// The ranges of every device of a unit, in the order of source-id and IOVA.
///
/// What can't be followed is an `Err` in its place in that order, and the next call goes on behind it.
#[derive(Debug)]
pub struct DeviceRanges<'m, R: ?Sized> {
    walk: UnitWalk<'m, R>,
    coalescer: Coalescer,
    /// The run that is being taken, and how many of its leaves are.
    run: Option<(RunAt, usize)>,
    /// Comes next, when the range before it had to be closed first.
    pending: Option<Result<DeviceRange, Fault>>,
    /// Whose range is open.
    owner: Option<(SourceId, Option<Pasid>, DomainId)>,
}

impl Unit {
    /// The ranges of every device of this unit, joined where both the IOVA and the memory continue.
    ///
    /// ```
    /// use iopt::builder::{Leaves, Target, UnitBuilder}; // with the feature `builder`
    /// use iopt::memory::{Slot, SparseMemory};
    /// use iopt::{Iova, PhysAddr, SourceId, vtd::TranslationMode, walk::Scratch};
    ///
    /// let mut slots = [Slot::EMPTY; 4];
    /// let mut memory = SparseMemory::new(&mut slots);
    /// let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
    /// let table = tables.second_stage(3)?;
    /// tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000)).times(2))?;
    /// tables.device(SourceId::new(0, 8), Target::second_stage(table))?;
    /// let unit = tables.unit();
    ///
    /// let mut scratch = Scratch::new();
    /// let mut lines = Vec::new();
    /// for range in unit.ranges(&memory, &mut scratch) {
    ///     let range = range?;
    ///     lines.push(range.to_string());
    /// }
    /// assert_eq!(lines, ["00:01.0 0x200000-0x5fffff -> 0x80200000 rw"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ranges<'m, R: PhysReader + ?Sized>(&self, reader: &'m R, scratch: &'m mut Scratch) -> DeviceRanges<'m, R> {
        DeviceRanges::new(self.walk(reader, scratch), Join::Both)
    }
}

impl<'m, R: PhysReader + ?Sized> DeviceRanges<'m, R> {
    /// The ranges that `walk` comes to, joined as `join` says. Those of shared tables come for each device that shares
    /// them: a [memo](UnitWalk::memo) of the walk is not used.
    #[must_use]
    pub fn new(walk: UnitWalk<'m, R>, join: Join) -> Self {
        Self { walk: walk.without_memo(), coalescer: Coalescer::new(join), run: None, pending: None, owner: None }
    }

    /// What has been done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.walk.statistics()
    }

    fn owned(&self, range: MappedRange) -> Option<Result<DeviceRange, Fault>> {
        let (source_id, pasid, domain) = self.owner?;
        Some(Ok(DeviceRange::new(source_id, pasid, domain, &range)))
    }

    /// Closes the open range; what comes after it is `pending`.
    fn close(&mut self) -> Option<Result<DeviceRange, Fault>> {
        match self.coalescer.finish() {
            Some(range) => self.owned(range),
            None => self.pending.take(),
        }
    }
}

impl<R: PhysReader + ?Sized> Iterator for DeviceRanges<'_, R> {
    type Item = Result<DeviceRange, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(pending) = self.pending.take() {
            return Some(pending);
        }
        loop {
            if let Some((extent, index)) = self.run.take() {
                let run = self.walk.run(&extent)?;
                if let Some((range, next)) = self.coalescer.feed(&run, index) {
                    self.run = Some((extent, next));
                    return self.owned(range);
                }
            }
            match self.walk.advance() {
                Some(Event::Run(extent)) => self.run = Some((extent, 0)),
                Some(Event::Table(_) | Event::Shared(_)) => {}
                Some(Event::Fault(fault)) => {
                    self.pending = Some(Err(fault));
                    return self.close();
                }
                Some(Event::Device) => {
                    let device = *self.walk.device()?;
                    self.pending = DeviceRange::pass_through(&device).map(Ok);
                    let closed = self.close();
                    self.owner = device.domain().map(|domain| (device.source_id, device.pasid, domain));
                    if closed.is_some() {
                        return closed;
                    }
                }
                None => return self.close(),
            }
        }
    }
}
