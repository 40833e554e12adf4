use super::{
    AddressSpace, Cause, ContextEntry, Device, Fault, FaultReason, Place, RootEntry, SecondStageSpace, Structure, Unit,
};
use crate::access::{Access, Permissions};
use crate::address::{Iova, PhysAddr, PhysRange, SourceId};
use crate::memory::{Page, PhysReader, ReadError, lend_or_copy};
use crate::radix::{self, Refusal, Translation, Visit};

/// First and last byte of the interrupt address range: requests without PASID to it are interrupts, and no
/// translation may lead into it.
pub const INTERRUPT_RANGE: (u64, u64) = (0xfee0_0000, 0xfeef_ffff);

/// Whether a request without PASID to `iova` is an interrupt, which never reaches the tables.
#[inline]
fn is_interrupt(iova: Iova) -> bool {
    INTERRUPT_RANGE.0 <= iova.0 && iova.0 <= INTERRUPT_RANGE.1
}

/// Its place is where the tables would begin, if they were looked at.
#[cold]
fn interrupt(root_table: PhysAddr, source_id: SourceId, iova: Iova) -> Fault {
    let place = RootEntry::place(root_table, source_id.bus(), None, Some(source_id));
    Fault { reason: None, cause: Cause::InterruptRequest, place: Place { iova: Some(iova), ..place } }
}

/// An entry that a translation went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathEntry {
    /// What kind of table it is in.
    pub structure: Structure,
    /// The table.
    pub table: PhysAddr,
    /// The index of the entry in it.
    pub index: u16,
    /// The entry: 64 bits of a page table, 128 of a root or context table.
    pub entry: u128,
}

impl Unit {
    /// Finds the device behind `source_id` as hardware does for an untranslated request without PASID: root
    /// entry fetched, present, reserved bits; then the context entry. Calls `visit` for each entry fetched.
    ///
    /// # Errors
    /// The [`Fault`] of the first check that fails.
    pub fn device<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        source_id: SourceId,
        copy: &mut Page,
        mut visit: impl FnMut(PathEntry),
    ) -> Result<Device, Fault> {
        let unreadable = |error: ReadError, reason, place| {
            let cause = Cause::Unreadable(error);
            Fault { reason: cause.reason(reason), cause, place }
        };

        let (table, bus) = (self.rtaddr().root_table(), source_id.bus());
        let page = lend_or_copy(reader, table, copy).map_err(|error| {
            unreadable(error, FaultReason::RootUnreadable, RootEntry::place(table, bus, None, Some(source_id)))
        })?;
        let root_entry = entry_at(RootEntry::table(page), bus);
        let at_root = RootEntry::place(table, bus, Some(&root_entry), Some(source_id));
        visit(at_root.into());
        self.check_root(&root_entry).map_err(|(reason, cause)| Fault {
            reason: Some(reason),
            cause,
            place: at_root,
        })?;

        let page = lend_or_copy(reader, root_entry.context_table(), copy)
            .map_err(|error| unreadable(error, FaultReason::ContextUnreadable, at_root))?;
        let context_entry = entry_at(ContextEntry::table(page), source_id.devfn());
        let at_context = context_entry.place(source_id, &root_entry);
        visit(at_context.into());
        let space = self.check_context(&context_entry).map_err(|(reason, cause)| Fault {
            reason: Some(reason),
            cause,
            place: at_context,
        })?;
        Ok(Device { source_id, root_table: table, root_entry, context_entry, space })
    }

    /// Translates one request of `source_id` without PASID, with every check in the hardware's order. Calls
    /// `visit` for each entry fetched.
    ///
    /// # Errors
    /// The [`Fault`] that the hardware would record.
    ///
    /// ```
    /// use iopt::memory::{Page, Slot, SparseMemory};
    /// use iopt::vtd::{FaultReason, Rtaddr, Unit};
    /// use iopt::{Access, Iova, PhysAddr, SourceId};
    ///
    /// let mut slots = [Slot::EMPTY; 5];
    /// let mut memory = SparseMemory::new(&mut slots);
    /// memory.write_u64(PhysAddr(0x1000), 0x2001)?; // root entry of bus 0: context table at 0x2000
    /// memory.write_u64(PhysAddr(0x2080), 0x3001)?; // context entry of 00:01.0: page table at 0x3000 …
    /// memory.write_u64(PhysAddr(0x2088), 0x101)?; // … of 3 levels (AW 1), domain 1
    /// memory.write_u64(PhysAddr(0x3000), 0x4003)?;
    /// memory.write_u64(PhysAddr(0x4008), 0x8020_0081)?; // 2 MiB at IOVA 0x20_0000, read only
    ///
    /// let unit = Unit::new(Rtaddr(0x1000))?;
    /// let device = SourceId::new(0, 8);
    /// let mut copy = Page::ZERO;
    /// let read = unit.translate(&memory, device, Iova(0x20_1234), Access::Read, &mut copy, |_| ())?;
    /// assert_eq!(read.phys, PhysAddr(0x8020_1234));
    /// let write = unit.translate(&memory, device, Iova(0x20_1234), Access::Write, &mut copy, |_| ());
    /// assert_eq!(write.map_err(|fault| fault.reason), Err(Some(FaultReason::WriteDenied)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn translate<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        source_id: SourceId,
        iova: Iova,
        access: Access,
        copy: &mut Page,
        mut visit: impl FnMut(PathEntry),
    ) -> Result<Translation, Fault> {
        self.check_interrupt(source_id, iova)?;
        let device = self.device(reader, source_id, copy, &mut visit);
        let at_iova = |mut fault: Fault| {
            fault.place.iova = Some(iova);
            fault
        };
        device.map_err(at_iova)?.translate(reader, iova, access, copy, visit)
    }

    /// Whether a request of `source_id` without PASID to `iova` is one that the tables decide about.
    ///
    /// # Errors
    /// A [`Fault`] without a reason, by [`Cause::InterruptRequest`], when it is an interrupt instead.
    pub fn check_interrupt(&self, source_id: SourceId, iova: Iova) -> Result<(), Fault> {
        if is_interrupt(iova) { Err(interrupt(self.rtaddr().root_table(), source_id, iova)) } else { Ok(()) }
    }

    /// # Errors
    /// The fault reason of every request to the bus, and what is wrong.
    pub(crate) fn check_root(&self, entry: &RootEntry) -> Result<(), (FaultReason, Cause)> {
        if !entry.present() {
            return Err((FaultReason::RootNotPresent, Cause::NotPresent));
        }
        match self.root_reserved(entry) {
            0 => Ok(()),
            bits => Err((FaultReason::RootReserved, Cause::ReservedBits(bits))),
        }
    }

    /// # Errors
    /// The fault reason of every request of the device, and what is wrong.
    pub(crate) fn check_context(&self, entry: &ContextEntry) -> Result<AddressSpace, (FaultReason, Cause)> {
        if !entry.present() {
            return Err((FaultReason::ContextNotPresent, Cause::NotPresent));
        }
        self.address_space(entry)
    }
}

