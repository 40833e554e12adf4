use crate::args::Common;
use crate::error::{Error, Outcome, tell};
use crate::info;
use crate::json::{InfoLine, KernelInfo, MemoryRange};
use crate::memory::Memory;
use crate::output::Output;
use crate::statistics::Statistics;
use crate::units::Known;
use iopt::PhysAddr;
use iopt::memory::ranges;
use iopt::vtd::{Irta, Unit};
use iopt_backends::live::{self, Paths, Registers, Units};
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// All memory that can be read. What is read, and what not and why, is told at once.
pub fn open(common: &Common) -> Result<Memory, Error> {
    let memory = live::Memory::open(&paths(common))?;
    for source in memory.sources() {
        tell(&format_args!("live memory from {}", source.path().display()));
    }
    for refused in memory.refused() {
        tell(&format_args!("no live memory from {refused}"));
    }
    Ok(Memory::Live(memory))
}

/// The units that translate.
pub fn units(common: &Common, output: &mut Output) -> Result<Vec<Known>, Error> {
    let Readable { units, host_address_width } = registers(common, output)?;
    let all = units.len();
    let mut known = Vec::new();
    for (place, registers) in units {
        let Registers { rtaddr, cap, ecap, gsts, .. } = registers;
        if !gsts.translation_enabled() {
            tell(&format_args!(
                "left out: the unit at {place} does not translate (GSTS {:#x}), its devices reach all memory",
                gsts.0
            ));
        } else if let Err(error) = Unit::new(rtaddr) {
            output.raise(Outcome::Faulted);
            tell(&format_args!("left out: the unit at {place}: {error}"));
        } else {
            let index = known.len();
            tell(&format_args!(
                "unit {index} at {place}: RTADDR {:#x}, CAP {:#x}, ECAP {:#x}, GSTS {:#x}",
                rtaddr.0, cap.0, ecap.0, gsts.0
            ));
            known.push(Known { rtaddr, cap: Some(cap), ecap: Some(ecap), host_address_width });
        }
    }
    if known.is_empty() {
        let message = format!(
            "expected a unit that translates, found none among {all} whose registers can be read; \
                               --root ADDR names a root table"
        );
        return Err(Error::Use(message));
    }
    Ok(known)
}

/// The interrupt remapping table of the one unit that has one.
pub fn interrupt_table(common: &Common, output: &mut Output) -> Result<Irta, Error> {
    let Readable { units, .. } = registers(common, output)?;
    let all = units.len();
    let tables: Vec<(Place, Irta)> = units
        .into_iter()
        .filter(|(_, registers)| registers.gsts.interrupt_remapping_enabled())
        .map(|(place, registers)| (place, registers.irta))
        .collect();
    match tables.as_slice() {
        [(place, irta)] => {
            tell(&format_args!("unit at {place}: IRTA {:#x}", irta.0));
            Ok(*irta)
        }
        [] => Err(Error::Use(format!(
            "expected a unit that remaps interrupts, found none among {all} whose registers can be read"
        ))),
        several => {
            let values: Vec<String> = several.iter().map(|(place, irta)| format!("{:#x} at {place}", irta.0)).collect();
            let found = values.join(", ");
            Err(Error::Use(format!("expected --irta VALUE to choose among units that remap interrupts, found {found}")))
        }
    }
}

/// Which unit it is. Listings have no room for a segment.
struct Place {
    base: PhysAddr,
    segment: u16,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { base, segment: 0 } => write!(f, "{base}"),
            Self { base, segment } => write!(f, "{base} of segment {segment:#x}"),
        }
    }
}

/// Units whose registers can be read.
struct Readable {
    units: Vec<(Place, Registers)>,
    host_address_width: Option<u8>,
}

/// What can't be read is told.
fn registers(common: &Common, output: &mut Output) -> Result<Readable, Error> {
    let found = Units::read(&paths(common))?;
    let host_address_width = Some(found.host_address_width).filter(|width| *width <= 64);
    let mut units = Vec::new();
    let mut left_out: Vec<String> = found.malformed.iter().map(ToString::to_string).collect();
    for unit in found.units {
        let place = Place { base: unit.base, segment: unit.segment };
        match unit.registers {
            Ok(registers) => units.push((place, registers)),
            Err(error) => left_out.push(format!("the unit at {place}: {error}")),
        }
    }
    for what in &left_out {
        output.raise(Outcome::Faulted);
        tell(&format_args!("left out: {what}"));
    }
    Ok(Readable { units, host_address_width })
}

fn paths(common: &Common) -> Paths {
    common.live_from.as_ref().map_or_else(Paths::default, Paths::in_folder)
}

/// `iopt info --live`.
pub fn info(common: &Common, memory: &live::Memory, output: &mut Output) -> Result<Outcome, Error> {
    let vmcoreinfo = memory.vmcoreinfo();
    if output.is_json() {
        output.json(&InfoLine {
            format: "live",
            size: None,
            ranges: ranges(memory).map(MemoryRange::from).collect(),
            vmcoreinfo: vmcoreinfo.map(KernelInfo),
        })?;
    } else {
        writeln!(output, "format  live memory")?;
        for source in memory.sources() {
            writeln!(output, "source  {}", source.path().display())?;
        }
        if let Some(release) = vmcoreinfo.and_then(|info| info.get("OSRELEASE")) {
            writeln!(output, "kernel  {}", release.escape_ascii())?;
        }
        info::describe_memory(memory, output)?;
    }
    output.flush()?;
    Statistics::default().tell(common, Duration::ZERO);
    Ok(Outcome::Done)
}
