use super::{IndexedEntry, Interrupt, InterruptCause, InterruptEntry, InterruptFault, Irta, Msi, PostedDescriptor};
use crate::address::SourceId;
use crate::memory::{Page, PhysReader, lend_or_copy};
use crate::vtd::lookup::entry_at;

/// What becomes of an interrupt that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remapped {
    /// This entry says.
    Entry(IndexedEntry),
    /// The request has the compatibility format and does not come to the table. It passes unchanged if the unit
    /// lets such interrupts pass (GSTS_REG.CFIS), and else is blocked with fault 0x25.
    Compatibility,
}

impl Irta {
    /// The entry for interrupt `index` of `source_id`, with every check in the hardware's order: index (0x21),
    /// fetch (0x23), present (0x22), reserved bits and values (0x24), source-id (0x26), and of a posted entry its
    /// descriptor: fetch (0x27), reserved bits (0x28).
    ///
    /// # Errors
    /// The [`InterruptFault`] that the hardware would record.
    pub fn lookup<R: PhysReader + ?Sized>(
        self,
        reader: &R,
        source_id: SourceId,
        index: u32,
        copy: &mut Page,
    ) -> Result<IndexedEntry, InterruptFault> {
        let refuse = |cause: InterruptCause, entry: Option<&InterruptEntry>| {
            cause.at(Some(self.place(index, entry.map(InterruptEntry::raw))), Some(source_id))
        };
        let entries = self.entry_count();
        if index >= entries {
            return Err(refuse(InterruptCause::IndexTooLarge { entries }, None));
        }
        let page = self.page(index).ok_or_else(|| refuse(InterruptCause::BeyondMemory, None))?;
        let page = lend_or_copy(reader, page, copy).map_err(|error| refuse(InterruptCause::Unreadable(error), None))?;
        let entry = entry_at(InterruptEntry::table(page), (index & 0xff) as u8);
        if !entry.present() {
            return Err(refuse(InterruptCause::NotPresent, Some(&entry)));
        }
        entry.check(self.extended()).map_err(|cause| refuse(cause, Some(&entry)))?;
        let validation = entry.validation();
        if !validation.allows(source_id) {
            return Err(refuse(InterruptCause::Source(validation), Some(&entry)));
        }
        if let Interrupt::Posted { descriptor: address, .. } = entry.interrupt(self.extended()) {
            let page = lend_or_copy(reader, address, copy)
                .map_err(|error| refuse(InterruptCause::DescriptorUnreadable(error), Some(&entry)))?;
            let &[_, _, _, _, upper @ ..] = PostedDescriptor::at(address, page).reserved().words();
            if upper != [0; 4] {
                return Err(refuse(InterruptCause::DescriptorReserved(upper), Some(&entry)));
            }
        }
        Ok(IndexedEntry { index, entry })
    }

    /// What becomes of `msi`, sent by `source_id`. Compatibility format is told first, then reserved bits of the
    /// request (0x20), and then what [`lookup`](Self::lookup) checks.
    ///
    /// # Errors
    /// The [`InterruptFault`] that the hardware would record, or one without a reason for a write that is no
    /// interrupt.
    ///
    /// ```
    /// use iopt::memory::{Page, Slot, SparseMemory};
    /// use iopt::vtd::{FaultReason, Irta, Msi};
    /// use iopt::{PhysAddr, SourceId};
    ///
    /// let mut slots = [Slot::EMPTY; 1];
    /// let mut memory = SparseMemory::new(&mut slots);
    /// memory.write_u64(PhysAddr(0x1010), 0x30_0009)?;
    /// memory.write_u64(PhysAddr(0x1018), 0x4_00fa)?; // for 00:1f.2 alone
    ///
    /// let (irta, msi) = (Irta(0x1007), Msi { address: 0xfee0_0030, data: 0 }); // remappable, handle 1
    /// let mut copy = Page::ZERO;
    /// assert!(irta.lookup_msi(&memory, SourceId::new(0, 0xfa), msi, &mut copy).is_ok());
    /// let other = irta.lookup_msi(&memory, SourceId::new(0, 0x28), msi, &mut copy);
    /// assert_eq!(other.map_err(|fault| fault.reason), Err(Some(FaultReason::InterruptSourceInvalid)));
    /// # Ok::<(), iopt::memory::MemoryFull>(())
    /// ```
    pub fn lookup_msi<R: PhysReader + ?Sized>(
        self,
        reader: &R,
        source_id: SourceId,
        msi: Msi,
        copy: &mut Page,
    ) -> Result<Remapped, InterruptFault> {
        let refuse = |cause: InterruptCause| Err(cause.at(None, Some(source_id)));
        if !msi.is_interrupt() {
            return refuse(InterruptCause::NotAnInterrupt(msi.address));
        }
        if !msi.remappable() {
            return if self.extended() {
                refuse(InterruptCause::CompatibilityBlocked)
            } else {
                Ok(Remapped::Compatibility)
            };
        }
        if msi.reserved() != 0 {
            return refuse(InterruptCause::RequestReserved(msi.reserved()));
        }
        self.lookup(reader, source_id, msi.index(), copy).map(Remapped::Entry)
    }
}
