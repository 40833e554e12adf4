use super::file::{self, Role};
use super::{Error, Paths, Registers};
use iopt::PhysAddr;
use iopt::vtd::dmar::{Dmar, DmarError, Structure};

/// Far more than any table has.
const MOST: u64 = 16 << 20;

/// The remapping units of a machine, as its ACPI DMAR table names them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Units {
    /// How many bits a physical address has that DMA can reach.
    pub host_address_width: u8,
    /// The units, in the order of the table.
    pub units: Vec<Unit>,
    /// What of the table can't be read; a unit may be among it.
    pub malformed: Vec<DmarError>,
}

/// A remapping unit.
#[derive(Debug)]
#[non_exhaustive]
pub struct Unit {
    /// PCI segment of its devices.
    pub segment: u16,
    /// Where its registers are.
    pub base: PhysAddr,
    /// Its registers, or why they can't be read.
    pub registers: Result<Registers, Error>,
}

impl Units {
    /// Reads the table, and the registers of each unit.
    ///
    /// # Errors
    /// The table can't be read, or is none.
    pub fn read(paths: &Paths) -> Result<Self, Error> {
        let bytes = file::read_all(&paths.dmar, Role::Dmar, MOST)?;
        let dmar = Dmar::parse(&bytes).map_err(|error| Error { path: paths.dmar.clone(), kind: error.into() })?;
        let (mut units, mut malformed) = (Vec::new(), Vec::new());
        for structure in dmar.structures() {
            match structure {
                Ok(Structure::Drhd(unit)) => units.push(Unit {
                    segment: unit.segment,
                    base: unit.base,
                    registers: Registers::read(&paths.mem, unit.base),
                }),
                Ok(_) => {}
                Err(error) => malformed.push(error),
            }
        }
        Ok(Self { host_address_width: dmar.host_address_width(), units, malformed })
    }
}
