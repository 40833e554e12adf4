//! Scalable mode: the PASIDs of a device, through its PASID directory and the tables that it leads to.

use super::{Devices, Fetch, Found, Root, Stage};
use crate::address::{PAGE_SIZE, Pasid, SourceId};
use crate::memory::{ReadError, ReadErrorKind};
use crate::radix::Defect;
use crate::vtd::{
    AddressSpace, Device, DeviceEntries, Fault, FaultReason, Half, PasidDirectoryEntry, PasidEntry, Place,
    ScalableContextEntry, ScalableRootEntry, fault_at,
};

/// log2 of how many PASIDs a page of the directory is for: 512 entries of 64 each.
const PASIDS_PER_PAGE_LOG2: u32 = 15;

impl<'m> Devices<'m> {
    /// Goes to the PASIDs of a device.
    pub(super) fn enter_directory(&mut self, context: ScalableContextEntry, place: Place) -> Found {
        let fault_disabled = context.fault_disabled();
        if let Err(wrong) = self.unit.check_scalable_context(&context) {
            return Some(Err(fault_at(wrong, place, fault_disabled)));
        }
        let last = context.pasids().wrapping_sub(1);
        (self.pasid, self.last_pasid) = match self.only_pasid {
            Some(only) => (only.0, only.0.min(last)),
            None => (0, last),
        };
        (self.context_entry, self.directory_page, self.stage) = (context, None, Stage::Directory);
        let rid_pasid = self.unit.select_pasid(&context, None);
        rid_pasid.err().map(|wrong| Err(fault_at(wrong, place, fault_disabled)))
    }

    /// The device whose PASIDs are looked at.
    fn source_id(&self) -> SourceId {
        SourceId::new(self.current_bus(), u8::try_from(self.devfn.wrapping_sub(1)).unwrap_or(0))
    }

    fn scalable_root(&self) -> Option<(ScalableRootEntry, Half)> {
        match self.root_entry {
            Root::Scalable(root, half) => Some((root, half)),
            Root::Legacy(_) => None,
        }
    }

    /// Goes to the next PASID directory entry that leads to a PASID table.
    pub(super) fn next_directory_entry(&mut self, fetch: &mut impl Fetch<'m>) -> Found {
        if self.pasid > self.last_pasid {
            self.stage = Stage::Context;
            return None;
        }
        let first = self.pasid;
        let context = self.context_entry;
        let page = first >> PASIDS_PER_PAGE_LOG2;
        if self.directory_page != Some(page) {
            if let Err(defect) = self.read_directory(page, fetch) {
                self.pasid = page.wrapping_add(1).wrapping_shl(PASIDS_PER_PAGE_LOG2);
                let (root, half) = self.scalable_root()?;
                let source_id = self.source_id();
                let place = Place::context(
                    root.context_table(half),
                    source_id.devfn() & 0x7f,
                    context.words().into(),
                    source_id,
                );
                let place = Place { pasid: Some(Pasid(first)), ..place };
                let reason = FaultReason::PasidDirectoryUnreadable;
                return Some(Err(Fault::new(reason, defect.into(), place, context.fault_disabled())));
            }
            self.directory_page = Some(page);
        }
        let index = usize::try_from(first >> 6 & 0x1ff).unwrap_or(0);
        let entry = *PasidDirectoryEntry::table(self.directory.page()).get(index)?;
        let behind = (first | 0x3f).wrapping_add(1);
        if !entry.present() {
            self.pasid = behind;
            let rid_pasid = self.unit.rid_pasid(&context).0;
            let blocked = first <= rid_pasid && rid_pasid < behind.min(self.last_pasid.wrapping_add(1));
            return blocked.then_some(Pasid(rid_pasid)).and_then(|pasid| {
                self.directory_entry = entry;
                self.device(pasid, None, AddressSpace::Blocked(FaultReason::PasidDirectoryNotPresent)).map(Ok)
            });
        }
        let place = Place::directory(context.directory_table(), entry.raw().into(), self.source_id(), Pasid(first));
        let fault_disabled = context.fault_disabled() || entry.fault_disabled();
        if let Err(wrong) = self.unit.check_directory(&entry) {
            self.pasid = behind;
            return Some(Err(fault_at(wrong, place, fault_disabled)));
        }
        if let Err(defect) = self.pasids.read(fetch, entry.pasid_table()) {
            self.pasid = behind;
            let reason = FaultReason::PasidEntryUnreadable;
            return Some(Err(Fault::new(reason, defect.into(), place, fault_disabled)));
        }
        (self.directory_entry, self.stage) = (entry, Stage::Pasid);
        None
    }

    /// Reads one page of the PASID directory, which is contiguous in memory.
    fn read_directory(&mut self, page: u32, fetch: &mut impl Fetch<'m>) -> Result<(), Defect> {
        let base = self.context_entry.directory_table();
        match base.checked_add(u64::from(page).wrapping_mul(PAGE_SIZE)) {
            Some(addr) => self.directory.read(fetch, addr),
            None => Err(Defect::Unreadable(ReadError::new(base, ReadErrorKind::Hole))),
        }
    }

    /// The next device of the current PASID table.
    pub(super) fn next_pasid(&mut self) -> Found {
        let context = self.context_entry;
        let last = (self.pasid | 0x3f).min(self.last_pasid);
        let rid_pasid = self.unit.rid_pasid(&context);
        while self.pasid <= last {
            let pasid = Pasid(self.pasid);
            // Behind the last of the table, the next one is the first of the next table.
            self.pasid = self.pasid.wrapping_add(1);
            if pasid.0 == last {
                self.stage = Stage::Directory;
            }
            let index = usize::try_from(pasid.0 & 0x3f).unwrap_or(0);
            let entry = *PasidEntry::table(self.pasids.page()).get(index)?;
            if !entry.present() && pasid != rid_pasid {
                continue;
            }
            let space = if !entry.present() {
                AddressSpace::Blocked(FaultReason::PasidEntryNotPresent)
            } else if pasid != rid_pasid && !context.pasid_enabled() {
                AddressSpace::Blocked(FaultReason::ScalablePasidDisabled)
            } else {
                let supervisor = pasid == rid_pasid && self.unit.rid_privileged(&context);
                match self.unit.check_pasid(&entry, supervisor) {
                    Ok(space) => space,
                    Err(wrong) => {
                        return self
                            .device(pasid, Some(entry), AddressSpace::Blocked(wrong.0))
                            .map(|device| Err(fault_at(wrong, device.place(), device.fault_disabled())));
                    }
                }
            };
            return self.device(pasid, Some(entry), space).map(Ok);
        }
        self.stage = Stage::Directory;
        None
    }

    fn device(&self, pasid: Pasid, entry: Option<PasidEntry>, space: AddressSpace) -> Option<Device> {
        let (context, directory) = (self.context_entry, self.directory_entry);
        Some(Device {
            source_id: self.source_id(),
            pasid: Some(pasid),
            with_pasid: pasid != self.unit.rid_pasid(&context),
            root_table: self.root_table(),
            entries: DeviceEntries::Scalable { root: self.scalable_root()?.0, context, directory, pasid: entry },
            space,
        })
    }
}
