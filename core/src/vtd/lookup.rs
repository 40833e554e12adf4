//! From a request to the address space of its device.

use super::{
    Cause, ContextEntry, Device, DeviceEntries, Fault, FaultReason, Half, PasidDirectoryEntry, PasidEntry, PathEntry,
    Place, RootEntry, ScalableContextEntry, ScalableRootEntry, Unit,
};
use crate::address::{PAGE_SIZE, PhysAddr, Requester, SourceId};
use crate::memory::{Page, PhysReader, ReadError, ReadErrorKind, lend_or_copy};

impl Unit {
    /// Finds the address space behind `requester` as hardware does for an untranslated request: root entry fetched,
    /// present, reserved bits; then the context entry, and in scalable mode the PASID directory and table entries.
    /// Calls `visit` for each entry fetched.
    ///
    /// A request without PASID uses the entry of RID_PASID in scalable mode.
    ///
    /// # Errors
    /// The [`Fault`] of the first check that fails.
    pub fn device<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        requester: impl Into<Requester>,
        copy: &mut Page,
        visit: impl FnMut(PathEntry),
    ) -> Result<Device, Fault> {
        let requester = requester.into();
        let mut path = Path { unit: self, reader, copy, visit };
        let mut found = match self.check_mode() {
            Err(wrong) => Err(at(wrong, self.root_place(requester.source_id), false)),
            Ok(()) if self.is_scalable() => path.scalable(requester),
            Ok(()) => path.legacy(requester),
        };
        if let Err(fault) = &mut found {
            fault.place.pasid = fault.place.pasid.or(requester.pasid);
        }
        found
    }

    /// Where the tables begin for a device, if they can't even be looked at.
    pub(crate) fn root_place(&self, source_id: SourceId) -> Place {
        Place::root(self.rtaddr().root_table(), source_id.bus(), None, Some(source_id))
    }
}

struct Path<'a, R: ?Sized, V> {
    unit: &'a Unit,
    reader: &'a R,
    copy: &'a mut Page,
    visit: V,
}

impl<R: PhysReader + ?Sized, V: FnMut(PathEntry)> Path<'_, R, V> {
    /// The page at `table`, to which the entry at `parent` points.
    fn fetch(
        &mut self,
        table: PhysAddr,
        reason: FaultReason,
        parent: Place,
        fault_disabled: bool,
    ) -> Result<&Page, Fault> {
        lend_or_copy(self.reader, table, self.copy)
            .map_err(|error| Fault::new(reason, Cause::Unreadable(error), parent, fault_disabled))
    }

    fn legacy(&mut self, requester: Requester) -> Result<Device, Fault> {
        let source_id = requester.source_id;
        let (root_table, bus) = (self.unit.rtaddr().root_table(), source_id.bus());
        let nowhere = self.unit.root_place(source_id);
        if requester.pasid.is_some() {
            let wrong = (FaultReason::RootAddressPasidRequest, Cause::PasidInLegacyMode);
            return Err(at(wrong, nowhere, false));
        }
        let page = self.fetch(root_table, FaultReason::RootUnreadable, nowhere, false)?;
        let root = entry_at(RootEntry::table(page), bus);
        let place = Place::root(root_table, bus, Some(root.raw().into()), Some(source_id));
        (self.visit)(place.into());
        self.unit.check_root(&root).map_err(|wrong| at(wrong, place, false))?;

        let page = self.fetch(root.context_table(), FaultReason::ContextUnreadable, place, false)?;
        let context = entry_at(ContextEntry::table(page), source_id.devfn());
        let place = Place::context(root.context_table(), source_id.devfn(), context.raw().into(), source_id);
        (self.visit)(place.into());
        let space = self.unit.check_context(&context).map_err(|wrong| at(wrong, place, context.fault_disabled()))?;
        let entries = DeviceEntries::Legacy { root, context };
        Ok(Device { source_id, pasid: None, with_pasid: false, root_table, entries, space })
    }

    fn scalable(&mut self, requester: Requester) -> Result<Device, Fault> {
        let Requester { source_id, pasid: wanted } = requester;
        let (root_table, bus) = (self.unit.rtaddr().root_table(), source_id.bus());
        let nowhere = self.unit.root_place(source_id);
        let page = self.fetch(root_table, FaultReason::ScalableRootUnreadable, nowhere, false)?;
        let root = entry_at(ScalableRootEntry::table(page), bus);
        let place = Place::root(root_table, bus, Some(root.raw().into()), Some(source_id));
        (self.visit)(place.into());
        let half = Half::of(source_id);
        self.unit.check_scalable_root(&root, half).map_err(|wrong| at(wrong, place, false))?;

        let (table, index) = (root.context_table(half), source_id.devfn() & 0x7f);
        let page = self.fetch(table, FaultReason::ScalableContextUnreadable, place, false)?;
        let context = entry_at(ScalableContextEntry::table(page), index);
        let place = Place::context(table, index, context.words().into(), source_id);
        (self.visit)(place.into());
        let mut fault_disabled = context.fault_disabled();
        let at_context = |wrong| at(wrong, place, fault_disabled);
        self.unit.check_scalable_context(&context).map_err(at_context)?;
        let pasid = self.unit.select_pasid(&context, wanted).map_err(at_context)?;

        let entry = u64::from(pasid.0 >> 6).wrapping_mul(8);
        let Some(addr) = context.directory_table().checked_add(entry) else {
            // The directory runs past the end of the address space.
            let error = ReadError::new(context.directory_table(), ReadErrorKind::Hole);
            return Err(at((FaultReason::PasidDirectoryUnreadable, Cause::Unreadable(error)), place, fault_disabled));
        };
        let page = self.fetch(addr, FaultReason::PasidDirectoryUnreadable, place, fault_disabled)?;
        let directory = entry_at(PasidDirectoryEntry::table(page), (addr.0 % PAGE_SIZE) >> 3);
        let place = Place::directory(context.directory_table(), directory.raw().into(), source_id, pasid);
        (self.visit)(place.into());
        fault_disabled |= directory.fault_disabled();
        self.unit.check_directory(&directory).map_err(|wrong| at(wrong, place, fault_disabled))?;

        let table = directory.pasid_table();
        let page = self.fetch(table, FaultReason::PasidEntryUnreadable, place, fault_disabled)?;
        let entry = entry_at(PasidEntry::table(page), pasid.0 & 0x3f);
        let place = Place::pasid(table, entry.words().into(), source_id, pasid);
        (self.visit)(place.into());
        fault_disabled |= entry.fault_disabled();
        let with_pasid = wanted.is_some();
        let supervisor = !with_pasid && self.unit.rid_privileged(&context);
        let space = self.unit.check_pasid(&entry, supervisor).map_err(|wrong| at(wrong, place, fault_disabled))?;
        let entries = DeviceEntries::Scalable { root, context, directory, pasid: Some(entry) };
        Ok(Device { source_id, pasid: Some(pasid), with_pasid, root_table, entries, space })
    }
}

/// The fault of a failed check.
pub(crate) fn at((reason, cause): (FaultReason, Cause), place: Place, fault_disabled: bool) -> Fault {
    Fault::new(reason, cause, place, fault_disabled)
}

/// Entry `index` of a table, whose length is a power of two that no index exceeds.
#[allow(clippy::indexing_slicing, reason = "the remainder of a division by N is less than N")]
pub(super) fn entry_at<T: Copy, const N: usize>(table: &[T; N], index: impl Into<u64>) -> T {
    let index = usize::try_from(index.into()).unwrap_or(0);
    table[index.checked_rem(N).unwrap_or(0)]
}
