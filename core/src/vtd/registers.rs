//! Registers of a remapping unit, as the bits that decide what its tables mean.

use crate::address::PhysAddr;
use core::fmt;
use thiserror::Error;

/// Root Table Address Register, RTADDR_REG (offset 0x20).
///
/// | bits | field |
/// |---|---|
/// | 9:0 | reserved |
/// | 11:10 | TTM, the translation table mode |
/// | 63:12 | RTA, the root table |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rtaddr(pub u64);

impl Rtaddr {
    /// What the root table is.
    #[must_use]
    pub const fn mode(self) -> TranslationMode {
        match (self.0 >> 10) & 3 {
            0 => TranslationMode::Legacy,
            1 => TranslationMode::Scalable,
            2 => TranslationMode::Extended,
            _ => TranslationMode::AbortDma,
        }
    }

    /// Where the root table lies.
    #[must_use]
    pub const fn root_table(self) -> PhysAddr {
        PhysAddr(self.0 & !0xfff)
    }

    /// The reserved bits that are set.
    #[must_use]
    pub const fn reserved(self) -> u64 {
        self.0 & 0x3ff
    }
}

/// Translation table mode, RTADDR_REG.TTM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TranslationMode {
    /// 00b: root and context tables, requests without PASID.
    Legacy,
    /// 01b: root, context and PASID tables.
    Scalable,
    /// 10b: the deprecated extended mode of machines with ECAP.ECS; reserved on all others.
    Extended,
    /// 11b: every request is blocked.
    AbortDma,
}

impl fmt::Display for TranslationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy mode",
            Self::Scalable => "scalable mode",
            Self::Extended => "extended mode (deprecated, reserved today)",
            Self::AbortDma => "abort-DMA mode",
        })
    }
}

/// A root table address that no walk can start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RtaddrError {
    /// Reserved bits are set: this is no value that RTADDR_REG can have.
    #[error(
        "root table address {value:#x}: expected 4 KiB alignment and mode bits 11:10, found reserved bits {reserved:#x} set"
    )]
    Reserved {
        /// The value.
        value: u64,
        /// Its reserved bits that are set.
        reserved: u64,
    },
    /// The mode is one that iopt does not walk.
    #[error(
        "root table address {value:#x}: expected legacy mode (bits 11:10 = 00), found {mode}, which is not supported yet"
    )]
    Mode {
        /// The value.
        value: u64,
        /// Its mode.
        mode: TranslationMode,
    },
}

/// Capability Register, CAP_REG (offset 0x08).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cap(pub u64);

impl Cap {
    /// ND (2:0): how many bits a domain-id has, 4 to 16.
    #[must_use]
    pub const fn domain_id_bits(self) -> u8 {
        match self.0 & 7 {
            0 => 4,
            1 => 6,
            2 => 8,
            3 => 10,
            4 => 12,
            5 => 14,
            // 7 is reserved; nothing wider than the field can be meant.
            _ => 16,
        }
    }

    /// SAGAW (12:8): the address widths that the unit can walk; bit `i` is AW encoding `i`.
    #[must_use]
    pub const fn sagaw(self) -> u8 {
        ((self.0 >> 8) & 0x1f) as u8
    }

    /// MGAW (21:16) plus one: how many bits the address of a request can have.
    #[must_use]
    pub const fn max_guest_address_width(self) -> u8 {
        (((self.0 >> 16) & 0x3f) as u8).wrapping_add(1)
    }

    /// SSLPS bit 34: second-stage leaves of 2 MiB.
    #[must_use]
    pub const fn second_stage_2m(self) -> bool {
        self.0 & 1 << 34 != 0
    }

    /// SSLPS bit 35: second-stage leaves of 1 GiB.
    #[must_use]
    pub const fn second_stage_1g(self) -> bool {
        self.0 & 1 << 35 != 0
    }
}

/// Extended Capability Register, ECAP_REG (offset 0x10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ecap(pub u64);

impl Ecap {
    /// DT (2): device-TLBs are supported.
    #[must_use]
    pub const fn device_tlb(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// PT (6): pass-through is supported.
    #[must_use]
    pub const fn pass_through(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// SC (7): bit 11 of a second-stage leaf, SNP, may be set.
    #[must_use]
    pub const fn snoop_control(self) -> bool {
        self.0 & 1 << 7 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The registers of the unit that QEMU emulates, as a kernel read them.
    #[test]
    fn real_registers_decode_to_what_the_kernel_made_of_them() {
        let cap = Cap(0x00d2_008c_222f_0606);
        assert_eq!(cap.domain_id_bits(), 16);
        assert_eq!(cap.sagaw(), 0b00110);
        assert_eq!(cap.max_guest_address_width(), 48);
        assert!(cap.second_stage_2m() && cap.second_stage_1g());
        let ecap = Ecap(0xf42);
        assert!(ecap.pass_through() && !ecap.snoop_control() && !ecap.device_tlb());
    }

    #[test]
    fn each_capability_is_its_own_bits() {
        assert!(!Cap(!(1 << 34)).second_stage_2m() && !Cap(!(1 << 35)).second_stage_1g());
        assert_eq!(Cap(0x3f << 16).max_guest_address_width(), 64);
        assert_eq!(Cap(0x1f << 8).sagaw(), 0x1f);
        assert_eq!([0, 1, 6, 7].map(|nd| Cap(nd).domain_id_bits()), [4, 6, 16, 16]);
        assert!(Ecap(1 << 2).device_tlb() && Ecap(1 << 6).pass_through() && Ecap(1 << 7).snoop_control());
    }

    #[test]
    fn the_root_table_address_keeps_its_mode_out_of_the_address() {
        let modes = [0x1000, 0x1400, 0x1800, 0x1c00].map(|value| Rtaddr(value).mode());
        use TranslationMode::*;
        assert_eq!(modes, [Legacy, Scalable, Extended, AbortDma]);
        assert_eq!(Rtaddr(0x1c08).root_table(), PhysAddr(0x1000));
        assert_eq!(Rtaddr(0x1c08).reserved(), 8);
    }
}
