use super::judge::{first_stage, second_stage};
use super::{AddressSpace, Bits, Cause, Device, Fault, FaultReason, Place, Structure, Unit, WidthLimit};
use crate::access::{Access, Permissions};
use crate::address::{Iova, PhysAddr, PhysRange, Requester};
use crate::memory::{Page, PhysReader};
use crate::radix::{self, Format, Stage, Translation, Visit, translate_nested};

/// First and last byte of the interrupt address range: requests without PASID to it are interrupts, and no
/// translation may lead into it.
pub const INTERRUPT_RANGE: (u64, u64) = (0xfee0_0000, 0xfeef_ffff);

/// Whether a request without PASID to `iova` is an interrupt, which never reaches the tables.
#[inline]
fn is_interrupt(iova: Iova) -> bool {
    INTERRUPT_RANGE.0 <= iova.0 && iova.0 <= INTERRUPT_RANGE.1
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
    /// The entry.
    pub entry: Bits,
}

impl Unit {
    /// Translates one request of `requester`, with every check in the hardware's order. Calls `visit` for each
    /// entry fetched.
    ///
    /// Accessed and dirty bits need not be set: a reader of tables does not set them.
    ///
    /// # Errors
    /// The [`Fault`] that the hardware would record.
    ///
    /// ```
    /// use iopt::builder::{Leaves, Target, UnitBuilder}; // with the feature `builder`
    /// use iopt::memory::{Page, Slot, SparseMemory};
    /// use iopt::vtd::{FaultReason, TranslationMode};
    /// use iopt::{Access, Iova, Permissions, PhysAddr, SourceId};
    ///
    /// let (mut slots, device) = ([Slot::EMPTY; 4], SourceId::new(0, 8));
    /// let mut memory = SparseMemory::new(&mut slots);
    /// let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy)?;
    /// let table = tables.second_stage(3)?;
    /// let leaf = Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000));
    /// tables.map(table, leaf.permissions(Permissions::READ))?;
    /// tables.device(device, Target::second_stage(table))?;
    ///
    /// let (unit, mut copy) = (tables.unit(), Page::ZERO);
    /// let read = unit.translate(&memory, device, Iova(0x20_1234), Access::Read, &mut copy, |_| ())?;
    /// assert_eq!(read.phys, PhysAddr(0x8020_1234));
    /// let write = unit.translate(&memory, device, Iova(0x20_1234), Access::Write, &mut copy, |_| ());
    /// assert_eq!(write.map_err(|fault| fault.reason), Err(Some(FaultReason::WriteDenied)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn translate<R: PhysReader + ?Sized>(
        &self,
        reader: &R,
        requester: impl Into<Requester>,
        iova: Iova,
        access: Access,
        copy: &mut Page,
        mut visit: impl FnMut(PathEntry),
    ) -> Result<Translation, Fault> {
        let requester = requester.into();
        self.check_interrupt(requester, iova)?;
        let device = self.device(reader, requester, copy, &mut visit);
        let at_iova = |mut fault: Fault| {
            fault.place.iova = Some(iova);
            fault
        };
        device.map_err(at_iova)?.translate(reader, iova, access, copy, visit)
    }

    /// Whether a request of `requester` to `iova` is one that the tables decide about.
    ///
    /// # Errors
    /// A [`Fault`] without a reason, by [`Cause::InterruptRequest`], when it is an interrupt instead.
    pub fn check_interrupt(&self, requester: impl Into<Requester>, iova: Iova) -> Result<(), Fault> {
        let requester = requester.into();
        if requester.pasid.is_none() && is_interrupt(iova) {
            return Err(interrupt(self.root_place(requester.source_id), iova));
        }
        Ok(())
    }
}

/// Its place is where the tables would begin, if they were looked at.
#[cold]
fn interrupt(place: Place, iova: Iova) -> Fault {
    let place = Place { iova: Some(iova), ..place };
    Fault { reason: None, cause: Cause::InterruptRequest, place, suppressed: false }
}

