//! Copies of tables that change meanwhile.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is a red test")]

use iopt::builder::{At, Leaves, Target, UnitBuilder};
use iopt::copy::{self, Error, MemoSlot, Options, Room, Workspace};
use iopt::memory::{Page, PhysReader, ReadError, Reservations, Slot, SparseMemory, ranges};
use iopt::vtd::{Rtaddr, TranslationMode};
use iopt::{Iova, PhysAddr, PhysRange, SourceId};
use std::cell::Cell;

/// Lends nothing, and has an empty context table from some read of it on.
struct Torn<'m> {
    memory: &'m SparseMemory<'m>,
    contexts: PhysAddr,
    reads: Cell<u32>,
}

impl PhysReader for Torn<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        if addr.page() == self.contexts {
            match self.reads.get().checked_sub(1) {
                Some(left) => self.reads.set(left),
                None => {
                    page.clone_from(&Page::ZERO);
                    return Ok(());
                }
            }
        }
        self.memory.read_page(addr, page)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.memory.next_range(from)
    }
}

/// A page table is copied for what it maps before the entry that leads to it is.
#[test]
fn a_page_table_whose_entry_is_gone_when_it_is_copied_is_no_new_page_that_nobody_knows() {
    let (mut slots, device) = (vec![Slot::EMPTY; 8], SourceId::new(0, 8));
    let mut memory = SparseMemory::new(&mut slots);
    let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Legacy).unwrap();
    let table = tables.second_stage(3).unwrap();
    tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000))).unwrap();
    tables.device(device, Target::second_stage(table)).unwrap();
    let (units, contexts) = ([tables.unit()], tables.table(At::Root(device)).unwrap());
    let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 32], Box::new(Room::new()));
    let mut work = Workspace::new(&mut memo, &mut room);
    let plan = copy::plan(&memory, &units, &Options::default(), &mut work, |_, _| ()).unwrap();
    let mut execute = |reads| {
        let torn = Torn { memory: &memory, contexts, reads: Cell::new(reads) };
        let mut slots = vec![Slot::EMPTY; 8];
        let (mut pages, mut iovas) = (SparseMemory::new(&mut slots), Reservations::<4, 4>::new());
        let mut roots = [Rtaddr(0)];
        let done = plan.execute(&torn, &units, &mut pages, &mut iovas, &mut work, &mut roots);
        let left: u128 = ranges(&pages).map(|range| range.size() >> 12).sum();
        (done.map(|done| done.pages), left, iovas.domains().count())
    };
    // It is read for the widths of the domains, for what is mapped, and to be copied.
    assert_eq!([0, 1].map(&mut execute), [(Ok(2), 2, 0); 2], "a device less is a device less");
    assert_eq!(execute(2), (Err(Error::Torn { table: table.top }), 0, 0));
    assert_eq!(execute(3), (Ok(4), 4, 1));
}
