//! The table as people read it.

use super::json::Device;
use super::scopes;
use crate::human;
use crate::output::Output;
use iopt::PhysAddr;
use iopt::vtd::dmar::{DeviceScope, Dmar, DmarError, ScopeType, Structure};
use std::io::{self, Write};

pub fn header(dmar: &Dmar<'_>, output: &mut Output) -> io::Result<()> {
    let size = human::count(dmar.as_bytes().len() as u64, "byte");
    output.heading(format_args!("DMAR table, {size}, revision {}", dmar.revision()))?;
    let yes = |flag| if flag { "yes" } else { "no" };
    let (oem, table) = (printable(dmar.oem_id()), printable(dmar.oem_table_id()));
    writeln!(output, "  OEM                  {oem}, table {table}, revision {:#x}", dmar.oem_revision())?;
    writeln!(output, "  checksum             {}", if dmar.checksum_valid() { "right" } else { "wrong" })?;
    writeln!(output, "  host address width   {} bits", dmar.host_address_width())?;
    writeln!(output, "  interrupt remapping  {}", yes(dmar.interrupt_remapping()))?;
    writeln!(output, "  x2APIC opt-out       {}", yes(dmar.x2apic_opt_out()))?;
    writeln!(output, "  DMA control opt-in   {}", yes(dmar.dma_control_opt_in()))
}

pub fn structure(structure: &Result<Structure<'_>, DmarError>, output: &mut Output) -> io::Result<()> {
    let structure = match structure {
        Ok(structure) => structure,
        Err(error) => return output.note(error),
    };
    let (name, segment, what) = describe(structure);
    output.heading(format_args!("{name} at offset {}  {what}", structure.offset()))?;
    structure.objection().iter().try_for_each(|error| output.note(error))?;
    for entry in scopes(structure).into_iter().flatten() {
        match entry {
            Ok(entry) => scope(&entry, segment, output)?,
            Err(error) => output.note(&error)?,
        }
    }
    Ok(())
}

/// Its name, its segment, and what it says.
fn describe(structure: &Structure<'_>) -> (&'static str, u16, String) {
    match structure {
        Structure::Drhd(unit) => {
            let all = if unit.include_all() { ", all devices that no other unit names" } else { "" };
            let size = human::size(unit.register_bytes().into());
            let (segment, base) = (unit.segment, unit.base);
            ("DRHD", segment, format!("unit at {base}, {size} of registers, segment {segment}{all}"))
        }
        Structure::Rmrr(region) => {
            let size = region.region().map(|region| format!(", {}", human::size(region.size())));
            let (PhysAddr(base), PhysAddr(limit)) = (region.base, region.limit);
            let (segment, size) = (region.segment, size.unwrap_or_default());
            ("RMRR", segment, format!("reserved memory {base:#x} - {limit:#x}{size}, segment {segment}"))
        }
        Structure::Atsr(ports) => {
            let which = if ports.all_ports() { "all root ports" } else { "root ports" };
            ("ATSR", ports.segment, format!("device-TLBs below {which}, segment {}", ports.segment))
        }
        Structure::Rhsa(unit) => {
            ("RHSA", 0, format!("unit at {} is in proximity domain {}", unit.base, unit.proximity_domain))
        }
        Structure::Andd(device) => {
            ("ANDD", 0, format!("ACPI device {} is {}", device.acpi_device_number, printable(device.name())))
        }
        Structure::Satc(devices) => {
            let need = if devices.atc_required() { "need" } else { "have" };
            ("SATC", devices.segment, format!("devices that {need} a device-TLB, segment {}", devices.segment))
        }
        Structure::Sidp(devices) => {
            ("SIDP", devices.segment, format!("properties of devices, segment {}", devices.segment))
        }
        Structure::Unknown { kind, bytes, .. } => {
            let size = human::count(bytes.len() as u64, "byte");
            ("unknown structure", 0, format!("type {kind}, {size}"))
        }
    }
}

fn scope(scope: &DeviceScope<'_>, segment: u16, output: &mut Output) -> io::Result<()> {
    let device = match scope.source_id(|_| None) {
        Ok(source_id) => Device(segment, source_id).to_string(),
        // Which bus is behind a bridge is not in the table: the path is shown as it is, from the start bus on.
        Err(_) => {
            let steps = scope.path.iter().map(|step| format!("{:02x}.{:x}", step.device, step.function));
            let segment = if segment == 0 { String::new() } else { format!("{segment:04x}:") };
            format!("{segment}{:02x}:{}", scope.start_bus, steps.collect::<Vec<_>>().join("/"))
        }
    };
    let id = match scope.kind {
        ScopeType::PciEndpoint | ScopeType::PciSubHierarchy if scope.enumeration_id == 0 => String::new(),
        _ => format!("  id {}", scope.enumeration_id),
    };
    let flags = if scope.flags == 0 { String::new() } else { format!("  flags {:#x}", scope.flags) };
    writeln!(output, "  {:<21}  {device}{id}{flags}", scope.kind.to_string())
}

/// Firmware's text without its padding. What a terminal would take for a control is escaped.
fn printable(text: &[u8]) -> String {
    let mut shown = String::new();
    for character in String::from_utf8_lossy(text).trim_end_matches(['\0', ' ']).chars() {
        if character.is_control() { shown.extend(character.escape_default()) } else { shown.push(character) }
    }
    shown
}
