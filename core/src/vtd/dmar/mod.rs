//! The ACPI DMAR table: which remapping units a machine has, and which devices are behind each.
//!
//! Source: Intel VT-d specification, "BIOS Considerations".
//!
//! ```
//! use iopt::vtd::dmar::{Dmar, Structure};
//! # let bytes = include_bytes!("../../../tests/data/dmar/intremap.bin");
//!
//! let dmar = Dmar::parse(bytes)?; // as in /sys/firmware/acpi/tables/DMAR
//! assert_eq!(dmar.host_address_width(), 48);
//! for structure in dmar.structures() {
//!     let Structure::Drhd(unit) = structure? else { continue }; // a malformed one is an Err with its offset
//!     assert_eq!(unit.base.to_string(), "0xfed90000");
//!     let ioapic = unit.scopes().next().expect("the unit has scopes")?;
//!     // No bridge is on the way to it, so no secondary bus is asked for.
//!     assert_eq!(ioapic.source_id(|_| None)?.to_string(), "ff:00.0");
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The table is taken as it is. Only what can't be read is an error; whatever merely looks wrong (the checksum,
//! reserved bits) is told by a method, and refused by none.

mod decode;
mod error;
mod owner;
mod records;
mod scope;
mod structure;

pub use decode::Structures;
pub use error::{DmarError, Part, Problem};
pub use owner::{Doubt, Owner};
pub use scope::{DeviceScope, DeviceScopes, PathStep, ScopeType, Unresolved};
pub use structure::{Andd, Atsr, Drhd, Rhsa, Rmrr, Satc, Sidp, Structure};

use records::Records;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A DMAR table.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 4 | signature, `DMAR` |
/// | 4 | 4 | length of the table, this header included |
/// | 8 | 1 | revision |
/// | 9 | 1 | checksum: all bytes of the table add up to 0 modulo 256 |
/// | 10 | 6 | OEM id |
/// | 16 | 8 | OEM table id |
/// | 24 | 4 | OEM revision |
/// | 28 | 4 | creator id |
/// | 32 | 4 | creator revision |
/// | 36 | 1 | width: the host address width in bits, minus 1 |
/// | 37 | 1 | flags: bit 0 INTR_REMAP, 1 X2APIC_OPT_OUT, 2 DMA_CTRL_PLATFORM_OPT_IN |
/// | 38 | 10 | reserved |
/// | 48 | | remapping structures |
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    /// As long as the header says.
    bytes: &'a [u8],
    header: &'a Header,
}

#[derive(Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    signature: [u8; 4],
    length: U32,
    revision: u8,
    checksum: u8,
    oem_id: [u8; 6],
    oem_table_id: [u8; 8],
    oem_revision: U32,
    creator_id: [u8; 4],
    creator_revision: U32,
    width: u8,
    flags: u8,
    reserved: [u8; 10],
}

impl<'a> Dmar<'a> {
    /// Offset of the checksum, in bytes from the start of the table.
    pub const CHECKSUM_OFFSET: usize = 9;

    /// The table that `bytes` begin with. What follows its length is not looked at.
    ///
    /// # Errors
    ///
    /// The signature is another one, the header is cut short, or its length is not within `bytes`.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, DmarError> {
        let wrong = |offset, problem| Err(DmarError { offset, problem });
        match bytes.first_chunk() {
            Some(b"DMAR") => {}
            Some(found) => return wrong(0, Problem::Signature { found: *found }),
            None => return wrong(0, Problem::Header { found: bytes.len() }),
        }
        let Ok((header, structures)) = Header::ref_from_prefix(bytes) else {
            return wrong(0, Problem::Header { found: bytes.len() });
        };
        let length = header.length.get();
        let table = usize::try_from(length).ok().and_then(|length| bytes.get(..length));
        match table {
            Some(table) if table.len() >= size_of::<Header>() => Ok(Self { bytes: table, header }),
            _ => wrong(4, Problem::TableLength { length, given: structures.len().saturating_add(size_of::<Header>()) }),
        }
    }

    /// Its bytes, as many as the header says.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether all bytes add up to 0 modulo 256.
    #[must_use]
    pub fn checksum_valid(&self) -> bool {
        self.checksum() == self.expected_checksum()
    }

    /// The checksum that it has.
    #[must_use]
    pub const fn checksum(&self) -> u8 {
        self.header.checksum
    }

    /// The checksum that it should have.
    #[must_use]
    pub fn expected_checksum(&self) -> u8 {
        let sum = self.bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        self.header.checksum.wrapping_sub(sum)
    }

    /// Revision of the table's format.
    #[must_use]
    pub const fn revision(&self) -> u8 {
        self.header.revision
    }

    /// OEM id, padded with spaces or zeros.
    #[must_use]
    pub const fn oem_id(&self) -> &'a [u8; 6] {
        &self.header.oem_id
    }

    /// OEM table id, padded with spaces or zeros.
    #[must_use]
    pub const fn oem_table_id(&self) -> &'a [u8; 8] {
        &self.header.oem_table_id
    }

    /// OEM revision.
    #[must_use]
    pub const fn oem_revision(&self) -> u32 {
        self.header.oem_revision.get()
    }

    /// How many bits a physical address has that DMA can reach: the width field plus 1. The field's largest value,
    /// which no machine has, stays 255.
    #[must_use]
    pub const fn host_address_width(&self) -> u8 {
        self.header.width.saturating_add(1)
    }

    /// All flags.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.header.flags
    }

    /// INTR_REMAP: the platform supports interrupt remapping.
    #[must_use]
    pub const fn interrupt_remapping(&self) -> bool {
        self.header.flags & 1 != 0
    }

    /// X2APIC_OPT_OUT: the firmware asks system software not to enable x2APIC mode.
    #[must_use]
    pub const fn x2apic_opt_out(&self) -> bool {
        self.header.flags & 1 << 1 != 0
    }

    /// DMA_CTRL_PLATFORM_OPT_IN: the firmware asks system software to keep DMA under control from the start.
    #[must_use]
    pub const fn dma_control_opt_in(&self) -> bool {
        self.header.flags & 1 << 2 != 0
    }

    /// All remapping structures, in table order.
    #[must_use]
    pub fn structures(&self) -> Structures<'a> {
        let structures = self.bytes.get(size_of::<Header>()..).unwrap_or_default();
        Structures(Records::new(structures, size_of::<Header>()))
    }

    /// The remapping units; malformed structures are left out.
    pub fn units(&self) -> impl Iterator<Item = Drhd<'a>> + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Ok(Structure::Drhd(unit)) => Some(unit),
            _ => None,
        })
    }

    /// The reserved memory regions; malformed structures are left out.
    pub fn reserved_memory(&self) -> impl Iterator<Item = Rmrr<'a>> + use<'a> {
        self.structures().filter_map(|structure| match structure {
            Ok(Structure::Rmrr(region)) => Some(region),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
