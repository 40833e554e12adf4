use super::{FAULT_DISABLE, PRESENT};
use crate::address::{Pasid, PhysAddr};

/// The fields of a scalable-mode context entry. It has the smallest directory, of 2^13 PASIDs, and uses the entry of
/// PASID 0 for requests without one, unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pasids {
    size: u8,
    rid_pasid: Pasid,
    flags: u64,
}

/// PASIDE of a context entry.
pub(super) const PASID_ENABLE: u64 = 1 << 3;
/// DTE of a context entry.
pub(super) const DEVICE_TLB: u64 = 1 << 2;

impl Pasids {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this PDTS (3 bits): a directory for 2^(`size` + 13) PASIDs.
    #[must_use]
    pub const fn directory_size(self, size: u8) -> Self {
        Self { size: size & 7, ..self }
    }

    /// With this RID_PASID (20 bits).
    #[must_use]
    pub const fn rid_pasid(self, rid_pasid: Pasid) -> Self {
        Self { rid_pasid, ..self }
    }

    /// With PASIDE: the device may name PASIDs. [`UnitBuilder::pasid`](super::UnitBuilder::pasid) sets it, too.
    #[must_use]
    pub const fn enabled(self) -> Self {
        Self { flags: self.flags | PASID_ENABLE, ..self }
    }

    /// With DTE: the device may translate by itself (ATS).
    #[must_use]
    pub const fn device_tlb(self) -> Self {
        Self { flags: self.flags | DEVICE_TLB, ..self }
    }

    /// With FPD: faults of the device are not recorded.
    #[must_use]
    pub const fn fault_disabled(self) -> Self {
        Self { flags: self.flags | FAULT_DISABLE, ..self }
    }

    /// The context entry, with its directory at `directory`.
    pub(super) fn context(&self, directory: PhysAddr) -> [u64; 4] {
        let low = directory.0 | u64::from(self.size) << 9 | self.flags | PRESENT;
        [low, u64::from(self.rid_pasid.0 & 0xf_ffff), 0, 0]
    }

    pub(super) fn directory_pages(&self) -> usize {
        directory_pages(u64::from(self.size) << 9)
    }
}

/// How many pages the PASID directory has that a context entry with this first word leads to: 2^(PDTS + 7) entries of
/// 8 bytes.
pub(super) fn directory_pages(context: u64) -> usize {
    1 << (context >> 9 & 7).saturating_sub(2)
}

/// How many PASIDs it is for.
pub(super) fn pasid_limit(context: u64) -> u32 {
    1 << (context >> 9 & 7).saturating_add(13)
}
