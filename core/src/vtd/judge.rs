//! What the hardware makes of a refusal or a defect of a device's page tables: which reason it records, and where.

use super::{AddressSpace, Bits, Cause, Device, Fault, FaultReason, PathEntry, Place, Structure};
use crate::access::{Access, Permissions};
use crate::address::{Iova, PhysAddr};
use crate::format::FirstStage;
use crate::radix::{Defect, Entry, Format, Malformed, NestedRefusal, Refusal, Stage, Visit};

impl Device {
    /// Why the walk of its page tables can't begin.
    #[cold]
    pub(crate) fn top_defect(&self, defect: Defect) -> Fault {
        match (&self.space, defect) {
            (_, Defect::NotLocated { refusal, .. }) => self.refused_table(None, refusal, None),
            (_, Defect::BeyondInner { addr, .. }) => self.table_beyond(None, addr, None),
            (AddressSpace::SecondStage(_), defect) => self.fault(self.reasons().top_unreadable, defect.into()),
            (_, defect) => self.fault(FaultReason::FirstStageTopUnreadable, defect.into()),
        }
    }

    /// What is wrong with an entry that a walk came to.
    #[cold]
    pub(crate) fn defect(&self, stage: Stage, malformed: &Malformed) -> Fault {
        let Malformed { table, level, index, raw, iova, defect } = *malformed;
        let visit = Visit { level, table, index, raw };
        let (entry, reserved, unreadable) = if stage == Stage::Outer {
            (first_stage(visit), FaultReason::FirstStageReserved, FaultReason::FirstStageUnreadable)
        } else {
            (second_stage(visit), self.reasons().reserved, self.reasons().unreadable)
        };
        let (iova, entry) = (Some(iova), Some(entry));
        match defect {
            Defect::NotLocated { refusal, .. } => self.refused_table(iova, refusal, entry),
            Defect::BeyondInner { addr, .. } if self.is_leaf(visit) => {
                self.at(iova, entry, self.reasons().too_wide, self.beyond(addr))
            }
            Defect::BeyondInner { addr, .. } => self.table_beyond(iova, addr, entry),
            Defect::ReservedBits(_) => self.at(iova, entry, reserved, defect.into()),
            _ => self.at(iova, entry, unreadable, defect.into()),
        }
    }

    #[cold]
    pub(super) fn refused_by_second_stage(&self, iova: Option<Iova>, access: Access, refusal: Refusal) -> Fault {
        let reasons = self.reasons();
        match refusal {
            Refusal::Denied(entry) => {
                let reason = match access {
                    Access::Read => reasons.read_denied,
                    Access::Write => reasons.write_denied,
                };
                self.at(iova, Some(second_stage(entry)), reason, Cause::Denied(access))
            }
            Refusal::ReservedBits(entry, bits) => {
                self.at(iova, Some(second_stage(entry)), reasons.reserved, Cause::ReservedBits(bits.into()))
            }
            Refusal::Unreadable(error, parent) => {
                let reason = if parent.is_some() { reasons.unreadable } else { reasons.top_unreadable };
                self.at(iova, parent.map(second_stage), reason, Cause::Unreadable(error))
            }
        }
    }

    #[cold]
    pub(super) fn refused_by_first_stage(&self, iova: Option<Iova>, access: Access, refusal: Refusal) -> Fault {
        match refusal {
            Refusal::Denied(entry) => {
                let granted = self.space.first_stage().map(|space| space.format.permissions(entry.raw));
                let (reason, cause) = if !FirstStage::is_present(entry.raw) {
                    (FaultReason::FirstStageNotPresent, Cause::NotPresent)
                } else if granted == Some(Permissions::NONE) {
                    (FaultReason::UserDenied, Cause::Supervisor)
                } else {
                    (FaultReason::FirstStageWriteDenied, Cause::Denied(access))
                };
                self.at(iova, Some(first_stage(entry)), reason, cause)
            }
            Refusal::ReservedBits(entry, bits) => {
                let cause = Cause::ReservedBits(bits.into());
                self.at(iova, Some(first_stage(entry)), FaultReason::FirstStageReserved, cause)
            }
            Refusal::Unreadable(error, parent) => {
                let reason = match parent {
                    Some(_) => FaultReason::FirstStageUnreadable,
                    None => FaultReason::FirstStageTopUnreadable,
                };
                self.at(iova, parent.map(first_stage), reason, Cause::Unreadable(error))
            }
        }
    }

