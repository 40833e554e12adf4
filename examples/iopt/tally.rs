//! How many devices there are.

use crate::human;
use iopt::SourceId;
use iopt::vtd::{AddressSpace, Device};
use std::fmt;

/// Counts devices that come in order.
#[derive(Debug, Default)]
pub struct Tally {
    /// The unit and the device that came last.
    last: Option<(usize, SourceId)>,
    devices: u64,
    /// Address spaces: in scalable mode a device may have many.
    spaces: u64,
    pass_through: u64,
    blocked: u64,
}

impl Tally {
    pub fn add(&mut self, unit: usize, device: &Device) {
        let this = Some((unit, device.source_id));
        self.devices = self.devices.saturating_add((self.last != this).into());
        self.last = this;
        self.spaces = self.spaces.saturating_add(1);
        match &device.space {
            AddressSpace::PassThrough { .. } => self.pass_through = self.pass_through.saturating_add(1),
            AddressSpace::Blocked(_) => self.blocked = self.blocked.saturating_add(1),
            _ => {}
        }
    }

    /// How many have no page tables, in parentheses.
    pub fn without_tables(&self) -> String {
        let kinds = [(self.pass_through, "pass-through"), (self.blocked, "blocked")];
        let kinds = kinds.iter().filter(|(number, _)| *number != 0).map(|(number, kind)| format!("{number} {kind}"));
        match kinds.collect::<Vec<_>>().join(", ") {
            none if none.is_empty() => none,
            some => format!(" ({some})"),
        }
    }
}

/// `11 devices`, or `2 devices with 5 PASIDs` where some have more than one.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human::count(self.devices, "device"))?;
        if self.spaces > self.devices {
            write!(f, " with {}", human::count(self.spaces, "PASID"))?;
        }
        Ok(())
    }
}
