//! `iopt copy`: new tables that translate like the old ones, as an image of their own.

mod file;
mod placement;
mod planning;
mod report;
mod reserved;

use crate::args::{Common, CopyTables};
use crate::error::{Error, Outcome};
use crate::memory::Memory;
use crate::output::Output;
use crate::statistics::Statistics;
use crate::units;
use file::{Destination, Written};
use iopt::copy::{self, Mode, Options, Partial};
use iopt::memory::Counted;
use iopt::vtd::{Rtaddr, Unit};
use iopt_backends::NewPages;
use placement::Placement;
use planning::Planner;
use report::Report;
use reserved::Reserved;
use std::io;
use std::time::Instant;

pub fn run(common: &Common, command: &CopyTables, output: &mut Output) -> Result<Outcome, Error> {
    let is_sample = units::is_sample(common, command.image.as_deref())?;
    if let Some(found) = selection(common) {
        return Err(Error::Use(format!("expected all devices of the units (they share tables), found {found}")));
    }
    let destination = Destination::new(common, command)?;
    let units = units::units(common, is_sample, output)?;
    let image = units::open(common, command.image.as_deref())?;
    let width = units.iter().find_map(Unit::host_address_width);
    let placement = Placement::new(command.base, &image, width)?;

    let options = Options {
        mode: if command.adopt { Mode::Adopt } else { Mode::Copy },
        partial: Partial::Keep,
        budget: common.budget(),
        ..Options::default()
    };
    let start = Instant::now();
    let reader = Counted::new(&image);
    let mut planner = Planner::new(output);
    let plan = planner.plan(&reader, &units, &options)?;
    placement.check(plan.total.pages, &image)?;

    let mut pages = NewPages::new(placement.base);
    let mut reserved = Reserved::default();
    let mut roots = vec![Rtaddr(0); units.len()];
    let work = &mut planner.workspace();
    plan.total.execute(&reader, &units, &mut pages, &mut reserved, work, &mut roots).map_err(Error::Copy)?;
    let elapsed = start.elapsed();
    let mut statistics = Statistics::from(reader.counts());

    if let Some(destination) = &destination {
        destination.write(&pages)?;
    }
    let faults = planner.malformed();
    let mut outcome = if faults == 0 { Outcome::Done } else { Outcome::Faulted };
    let roots = destination.as_ref().map(|_| roots.as_slice());
    planner.output().sample_note(is_sample)?;
    let report = Report { units: &units, plan: &plan, roots, pages: &pages, reserved: &reserved.into_domains() };
    (statistics.ranges, statistics.faults) = (report.tell(planner.output())?, faults);
    if let (Some(destination), Some(roots)) = (&destination, roots) {
        let verified = verify(&image, &units, roots, destination, &options, &mut planner)?;
        if let Err(difference) = &verified {
            outcome = Outcome::Faulted;
            planner.output().note(difference)?;
        }
        report.verified(planner.output(), destination, verified.ok().as_ref())?;
    }
    let output = planner.output();
    io::Write::flush(output)?;
    statistics.tell(common, elapsed);
    Ok(outcome)
}

/// The option that would leave devices out.
fn selection(common: &Common) -> Option<String> {
    let device = common.device.map(|device| format!("--device {device}"));
    device.or(common.pasid.map(|pasid| format!("--pasid {pasid}")))
}

/// Compares the old tables with those in the file, and not with those that were meant to be written to it.
fn verify(
    image: &Memory,
    units: &[Unit],
    roots: &[Rtaddr],
    destination: &Destination,
    options: &Options,
    planner: &mut Planner<'_>,
) -> Result<Result<copy::Verified, copy::Difference>, Error> {
    let written = Written::open(destination)?;
    Ok(copy::verify(image, units, roots, &written, options, &mut planner.workspace()))
}
