//! Tells the new kernel's allocators what the old kernel's devices are using.

use super::memo::{Memo, Role, TreeId};
use super::{Error, Mode, Plan, Problem, Workspace};
use crate::address::Requester;
use crate::coalesce::{Coalescer, Join, MappedRange};
use crate::memory::{IovaReserver, PhysReader};
use crate::radix::Run;
use crate::vtd::{AddressSpace, Cap, Cause, Device, Fault, Structure, Unit};
use crate::walk::{Flow, Step, Visitor};

/// Who is told, and how many tables the plan knows to be unreadable.
pub(super) struct Reserving<'r> {
    pub(super) iovas: &'r mut dyn IovaReserver,
    pub(super) planned: u64,
}

/// Reserves what the devices of a unit use, in their domains. Without a reserver it only counts.
///
/// The page table of a domain is walked once, however many devices use it.
pub(super) fn unit<R: PhysReader + ?Sized>(
    old: &R,
    number: usize,
    unit: &Unit,
    plan: &mut Plan,
    work: &mut Workspace<'_>,
    reserving: Option<Reserving<'_>>,
    report: &mut dyn FnMut(&Problem),
) -> Result<(), Error> {
    let planned = reserving.as_ref().map(|reserving| reserving.planned);
    widths(old, number, unit, plan, work, planned)?;
    let Workspace { memo, room } = work;
    let mut walk = unit.walk(old, &mut room.walk).max_tables(plan.options.max_tables);
    let (coalescer, device, failed) = (Coalescer::new(Join::Iova), None, None);
    let mut reserver = Reserver { number, unit, plan, memo, reserving, report, coalescer, device, failed };
    walk.visit(&mut reserver);
    if let Some(error) = reserver.failed {
        return Err(error);
    }
    reserver.close()
}

/// Is told of all that a unit maps, as soon as it is found: tables with few leaves have many runs, and to hand out one
/// at a time takes twice as long.
struct Reserver<'r, 'w, 'i> {
    number: usize,
    unit: &'r Unit,
    plan: &'r mut Plan,
    memo: &'r mut Memo<'w>,
    reserving: Option<Reserving<'i>>,
    report: &'r mut dyn FnMut(&Problem),
    coalescer: Coalescer,
    device: Option<Device>,
    /// What has ended the walk.
    failed: Option<Error>,
}

impl Visitor for Reserver<'_, '_, '_> {
    fn device(&mut self, device: &Device) -> Flow {
        let begun = self.close().and_then(|()| self.begin(device));
        self.flow(begun)
    }

    #[inline]
    fn run(&mut self, run: &Run<'_>) -> Flow {
        let Self { number, plan, reserving, coalescer, device, failed, .. } = self;
        coalescer.push(run, |range| {
            if failed.is_none() {
                *failed = reserve(*number, device.as_ref(), &range, plan, reserving).err();
            }
        });
        if failed.is_some() { Flow::Stop } else { Flow::Enter }
    }

    fn fault(&mut self, fault: &Fault) -> Flow {
        let told = self.told(fault);
        self.flow(told.map(|()| Flow::Enter))
    }
}

