//! Tells the new kernel's allocators what the old kernel's devices are using.

use super::memo::{Role, TreeId};
use super::{Error, Plan, Problem, Workspace};
use crate::address::Requester;
use crate::coalesce::{Coalescer, Join, MappedRange};
use crate::memory::{IovaReserver, PhysReader};
use crate::vtd::{AddressSpace, Cap, Cause, Device, Unit};
use crate::walk::Step;

/// Reserves what the devices of a unit use, in their domains. Without a reserver it only counts.
///
/// The page table of a domain is walked once, however many devices use it.
pub(super) fn unit<R: PhysReader + ?Sized>(
    old: &R,
    number: usize,
    unit: &Unit,
    plan: &mut Plan,
    work: &mut Workspace<'_>,
    mut iovas: Option<&mut dyn IovaReserver>,
    report: &mut dyn FnMut(&Problem),
) -> Result<(), Error> {
    let Workspace { memo, room } = work;
    let tables = plan.options.max_tables;
    let mut walk = unit.walk(old, &mut room.walk).max_tables(tables);
    let mut coalescer = Coalescer::new(Join::Iova);
    let mut device: Option<Device> = None;
    while let Some(step) = walk.next() {
        match step {
            Step::Run(run) => {
                let mut next = 0;
                while let Some((range, after)) = coalescer.feed(&run, next) {
                    reserve(number, device.as_ref(), &range, plan, &mut iovas)?;
                    next = after;
                }
            }
            Step::Device(found) => {
                let found = *found;
                if let Some(range) = coalescer.finish() {
                    reserve(number, device.as_ref(), &range, plan, &mut iovas)?;
                }
                device = Some(found);
                let Some(domain) = found.domain() else {
                    walk.skip();
                    continue;
                };
                plan.devices = plan.devices.saturating_add(1);
                let requester = Requester { source_id: found.source_id, pasid: found.pasid };
                let failed = |error| Error::Reserve { unit: number, requester, error };
                let tree = tree(&found);
                match memo.add_domain(number, domain, tree)? {
                    None => {
                        plan.domains = plan.domains.saturating_add(1);
                        if domain.0 == 0 && unit.caching_mode() {
                            report(&Problem::DomainReserved { requester });
                        }
                        if let Some(iovas) = &mut iovas {
                            iovas.open_domain(number, domain, width(&found)).map_err(failed)?;
                        }
                    }
                    Some(first) if first != tree => report(&Problem::DomainConflict { domain, requester }),
                    Some(_) => {}
                }
                if let Some(iovas) = &mut iovas {
                    iovas.note_in_use(number, found.source_id, domain).map_err(failed)?;
                }
                // What a nested device maps depends on two tables, and is looked at for each.
                if !matches!(found.space, AddressSpace::Nested(..)) && memo.add_reserved(number, domain, tree)? {
                    walk.skip();
                }
            }
            Step::Fault(fault) => {
                if let Cause::Budget { tables } = fault.cause {
                    return Err(Error::Budget { unit: number, tables });
                }
            }
            Step::Table(_) => {}
        }
    }
    match coalescer.finish() {
        Some(range) => reserve(number, device.as_ref(), &range, plan, &mut iovas),
        None => Ok(()),
    }
}

fn reserve(
    unit: usize,
    device: Option<&Device>,
    range: &MappedRange,
    plan: &mut Plan,
    iovas: &mut Option<&mut dyn IovaReserver>,
) -> Result<(), Error> {
    let Some((device, domain)) = device.and_then(|device| Some((device, device.domain()?))) else { return Ok(()) };
    plan.ranges = plan.ranges.saturating_add(1);
    let Some(iovas) = iovas else { return Ok(()) };
    let requester = Requester { source_id: device.source_id, pasid: device.pasid };
    iovas.reserve(unit, domain, range.iova, range.permissions).map_err(|error| Error::Reserve {
        unit,
        requester,
        error,
    })
}

/// The page table by which a device's domain is told from others: the second stage, if it has one.
fn tree(device: &Device) -> TreeId {
    match &device.space {
        AddressSpace::SecondStage(space) | AddressSpace::Nested(_, space) => {
            TreeId::new(space.root, Role::SecondStage(space.levels()))
        }
        AddressSpace::FirstStage(space) => TreeId::new(space.root, Role::FirstStage(space.levels())),
        AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => TreeId::NONE,
    }
}

/// How many bits an address in the device's domain has.
fn width(device: &Device) -> u8 {
    match &device.space {
        AddressSpace::SecondStage(space) => space.input_bits,
        // The input is signed, so its addresses are all over the 64-bit space.
        AddressSpace::FirstStage(_) | AddressSpace::Nested(..) => 64,
        AddressSpace::PassThrough { host_address_width } => host_address_width.unwrap_or(64),
        AddressSpace::Blocked(_) => 0,
    }
}

impl Unit {
    /// Whether domain-id 0 is reserved for hardware.
    fn caching_mode(&self) -> bool {
        self.cap().is_some_and(Cap::caching_mode)
    }
}
