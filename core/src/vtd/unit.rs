use super::{Cap, Cause, Ecap, FaultReason, Rtaddr, RtaddrError, TranslationMode, Verdict};
use crate::format::SecondStageRules;

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
    pub(super) cap: Option<Cap>,
    pub(super) ecap: Option<Ecap>,
    pub(super) host_address_width: Option<u8>,
}

impl Unit {
    /// The unit whose root table address register reads `rtaddr`, about which nothing else is known.
    ///
    /// # Errors
    /// [`RtaddrError`] when reserved bits are set, or the mode is neither legacy nor scalable mode.
    pub const fn new(rtaddr: Rtaddr) -> Result<Self, RtaddrError> {
        let value = rtaddr.0;
        match (rtaddr.reserved(), rtaddr.mode()) {
            (0, TranslationMode::Legacy | TranslationMode::Scalable) => {
                Ok(Self { rtaddr, cap: None, ecap: None, host_address_width: None })
            }
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

    /// The capability register, where it is known.
    #[must_use]
    pub const fn cap(&self) -> Option<Cap> {
        self.cap
    }

    /// The extended capability register, where it is known.
    #[must_use]
    pub const fn ecap(&self) -> Option<Ecap> {
        self.ecap
    }

    /// How many bits a physical address has, where that is known.
    #[must_use]
    pub const fn host_address_width(&self) -> Option<u8> {
        self.host_address_width
    }

    /// The root table address register.
    #[must_use]
    pub const fn rtaddr(&self) -> Rtaddr {
        self.rtaddr
    }

    /// What a walk could not even start for: the mode is one that the unit is known not to have.
    pub(crate) fn check_mode(&self) -> Verdict<()> {
        match self.rtaddr.mode() {
            TranslationMode::Scalable if self.ecap.is_some_and(|ecap| !ecap.scalable_mode()) => {
                Err((FaultReason::RootAddressInvalid, Cause::ModeUnsupported(TranslationMode::Scalable)))
            }
            _ => Ok(()),
        }
    }

    /// Whether the unit's tables have PASIDs.
    #[must_use]
    pub const fn is_scalable(&self) -> bool {
        matches!(self.rtaddr.mode(), TranslationMode::Scalable)
    }

    /// Whether the other unit makes the same of every entry that both read.
    pub(crate) fn reads_like(&self, other: &Self) -> bool {
        let known = |unit: &Self| (unit.is_scalable(), unit.cap, unit.ecap, unit.host_address_width);
        known(self) == known(other)
    }

    /// How many levels second-stage tables with this AW have; `None` if it means nothing, or nothing to this unit.
    pub(super) fn levels(&self, aw: u8) -> Option<u8> {
        let supported = self.cap.is_none_or(|cap| cap.sagaw().checked_shr(aw.into()).unwrap_or(0) & 1 != 0);
        (aw <= 4 && supported).then(|| aw.saturating_add(2))
    }

    pub(super) fn no_address_width(&self, aw: u8) -> Cause {
        Cause::AddressWidth { aw, sagaw: self.cap.map(Cap::sagaw) }
    }

    /// What holds for second-stage entries in both modes.
    pub(super) fn second_stage_rules(&self) -> SecondStageRules {
        SecondStageRules {
            host_address_width: self.host_address_width,
            pages_2m: self.cap.map(Cap::second_stage_2m),
            pages_1g: self.cap.map(Cap::second_stage_1g),
            // In scalable mode SNP is no reserved bit.
            snoop_control: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn modes_that_are_not_walked_are_refused_by_name() {
        let message = |value| Unit::new(Rtaddr(value)).unwrap_err().to_string();
        assert!(message(0x1800).contains("extended mode"));
        assert!(message(0x1c00).contains("abort-DMA mode"));
        assert!(message(0x1008).contains("reserved bits 0x8"));
    }

    #[test]
    fn scalable_mode_needs_its_capability_once_that_is_known() {
        let unit = Unit::new(Rtaddr(0x1400)).unwrap();
        let with = |ecap| unit.with_capabilities(None, Some(Ecap(ecap))).check_mode();
        assert_eq!(unit.check_mode(), Ok(()));
        assert_eq!(with(1 << 43), Ok(()));
        assert_eq!(with(!(1 << 43)).map_err(|(reason, _)| reason), Err(FaultReason::RootAddressInvalid));
        let legacy = Unit::new(Rtaddr(0x1000)).unwrap().with_capabilities(None, Some(Ecap(0)));
        assert_eq!(legacy.check_mode(), Ok(()));
    }
}
