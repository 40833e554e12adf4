use core::fmt;

macro_rules! fault_reasons {
    ($($code:literal $variant:ident $name:literal $qualified:literal $condition:literal;)*) => {
        /// Why the hardware refuses a request: the reason code of a fault record (FRCD.FR).
        ///
        /// The same codes stand in a kernel's `DMAR: [DMA Read] … fault reason 0x06` lines. Source: Intel
        /// VT-d specification, "Fault Conditions" (7) and the fault reason encodings in its appendix.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum FaultReason {
            $(#[doc = concat!("`", stringify!($code), "` ", $name, ": ", $condition, ".")] $variant,)*
            /// A code that no list known here has.
            Unknown(u8),
        }

        impl FaultReason {
            /// Every reason that is known here, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The reason with this code.
            #[must_use]
            pub const fn from_code(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    unknown => Self::Unknown(unknown),
                }
            }

            /// The reason code.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Unknown(code) => code,
                }
            }

            /// The specification's short name, such as `LGN.3`; empty where it gives none.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown(_) => "",
                }
            }

            /// When the hardware gives this reason.
            #[must_use]
            pub const fn condition(self) -> &'static str {
                match self {
                    $(Self::$variant => $condition,)*
                    Self::Unknown(_) => "not a reason that is known here",
                }
            }

            /// Whether a fault processing disable bit (FPD) of the entries met so far keeps the hardware from
            /// recording the fault. The request is refused all the same.
            #[must_use]
            pub const fn qualified(self) -> bool {
                match self {
                    $(Self::$variant => $qualified,)*
                    Self::Unknown(_) => false,
                }
            }
        }
    };
}

fault_reasons! {
    0x01 RootNotPresent "LRT.2" false "the root entry is not present";
    0x02 ContextNotPresent "LCT.2" true "the context entry is not present";
    0x03 ContextInvalid "LCT.4.x" true "the context entry is invalid: its address width or translation type is not supported, or the top page-table entry can't be fetched";
    0x04 AddressTooWide "LGN.1.x" true "the address is beyond what the unit or the page table can translate";
    0x05 WriteDenied "LGN.2" true "a write without write permission at some level";
    0x06 ReadDenied "LGN.3" true "a read without read permission at some level";
    0x07 PageTableUnreadable "LSL.1" true "a page-table entry below the top can't be fetched";
    0x08 RootUnreadable "LRT.1" false "the root entry can't be fetched";
    0x09 ContextUnreadable "LCT.1" false "the context entry can't be fetched";
    0x0a RootReserved "LRT.3" false "a reserved bit is set in the root entry";
    0x0b ContextReserved "LCT.3" true "a reserved bit is set in the context entry";
    0x0c PageTableReserved "LSL.2" true "a reserved bit is set in a page-table entry, or the page size is not supported";
    0x0d RequestBlocked "LCT.5" true "the translation type blocks this kind of request";
    0x0e InterruptRangeOutput "LGN.4" true "the result lies in the interrupt address range";
    0x20 InterruptRequestReserved "" false "a reserved bit is set in the remappable interrupt request";
    0x21 InterruptIndexTooLarge "" false "the interrupt index is beyond the table";
    0x22 InterruptNotPresent "" true "the interrupt-remapping entry is not present";
    0x23 InterruptUnreadable "" false "the interrupt-remapping entry can't be fetched";
    0x24 InterruptReserved "" true "a reserved bit or an invalid value is in the interrupt-remapping entry";
    0x25 CompatibilityInterruptBlocked "" false "a compatibility-format interrupt is blocked";
    0x26 InterruptSourceInvalid "" true "the interrupt's source-id is not the one that the entry allows";
    0x27 PostedDescriptorUnreadable "" true "the posted-interrupt descriptor can't be fetched";
    0x28 PostedDescriptorReserved "" true "a reserved bit is set in the posted-interrupt descriptor";
    0x29 InterruptRequestBlocked "" false "an untranslated interrupt request is blocked";
    0x30 RootAddressInvalid "RTA.1.x" false "the translation table mode in the root table address is not supported";
    0x31 RootAddressPasidRequest "RTA.2" false "a request with PASID in legacy mode";
    0x32 RootAddressPageRequest "RTA.3" false "a page request in legacy mode";
    0x33 RootAddressOther "RTA.4" false "the root table address does not allow the request";
    0x38 ScalableRootUnreadable "SRT.1" false "the scalable-mode root entry can't be fetched";
    0x39 ScalableRootNotPresent "SRT.2" false "the half of the scalable-mode root entry is not present";
    0x3a ScalableRootReserved "SRT.3" false "a reserved bit is set in the scalable-mode root entry";
    0x40 ScalableContextUnreadable "SCT.1" false "the scalable-mode context entry can't be fetched";
    0x41 ScalableContextNotPresent "SCT.2" true "the scalable-mode context entry is not present";
    0x42 ScalableContextReserved "SCT.3" true "a reserved bit is set in the scalable-mode context entry";
    0x43 ScalableContextInvalid "SCT.4.x" true "the scalable-mode context entry is programmed in a way that is not supported";
    0x44 ScalableDeviceTlbDisabled "SCT.5" true "a translation or translated request without DTE";
    0x45 ScalablePasidDisabled "SCT.6" true "a request with PASID without PASIDE";
    0x46 ScalablePasidTooLarge "SCT.7" true "the PASID is beyond the PASID directory";
    0x47 ScalablePageRequestDisabled "SCT.8" true "a page request without PRE";
    0x48 ScalableRidPasidTooLarge "SCT.9" true "RID_PASID is beyond the PASID directory";
    0x50 PasidDirectoryUnreadable "SPD.1" false "the PASID directory entry can't be fetched";
    0x51 PasidDirectoryNotPresent "SPD.2" true "the PASID directory entry is not present";
    0x52 PasidDirectoryReserved "SPD.3" true "a reserved bit is set in the PASID directory entry";
    0x58 PasidEntryUnreadable "SPT.1" false "the PASID table entry can't be fetched";
    0x59 PasidEntryNotPresent "SPT.2" true "the PASID table entry is not present";
    0x5a PasidEntryReserved "SPT.3" true "a reserved bit is set in the PASID table entry";
    0x5b PasidEntryInvalid "SPT.4.x" true "the PASID table entry's translation type, address width or paging mode is not supported";
    0x5c ExecuteDisabled "SPT.5" true "an execute request without ERE";
    0x5d SupervisorDisabled "SPT.6" true "a supervisor request without SRE";
    0x70 FirstStageUnreadable "SFS.1" true "a first-stage entry below the top can't be fetched";
    0x71 FirstStageNotPresent "SFS.2" true "a first-stage entry is not present";
    0x72 FirstStageReserved "SFS.3" true "a reserved bit is set in a first-stage entry";
    0x73 FirstStageTopUnreadable "SFS.4" true "the top first-stage entry can't be fetched";
    0x74 FirstStageTableTooWide "SFS.5" true "nested: a first-stage table's address is beyond what the second stage translates";
    0x75 FirstStageTopDenied "SFS.6" true "nested: the second stage does not let the top first-stage entry be read";
    0x76 FirstStageTableDenied "SFS.7" true "nested: the second stage does not let a lower first-stage entry be read";
    0x77 FirstStageUpdateDenied "SFS.8" true "nested: the second stage does not let accessed and dirty bits be written";
    0x78 SecondStageUnreadable "SSS.1" true "a second-stage entry below the top can't be fetched";
    0x79 SecondStageDenied "SSS.2" true "a second-stage entry lacks the permission";
    0x7a SecondStageReserved "SSS.3" true "a reserved bit is set in a second-stage entry";
    0x7b SecondStageTopUnreadable "SSS.4" true "the top second-stage entry can't be fetched";
    0x7c SecondStageUpdateNotSnooped "SSS.5" true "a second-stage accessed or dirty bit is to be written in tables that are not snooped";
    0x7d SecondStageUpdateFailed "SSS.6" true "a second-stage accessed or dirty bit could not be written";
    0x80 NotCanonical "SGN.1" true "the first-stage address is not canonical";
    0x81 UserDenied "SGN.2" true "a user request to a supervisor page";
    0x82 ExecuteDenied "SGN.3" true "an execute request without execute permission";
    0x83 BeyondHardware "SGN.4.x" true "the address is beyond what the hardware supports";
    0x84 SecondStageInputTooWide "SGN.5" true "the second stage's input address is too wide";
    0x85 FirstStageWriteDenied "SGN.6" true "a write without first-stage write permission";
    0x86 FirstStageReadDenied "SGN.7" true "a read without first-stage read permission";
    0x87 ScalableInterruptRangeOutput "SGN.8" true "the result lies in the interrupt address range";
    0x88 ScalableGeneral9 "SGN.9" true "a general scalable-mode condition";
    0x89 ScalableGeneral10 "SGN.10" true "a general scalable-mode condition";
    0x90 FirstStageUpdateNotSnooped "SFS.9" true "a first-stage accessed or dirty bit is to be written in tables that are not snooped";
    0x91 FirstStageUpdateFailed "SFS.10" true "a first-stage accessed or dirty bit could not be written";
}

