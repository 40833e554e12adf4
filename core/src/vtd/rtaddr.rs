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
            Self::Extended => "extended mode (deprecated with ECAP.ECS, reserved without)",
            Self::AbortDma => "abort-DMA mode, which blocks every request and has no tables",
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
    #[error("root table address {value:#x}: expected legacy or scalable mode (bits 11:10 = 00 or 01), found {mode}")]
    Mode {
        /// The value.
        value: u64,
        /// Its mode.
        mode: TranslationMode,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_table_address_keeps_its_mode_out_of_the_address() {
        let modes = [0x1000, 0x1400, 0x1800, 0x1c00].map(|value| Rtaddr(value).mode());
        use TranslationMode::*;
        assert_eq!(modes, [Legacy, Scalable, Extended, AbortDma]);
        assert_eq!(Rtaddr(0x1c08).root_table(), PhysAddr(0x1000));
        assert_eq!(Rtaddr(0x1c08).reserved(), 8);
    }
}
