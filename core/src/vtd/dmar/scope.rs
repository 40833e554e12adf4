use super::records::{Head, Records};
use super::{DmarError, Part, Problem};
use crate::address::SourceId;
use core::fmt;
use core::iter::FusedIterator;
use thiserror::Error;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What a device scope names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScopeType {
    /// 1: a PCI endpoint.
    PciEndpoint,
    /// 2: a PCI bridge, with all that is behind it.
    PciSubHierarchy,
    /// 3: an IOAPIC; the enumeration id is its APIC id.
    IoApic,
    /// 4: a timer block that can send MSIs; the enumeration id is its HPET number.
    Hpet,
    /// 5: a device in the ACPI namespace; the enumeration id is the device number of its ANDD structure.
    AcpiNamespaceDevice,
    /// Any other.
    Unknown(u8),
}

impl ScopeType {
    /// The type that `code` stands for.
    #[must_use]
    pub const fn new(code: u8) -> Self {
        match code {
            1 => Self::PciEndpoint,
            2 => Self::PciSubHierarchy,
            3 => Self::IoApic,
            4 => Self::Hpet,
            5 => Self::AcpiNamespaceDevice,
            other => Self::Unknown(other),
        }
    }

    /// The byte in the table.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::PciEndpoint => 1,
            Self::PciSubHierarchy => 2,
            Self::IoApic => 3,
            Self::Hpet => 4,
            Self::AcpiNamespaceDevice => 5,
            Self::Unknown(code) => code,
        }
    }
}

impl fmt::Display for ScopeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PciEndpoint => "PCI endpoint",
            Self::PciSubHierarchy => "PCI sub-hierarchy",
            Self::IoApic => "IOAPIC",
            Self::Hpet => "MSI-capable HPET",
            Self::AcpiNamespaceDevice => "ACPI namespace device",
            Self::Unknown(code) => return write!(f, "unknown type {code}"),
        })
    }
}

/// One pair of a path: a device and function, on the bus that the pair before it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct PathStep {
    /// Device number; only 0 to 31 can be one of PCI.
    pub device: u8,
    /// Function number; only 0 to 7 can be one of PCI.
    pub function: u8,
}

impl PathStep {
    /// The source-id of this device and function on `bus`.
    fn on(self, bus: u8) -> Result<SourceId, Unresolved> {
        if self.device > 31 || self.function > 7 {
            return Err(Unresolved::NoDevice(self));
        }
        Ok(SourceId::new(bus, self.device << 3 | self.function))
    }
}

/// Why it can't be told which device a scope names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// Its path is empty.
    #[error("its path is empty")]
    NoPath,
    /// A pair of its path is no device and function of PCI.
    #[error("expected a device below 32 and a function below 8 in its path, found {:#x}.{:#x}", .0.device, .0.function)]
    NoDevice(PathStep),
    /// The buses behind this bridge are not known.
    #[error("the buses behind bridge {0} are not known")]
    Bridge(SourceId),
    /// Its type is not known, so what it covers is not either.
    #[error("its type {0} is not known")]
    Type(u8),
}

/// Device scope: one device, or one bridge with all that is behind it.
///
/// Source: Intel VT-d specification, "BIOS Considerations", Device Scope Structure.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | type |
/// | 1 | 1 | length: 6, and 2 for each pair of the path |
/// | 2 | 1 | flags, used in SATC and SIDP structures; reserved before revision 4 of the specification |
/// | 3 | 1 | reserved |
/// | 4 | 1 | enumeration id |
/// | 5 | 1 | start bus number |
/// | 6 | 2 each | path: device, function |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceScope<'a> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// What it names.
    pub kind: ScopeType,
    /// Flags; reserved in tables before revision 4 of the specification.
    pub flags: u8,
    /// Which IOAPIC, HPET or ACPI namespace device it is; see [`ScopeType`].
    pub enumeration_id: u8,
    /// The bus that the first pair of the path is on.
    pub start_bus: u8,
    /// From the start bus to the device; each further pair is behind the bridge that the pairs before it lead to.
    pub path: &'a [PathStep],
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Fields {
    kind: u8,
    length: u8,
    flags: u8,
    reserved: u8,
    enumeration_id: u8,
    start_bus: u8,
}

impl<'a> DeviceScope<'a> {
    fn read(offset: usize, bytes: &'a [u8]) -> Result<Self, DmarError> {
        let wrong = |problem: fn(Part, usize) -> Problem| {
            let kind = ScopeType::new(bytes.first().copied().unwrap_or(0));
            DmarError { offset, problem: problem(Part::Scope(kind), bytes.len()) }
        };
        let (fields, path) = Fields::ref_from_prefix(bytes)
            .map_err(|_| wrong(|part, length| Problem::Short { part, expected: size_of::<Fields>(), length }))?;
        let path =
            <[PathStep]>::ref_from_bytes(path).map_err(|_| wrong(|part, length| Problem::HalfPair { part, length }))?;
        Ok(Self {
            offset,
            kind: ScopeType::new(fields.kind),
            flags: fields.flags,
            enumeration_id: fields.enumeration_id,
            start_bus: fields.start_bus,
            path,
        })
    }

    /// The device that the path leads to.
    ///
    /// A path of one pair needs nothing else. In a longer one all but the last are bridges, and the next pair is on
    /// the bridge's secondary bus, which only the machine knows: `secondary_bus` gives it, or `None` if it can't.
    ///
    /// # Errors
    ///
    /// What keeps the path from leading to a device.
    pub fn source_id(&self, mut secondary_bus: impl FnMut(SourceId) -> Option<u8>) -> Result<SourceId, Unresolved> {
        let (first, further) = self.path.split_first().ok_or(Unresolved::NoPath)?;
        further.iter().try_fold(first.on(self.start_bus)?, |bridge, step| {
            step.on(secondary_bus(bridge).ok_or(Unresolved::Bridge(bridge))?)
        })
    }
}

/// The device scopes of a structure, in table order.
///
/// A malformed one is an error in its place. Those behind it are read as long as its length leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceScopes<'a>(pub(super) Records<'a>);

const HEAD: Head = Head {
    what: "device scope",
    size: 2,
    read: |bytes| {
        let &[kind, length] = bytes.first_chunk()?;
        Some((Part::Scope(ScopeType::new(kind)), length.into()))
    },
};

impl<'a> Iterator for DeviceScopes<'a> {
    type Item = Result<DeviceScope<'a>, DmarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.0.next(&HEAD)?;
        Some(record.and_then(|(offset, bytes)| DeviceScope::read(offset, bytes)))
    }
}

impl FusedIterator for DeviceScopes<'_> {}
