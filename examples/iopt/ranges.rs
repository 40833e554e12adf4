//! `iopt ranges`: what each device can reach.

use crate::args::{Common, Ranges};
use crate::error::{Error, Outcome};
use crate::json::{RangeLine, page_size};
use crate::output::Output;
use crate::sharing::Sharing;
use crate::statistics::Statistics;
use crate::tally::Tally;
use crate::{human, units};
use iopt::coalesce::{Coalescer, DeviceRange, Join, MappedRange};
use iopt::memory::PhysReader;
use iopt::vtd::{AddressSpace, Cause, Device, Fault, Unit};
use iopt::walk::{Scratch, Step};
use std::io::{self, Write};
use std::time::Instant;

pub fn run(common: &Common, command: &Ranges, output: &mut Output) -> Result<Outcome, Error> {
    let is_sample = units::is_sample(common, command.image.as_deref())?;
    let units = units::units(common, is_sample, output)?;
    let image = units::open(common, command.image.as_deref())?;
    output.sample_note(is_sample)?;

    let start = Instant::now();
    let mut scratch = Scratch::new();
    let mut listing = Listing::new(output);
    for (index, unit) in units.iter().enumerate() {
        listing.unit(index, unit, common, &image, &mut scratch, command.by.into())?;
    }
    let elapsed = start.elapsed();
    let statistics = listing.finish()?;
    statistics.tell(common, elapsed);
    Ok(if statistics.faults == 0 { Outcome::Done } else { Outcome::Faulted })
}

/// Writes ranges, and for people also whose they are.
struct Listing<'o> {
    output: &'o mut Output,
    unit: usize,
    sharing: Sharing,
    /// Whose ranges come; `None` before the first device of a unit.
    owner: Option<Owner>,
    statistics: Statistics,
    tally: Tally,
    mapped: u128,
}

struct Owner {
    device: Device,
    /// How many digits the device's addresses have.
    digits: usize,
    ranges: u64,
    faults: u64,
}

impl<'o> Listing<'o> {
    fn new(output: &'o mut Output) -> Self {
        Self {
            output,
            unit: 0,
            sharing: Sharing::default(),
            owner: None,
            statistics: Statistics::default(),
            tally: Tally::default(),
            mapped: 0,
        }
    }

    fn unit(
        &mut self,
        index: usize,
        unit: &Unit,
        common: &Common,
        reader: &impl PhysReader,
        scratch: &mut Scratch,
        join: Join,
    ) -> io::Result<()> {
        self.unit = index;
        if !self.output.is_json() {
            self.output.unit(index, unit)?;
            self.sharing = Sharing::before(common, unit, reader, scratch);
        }
        let mut walk = units::walk(unit, common, reader, scratch);
        let mut coalescer = Coalescer::new(join);
        while let Some(step) = walk.next() {
            match step {
                Step::Run(run) => {
                    let mut next = 0;
                    while let Some((range, after)) = coalescer.feed(&run, next) {
                        self.mapped_range(&range)?;
                        next = after;
                    }
                }
                Step::Table(_) | Step::Shared(_) => {}
                Step::Device(device) => {
                    self.close(&mut coalescer)?;
                    self.end_device()?;
                    self.device(device)?;
                }
                Step::Fault(fault) => {
                    self.close(&mut coalescer)?;
                    self.fault(&fault)?;
                }
            }
        }
        self.close(&mut coalescer)?;
        self.end_device()?;
        self.statistics.add(&walk.statistics());
        Ok(())
    }

    fn close(&mut self, coalescer: &mut Coalescer) -> io::Result<()> {
        coalescer.finish().map_or(Ok(()), |range| self.mapped_range(&range))
    }

    fn device(&mut self, device: &Device) -> io::Result<()> {
        self.tally.add(self.unit, device);
        let domain = device.domain();
        let last = device.space.input().map_or(0, |input| input.last().0);
        self.owner = Some(Owner {
            device: *device,
            digits: usize::try_from(last.checked_ilog2().unwrap_or(0) >> 2).unwrap_or(0).saturating_add(1),
            ranges: 0,
            faults: 0,
        });
        if !self.output.is_json() {
            let mut notes = human::notes(device, self.sharing.first_user(device));
            if !notes.is_empty() {
                notes.insert_str(0, "  ");
            }
            let (name, translation) = (human::name(device), human::translation(device));
            let domain = domain.map(|domain| format!("  domain {domain}")).unwrap_or_default();
            self.output.heading(format_args!("{name}{domain}  {translation}{notes}"))?;
        }
        match DeviceRange::pass_through(device) {
            Some(everything) => self.range(&everything),
            None => Ok(()),
        }
    }

