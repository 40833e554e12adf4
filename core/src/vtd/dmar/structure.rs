use super::{DeviceScopes, DmarError, Problem};
use crate::address::{PhysAddr, PhysRange};

/// A remapping structure. Offsets in the tables below count from its start; each begins with its type (2 bytes) and
/// length (2 bytes).
///
/// Source: Intel VT-d specification, "BIOS Considerations", Remapping Structure Types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Structure<'a> {
    /// Type 0: a remapping unit.
    Drhd(Drhd<'a>),
    /// Type 1: memory that devices keep using.
    Rmrr(Rmrr<'a>),
    /// Type 2: root ports below which device-TLBs may be used.
    Atsr(Atsr<'a>),
    /// Type 3: where a unit is, for memory locality.
    Rhsa(Rhsa),
    /// Type 4: a device that ACPI names.
    Andd(Andd<'a>),
    /// Type 5: integrated devices that have a device-TLB.
    Satc(Satc<'a>),
    /// Type 6: integrated devices with properties.
    Sidp(Sidp<'a>),
    /// A structure of another type.
    Unknown {
        /// Bytes from the start of the table.
        offset: usize,
        /// Its type.
        kind: u16,
        /// All of it, type and length included.
        bytes: &'a [u8],
    },
}

/// DMA Remapping Hardware Unit Definition: a remapping unit, and which devices are behind it.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 1 | flags: bit 0 INCLUDE_PCI_ALL |
/// | 5 | 1 | size: bits 3:0 |
/// | 6 | 2 | PCI segment |
/// | 8 | 8 | register base |
/// | 16 | | device scopes |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drhd<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// All flags.
    pub flags: u8,
    /// The size byte.
    pub size: u8,
    /// PCI segment of its devices.
    pub segment: u16,
    /// Where its registers are.
    pub base: PhysAddr,
    pub(super) scopes: DeviceScopes<'a>,
}

impl<'a> Drhd<'a> {
    /// INCLUDE_PCI_ALL: whether all devices of its segment that no other unit's scopes name are behind it.
    #[must_use]
    pub const fn include_all(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Size of its registers in bytes, 2^size pages of 4 KiB. Old tables have 0 in the field: one page.
    #[must_use]
    pub const fn register_bytes(&self) -> u64 {
        4096 << (self.size & 0xf)
    }

    /// The devices, IOAPICs and HPETs behind it.
    #[must_use]
    pub const fn scopes(&self) -> DeviceScopes<'a> {
        self.scopes
    }
}

/// Reserved Memory Region Reporting: memory that must stay mapped, at equal addresses, for the devices of its scopes.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 2 | reserved |
/// | 6 | 2 | PCI segment |
/// | 8 | 8 | base, the first byte |
/// | 16 | 8 | limit, the last byte, inclusive |
/// | 24 | | device scopes |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rmrr<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// PCI segment of its devices.
    pub segment: u16,
    /// First byte.
    pub base: PhysAddr,
    /// Last byte, inclusive.
    pub limit: PhysAddr,
    pub(super) scopes: DeviceScopes<'a>,
}

impl<'a> Rmrr<'a> {
    /// The memory; `None` if its limit lies below its base.
    #[must_use]
    pub fn region(&self) -> Option<PhysRange> {
        PhysRange::new(self.base, self.limit)
    }

    /// The devices that use it.
    #[must_use]
    pub const fn scopes(&self) -> DeviceScopes<'a> {
        self.scopes
    }
}

/// Root Port ATS Capability Reporting.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 1 | flags: bit 0 ALL_PORTS |
/// | 5 | 1 | reserved |
/// | 6 | 2 | PCI segment |
/// | 8 | | device scopes |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atsr<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// All flags.
    pub flags: u8,
    /// PCI segment of the root ports.
    pub segment: u16,
    pub(super) scopes: DeviceScopes<'a>,
}

impl<'a> Atsr<'a> {
    /// ALL_PORTS: every root port of the segment, without a scope for each.
    #[must_use]
    pub const fn all_ports(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The root ports.
    #[must_use]
    pub const fn scopes(&self) -> DeviceScopes<'a> {
        self.scopes
    }
}

/// Remapping Hardware Static Affinity: the proximity domain of a unit.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 4 | reserved |
/// | 8 | 8 | register base of the unit |
/// | 16 | 4 | proximity domain |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhsa {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// The [`base`](Drhd::base) of the unit.
    pub base: PhysAddr,
    /// Its proximity domain, as in ACPI's SRAT.
    pub proximity_domain: u32,
}

/// ACPI Name-space Device Declaration: the name behind a device number.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 3 | reserved |
/// | 7 | 1 | ACPI device number |
/// | 8 | | object name, ended by a zero byte |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Andd<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// The number by which device scopes refer to it.
    pub acpi_device_number: u8,
    pub(super) text: &'a [u8],
}

impl<'a> Andd<'a> {
    /// The object name, without the zero byte that ends it; as it stands if there is none.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        self.text.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    fn is_terminated(&self) -> bool {
        self.text.contains(&0)
    }
}

/// SoC Integrated Address Translation Cache: integrated devices with a device-TLB.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 1 | flags: bit 0 ATC_REQUIRED |
/// | 5 | 1 | reserved |
/// | 6 | 2 | PCI segment |
/// | 8 | | device scopes |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Satc<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// All flags.
    pub flags: u8,
    /// PCI segment of the devices.
    pub segment: u16,
    pub(super) scopes: DeviceScopes<'a>,
}

impl<'a> Satc<'a> {
    /// ATC_REQUIRED: the devices do not work without their device-TLB.
    #[must_use]
    pub const fn atc_required(&self) -> bool {
        self.flags & 1 != 0
    }

    /// The devices.
    #[must_use]
    pub const fn scopes(&self) -> DeviceScopes<'a> {
        self.scopes
    }
}

/// SoC Integrated Device Property: devices whose scopes carry flags.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 4 | 2 | reserved |
/// | 6 | 2 | PCI segment |
/// | 8 | | device scopes |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sidp<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// PCI segment of the devices.
    pub segment: u16,
    pub(super) scopes: DeviceScopes<'a>,
}

impl<'a> Sidp<'a> {
    /// The devices.
    #[must_use]
    pub const fn scopes(&self) -> DeviceScopes<'a> {
        self.scopes
    }
}

impl<'a> Structure<'a> {
    /// Bytes from the start of the table.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::Drhd(Drhd { offset, .. })
            | Self::Rmrr(Rmrr { offset, .. })
            | Self::Atsr(Atsr { offset, .. })
            | Self::Rhsa(Rhsa { offset, .. })
            | Self::Andd(Andd { offset, .. })
            | Self::Satc(Satc { offset, .. })
            | Self::Sidp(Sidp { offset, .. })
            | Self::Unknown { offset, .. } => *offset,
        }
    }

    /// What is wrong with the values of a structure whose lengths are right: a region that runs backwards, a name
    /// that does not end.
    #[must_use]
    pub fn objection(&self) -> Option<DmarError> {
        let problem = match self {
            Self::Rmrr(rmrr) if rmrr.region().is_none() => {
                Problem::Backwards { base: rmrr.base.0, limit: rmrr.limit.0 }
            }
            Self::Andd(andd) if !andd.is_terminated() => Problem::Unterminated,
            _ => return None,
        };
        Some(DmarError { offset: self.offset(), problem })
    }
}
