//! What a unit makes of the entries of scalable mode.

use super::{Half, PasidDirectoryEntry, PasidEntry, PasidTranslation, ScalableContextEntry, ScalableRootEntry};
use crate::address::Pasid;
use crate::format::{FirstStage, FirstStageRules, SecondStage};
use crate::vtd::{AddressSpace, Cap, Cause, Ecap, FaultReason, FirstStageSpace, SecondStageSpace, Unit, Verdict};

impl Unit {
    /// # Errors
    /// The fault reason of every request to this half of the bus, and what is wrong.
    pub(crate) fn check_scalable_root(&self, entry: &ScalableRootEntry, half: Half) -> Verdict<()> {
        if !entry.present(half) {
            return Err((FaultReason::ScalableRootNotPresent, Cause::NotPresent));
        }
        let reserved = entry.reserved(half, self.host_address_width);
        if reserved.is_zero() {
            Ok(())
        } else {
            Err((FaultReason::ScalableRootReserved, Cause::ReservedBits(reserved)))
        }
    }

    /// # Errors
    /// The fault reason of every request of the device, and what is wrong.
    pub(crate) fn check_scalable_context(&self, entry: &ScalableContextEntry) -> Verdict<()> {
        if !entry.present() {
            return Err((FaultReason::ScalableContextNotPresent, Cause::NotPresent));
        }
        let reserved = entry.reserved(self.host_address_width);
        if reserved.is_zero() {
            Ok(())
        } else {
            Err((FaultReason::ScalableContextReserved, Cause::ReservedBits(reserved)))
        }
    }

    /// The PASID whose entry requests without PASID use.
    pub(crate) fn rid_pasid(&self, context: &ScalableContextEntry) -> Pasid {
        if self.ecap.is_some_and(|ecap| !ecap.rid_pasid()) { Pasid(0) } else { context.rid_pasid() }
    }

    /// The PASID whose entry a request with this PASID, or with none, uses.
    ///
    /// # Errors
    /// The fault reason, and what is wrong.
    pub(crate) fn select_pasid(&self, context: &ScalableContextEntry, pasid: Option<Pasid>) -> Verdict<Pasid> {
        let limit = context.pasids();
        match pasid {
            Some(_) if !context.pasid_enabled() => Err((FaultReason::ScalablePasidDisabled, Cause::PasidDisabled)),
            Some(pasid) if pasid.0 >= limit => {
                Err((FaultReason::ScalablePasidTooLarge, Cause::PasidTooLarge { pasid, limit }))
            }
            Some(pasid) => Ok(pasid),
            None => {
                let pasid = self.rid_pasid(context);
                if pasid.0 < limit {
                    Ok(pasid)
                } else {
                    Err((FaultReason::ScalableRidPasidTooLarge, Cause::RidPasidTooLarge { pasid, limit }))
                }
            }
        }
    }

    /// # Errors
    /// The fault reason of every request with one of the entry's PASIDs, and what is wrong.
    pub(crate) fn check_directory(&self, entry: &PasidDirectoryEntry) -> Verdict<()> {
        if !entry.present() {
            return Err((FaultReason::PasidDirectoryNotPresent, Cause::NotPresent));
        }
        let reserved = entry.reserved();
        if reserved.is_zero() {
            Ok(())
        } else {
            Err((FaultReason::PasidDirectoryReserved, Cause::ReservedBits(reserved)))
        }
    }

    /// What a PASID table entry makes of addresses, checked in the hardware's order. `supervisor` tells whether the
    /// requests ask for privilege.
    ///
    /// # Errors
    /// The fault reason of every request with the PASID, and what is wrong.
    pub(crate) fn check_pasid(&self, entry: &PasidEntry, supervisor: bool) -> Verdict<AddressSpace> {
        if !entry.present() {
            return Err((FaultReason::PasidEntryNotPresent, Cause::NotPresent));
        }
        let reserved = entry.reserved(self.ecap);
        if !reserved.is_zero() {
            return Err((FaultReason::PasidEntryReserved, Cause::ReservedBits(reserved)));
        }
        let translation = entry.translation_type();
        if !self.supports(translation) {
            return Err((FaultReason::PasidEntryInvalid, Cause::PasidTranslation(translation)));
        }
        match translation {
            PasidTranslation::SecondStage => Ok(AddressSpace::SecondStage(self.second_stage(entry)?)),
            PasidTranslation::FirstStage => {
                let first = self.first_stage(entry, supervisor, self.host_address_width)?;
                self.check_supervisor(entry, supervisor)?;
                Ok(AddressSpace::FirstStage(first))
            }
            PasidTranslation::Nested => {
                let second = self.second_stage(entry)?;
                // Its entries hold inputs of the second stage, which has its own limit for them.
                let first = self.first_stage(entry, supervisor, None)?;
                self.check_supervisor(entry, supervisor)?;
                Ok(AddressSpace::Nested(first, second))
            }
            PasidTranslation::PassThrough => {
                Ok(AddressSpace::PassThrough { host_address_width: self.host_address_width })
            }
            PasidTranslation::Reserved(_) => {
                Err((FaultReason::PasidEntryInvalid, Cause::PasidTranslation(translation)))
            }
        }
    }

    /// Whether requests without PASID ask for privilege.
    pub(crate) fn rid_privileged(&self, context: &ScalableContextEntry) -> bool {
        context.rid_privileged() && self.ecap.is_none_or(Ecap::rid_priv)
    }

    fn supports(&self, translation: PasidTranslation) -> bool {
        let Some(ecap) = self.ecap else { return true };
        match translation {
            PasidTranslation::FirstStage => ecap.first_stage(),
            PasidTranslation::SecondStage => ecap.second_stage(),
            PasidTranslation::Nested => ecap.nesting() && ecap.first_stage() && ecap.second_stage(),
            PasidTranslation::PassThrough => ecap.pass_through(),
            PasidTranslation::Reserved(_) => false,
        }
    }

    fn second_stage(&self, entry: &PasidEntry) -> Verdict<SecondStageSpace> {
        let aw = entry.address_width();
        match self.levels(aw).and_then(|levels| SecondStage::new(levels, &self.second_stage_rules())) {
            Some(format) => Ok(SecondStageSpace::new(entry.second_stage_table(), format, self.cap)),
            None => Err((FaultReason::PasidEntryInvalid, self.no_address_width(aw))),
        }
    }

    fn first_stage(&self, entry: &PasidEntry, supervisor: bool, host: Option<u8>) -> Verdict<FirstStageSpace> {
        let mode = entry.first_stage_paging_mode();
        let rules = FirstStageRules {
            host_address_width: host,
            pages_1g: self.cap.map(Cap::first_stage_1g),
            execute_disable: Some(entry.execute_disable()),
            supervisor,
            write_protect: entry.write_protect(),
            extended_accessed: Some(entry.extended_accessed()),
        };
        let unsupported = mode == 1 && self.cap.is_some_and(|cap| !cap.first_stage_5_level());
        match FirstStage::new(mode.saturating_add(4), &rules) {
            Some(format) if !unsupported => Ok(FirstStageSpace { root: entry.first_stage_table(), format }),
            _ => Err((FaultReason::PasidEntryInvalid, Cause::PagingMode(mode))),
        }
    }

    /// A unit that is not known to have RID_PRIV may make user requests of them, which need no SRE.
    fn check_supervisor(&self, entry: &PasidEntry, supervisor: bool) -> Verdict<()> {
        if supervisor && self.ecap.is_some() && !entry.supervisor_requests() {
            return Err((FaultReason::SupervisorDisabled, Cause::SupervisorDisabled));
        }
        Ok(())
    }
}
