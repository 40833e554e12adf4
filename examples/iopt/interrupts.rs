//! `iopt interrupts`: what each interrupt of the interrupt remapping table becomes.

use crate::args::{Common, Interrupts};
use crate::error::{Error, Outcome};
use crate::json::InterruptLine;
use crate::output::Output;
use crate::statistics::Statistics;
use crate::{human, live, units};
use iopt::memory::{Counted, Page};
use iopt::vtd::{IndexedEntry, Interrupt, Irta, SourceValidation};
use std::io::{self, Write};
use std::time::Instant;

pub fn run(common: &Common, command: &Interrupts, output: &mut Output) -> Result<Outcome, Error> {
    if units::is_sample(common, command.image.as_deref())? {
        let message = "expected an IMAGE or --live, found none: the built-in sample has no interrupt remapping table";
        return Err(Error::Use(message.to_owned()));
    }
    let irta = table(common, command, output)?;
    let image = units::open(common, command.image.as_deref())?;

    let start = Instant::now();
    let reader = Counted::new(&image);
    let mut copy = Page::ZERO.clone();
    let (mut present, mut faults) = (0u64, 0u64);
    if !output.is_json() {
        let bits = if irta.extended() { 32 } else { 8 };
        let (table, entries) = (irta.table(), irta.entry_count());
        output.heading(format_args!("Interrupt table {table}, {entries} entries, {bits}-bit destinations"))?;
        writeln!(output, "  index  format    vector  destination            delivery         trigger  from")?;
    }
    for found in irta.entries(&reader, &mut copy) {
        match found {
            Ok(found) => {
                if common.device.is_some_and(|device| !found.entry.validation().allows(device)) {
                    continue;
                }
                present = present.saturating_add(1);
                if output.is_json() {
                    output.json(&InterruptLine::new(&found, irta.extended()))?;
                } else {
                    row(output, &found, irta)?;
                }
            }
            Err(fault) => {
                faults = faults.saturating_add(1);
                output.interrupt_fault(&fault)?;
            }
        }
    }
    let elapsed = start.elapsed();
    if !output.is_json() {
        writeln!(output, "{}, {}", human::count(present, "interrupt"), human::count(faults, "fault"))?;
    }
    output.flush()?;
    let mut statistics = Statistics::from(reader.counts());
    (statistics.leaves, statistics.faults) = (present, faults);
    statistics.tell(common, elapsed);
    Ok(if faults == 0 { Outcome::Done } else { Outcome::Faulted })
}

/// The table that the options describe.
fn table(common: &Common, command: &Interrupts, output: &mut Output) -> Result<Irta, Error> {
    if let Some(pasid) = common.pasid {
        return Err(Error::Use(format!("expected no --pasid (interrupts have none), found PASID {pasid}")));
    }
    let irta = match command.irta {
        Some(irta) => Irta(irta),
        None if common.live => live::interrupt_table(common, output)?,
        None => return Err(Error::Use("expected --irta VALUE, the value of IRTA_REG, found none".to_owned())),
    };
    if irta.reserved() != 0 {
        let (value, reserved) = (irta.0, irta.reserved());
        return Err(Error::Use(format!(
            "interrupt table address {value:#x}: expected 4 KiB alignment, EIME in bit 11 and the size in bits 3:0, \
             found reserved bits {reserved:#x} set"
        )));
    }
    Ok(irta)
}

fn row(output: &mut Output, found: &IndexedEntry, irta: Irta) -> io::Result<()> {
    let entry = &found.entry;
    let (format, vector, destination, delivery, trigger, mut notes) = match entry.interrupt(irta.extended()) {
        Interrupt::Remapped { destination_mode, redirection_hint, trigger, delivery, vector, destination } => (
            "remapped",
            vector,
            format!("{destination_mode} {destination:#x}"),
            delivery.to_string(),
            trigger.to_string(),
            if redirection_hint { ", may be redirected" } else { "" }.to_owned(),
        ),
        Interrupt::Posted { urgent, vector, descriptor } => (
            "posted",
            vector,
            descriptor.to_string(),
            "-".to_owned(),
            "-".to_owned(),
            if urgent { ", urgent" } else { "" }.to_owned(),
        ),
    };
    if entry.fault_disabled() {
        notes += ", faults not recorded";
    }
    let from = match entry.validation() {
        SourceValidation::SourceId { source_id, mask: 0xffff } => source_id.to_string(),
        other => other.to_string(),
    };
    let index = found.index;
    writeln!(
        output,
        "  {index:>5}  {format:<8}  {vector:#04x}    {destination:<21}  {delivery:<15}  {trigger:<7}  {from}{notes}"
    )
}
