//! Tells the new kernel's allocators what the old kernel's devices are using.

use super::copier::{Copier, read};
use super::in_use::{InUse, User};
use super::memo::{Role, TreeId};
use super::page_tables::{Owner, Stage, Tree};
use super::{Error, Mode, Problem, Reserve};
use crate::address::{Iova, PhysAddr, Requester};
use crate::memory::{IovaReserver, PhysReader, ReadError, ReadErrorKind};
use crate::radix::{Format, Run};
use crate::vtd::{AddressSpace, Cap, Cause, Device, DeviceEntries, Fault, Structure, Unit};
use crate::walk::{Flow, Scratch, Step, Visitor};

/// Who is told, and how many tables the plan knows to be unreadable.
pub(super) struct Telling<'i> {
    pub(super) iovas: Option<&'i mut dyn IovaReserver>,
    pub(super) unread: Option<u64>,
}

impl<R: PhysReader + ?Sized> Copier<'_, '_, R> {
    /// Tells what the devices of a unit use, in their domains. Without a reserver it only counts.
    ///
    /// A page table is copied as it is looked at, once, however many devices use it: then it is at hand. The entries
    /// that lead to it are copied later.
    pub(super) fn devices(&mut self, unit: &Unit, told: Telling<'_>, walk: &mut Scratch) -> Result<(), Error> {
        self.widths(unit, walk, told.unread)?;
        let mut walk = unit.walk(self.old, walk).budget(self.plan.options.budget);
        let uses = InUse::new(self.unit, told.iovas);
        let mut devices = Devices { copier: self, unit, uses, unread: told.unread, device: None, failed: None };
        walk.visit(&mut devices);
        let Devices { mut uses, failed, .. } = devices;
        if let Some(error) = failed {
            return Err(error);
        }
        uses.finish()?;
        self.plan.ranges = self.plan.ranges.saturating_add(uses.ranges);
        Ok(())
    }

    /// Finds out how many bits the addresses of each domain have. Those of devices with different page tables may
    /// differ, and a domain is opened once.
    fn widths(&mut self, unit: &Unit, walk: &mut Scratch, planned: Option<u64>) -> Result<(), Error> {
        let mut walk = unit.walk(self.old, walk).budget(self.plan.options.budget);
        while let Some(step) = walk.next() {
            match step {
                Step::Device(found) => {
                    let found = *found;
                    walk.skip();
                    if let Some(domain) = found.domain() {
                        let tree = tree(&found);
                        let first = self.memo.add_domain(self.unit, domain, tree)?.unwrap_or(tree);
                        self.memo.widen(self.unit, domain, first, width(&found))?;
                    }
                }
                Step::Fault(fault) => match fault.cause {
                    Cause::Budget(bound) => return Err(Error::Budget { unit: self.unit, bound }),
                    Cause::Unreadable(error) => self.miss(fault, error, false, planned)?,
                    _ => {}
                },
                Step::Run(_) | Step::Table(_) | Step::Shared(_) => {}
            }
        }
        Ok(())
    }

    /// A table can't be read when looking for what is in use. More of them than planned, and something is missed.
    fn miss(&mut self, fault: Fault, error: ReadError, stays: bool, planned: Option<u64>) -> Result<(), Error> {
        self.plan.unread = self.plan.unread.saturating_add(1);
        if planned.is_some_and(|planned| self.plan.unread > planned) {
            return Err(Error::Incomplete { unit: self.unit, fault });
        }
        // One that can be read by now is not met again when it is copied. Where there is no memory, none comes.
        let may_pass = planned.is_none() && error.kind != ReadErrorKind::Hole;
        if stays || may_pass && read(self.old, error.addr, &mut self.images.root).is_ok() {
            return self.lose_table(fault, true);
        }
        self.unread.get_or_insert(fault);
        Ok(())
    }
}

/// Is told of all devices, and of what is mapped in nested tables.
struct Devices<'r, 'c, 'w, 'i, R: ?Sized> {
    copier: &'r mut Copier<'c, 'w, R>,
    unit: &'r Unit,
    uses: InUse<'i>,
    unread: Option<u64>,
    device: Option<Device>,
    /// What has ended the walk.
    failed: Option<Error>,
}

impl<R: PhysReader + ?Sized> Visitor for Devices<'_, '_, '_, '_, R> {
    fn device(&mut self, device: &Device) -> Flow {
        let begun = self.begin(device);
        self.flow(begun)
    }

    fn run(&mut self, run: &Run<'_>) -> Flow {
        let range = run.iova_range();
        self.uses.add(range.first().0, range.last().0, run.permissions);
        let added = self.uses.check();
        self.flow(added.map(|()| Flow::Enter))
    }

    fn fault(&mut self, fault: &Fault) -> Flow {
        let told = self.told(fault);
        self.flow(told.map(|()| Flow::Enter))
    }
}

