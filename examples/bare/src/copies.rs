//! The tables of both units in new memory: planned, copied, verified.

use crate::{scalable, tables};
use core::hint::black_box;
use iopt::copy::{self, MemoSlot, Mode, Options, Partial, Problem, Room, Workspace};
use iopt::memory::{Page, PhysReader, Reservations, Slot, SparseMemory};
use iopt::vtd::{Irta, Rtaddr, Unit};

/// Copies and adopts, over memory that is lent and memory that is copied.
pub fn copies(memory: &dyn PhysReader) -> bool {
    let units = [Unit::new(black_box(tables::RTADDR)), Unit::new(black_box(Rtaddr(scalable::RTADDR)))];
    let [Ok(legacy), Ok(scalable)] = units else { return false };
    let legacy = legacy.with_capabilities(Some(black_box(tables::CAP)), Some(black_box(tables::ECAP)));
    let units = [legacy.with_host_address_width(Some(46)), scalable];
    // Root and context tables of both, then the PASID tables and the page tables.
    [(Mode::Copy, 12), (Mode::Adopt, 4)].into_iter().all(|(mode, pages)| made(memory, &units, mode, pages))
        && interrupts(memory)
}

fn made(memory: &dyn PhysReader, units: &[Unit; 2], mode: Mode, expected: u64) -> bool {
    let mut slots = [const { Slot::EMPTY }; 16];
    let mut pages = SparseMemory::new(&mut slots);
    let mut iovas = Reservations::<8, 16>::new();
    let (mut memo, mut room) = ([MemoSlot::EMPTY; 64], Room::new());
    let mut work = Workspace::new(&mut memo, &mut room);
    let options = Options { mode, partial: Partial::Keep, ..Options::default() };
    let mut losses = 0;
    let count = |_: usize, problem: &Problem| losses += u32::from(problem.is_loss());
    let Ok(plan) = copy::plan(memory, units, &options, &mut work, count) else { return false };
    let mut roots = [Rtaddr(0); 2];
    let done = plan.execute(memory, units, &mut pages, &mut iovas, &mut work, &mut roots).is_ok();
    let verified = copy::verify(memory, units, &roots, &pages, &options, &mut work).is_ok();
    // One page table is missing, of which adopting knows nothing.
    let expected_losses = u32::from(mode == Mode::Copy);
    done && verified
        && (plan.pages, losses) == (expected, expected_losses)
        && iovas.ranges().count() == 6
        && iovas.in_use(tables::DISK)
}

fn interrupts(memory: &dyn PhysReader) -> bool {
    let mut slots = [const { Slot::EMPTY }; 1];
    let mut pages = SparseMemory::new(&mut slots);
    let (irta, mut used) = (Irta(black_box(0x6007)), 0);
    let Ok(copied) = copy::interrupts(memory, irta, &mut pages, |_, _| used += 1) else { return false };
    used == 2 && copy::verify_interrupts(memory, irta, &pages, copied, &mut { Page::ZERO }).is_ok()
}
