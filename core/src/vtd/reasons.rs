//! The same defect of a second-stage table has another reason in each mode.

use super::{Device, DeviceEntries, FaultReason};

pub(crate) struct SecondStageReasons {
    pub top_unreadable: FaultReason,
    pub unreadable: FaultReason,
    pub reserved: FaultReason,
    pub read_denied: FaultReason,
    pub write_denied: FaultReason,
    pub too_wide: FaultReason,
    pub interrupt_range: FaultReason,
    pub pass_through_too_wide: FaultReason,
}

impl SecondStageReasons {
    pub(crate) const LEGACY: &'static Self = &LEGACY;
    pub(crate) const SCALABLE: &'static Self = &SCALABLE;
}

const LEGACY: SecondStageReasons = SecondStageReasons {
    top_unreadable: FaultReason::ContextInvalid,
    unreadable: FaultReason::PageTableUnreadable,
    reserved: FaultReason::PageTableReserved,
    read_denied: FaultReason::ReadDenied,
    write_denied: FaultReason::WriteDenied,
    too_wide: FaultReason::AddressTooWide,
    interrupt_range: FaultReason::InterruptRangeOutput,
    pass_through_too_wide: FaultReason::AddressTooWide,
};

const SCALABLE: SecondStageReasons = SecondStageReasons {
    top_unreadable: FaultReason::SecondStageTopUnreadable,
    unreadable: FaultReason::SecondStageUnreadable,
    reserved: FaultReason::SecondStageReserved,
    read_denied: FaultReason::SecondStageDenied,
    write_denied: FaultReason::SecondStageDenied,
    too_wide: FaultReason::SecondStageInputTooWide,
    interrupt_range: FaultReason::ScalableInterruptRangeOutput,
    pass_through_too_wide: FaultReason::BeyondHardware,
};

impl Device {
    pub(crate) fn reasons(&self) -> &'static SecondStageReasons {
        match self.entries {
            DeviceEntries::Legacy { .. } => &LEGACY,
            DeviceEntries::Scalable { .. } => &SCALABLE,
        }
    }
}
