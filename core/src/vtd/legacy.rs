//! What a unit makes of the entries of legacy mode.

use super::{
    AddressSpace, Cap, Cause, ContextEntry, Ecap, FaultReason, RootEntry, SecondStageSpace, TranslationType, Unit,
    Verdict,
};
use crate::format::{SecondStage, SecondStageRules};

impl Unit {
    /// The reserved bits that are set in a root entry of this unit.
    #[must_use]
    pub fn root_reserved(&self, entry: &RootEntry) -> u128 {
        entry.reserved(self.host_address_width)
    }

    /// # Errors
    /// The fault reason of every request to the bus, and what is wrong.
    pub(crate) fn check_root(&self, entry: &RootEntry) -> Verdict<()> {
        if !entry.present() {
            return Err((FaultReason::RootNotPresent, Cause::NotPresent));
        }
        match self.root_reserved(entry) {
            0 => Ok(()),
            bits => Err((FaultReason::RootReserved, Cause::ReservedBits(bits.into()))),
        }
    }

    /// # Errors
    /// The fault reason of every request of the device, and what is wrong.
    pub(crate) fn check_context(&self, entry: &ContextEntry) -> Verdict<AddressSpace> {
        if !entry.present() {
            return Err((FaultReason::ContextNotPresent, Cause::NotPresent));
        }
        self.address_space(entry)
    }

    /// What a present context entry makes of the device's addresses, checked in the hardware's order: reserved
    /// bits, address width, translation type.
    ///
    /// # Errors
    /// The fault reason of every request, and what is wrong.
    pub fn address_space(&self, entry: &ContextEntry) -> Result<AddressSpace, (FaultReason, Cause)> {
        let reserved = entry.reserved(self.host_address_width, self.cap.map(Cap::domain_id_bits));
        if reserved != 0 {
            return Err((FaultReason::ContextReserved, Cause::ReservedBits(reserved.into())));
        }
        let invalid = |cause| Err((FaultReason::ContextInvalid, cause));
        let aw = entry.address_width();
        let Some(levels) = self.levels(aw) else { return invalid(self.no_address_width(aw)) };
        match entry.translation_type() {
            TranslationType::PassThrough if self.ecap.is_some_and(|ecap| !ecap.pass_through()) => {
                invalid(Cause::NoPassThrough)
            }
            TranslationType::PassThrough => {
                Ok(AddressSpace::PassThrough { host_address_width: self.host_address_width })
            }
            TranslationType::DeviceTlb if self.ecap.is_some_and(|ecap| !ecap.device_tlb()) => {
                invalid(Cause::NoDeviceTlb)
            }
            TranslationType::Untranslated | TranslationType::DeviceTlb => {
                let rules =
                    SecondStageRules { snoop_control: self.ecap.map(Ecap::snoop_control), ..self.second_stage_rules() };
                match SecondStage::new(levels, &rules) {
                    Some(format) => Ok(AddressSpace::SecondStage(SecondStageSpace::new(
                        entry.second_stage_table(),
                        format,
                        self.cap,
                    ))),
                    None => invalid(self.no_address_width(aw)),
                }
            }
            TranslationType::Reserved => invalid(Cause::TranslationTypeReserved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vtd::Rtaddr;

    fn space(unit: Unit, low: u64, high: u64) -> Result<AddressSpace, (FaultReason, Cause)> {
        unit.address_space(&ContextEntry::new(low, high))
    }

    fn unit() -> Unit {
        Unit::new(Rtaddr(0x1000)).unwrap()
    }

    #[test]
    fn address_widths_without_meaning_are_refused_before_anything_is_read() {
        for aw in 0..8 {
            let valid = space(unit(), 0x5001, aw).is_ok();
            assert_eq!(valid, aw <= 4, "AW {aw}");
            let known = unit().with_capabilities(Some(Cap(0b00110 << 8 | 47 << 16)), None);
            assert_eq!(space(known, 0x5001, aw).is_ok(), aw == 1 || aw == 2, "AW {aw} with CAP");
        }
    }

    #[test]
    fn translation_types_need_their_capability_once_it_is_known() {
        let bare = unit().with_capabilities(None, Some(Ecap(0)));
        let full = unit().with_capabilities(None, Some(Ecap(1 << 2 | 1 << 6)));
        for (tt, needs) in [(0, None), (1, Some(Cause::NoDeviceTlb)), (2, Some(Cause::NoPassThrough))] {
            let low = 0x5001 | tt << 2;
            assert!(space(unit(), low, 2).is_ok() && space(full, low, 2).is_ok());
            assert_eq!(space(bare, low, 2).err(), needs.map(|cause| (FaultReason::ContextInvalid, cause)));
        }
        let reserved = Err((FaultReason::ContextInvalid, Cause::TranslationTypeReserved));
        assert_eq!(space(full, 0x500d, 2), reserved);
    }

    /// Two defects at once: the earlier check wins.
    #[test]
    fn reserved_bits_come_before_an_invalid_width() {
        assert_eq!(space(unit(), 0x5011, 7), Err((FaultReason::ContextReserved, Cause::ReservedBits(0x10_u64.into()))));
    }

    #[test]
    fn the_input_is_limited_by_the_table_and_by_the_unit() {
        let narrow = unit().with_capabilities(Some(Cap(0x1f << 8 | 38 << 16)), None);
        let last = |unit, aw| space(unit, 0x5001, aw).unwrap().input().unwrap().last().0;
        assert_eq!(last(unit(), 2), (1 << 48) - 1);
        assert_eq!(last(narrow, 2), (1 << 39) - 1);
        assert_eq!(last(narrow, 0), (1 << 30) - 1);
        assert_eq!(last(unit(), 4), u64::MAX);
        let host = unit().with_host_address_width(Some(46));
        assert_eq!(space(host, 9, 2).unwrap().input().unwrap().last().0, (1 << 46) - 1);
        assert_eq!(space(unit(), 9, 2).unwrap().input().unwrap().last().0, (1 << 52) - 1);
    }
}
