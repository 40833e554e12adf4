//! `iopt dmar`: the ACPI DMAR table of a machine.

mod json;
mod text;

use crate::args::{Common, DmarFile};
use crate::error::{Error, Outcome};
use crate::output::Output;
use crate::statistics::Statistics;
use crate::units;
use iopt::vtd::dmar::{DeviceScopes, Dmar, DmarError, Structure};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// Far more than any table has; a file that does not end must not fill the memory.
const MOST: u64 = 16 << 20;

pub fn run(common: &Common, command: &DmarFile, output: &mut Output) -> Result<Outcome, Error> {
    units::is_sample(common, Some(&command.file))?;
    let refused = |found: &dyn fmt::Display| {
        Error::Use(format!("{}: expected an ACPI DMAR table, {found}", command.file.display()))
    };
    let bytes = read(&command.file).map_err(|error| refused(&format_args!("can't be read: {error}")))?;
    let dmar =
        Dmar::parse(&bytes).map_err(|error| refused(&format_args!("at offset {}: {}", error.offset, error.problem)))?;

    let checksum = checksum(&dmar);
    let mut whole = checksum.is_none();
    if output.is_json() {
        checksum.iter().try_for_each(|wrong| output.json(wrong))?;
    } else {
        text::header(&dmar, output)?;
        checksum.iter().try_for_each(|wrong| output.note(wrong))?;
    }
    for structure in dmar.structures() {
        whole &= is_whole(&structure);
        if output.is_json() {
            json::structure(&structure, output)?;
        } else {
            text::structure(&structure, output)?;
        }
    }
    output.flush()?;
    Statistics::default().tell(common, Duration::ZERO);
    Ok(if whole { Outcome::Done } else { Outcome::Faulted })
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checksum(dmar: &Dmar<'_>) -> Option<json::Malformed> {
    let (expected, found) = (dmar.expected_checksum(), dmar.checksum());
    let wrong = || json::Malformed {
        malformed: format!("expected checksum {expected:#04x}, found {found:#04x}"),
        offset: Dmar::CHECKSUM_OFFSET,
    };
    (!dmar.checksum_valid()).then(wrong)
}

fn is_whole(structure: &Result<Structure<'_>, DmarError>) -> bool {
    let Ok(structure) = structure else { return false };
    structure.objection().is_none() && scopes(structure).is_none_or(|mut scopes| scopes.all(|scope| scope.is_ok()))
}

/// The device scopes of a structure that can have some.
fn scopes<'a>(structure: &Structure<'a>) -> Option<DeviceScopes<'a>> {
    match structure {
        Structure::Drhd(unit) => Some(unit.scopes()),
        Structure::Rmrr(region) => Some(region.scopes()),
        Structure::Atsr(ports) => Some(ports.scopes()),
        Structure::Satc(devices) => Some(devices.scopes()),
        Structure::Sidp(devices) => Some(devices.scopes()),
        Structure::Rhsa(_) | Structure::Andd(_) | Structure::Unknown { .. } => None,
    }
}