/// The code as kernels print it, and the short name where there is one: `0x06 LGN.3`.
impl fmt::Display for FaultReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.code())?;
        match self.name() {
            "" => Ok(()),
            name => write!(f, " {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn every_code_is_kept_known_or_not() {
        for code in 0..=255 {
            assert_eq!(FaultReason::from_code(code).code(), code);
        }
        assert_eq!(FaultReason::from_code(0x00), FaultReason::Unknown(0));
        assert_eq!(FaultReason::from_code(0x0f), FaultReason::Unknown(0x0f));
        assert_eq!(format!("{}", FaultReason::from_code(0xfe)), "0xfe");
    }

    #[test]
    fn reasons_are_listed_once_and_in_order() {
        let codes = FaultReason::ALL.iter().map(|reason| reason.code());
        assert!(codes.clone().zip(codes.skip(1)).all(|(one, next)| one < next));
        assert_eq!(FaultReason::ALL.len(), 14 + 10 + 4 + 3 + 9 + 3 + 6 + 14 + 10 + 2);
    }

    /// Faults found before a context entry was read can't be suppressed by it. Those of a PASID table that can't be
    /// fetched are not, either: so say revision 5 of the specification and QEMU.
    #[test]
    fn nothing_qualifies_a_fault_before_the_context_entry() {
        let free = [0x01, 0x08, 0x09, 0x0a, 0x30, 0x31, 0x32, 0x33, 0x38, 0x39, 0x3a, 0x40, 0x50, 0x58];
        assert!(free.iter().all(|&code| !FaultReason::from_code(code).qualified()));
        assert!([0x02, 0x03, 0x05, 0x0b, 0x0c].iter().all(|&code| FaultReason::from_code(code).qualified()));
        assert_eq!(format!("{}", FaultReason::ReadDenied), "0x06 LGN.3");
    }
}
