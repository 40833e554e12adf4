//! The way from the root table to each device: what a [`UnitWalk`](super::UnitWalk) finds page tables by.

mod pasids;

use crate::address::{Pasid, PhysAddr, SourceId};
use crate::memory::Page;
use crate::radix::Defect;
use crate::vtd::{
    ContextEntry, Device, DeviceEntries, Fault, FaultReason, Half, PasidDirectoryEntry, Place, RootEntry,
    ScalableContextEntry, ScalableRootEntry, Unit, fault_at,
};

/// Room for one page of each table on the way to a device.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    root: Page,
    context: Page,
    directory: Page,
    pasids: Page,
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self { root: Page::ZERO, context: Page::ZERO, directory: Page::ZERO, pasids: Page::ZERO }
    }
}

/// A table that was lent, or copied.
#[derive(Debug)]
struct Table<'m> {
    copy: &'m mut Page,
    lent: Option<&'m Page>,
}

impl<'m> Table<'m> {
    fn new(copy: &'m mut Page) -> Self {
        Self { copy, lent: None }
    }

    fn read(&mut self, fetch: &mut impl Fetch<'m>, addr: PhysAddr) -> Result<(), Defect> {
        self.lent = fetch.fetch(addr, self.copy)?;
        Ok(())
    }

    fn page(&self) -> &Page {
        self.lent.unwrap_or(self.copy)
    }
}

/// Gets a page lent, or copies it and returns `None`.
pub(super) trait Fetch<'m> {
    fn fetch(&mut self, addr: PhysAddr, copy: &mut Page) -> Result<Option<&'m Page>, Defect>;
}

/// All devices of a unit, in the order of source-id and PASID.
#[derive(Debug)]
pub(super) struct Devices<'m> {
    unit: Unit,
    root: Table<'m>,
    context: Table<'m>,
    directory: Table<'m>,
    pasids: Table<'m>,
    stage: Stage,
    /// The bus whose root entry is looked at next; 256 after the last.
    bus: u16,
    root_entry: Root,
    /// The devfn whose context entry is looked at next, and the last one of this context table.
    devfn: u16,
    last_devfn: u16,
    context_entry: ScalableContextEntry,
    /// The PASID that is looked at next, and the last one of this device.
    pasid: u32,
    last_pasid: u32,
    /// Which page of the PASID directory was read.
    directory_page: Option<u32>,
    directory_entry: PasidDirectoryEntry,
    only_device: Option<SourceId>,
    only_pasid: Option<Pasid>,
}

#[derive(Clone, Copy, Debug)]
enum Root {
    Legacy(RootEntry),
    Scalable(ScalableRootEntry, Half),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has been read.
    Root,
    /// The next root entry comes.
    Bus,
    /// The upper half of the same root entry comes.
    Upper,
    /// The next context entry comes.
    Context,
    /// The next PASID directory entry comes.
    Directory,
    /// The next PASID table entry comes.
    Pasid,
    /// There is no more.
    Done,
}

type Found = Option<Result<Device, Fault>>;

impl<'m> Devices<'m> {
    pub(super) fn new(unit: &Unit, pages: &'m mut Pages) -> Self {
        Self {
            unit: *unit,
            root: Table::new(&mut pages.root),
            context: Table::new(&mut pages.context),
            directory: Table::new(&mut pages.directory),
            pasids: Table::new(&mut pages.pasids),
            stage: Stage::Root,
            bus: 0,
            root_entry: Root::Legacy(RootEntry::new(0, 0)),
            devfn: 0,
            last_devfn: 0,
            context_entry: ScalableContextEntry::new([0; 4]),
            pasid: 0,
            last_pasid: 0,
            directory_page: None,
            directory_entry: PasidDirectoryEntry::new(0),
            only_device: None,
            only_pasid: None,
        }
    }

    pub(super) fn only_device(&mut self, source_id: SourceId) {
        self.only_device = Some(source_id);
    }

    pub(super) fn only_pasid(&mut self, pasid: Pasid) {
        self.only_pasid = Some(pasid);
    }

    /// The next device, or what can't be followed on the way to one; `None` when there is no more.
    pub(super) fn next(&mut self, fetch: &mut impl Fetch<'m>) -> Found {
        loop {
            let found = match self.stage {
                Stage::Root => self.read_root(fetch),
                Stage::Bus => self.next_bus(fetch),
                Stage::Upper => self.enter_half(Half::Upper, fetch),
                Stage::Context => self.next_context(),
                Stage::Directory => self.next_directory_entry(fetch),
                Stage::Pasid => self.next_pasid(),
                Stage::Done => return None,
            };
            if found.is_some() {
                return found;
            }
        }
    }

    fn root_table(&self) -> PhysAddr {
        self.unit.rtaddr().root_table()
    }

    fn read_root(&mut self, fetch: &mut impl Fetch<'m>) -> Found {
        self.stage = Stage::Done;
        let bus = self.only_device.map_or(0, SourceId::bus);
        let place = Place::root(self.root_table(), bus, None, self.only_device);
        if let Err(wrong) = self.unit.check_mode() {
            return Some(Err(fault_at(wrong, place, false)));
        }
        let reason =
            if self.unit.is_scalable() { FaultReason::ScalableRootUnreadable } else { FaultReason::RootUnreadable };
        let table = self.root_table();
        match self.root.read(fetch, table) {
            Ok(()) => {
                (self.stage, self.bus) = (Stage::Bus, bus.into());
                None
            }
            Err(defect) => Some(Err(Fault::new(reason, defect.into(), place, false))),
        }
    }