impl Device {
    /// Translates one request of this device, as [`Unit::translate`] does, without fetching its root and
    /// context entries again.
    ///
    /// # Errors
    /// The [`Fault`] that the hardware would record.
    #[inline]
    pub fn translate<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        iova: Iova,
        access: Access,
        copy: &mut Page,
        mut visit: impl FnMut(PathEntry),
    ) -> Result<Translation, Fault> {
        if is_interrupt(iova) {
            return Err(interrupt(self.root_table, self.source_id, iova));
        }
        let space = match &self.space {
            AddressSpace::SecondStage(space) => space,
            AddressSpace::PassThrough { host_address_width } => return self.pass_through(iova, *host_address_width),
        };
        if iova.0.checked_shr(u32::from(space.input_bits)).unwrap_or(0) != 0 {
            return Err(self.refuse(iova, Some(FaultReason::AddressTooWide), space.too_wide()));
        }
        let translated =
            radix::translate(reader, &space.format, space.root, iova, access, copy, |entry| visit(entry.into()));
        self.judge(iova, access, translated)
    }

    /// Translates many requests of this device at once, which takes less time than one after the other: their
    /// loads from memory overlap. Calls `done` once for each, with its place in `iovas`, not in order.
    #[inline]
    pub fn translate_all<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        iovas: &[Iova],
        access: Access,
        copy: &mut Page,
        mut done: impl FnMut(usize, Result<Translation, Fault>),
    ) {
        match &self.space {
            AddressSpace::SecondStage(space) if iovas.iter().all(|iova| self.goes_through(space, *iova)) => {
                radix::translate_all(reader, &space.format, space.root, iovas, access, copy, |at, translated| {
                    let iova = iovas.get(at).copied().unwrap_or_default();
                    done(at, self.judge(iova, access, translated));
                });
            }
            _ => {
                for (at, iova) in iovas.iter().enumerate() {
                    done(at, self.translate(reader, *iova, access, copy, |_| ()));
                }
            }
        }
    }

    /// Whether a request to `iova` is translated by the page tables at all.
    #[inline]
    fn goes_through(&self, space: &SecondStageSpace, iova: Iova) -> bool {
        !is_interrupt(iova) && iova.0.checked_shr(u32::from(space.input_bits)).unwrap_or(0) == 0
    }

    /// What the hardware makes of what the page tables say.
    #[inline]
    fn judge(
        &self,
        iova: Iova,
        access: Access,
        translated: Result<Translation, Refusal>,
    ) -> Result<Translation, Fault> {
        let (first, last) = INTERRUPT_RANGE;
        match translated {
            Ok(translation) => {
                let page = PhysRange::block(translation.phys, translation.page_size_log2);
                if page.first().0 <= last && page.last().0 >= first {
                    let cause = Cause::InterruptRangeOutput(page.first());
                    return Err(self.refuse_at(iova, translation.leaf, Some(FaultReason::InterruptRangeOutput), cause));
                }
                Ok(translation)
            }
            Err(refused) => Err(self.refused(iova, access, refused)),
        }
    }

    fn pass_through(&self, iova: Iova, host_address_width: Option<u8>) -> Result<Translation, Fault> {
        if !self.space.input().contains(iova) {
            if let Some(bits) = host_address_width {
                let cause = Cause::TooWide { bits, limit: super::WidthLimit::Host };
                return Err(self.refuse(iova, Some(FaultReason::AddressTooWide), cause));
            }
        }
        Ok(Translation { phys: PhysAddr(iova.0), page_size_log2: 12, permissions: Permissions::READ_WRITE, leaf: None })
    }

    #[cold]
    fn refused(&self, iova: Iova, access: Access, refusal: Refusal) -> Fault {
        let denied = match access {
            Access::Read => FaultReason::ReadDenied,
            Access::Write => FaultReason::WriteDenied,
        };
        match refusal {
            Refusal::Denied(entry) => self.refuse_at(iova, Some(entry), Some(denied), Cause::Denied(access)),
            Refusal::ReservedBits(entry, bits) => {
                let cause = Cause::ReservedBits(bits.into());
                self.refuse_at(iova, Some(entry), Some(FaultReason::PageTableReserved), cause)
            }
            Refusal::Unreadable(error, parent) => {
                let cause = Cause::Unreadable(error);
                let reason = match parent {
                    Some(_) => FaultReason::PageTableUnreadable,
                    None => FaultReason::ContextInvalid,
                };
                self.refuse_at(iova, parent, cause.reason(reason), cause)
            }
        }
    }

    /// A fault at this page-table entry, or without one at the context entry.
    #[cold]
    fn refuse_at(&self, iova: Iova, entry: Option<Visit>, reason: Option<FaultReason>, cause: Cause) -> Fault {
        let context = self.context_entry.place(self.source_id, &self.root_entry);
        let place = match entry.map(PathEntry::from) {
            Some(PathEntry { structure, table, index, entry }) => {
                Place { structure, table, index, entry: Some(entry), ..context }
            }
            None => context,
        };
        Fault { reason, cause, place: Place { iova: Some(iova), ..place } }
    }

    /// A fault at the context entry.
    #[cold]
    fn refuse(&self, iova: Iova, reason: Option<FaultReason>, cause: Cause) -> Fault {
        self.refuse_at(iova, None, reason, cause)
    }
}

#[allow(clippy::indexing_slicing, reason = "a u8 can't leave an array of 256")]
pub(super) fn entry_at<T: Copy>(table: &[T; 256], index: u8) -> T {
    table[usize::from(index)]
}

impl From<Visit> for PathEntry {
    #[inline]
    fn from(visit: Visit) -> Self {
        Self {
            structure: Structure::PageTable(visit.level),
            table: visit.table,
            index: visit.index,
            entry: visit.raw.into(),
        }
    }
}

impl From<Place> for PathEntry {
    fn from(place: Place) -> Self {
        Self { structure: place.structure, table: place.table, index: place.index, entry: place.entry.unwrap_or(0) }
    }
}