impl<R: PhysReader + ?Sized> Devices<'_, '_, '_, '_, R> {
    fn flow(&mut self, so_far: Result<Flow, Error>) -> Flow {
        so_far.unwrap_or_else(|error| {
            self.failed = Some(error);
            Flow::Stop
        })
    }

    /// Makes the domain of a device known, and what its page table maps. Tells whether that has still to be walked.
    fn begin(&mut self, found: &Device) -> Result<Flow, Error> {
        self.device = Some(*found);
        let Some(domain) = found.domain() else { return Ok(Flow::Skip) };
        let Copier { unit: number, memo, plan, report, .. } = &mut *self.copier;
        let number = *number;
        plan.devices = plan.devices.saturating_add(1);
        let requester = Requester { source_id: found.source_id, pasid: found.pasid };
        let failed = |error| Error::Reserve { unit: number, requester, error };
        let tree = tree(found);
        let first = memo.add_domain(number, domain, tree)?.unwrap_or(tree);
        if first != tree {
            report(&Problem::DomainConflict { domain, requester });
        }
        let (again, begun) = memo.begin(number, domain, tree, rules(found))?;
        if let Some(known) = begun.filter(|_| first == tree) {
            plan.domains = plan.domains.saturating_add(1);
            if domain.0 == 0 && self.unit.caching_mode() {
                report(&Problem::DomainReserved { requester });
            }
            if let Some(iovas) = &mut self.uses.iovas {
                iovas.open_domain(number, domain, known.max(width(found))).map_err(failed)?;
                memo.open(number, domain, first)?;
            }
        }
        if let Some(iovas) = &mut self.uses.iovas {
            iovas.note_in_use(number, found.source_id, domain).map_err(failed)?;
        }
        if plan.options.reserve == Reserve::Domains {
            return Ok(Flow::Skip);
        }
        let last = found.space.input().map_or(Iova(0), |input| input.last());
        self.uses.begin(User { domain, requester, last })?;
        match &found.space {
            // What a nested device maps depends on two tables, and is looked at for each.
            AddressSpace::Nested(..) => return Ok(Flow::Enter),
            AddressSpace::SecondStage(space) if !again => self.tables(found, &space.format, space.root)?,
            AddressSpace::FirstStage(space) if !again => self.tables(found, &space.format, space.root)?,
            _ => {}
        }
        Ok(Flow::Skip)
    }

    /// Copies the page table of a device, if it is to be copied and has not been yet, and tells what it maps.
    fn tables<F: Format>(&mut self, device: &Device, format: &F, root: PhysAddr) -> Result<(), Error> {
        let fault_disabled = device.fault_disabled();
        let owner = Owner { source_id: device.source_id, pasid: device.pasid, fault_disabled };
        let tree = Tree { format, stage: stage(device), owner, parent: device.place(), rules: rules(device) };
        match self.copier.tree(&tree, root, &mut self.uses)? {
            Err(defect) if self.copier.mode == Mode::Adopt => self.copier.lose_table(device.top_defect(defect), true),
            // It is lost again when its entry is copied, and told then.
            _ => Ok(()),
        }
    }

    fn told(&mut self, fault: &Fault) -> Result<(), Error> {
        match fault.cause {
            Cause::Budget(bound) => return Err(Error::Budget { unit: self.copier.unit, bound }),
            Cause::Unreadable(error) => {
                let stays = stays(self.copier.mode, self.device.as_ref(), fault);
                self.copier.miss(*fault, error, stays, self.unread)?;
            }
            // Those of copied tables are told when they are copied.
            Cause::Loop { .. } if stays(self.copier.mode, self.device.as_ref(), fault) => {
                self.copier.tell(&Problem::Loop(*fault));
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether the table that a fault is about is not copied: those of a nested first stage are in the memory that the
/// second stage maps.
fn stays(mode: Mode, device: Option<&Device>, fault: &Fault) -> bool {
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

/// Which stage the page table is of, if there is one only.
fn stage(device: &Device) -> Stage {
    match (&device.space, &device.entries) {
        (AddressSpace::FirstStage(_), DeviceEntries::Scalable { pasid, .. }) => {
            Stage::First(pasid.is_some_and(|entry| entry.execute_disable()))
        }
        _ => Stage::Second(device.reasons()),
    }
}

/// Which rules for the entries of its page tables a device has: what it may use depends on them.
fn rules(device: &Device) -> u8 {
    match &device.space {
        AddressSpace::FirstStage(space) => space.format.rules(),
        // What it maps is not what its second stage does, which is what the domain is told by.
        AddressSpace::Nested(..) => NESTED,
        AddressSpace::SecondStage(_) | AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => 0,
    }
}

/// No rules of a second stage.
const NESTED: u8 = 7;

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
