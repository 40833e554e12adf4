use super::{
    AddressSpace, Cap, Cause, ContextEntry, Ecap, FaultReason, RootEntry, Rtaddr, RtaddrError, SecondStageSpace,
    TranslationMode, TranslationType,
};
use crate::address::{DomainId, PhysAddr, SourceId};
use crate::format::{SecondStage, SecondStageRules};

/// A remapping unit: where its tables are, and what is known about how it reads them.
///
/// Its capabilities govern which bits are reserved and which values are valid. What is not known is not
/// judged: nothing is called malformed for it.
///
/// ```
/// use iopt::vtd::{Cap, Ecap, Rtaddr, Unit};
///
/// let unit = Unit::new(Rtaddr(0x8f_7000))?
///     .with_capabilities(Some(Cap(0xd2_008c_222f_0606)), Some(Ecap(0xf42)))
///     .with_host_address_width(Some(48));
/// assert!(Unit::new(Rtaddr(0x8f_7c00)).is_err(), "abort-DMA mode has no tables");
/// # Ok::<(), iopt::vtd::RtaddrError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    rtaddr: Rtaddr,
    cap: Option<Cap>,
    ecap: Option<Ecap>,
    host_address_width: Option<u8>,
}

/// A device that has an address space: a present and valid context entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose requests it is about.
    pub source_id: SourceId,
    /// The root table that it was found in.
    pub root_table: PhysAddr,
    /// The root entry on the path to it.
    pub root_entry: RootEntry,
    /// The context entry.
    pub context_entry: ContextEntry,
    /// What its addresses mean.
    pub space: AddressSpace,
}

impl Device {
    /// The domain-id under which the unit caches its translations.
    #[must_use]
    pub fn domain(&self) -> DomainId {
        self.context_entry.domain()
    }

    /// Whether its faults go unrecorded (FPD).
    #[must_use]
    pub fn fault_disabled(&self) -> bool {
        self.context_entry.fault_disabled()
    }

    /// Whether it may translate by itself (ATS).
    #[must_use]
    pub fn device_tlb(&self) -> bool {
        self.context_entry.translation_type() == TranslationType::DeviceTlb
    }
}

impl Unit {
    /// The unit whose root table address register reads `rtaddr`, about which nothing else is known.
    ///
    /// # Errors
    /// [`RtaddrError`] when reserved bits are set, or the mode is not legacy mode.
    pub const fn new(rtaddr: Rtaddr) -> Result<Self, RtaddrError> {
        let value = rtaddr.0;
        match (rtaddr.reserved(), rtaddr.mode()) {
            (0, TranslationMode::Legacy) => Ok(Self { rtaddr, cap: None, ecap: None, host_address_width: None }),
            (0, mode) => Err(RtaddrError::Mode { value, mode }),
            (reserved, _) => Err(RtaddrError::Reserved { value, reserved }),
        }
    }

    /// The same unit with what is known of its capability registers.
    #[must_use]
    pub const fn with_capabilities(self, cap: Option<Cap>, ecap: Option<Ecap>) -> Self {
        Self { cap, ecap, ..self }
    }

    /// The same unit in a machine whose physical addresses have `width` bits (the DMAR table's Width + 1).
    #[must_use]
    pub const fn with_host_address_width(self, width: Option<u8>) -> Self {
        Self { host_address_width: width, ..self }
    }

    /// The root table address register.
    #[must_use]
    pub const fn rtaddr(&self) -> Rtaddr {
        self.rtaddr
    }

    /// The reserved bits that are set in a root entry of this unit.
    #[must_use]
    pub fn root_reserved(&self, entry: &RootEntry) -> u128 {
        entry.reserved(self.host_address_width)
    }

    /// What a present context entry makes of the device's addresses, checked in the hardware's order: reserved
    /// bits, address width, translation type.
    ///
    /// # Errors
    /// The fault reason of every request, and what is wrong.
    pub fn address_space(&self, entry: &ContextEntry) -> Result<AddressSpace, (FaultReason, Cause)> {
        let reserved = entry.reserved(self.host_address_width, self.cap.map(Cap::domain_id_bits));
        if reserved != 0 {
            return Err((FaultReason::ContextReserved, Cause::ReservedBits(reserved)));
        }
        let invalid = |cause| Err((FaultReason::ContextInvalid, cause));
        let aw = entry.address_width();
        let sagaw = self.cap.map(Cap::sagaw);
        if aw > 4 || sagaw.is_some_and(|sagaw| sagaw >> aw & 1 == 0) {
            return invalid(Cause::AddressWidth { aw, sagaw });
        }
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
                let rules = SecondStageRules {
                    host_address_width: self.host_address_width,
                    pages_2m: self.cap.map(Cap::second_stage_2m),
                    pages_1g: self.cap.map(Cap::second_stage_1g),
                    snoop_control: self.ecap.map(Ecap::snoop_control),
                };
                match SecondStage::new(aw.saturating_add(2), &rules) {
                    Some(format) => Ok(AddressSpace::SecondStage(SecondStageSpace::new(
                        entry.second_stage_table(),
                        format,
                        self.cap,
                    ))),
                    None => invalid(Cause::AddressWidth { aw, sagaw }),
                }
            }
            TranslationType::Reserved => invalid(Cause::TranslationTypeReserved),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    fn space(unit: Unit, low: u64, high: u64) -> Result<AddressSpace, (FaultReason, Cause)> {
        unit.address_space(&ContextEntry::new(low, high))
    }

    fn unit() -> Unit {
        Unit::new(Rtaddr(0x1000)).unwrap()
    }

    #[test]
    fn modes_that_are_not_walked_are_refused_by_name() {
        let message = |value| Unit::new(Rtaddr(value)).unwrap_err().to_string();
        assert!(message(0x1400).contains("scalable mode"));
        assert!(message(0x1800).contains("extended mode"));
        assert!(message(0x1c00).contains("abort-DMA mode"));
        assert!(message(0x1008).contains("reserved bits 0x8"));
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
        assert_eq!(space(unit(), 0x5011, 7), Err((FaultReason::ContextReserved, Cause::ReservedBits(0x10))));
    }

    #[test]
    fn the_input_is_limited_by_the_table_and_by_the_unit() {
        let narrow = unit().with_capabilities(Some(Cap(0x1f << 8 | 38 << 16)), None);
        let last = |unit, aw| space(unit, 0x5001, aw).unwrap().input().last().0;
        assert_eq!(last(unit(), 2), (1 << 48) - 1);
        assert_eq!(last(narrow, 2), (1 << 39) - 1);
        assert_eq!(last(narrow, 0), (1 << 30) - 1);
        assert_eq!(last(unit(), 4), u64::MAX);
        let host = unit().with_host_address_width(Some(46));
        assert_eq!(space(host, 9, 2).unwrap().input().last().0, (1 << 46) - 1);
        assert_eq!(space(unit(), 9, 2).unwrap().input().last().0, (1 << 52) - 1);
    }
}