    /// A device under whose heading nothing stands must not look forgotten. That of a blocked one says enough.
    fn end_device(&mut self) -> io::Result<()> {
        match self.owner.take() {
            Some(Owner { device, ranges: 0, faults, .. })
                if !self.output.is_json() && !matches!(device.space, AddressSpace::Blocked(_)) =>
            {
                writeln!(self.output, "  nothing mapped{}", if faults == 0 { "" } else { " that can be followed" })
            }
            _ => Ok(()),
        }
    }

    fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        if let Some(owner) = &mut self.owner {
            // What is wrong on the way to the next PASID is none of this one's.
            if (fault.place.source_id, fault.place.pasid) == (Some(owner.device.source_id), owner.device.pasid) {
                owner.faults = owner.faults.saturating_add(1);
            }
        }
        self.output.fault(fault)
    }

    fn mapped_range(&mut self, range: &MappedRange) -> io::Result<()> {
        let Some(Device { source_id, pasid, .. }) = self.owner.as_ref().map(|owner| owner.device) else {
            return Ok(());
        };
        let Some(domain) = self.owner.as_ref().and_then(|owner| owner.device.domain()) else { return Ok(()) };
        self.mapped = self.mapped.saturating_add(range.iova.size());
        let range = DeviceRange::new(source_id, pasid, domain, range);
        self.range(&range)?;
        if self.output.is_json() { Ok(()) } else { self.unreachable(&range) }
    }

    /// Interrupt addresses in a range are no memory to the device.
    fn unreachable(&mut self, range: &DeviceRange) -> io::Result<()> {
        let Some(Owner { device, digits, .. }) = &self.owner else { return Ok(()) };
        let width = digits.saturating_add(2);
        for (part, fault) in device.reachable(*range).filter_map(Result::err) {
            let (first, last, size) = (part.first().0, part.last().0, human::size(part.size()));
            let what = match fault.cause {
                Cause::InterruptRequest => "of it interrupts, which never come to the tables",
                _ => "of it refused, since it leads to interrupt addresses",
            };
            writeln!(self.output, "  {first:#0width$x} - {last:#0width$x}  {size:>10}  --  {what}")?;
        }
        Ok(())
    }

    fn range(&mut self, range: &DeviceRange) -> io::Result<()> {
        self.statistics.ranges = self.statistics.ranges.saturating_add(1);
        if self.output.is_json() {
            return self.output.json(&RangeLine::new(self.unit, range));
        }
        let mut width = 0;
        if let Some(owner) = &mut self.owner {
            owner.ranges = owner.ranges.saturating_add(1);
            width = owner.digits.saturating_add(2);
        }
        let (first, last) = (range.iova.first().0, range.iova.last().0);
        let (size, permissions) = (human::size(range.iova.size()), range.permissions);
        write!(self.output, "  {first:#0width$x} - {last:#0width$x}  {size:>10}  {permissions}  -> ")?;
        let phys = range.phys.map_or_else(|| "scattered".to_owned(), |phys| phys.to_string());
        match range.page_size_log2.and_then(page_size) {
            Some(page) => writeln!(self.output, "{phys:<14}  ({} pages)", human::size(page.into())),
            None => writeln!(self.output, "{phys:<14}  (no page tables)"),
        }
    }

    fn finish(self) -> io::Result<Statistics> {
        if !self.output.is_json() {
            let (devices, without_tables) = (&self.tally, self.tally.without_tables());
            let ranges = human::count(self.statistics.ranges, "range");
            let mapped = human::size_about(self.mapped);
            let faults = human::count(self.statistics.faults, "fault");
            writeln!(self.output, "{devices}{without_tables}, {ranges}, {mapped} mapped, {faults}")?;
        }
        self.output.flush()?;
        Ok(self.statistics)
    }
}