impl Reserver<'_, '_, '_> {
    fn flow(&mut self, so_far: Result<Flow, Error>) -> Flow {
        so_far.unwrap_or_else(|error| {
            self.failed = Some(error);
            Flow::Stop
        })
    }

    /// Reserves the last range of a device.
    fn close(&mut self) -> Result<(), Error> {
        match self.coalescer.finish() {
            Some(range) => reserve(self.number, self.device.as_ref(), &range, self.plan, &mut self.reserving),
            None => Ok(()),
        }
    }

    /// Makes the domain of a device known, and tells whether its page table has to be looked at.
    fn begin(&mut self, found: &Device) -> Result<Flow, Error> {
        let (number, memo) = (self.number, &mut *self.memo);
        self.device = Some(*found);
        let Some(domain) = found.domain() else { return Ok(Flow::Skip) };
        self.plan.devices = self.plan.devices.saturating_add(1);
        let requester = Requester { source_id: found.source_id, pasid: found.pasid };
        let failed = |error| Error::Reserve { unit: number, requester, error };
        let tree = tree(found);
        let first = memo.add_domain(number, domain, tree)?.unwrap_or(tree);
        if first != tree {
            (self.report)(&Problem::DomainConflict { domain, requester });
        }
        let (again, begun) = memo.begin(number, domain, tree, rules(found))?;
        if let Some(known) = begun.filter(|_| first == tree) {
            self.plan.domains = self.plan.domains.saturating_add(1);
            if domain.0 == 0 && self.unit.caching_mode() {
                (self.report)(&Problem::DomainReserved { requester });
            }
            if let Some(reserving) = &mut self.reserving {
                let width = known.max(width(found));
                reserving.iovas.open_domain(number, domain, width).map_err(failed)?;
                memo.open(number, domain, first)?;
            }
        }
        if let Some(reserving) = &mut self.reserving {
            reserving.iovas.note_in_use(number, found.source_id, domain).map_err(failed)?;
        }
        // What a nested device maps depends on two tables, and is looked at for each.
        let known = again && !matches!(found.space, AddressSpace::Nested(..));
        Ok(if known { Flow::Skip } else { Flow::Enter })
    }

    fn told(&mut self, fault: &Fault) -> Result<(), Error> {
        match fault.cause {
            Cause::Budget { tables } => return Err(Error::Budget { unit: self.number, tables }),
            Cause::Unreadable(_) => {
                let planned = self.reserving.as_ref().map(|reserving| reserving.planned);
                unread(self.number, *fault, self.plan, planned)?;
                if only_reserved(self.plan.options.mode, self.device.as_ref(), fault) {
                    unreserved(self.number, *fault, self.plan, self.report);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Finds out how many bits the addresses of each domain have. Those of devices with different page tables may differ,
/// and a domain is opened once.
fn widths<R: PhysReader + ?Sized>(
    old: &R,
    number: usize,
    unit: &Unit,
    plan: &mut Plan,
    work: &mut Workspace<'_>,
    planned: Option<u64>,
) -> Result<(), Error> {
    let Workspace { memo, room } = work;
    let mut walk = unit.walk(old, &mut room.walk).max_tables(plan.options.max_tables);
    while let Some(step) = walk.next() {
        match step {
            Step::Device(found) => {
                let found = *found;
                walk.skip();
                if let Some(domain) = found.domain() {
                    let tree = tree(&found);
                    let first = memo.add_domain(number, domain, tree)?.unwrap_or(tree);
                    memo.widen(number, domain, first, width(&found))?;
                }
            }
            Step::Fault(fault) => match fault.cause {
                Cause::Budget { tables } => return Err(Error::Budget { unit: number, tables }),
                Cause::Unreadable(_) => unread(number, fault, plan, planned)?,
                _ => {}
            },
            Step::Run(_) | Step::Table(_) => {}
        }
    }
    Ok(())
}

/// Counts a table that can't be read. More of them than planned, and something in use is missed.
fn unread(unit: usize, fault: Fault, plan: &mut Plan, planned: Option<u64>) -> Result<(), Error> {
    plan.unread = plan.unread.saturating_add(1);
    match planned {
        Some(planned) if plan.unread > planned => Err(Error::Incomplete { unit, fault }),
        _ => Ok(()),
    }
}

/// Whether an unreadable table is one that is not copied, so that nothing but its ranges can be missed.
fn only_reserved(mode: Mode, device: Option<&Device>, fault: &Fault) -> bool {
    match (mode, fault.place.structure, device.map(|device| &device.space)) {
        (_, Structure::Root, _) => false,
        (Mode::Adopt, ..) | (_, Structure::FirstStage(_), Some(AddressSpace::Nested(..))) => true,
        // It is the top table of either stage; that of the second is copied.
        (Mode::Copy, Structure::PasidTable, Some(AddressSpace::Nested(_, second))) => {
            !matches!(fault.cause, Cause::Unreadable(error) if error.addr == second.root.page())
        }
        (Mode::Copy, ..) => false,
    }
}

/// Tells of a table that is not copied and can't be read. Where there is no memory, the hardware can't read it either,
/// and nothing is in use; where the image only lacks it, that can't be known.
fn unreserved(unit: usize, fault: Fault, plan: &mut Plan, report: &mut dyn FnMut(&Problem)) {
    if fault.reason.is_some() {
        report(&Problem::Refused(fault));
        return;
    }
    report(&Problem::Unreserved(fault));
    plan.lost = plan.lost.saturating_add(1);
    plan.first_loss.get_or_insert(Error::Incomplete { unit, fault });
}

fn reserve(
    unit: usize,
    device: Option<&Device>,
    range: &MappedRange,
    plan: &mut Plan,
    reserving: &mut Option<Reserving<'_>>,
) -> Result<(), Error> {
    let Some((device, domain)) = device.and_then(|device| Some((device, device.domain()?))) else { return Ok(()) };
    plan.ranges = plan.ranges.saturating_add(1);
    let Some(reserving) = reserving else { return Ok(()) };
    let requester = Requester { source_id: device.source_id, pasid: device.pasid };
    let failed = |error| Error::Reserve { unit, requester, error };
    reserving.iovas.reserve(unit, domain, range.iova, range.permissions).map_err(failed)
}

/// The page table by which a device's domain is told from others: the second stage, if it has one.
fn tree(device: &Device) -> TreeId {
    match &device.space {
        AddressSpace::SecondStage(space) | AddressSpace::Nested(_, space) => {
            TreeId::new(space.root, Role::SecondStage(space.levels()))
        }
        AddressSpace::FirstStage(space) => TreeId::new(space.root, Role::FirstStage(space.levels(), false)),
        AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => TreeId::NONE,
    }
}

/// Which rules for the entries of its page tables a device has: what it may use depends on them.
fn rules(device: &Device) -> u8 {
    device.space.first_stage().map_or(0, |space| space.format.rules())
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
