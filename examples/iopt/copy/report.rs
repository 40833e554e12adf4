//! What became of a copy.

use super::file::Destination;
use super::planning::{Plans, UnitPlan};
use super::reserved::Domain;
use crate::human;
use crate::json::{CopyLine, ReservationLine, VerifiedLine};
use crate::output::Output;
use iopt::address::PAGE_SIZE;
use iopt::copy::Verified;
use iopt::vtd::{Rtaddr, Unit};
use iopt_backends::NewPages;
use std::io::{self, Write};

#[derive(Debug)]
pub struct Report<'r> {
    pub units: &'r [Unit],
    pub plan: &'r Plans,
    /// The new values of the root table address registers, unless nothing was written.
    pub roots: Option<&'r [Rtaddr]>,
    pub pages: &'r NewPages,
    pub reserved: &'r [Domain],
}

impl Report<'_> {
    /// Writes what was copied and reserved, and returns how many ranges are reserved.
    pub fn tell(&self, output: &mut Output) -> io::Result<u64> {
        if output.is_json() {
            self.lines(output)?
        } else {
            self.text(output)?
        }
        let ranges: usize = self.reserved.iter().map(|domain| domain.ranges.len()).sum();
        Ok(u64::try_from(ranges).unwrap_or(u64::MAX))
    }

    /// The units, and what their copies take.
    fn units(&self) -> impl Iterator<Item = (usize, &Unit, &UnitPlan, Option<Rtaddr>)> {
        let units = self.units.iter().zip(&self.plan.units).enumerate();
        units.map(|(index, (unit, plan))| (index, unit, plan, self.roots.and_then(|roots| roots.get(index)).copied()))
    }

    fn lines(&self, output: &mut Output) -> io::Result<()> {
        for (index, unit, plan, root) in self.units() {
            output.json(&CopyLine {
                unit: index,
                old_root: unit.rtaddr().0.into(),
                new_root: root.map(|root| root.0.into()),
                pages: plan.pages,
                shared: plan.shared,
                domains: plan.domains,
            })?;
        }
        for Domain { unit, id, ranges } in self.reserved {
            for range in ranges {
                let (iova, last) = (range.first().into(), range.last().into());
                output.json(&ReservationLine { unit: *unit, domain: id.0, iova, last })?;
            }
        }
        Ok(())
    }

    fn text(&self, output: &mut Output) -> io::Result<()> {
        for (index, unit, plan, root) in self.units() {
            output.unit(index, unit)?;
            if let Some(root) = root {
                writeln!(output, "  new root  {:#x}", root.0)?;
            }
            let again = human::count(plan.shared, "table");
            writeln!(output, "  pages     {}, {again} met again", pages(plan.pages))?;
            writeln!(output, "  domains   {}", plan.domains)?;
            let width = 12;
            for Domain { id, ranges, .. } in self.reserved.iter().filter(|domain| domain.unit == index) {
                let bytes = ranges.iter().fold(0u128, |bytes, range| bytes.saturating_add(range.size()));
                let count = human::count(u64::try_from(ranges.len()).unwrap_or(u64::MAX), "range");
                writeln!(output, "    domain {id:<5}  {count:>width$}  {:>10} reserved", human::size_about(bytes))?;
            }
        }
        let range = |range| format!(" at {range}");
        let place = self.pages.ranges().next().map(range).unwrap_or_default();
        if self.roots.is_none() {
            writeln!(output, "Dry run: {}{place} would be written", pages(self.plan.total.pages))?;
        }
        Ok(())
    }

    /// Writes whether the file has what the old tables say.
    pub fn verified(
        &self,
        output: &mut Output,
        destination: &Destination,
        verified: Option<&Verified>,
    ) -> io::Result<()> {
        if output.is_json() {
            return output.json(&VerifiedLine { verified: verified.is_some() });
        }
        let file = destination.path().display().to_string();
        write!(output, "{}: {}", file.escape_debug(), pages(self.plan.total.pages))?;
        for range in self.pages.ranges() {
            write!(output, " at {range}")?;
        }
        match verified {
            None => writeln!(output, ", NOT verified"),
            Some(Verified { tables, missing: 0, .. }) => {
                writeln!(output, ", verified: {} as before", human::count(*tables, "table"))
            }
            Some(Verified { tables, missing, .. }) => {
                let tables = human::count(*tables, "table");
                writeln!(output, ", verified: {tables} as before, {missing} lost")
            }
        }
    }
}

fn pages(number: u64) -> String {
    let bytes = u128::from(number).saturating_mul(PAGE_SIZE.into());
    format!("{} ({})", human::count(number, "page"), human::size(bytes))
}
