//! `iopt devices`: the devices that have an address space.

use crate::args::{Common, ImageOnly};
use crate::error::{Error, Outcome};
use crate::json::DeviceLine;
use crate::output::Output;
use crate::sharing::Sharing;
use crate::statistics::Statistics;
use crate::{human, units};
use iopt::SourceId;
use iopt::vtd::{AddressSpace, Device};
use iopt::walk::{Scratch, Step};
use std::io::{self, Write};
use std::time::Instant;

pub fn run(common: &Common, command: &ImageOnly, output: &mut Output) -> Result<Outcome, Error> {
    let is_sample = command.image.is_none();
    let units = units::units(common, is_sample)?;
    let image = units::open(common, command.image.as_deref())?;
    output.sample_note(is_sample)?;

    let start = Instant::now();
    let mut scratch = Scratch::new();
    let mut statistics = Statistics::default();
    let mut number = 0u64;
    for (index, unit) in units.iter().enumerate() {
        if !output.is_json() {
            output.unit(index, unit)?;
            writeln!(output, "  device   mode          levels  table           domain  notes")?;
        }
        let mut sharing = Sharing::before(common.device, unit, &image, &mut scratch);
        let mut walk = unit.walk(&image, &mut scratch).max_tables(common.max_tables);
        if let Some(device) = common.device {
            walk = walk.only_device(device);
        }
        while let Some(step) = walk.next() {
            match step {
                Step::Device(device) => {
                    number = number.saturating_add(1);
                    let shares_with = sharing.first_user(device);
                    if output.is_json() {
                        output.json(&DeviceLine::new(index, device, shares_with))?;
                    } else {
                        row(output, device, shares_with)?;
                    }
                    walk.skip();
                }
                Step::Fault(fault) => output.fault(&fault)?,
                // Page tables are not entered.
                Step::Table(_) | Step::Run(_) => {}
            }
        }
        statistics.add(&walk.statistics());
    }
    let elapsed = start.elapsed();
    if !output.is_json() {
        writeln!(output, "{}, {}", human::count(number, "device"), human::count(statistics.faults, "fault"))?;
    }
    output.flush()?;
    statistics.tell(common, elapsed);
    Ok(if statistics.faults == 0 { Outcome::Done } else { Outcome::Faulted })
}

fn row(output: &mut Output, device: &Device, shares_with: Option<SourceId>) -> io::Result<()> {
    let (mode, levels, table) = match &device.space {
        AddressSpace::SecondStage(space) => ("second-stage", space.levels().to_string(), space.root.to_string()),
        AddressSpace::PassThrough { .. } => ("pass-through", "-".to_owned(), "-".to_owned()),
    };
    let (source_id, domain, notes) = (device.source_id, device.domain().0, human::notes(device, shares_with));
    let row = format!("  {source_id}  {mode:<12}  {levels:<6}  {table:<14}  {domain:<6}  {notes}");
    writeln!(output, "{}", row.trim_end())
}