impl Device {
    /// Translates one request of this device, as [`Unit::translate`] does, without fetching the entries that lead to
    /// its page tables again.
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
        if !self.with_pasid && is_interrupt(iova) {
            let place = Place::root(self.root_table, self.source_id.bus(), None, Some(self.source_id));
            return Err(interrupt(place, iova));
        }
        match &self.space {
            AddressSpace::SecondStage(space) => {
                if !space.reaches(iova.0) {
                    return Err(self.refuse(iova, self.reasons().too_wide, space.too_wide()));
                }
                let visit = |entry| visit(second_stage(entry));
                let found = radix::translate(reader, &space.format, space.root, iova, access, copy, visit);
                let refused = |refusal| self.refused_by_second_stage(Some(iova), access, refusal);
                self.judge(iova, second_stage, found, refused)
            }
            AddressSpace::FirstStage(space) => {
                if !space.format.accepts(iova) {
                    return Err(self.refuse(iova, FaultReason::NotCanonical, space.not_canonical()));
                }
                let visit = |entry| visit(first_stage(entry));
                let found = radix::translate(reader, &space.format, space.root, iova, access, copy, visit);
                let refused = |refusal| self.refused_by_first_stage(Some(iova), access, refusal);
                self.judge(iova, first_stage, found, refused)
            }
            AddressSpace::Nested(first, second) => {
                if !first.format.accepts(iova) {
                    return Err(self.refuse(iova, FaultReason::NotCanonical, first.not_canonical()));
                }
                let visit = |stage, entry| {
                    visit(match stage {
                        Stage::Outer => first_stage(entry),
                        Stage::Inner => second_stage(entry),
                    });
                };
                let (format, root, inner) = (&first.format, first.root, second.inner());
                let found = translate_nested(reader, format, root, &inner, iova, access, copy, visit);
                let refused = |refusal| self.refused_by_both(iova, access, refusal);
                self.judge(iova, second_stage, found, refused)
            }
            AddressSpace::PassThrough { host_address_width } => self.pass_through(iova, *host_address_width),
            // Hardware looks no further than the context entry.
            AddressSpace::Blocked(reason @ FaultReason::ScalablePasidDisabled) => {
                let place = Place { iova: Some(iova), ..self.context_place() };
                Err(Fault::new(*reason, Cause::PasidDisabled, place, self.context_fault_disabled()))
            }
            AddressSpace::Blocked(reason) => Err(self.refuse(iova, *reason, Cause::NotPresent)),
        }
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
        let reaches_tables = |iova: &Iova| self.with_pasid || !is_interrupt(*iova);
        let iova_at = |at: usize| iovas.get(at).copied().unwrap_or_default();
        match &self.space {
            AddressSpace::SecondStage(space)
                if iovas.iter().all(|iova| reaches_tables(iova) && space.reaches(iova.0)) =>
            {
                radix::translate_all(reader, &space.format, space.root, iovas, access, copy, |at, found| {
                    let iova = iova_at(at);
                    let refused = |refusal| self.refused_by_second_stage(Some(iova), access, refusal);
                    done(at, self.judge(iova, second_stage, found, refused));
                });
            }
            AddressSpace::FirstStage(space)
                if iovas.iter().all(|iova| reaches_tables(iova) && space.format.accepts(*iova)) =>
            {
                radix::translate_all(reader, &space.format, space.root, iovas, access, copy, |at, found| {
                    let iova = iova_at(at);
                    let refused = |refusal| self.refused_by_first_stage(Some(iova), access, refusal);
                    done(at, self.judge(iova, first_stage, found, refused));
                });
            }
            _ => {
                for (at, iova) in iovas.iter().enumerate() {
                    done(at, self.translate(reader, *iova, access, copy, |_| ()));
                }
            }
        }
    }

    /// What is found may still not lead into the interrupt address range; `entry` is of the stage that has the leaf.
    #[inline(always)]
    fn judge<E>(
        &self,
        iova: Iova,
        entry: fn(Visit) -> PathEntry,
        found: Result<Translation, E>,
        refused: impl FnOnce(E) -> Fault,
    ) -> Result<Translation, Fault> {
        match found {
            Ok(translation) if !into_interrupts(&translation) => Ok(translation),
            Ok(translation) => Err(self.interrupts(iova, &translation, entry)),
            Err(refusal) => Err(refused(refusal)),
        }
    }

    #[cold]
    fn interrupts(&self, iova: Iova, translation: &Translation, entry: fn(Visit) -> PathEntry) -> Fault {
        let page = PhysRange::block(translation.phys, translation.page_size_log2);
        let cause = Cause::InterruptRangeOutput(page.first());
        self.at(Some(iova), translation.leaf.map(entry), self.reasons().interrupt_range, cause)
    }

    fn pass_through(&self, iova: Iova, host_address_width: Option<u8>) -> Result<Translation, Fault> {
        if let Some(bits) = host_address_width.filter(|_| self.space.input().is_none_or(|input| !input.contains(iova)))
        {
            let cause = Cause::TooWide { bits, limit: WidthLimit::Host };
            return Err(self.refuse(iova, self.reasons().pass_through_too_wide, cause));
        }
        let translation = Translation {
            phys: PhysAddr(iova.0),
            page_size_log2: 12,
            permissions: Permissions::READ_WRITE,
            leaf: None,
        };
        self.judge(iova, second_stage, Ok(translation), core::convert::identity)
    }

    /// A fault at the entry that leads to the page tables.
    #[cold]
    fn refuse(&self, iova: Iova, reason: FaultReason, cause: Cause) -> Fault {
        self.at(Some(iova), None, reason, cause)
    }
}

/// Whether any byte of the page is an interrupt address.
#[inline(always)]
fn into_interrupts(translation: &Translation) -> bool {
    let inside = 1u64.wrapping_shl(translation.page_size_log2.into()).wrapping_sub(1);
    translation.phys.0 & !inside <= INTERRUPT_RANGE.1 && translation.phys.0 | inside >= INTERRUPT_RANGE.0
}

impl From<Place> for PathEntry {
    fn from(place: Place) -> Self {
        Self {
            structure: place.structure,
            table: place.table,
            index: place.index,
            entry: place.entry.unwrap_or_default(),
        }
    }
}