    /// Goes to the next bus that has a context table.
    fn next_bus(&mut self, fetch: &mut impl Fetch<'m>) -> Found {
        let last = self.only_device.map_or(255, |source| source.bus().into());
        while self.bus <= last {
            let bus = usize::from(self.bus);
            self.bus = self.bus.wrapping_add(1);
            if self.unit.is_scalable() {
                let entry = *ScalableRootEntry::table(self.root.page()).get(bus)?;
                self.root_entry = Root::Scalable(entry, Half::Lower);
                return self.enter_half(Half::Lower, fetch);
            }
            let entry = *RootEntry::table(self.root.page()).get(bus)?;
            if entry.present() {
                self.root_entry = Root::Legacy(entry);
                let place = self.root_place(entry.raw().into());
                if let Err(wrong) = self.unit.check_root(&entry) {
                    return Some(Err(fault_at(wrong, place, false)));
                }
                return self.enter_contexts(
                    entry.context_table(),
                    0..=255,
                    FaultReason::ContextUnreadable,
                    place,
                    fetch,
                );
            }
        }
        self.stage = Stage::Done;
        None
    }

    /// Goes to one half of the current root entry, if it has a context table; otherwise on to what comes next.
    fn enter_half(&mut self, half: Half, fetch: &mut impl Fetch<'m>) -> Found {
        self.stage = if half == Half::Lower { Stage::Upper } else { Stage::Bus };
        let Root::Scalable(entry, current) = &mut self.root_entry else { return None };
        *current = half;
        let entry = *entry;
        if !entry.present(half) || self.only_device.is_some_and(|only| Half::of(only) != half) {
            return None;
        }
        let place = self.root_place(entry.raw().into());
        if let Err(wrong) = self.unit.check_scalable_root(&entry, half) {
            return Some(Err(fault_at(wrong, place, false)));
        }
        let devfns = if half == Half::Lower { 0..=127 } else { 128..=255 };
        let reason = FaultReason::ScalableContextUnreadable;
        self.enter_contexts(entry.context_table(half), devfns, reason, place, fetch)
    }

    /// Reads a context table, to visit the entries of `devfns` in it.
    fn enter_contexts(
        &mut self,
        table: PhysAddr,
        devfns: core::ops::RangeInclusive<u16>,
        reason: FaultReason,
        place: Place,
        fetch: &mut impl Fetch<'m>,
    ) -> Found {
        if let Err(defect) = self.context.read(fetch, table) {
            return Some(Err(Fault::new(reason, defect.into(), place, false)));
        }
        (self.devfn, self.last_devfn) = match self.only_device {
            Some(only) => (only.devfn().into(), only.devfn().into()),
            None => devfns.into_inner(),
        };
        self.stage = Stage::Context;
        None
    }

    /// The entry of the current bus in the root table.
    fn root_place(&self, entry: crate::vtd::Bits) -> Place {
        Place::root(self.root_table(), self.current_bus(), Some(entry), self.only_device)
    }

    /// The bus counter is already at the next bus.
    fn current_bus(&self) -> u8 {
        u8::try_from(self.bus.wrapping_sub(1)).unwrap_or(0)
    }

    /// Goes to the next context entry: in legacy mode a device, in scalable mode a PASID directory.
    fn next_context(&mut self) -> Found {
        while self.devfn <= self.last_devfn {
            let devfn = u8::try_from(self.devfn).unwrap_or(0);
            self.devfn = self.devfn.wrapping_add(1);
            let source_id = SourceId::new(self.current_bus(), devfn);
            match self.root_entry {
                Root::Legacy(root) => {
                    let context = *ContextEntry::table(self.context.page()).get(usize::from(devfn))?;
                    if context.present() {
                        return Some(self.legacy_device(source_id, root, context));
                    }
                }
                Root::Scalable(root, half) => {
                    let index = devfn & 0x7f;
                    let context = *ScalableContextEntry::table(self.context.page()).get(usize::from(index))?;
                    if context.present() {
                        let place = Place::context(root.context_table(half), index, context.words().into(), source_id);
                        return self.enter_directory(context, place);
                    }
                }
            }
        }
        self.stage = match self.root_entry {
            Root::Scalable(_, Half::Lower) => Stage::Upper,
            _ => Stage::Bus,
        };
        None
    }

    fn legacy_device(&self, source_id: SourceId, root: RootEntry, context: ContextEntry) -> Result<Device, Fault> {
        let space = self.unit.check_context(&context).map_err(|wrong| {
            let place = Place::context(root.context_table(), source_id.devfn(), context.raw().into(), source_id);
            fault_at(wrong, place, context.fault_disabled())
        })?;
        let entries = DeviceEntries::Legacy { root, context };
        Ok(Device { source_id, pasid: None, with_pasid: false, root_table: self.root_table(), entries, space })
    }
}