    #[cold]
    pub(super) fn refused_by_both(&self, iova: Iova, access: Access, refusal: NestedRefusal) -> Fault {
        let iova = Some(iova);
        match refusal {
            NestedRefusal::Outer(refusal) => self.refused_by_first_stage(iova, access, refusal),
            NestedRefusal::TableBeyond(addr, parent) => self.table_beyond(iova, addr, parent.map(first_stage)),
            NestedRefusal::Table(refusal, parent) => self.refused_table(iova, refusal, parent.map(first_stage)),
            NestedRefusal::Update(entry) => {
                self.at(iova, Some(first_stage(entry)), FaultReason::FirstStageUpdateDenied, Cause::UpdateDenied)
            }
            NestedRefusal::OutputBeyond(addr, leaf) => {
                self.at(iova, Some(first_stage(leaf)), self.reasons().too_wide, self.beyond(addr))
            }
            NestedRefusal::Output(refusal, _) => self.refused_by_second_stage(iova, access, refusal),
        }
    }

    /// The second stage does not let the first-stage table be read that `parent` points to; `None` is the top one.
    fn refused_table(&self, iova: Option<Iova>, refusal: Refusal, parent: Option<PathEntry>) -> Fault {
        match refusal {
            Refusal::Denied(entry) => {
                let reason = match parent {
                    Some(_) => FaultReason::FirstStageTableDenied,
                    None => FaultReason::FirstStageTopDenied,
                };
                self.at(iova, Some(second_stage(entry)), reason, Cause::TableDenied)
            }
            refusal => self.refused_by_second_stage(iova, Access::Read, refusal),
        }
    }

    /// The first-stage table at `addr`, to which `parent` points, is no input of the second stage.
    fn table_beyond(&self, iova: Option<Iova>, addr: PhysAddr, parent: Option<PathEntry>) -> Fault {
        self.at(iova, parent, FaultReason::FirstStageTableTooWide, self.beyond(addr))
    }

    fn beyond(&self, addr: PhysAddr) -> Cause {
        let bits = self.space.second_stage().map_or(0, |space| space.input_bits);
        Cause::BeyondSecondStage { addr, bits }
    }

    fn is_leaf(&self, visit: Visit) -> bool {
        let Some(space) = self.space.first_stage() else { return false };
        let level = usize::from(visit.level).checked_sub(1).and_then(|level| space.format.levels().get(level));
        level.is_some_and(|level| matches!(space.format.decode(level, visit.raw), Entry::Leaf(_)))
    }

    /// A fault at this page-table entry, or without one at the entry that leads to the page tables.
    #[cold]
    pub(super) fn at(&self, iova: Option<Iova>, entry: Option<PathEntry>, reason: FaultReason, cause: Cause) -> Fault {
        let place = match (entry, self.place()) {
            (Some(PathEntry { structure, table, index, entry }), place) => {
                Place { structure, table, index, entry: Some(entry), ..place }
            }
            (None, place) => place,
        };
        Fault::new(reason, cause, Place { iova, ..place }, self.fault_disabled())
    }

    /// A fault of every request, at the entry that leads to the page tables.
    fn fault(&self, reason: FaultReason, cause: Cause) -> Fault {
        self.at(None, None, reason, cause)
    }
}

#[inline]
pub(crate) fn first_stage(visit: Visit) -> PathEntry {
    page_table(Structure::FirstStage(visit.level), visit)
}

#[inline]
pub(crate) fn second_stage(visit: Visit) -> PathEntry {
    page_table(Structure::SecondStage(visit.level), visit)
}

#[inline]
fn page_table(structure: Structure, visit: Visit) -> PathEntry {
    PathEntry { structure, table: visit.table, index: visit.index, entry: Bits::from(visit.raw) }
}
