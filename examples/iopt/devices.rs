//! `iopt devices`: the devices that have an address space.

use crate::args::{Common, ImageOnly};
use crate::error::{Error, Outcome};
use crate::json::DeviceLine;
use crate::output::Output;
use crate::sharing::Sharing;
use crate::statistics::Statistics;
use crate::tally::Tally;
use crate::{human, units};
use iopt::memory::PhysReader;
use iopt::vtd::{AddressSpace, Device, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Requester, SourceId};
use std::io::{self, Write};
use std::time::Instant;

pub fn run(common: &Common, command: &ImageOnly, output: &mut Output) -> Result<Outcome, Error> {
    let is_sample = units::is_sample(common, command.image.as_deref())?;
    let units = units::units(common, is_sample, output)?;
    let image = units::open(common, command.image.as_deref())?;
    output.sample_note(is_sample)?;

    let start = Instant::now();
    let mut scratch = Scratch::new();
    let mut statistics = Statistics::default();
    let mut tally = Tally::default();
    for (index, unit) in units.iter().enumerate() {
        let mut width = 0;
        if !output.is_json() {
            width = name_width(unit, common, &image, &mut scratch);
            output.unit(index, unit)?;
            writeln!(output, "  {:<width$}  mode          levels  table           domain  notes", "device")?;
        }
        let mut sharing = Sharing::before(common, unit, &image, &mut scratch);
        let mut walk = units::walk(unit, common, &image, &mut scratch);
        while let Some(step) = walk.next() {
            match step {
                Step::Device(device) => {
                    tally.add(index, device);
                    let shares_with = sharing.first_user(device);
                    if output.is_json() {
                        output.json(&DeviceLine::new(index, device, shares_with))?;
                    } else {
                        row(output, width, device, shares_with)?;
                    }
                    walk.skip();
                }
                Step::Fault(fault) => output.fault(&fault)?,
                // Page tables are not entered.
                Step::Table(_) | Step::Shared(_) | Step::Run(_) => {}
            }
        }
        statistics.add(&walk.statistics());
    }
    let elapsed = start.elapsed();
    if !output.is_json() {
        writeln!(output, "{tally}, {}", human::count(statistics.faults, "fault"))?;
    }
    output.flush()?;
    statistics.tell(common, elapsed);
    Ok(if statistics.faults == 0 { Outcome::Done } else { Outcome::Faulted })
}

/// How much room the longest name of a device takes. It is looked for before the first row is printed, for a unit may
/// have more devices than can be kept.
fn name_width(unit: &Unit, common: &Common, reader: &impl PhysReader, scratch: &mut Scratch) -> usize {
    let mut width = SourceId(0).to_string().len();
    if !unit.is_scalable() {
        return width;
    }
    let mut walk = units::walk(unit, common, reader, scratch);
    while let Some(step) = walk.next() {
        if let Step::Device(device) = step {
            width = width.max(human::name(device).to_string().len());
            walk.skip();
        }
    }
    width
}

fn row(output: &mut Output, width: usize, device: &Device, shares_with: Option<Requester>) -> io::Result<()> {
    let none = || "-".to_owned();
    let (mode, levels, table) = match &device.space {
        AddressSpace::SecondStage(second) => ("second-stage", second.levels().to_string(), second.root.to_string()),
        AddressSpace::FirstStage(first) => ("first-stage", first.levels().to_string(), first.root.to_string()),
        AddressSpace::Nested(first, _) => ("nested", first.levels().to_string(), first.root.to_string()),
        AddressSpace::PassThrough { .. } => ("pass-through", none(), none()),
        AddressSpace::Blocked(_) => ("blocked", none(), none()),
    };
    // What the columns have no room for.
    let more = match &device.space {
        AddressSpace::Nested(_, second) => format!("over {}", human::second_stage(second)),
        AddressSpace::Blocked(reason) => human::blocked(*reason).to_owned(),
        _ => String::new(),
    };
    let notes = human::notes(device, shares_with);
    let separator = if more.is_empty() || notes.is_empty() { "" } else { ", " };
    let name = human::name(device).to_string();
    let domain = device.domain().map_or_else(none, |domain| domain.to_string());
    let row = format!("  {name:<width$}  {mode:<12}  {levels:<6}  {table:<14}  {domain:<6}  {more}{separator}{notes}");
    writeln!(output, "{}", row.trim_end())
}
