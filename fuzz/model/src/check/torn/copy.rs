//! Copies: an error that leaves nothing, or tables that are whole in themselves.

use super::World;
use super::memory::Change;
use crate::check::copy::memory::{New, Pages, place};
use iopt::copy::{self, MemoSlot, Mode, Options, Partial, Room, Workspace};
use iopt::memory::{IovaReserver, Page, ReserveError, ReserveErrorKind};
use iopt::radix::{Budget, Entry, Format};
use iopt::vtd::{AddressSpace, Cause, Rtaddr, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{DomainId, IovaRange, Permissions, PhysAddr, SourceId};
use std::collections::BTreeSet;

/// Neither is reached in memory that stays as it is; what changes can be endless.
const BUDGET: Budget = Budget { tables: 3000, runs: 100_000, reads: 10_000, faults: 100_000 };
const MAX_REREADS: u64 = 300;

/// Refuses what is told of a domain that was not opened: the devices of one may turn into those of another.
#[derive(Default)]
struct Iovas {
    open: BTreeSet<u16>,
    told: u64,
}

impl Iovas {
    fn told(&mut self, domain: DomainId) -> Result<(), ReserveError> {
        self.told += 1;
        let unknown = ReserveError { domain, kind: ReserveErrorKind::Domain };
        if self.open.contains(&domain.0) { Ok(()) } else { Err(unknown) }
    }
}

impl IovaReserver for Iovas {
    fn open_domain(&mut self, _: usize, domain: DomainId, _: u8) -> Result<(), ReserveError> {
        assert!(self.open.insert(domain.0), "{domain} is opened once");
        Ok(())
    }

    fn reserve(&mut self, _: usize, domain: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        assert_eq!((range.first().0 | range.last().0.wrapping_add(1)) & 0xfff, 0, "{range} is of whole pages");
        self.told(domain)
    }

    fn note_in_use(&mut self, _: usize, _: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        self.told(domain)
    }

    fn forget_domain(&mut self, _: usize, domain: DomainId) {
        assert!(self.open.remove(&domain.0), "{domain} was opened");
    }
}

/// Plans, copies and verifies in a memory that changes in this way all the time.
pub fn check(world: &World<'_>, change: Change) {
    let bits = world.unit.host_address_width().unwrap_or(52);
    let Some(first) = place(world.pages.iter().map(|(addr, page)| (*addr, &**page)), bits) else { return };
    let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 4096], Box::new(Room::new()));
    let mut work = Workspace::new(&mut memo, &mut room);
    for (mode, partial) in [(Mode::Copy, Partial::Keep), (Mode::Copy, Partial::Refuse), (Mode::Adopt, Partial::Keep)] {
        let options = Options { mode, partial, budget: BUDGET, max_rereads: MAX_REREADS, ..Options::default() };
        let (reader, units) = (world.changing(change), [*world.unit]);
        let tell = |_, problem: &copy::Problem| assert!(!problem.to_string().is_empty());
        let Ok(plan) = copy::plan(&reader, &units, &options, &mut work, tell) else { continue };
        assert!(plan.tables <= BUDGET.tables);
        let (mut pages, mut iovas, mut roots) = (Pages::new(first), Iovas::default(), [Rtaddr(0)]);
        let done = plan.execute(&reader, &units, &mut pages, &mut iovas, &mut work, &mut roots);
        let Ok(done) = done else {
            assert!(pages.pages.is_empty() && iovas.open.is_empty() && roots == [Rtaddr(0)], "{done:?}");
            continue;
        };
        assert_eq!(done.pages, pages.pages.len() as u64, "{change:?}");
        assert!(done.pages <= plan.pages && pages.all_flushed(), "{change:?}");
        check_reached(roots[0], &pages);
        if mode == Mode::Copy {
            check_closed(world.unit, roots[0], &pages);
        }
        for reader in [&reader, &world.with(reader.pages())] {
            let verified = copy::verify(reader, &units, &roots, &pages, &options, &mut work);
            assert!(verified.is_ok_and(|all| all.tables <= done.pages) || verified.is_err_and(|_| true));
        }
    }
}

/// Every new page is one that some new table leads to.
fn check_reached(root: Rtaddr, pages: &Pages) {
    let (mut reached, mut next) = (BTreeSet::new(), vec![root.root_table().0]);
    while let Some(first) = next.pop() {
        let Some(count) = pages.blocks.get(&first).filter(|_| reached.insert(first)) else { continue };
        for page in 0..*count as u64 {
            let (page, _) = &pages.pages[&(first + page * 4096)];
            // Pointers have bits 63:12 or 51:12.
            next.extend(page.words().iter().flat_map(|word| [word.get() >> 12 << 12, word.get() << 12 >> 24 << 12]));
        }
    }
    assert!(reached.iter().eq(pages.blocks.keys()), "a new page that no table leads to: {:x?}", pages.blocks);
}

/// No table leads out of the new pages.
fn check_closed(old: &Unit, root: Rtaddr, pages: &Pages) {
    let unit = Unit::new(root).expect("as before").with_capabilities(old.cap(), old.ecap());
    let unit = unit.with_host_address_width(old.host_address_width());
    let (reader, mut scratch) = (New { pages, old: None }, Box::new(Scratch::new()));
    let mut walk = unit.walk(&reader, &mut scratch);
    let mut seen = BTreeSet::new();
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => {
                match device.space {
                    AddressSpace::SecondStage(space) | AddressSpace::Nested(_, space) => {
                        closed(&space.format, space.root, space.levels(), pages, &mut seen);
                    }
                    AddressSpace::FirstStage(space) => {
                        closed(&space.format, space.root, space.levels(), pages, &mut seen);
                    }
                    AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => {}
                }
                walk.skip();
            }
            Step::Fault(fault) => assert!(!matches!(fault.cause, Cause::Unreadable(_)), "out of the copy: {fault}"),
            Step::Table(_) | Step::Run(_) | Step::Shared(_) => {}
        }
    }
}

fn closed<F: Format>(format: &F, table: PhysAddr, level: u8, pages: &Pages, seen: &mut BTreeSet<(u64, u8)>) {
    let page: &Page = match pages.pages.get(&table.page().0) {
        Some((page, _)) => page,
        None => panic!("the copy leads to {table}, which is no new page"),
    };
    if level == 0 || !seen.insert((table.0, level)) {
        return;
    }
    let shape = &format.levels()[usize::from(level) - 1];
    for word in &page.words()[..shape.entries()] {
        if let Entry::Table(next) = format.decode(shape, word.get()) {
            assert!(level > 1, "a table below level 1");
            closed(format, next, level - 1, pages, seen);
        }
    }
}
