//! Copies of tables: they are verified, they translate as the old ones do, and what is in use is reserved.

mod compare;
pub(super) mod memory;

use super::collect::{Collector, collect};
use super::{Copying, unit};
use crate::program::{Built, Program};
use iopt::copy::{self, Error, MemoSlot, Mode, Options, Partial, Plan, Problem, Room, Workspace};
use iopt::memory::{PhysReader, Slot, SparseMemory};
use iopt::vtd::{AddressSpace, Rtaddr, Unit};
use memory::{Iovas, Key, New, Pages, union};
use std::collections::{BTreeMap, BTreeSet};

/// More than a program has tables, each for each level that it can be read at.
const SLOTS: usize = 4096;

/// A unit whose tables are copied, and what a walk of them has found.
struct Old<'a> {
    built: Built,
    unit: Unit,
    found: &'a Collector,
}

/// A copy, and all that was told on the way to it.
struct Made {
    plan: Plan,
    problems: Vec<Problem>,
    pages: Pages,
    iovas: Iovas,
    roots: Vec<Rtaddr>,
}

/// Checks copies of what `found` says is there.
pub fn check(built: &Built, unit: &Unit, memory: &SparseMemory<'_>, found: &Collector) {
    check_units(&[Old { built: *built, unit: *unit, found }], memory);
}

/// Builds two programs in one memory, and checks copies of both units at once; of the first there are two, which share
/// all but the root table.
///
/// # Panics
/// If something does not hold.
pub fn check_copies(one: &Program, other: &Program) {
    let mut slots = vec![Slot::EMPTY; 512];
    let mut memory = SparseMemory::new(&mut slots);
    let built = [one, other].map(|program| program.build(&mut memory));
    let found = built.map(|built| collect(&unit(&built), &memory).0);
    let old = [0, 1, 0].map(|at| Old { built: built[at], unit: unit(&built[at]), found: &found[at] });
    check_units(&old, &memory);
}

fn check_units(old: &[Old<'_>], memory: &SparseMemory<'_>) {
    let bits = old.iter().filter_map(|old| old.built.haw).min().unwrap_or(52);
    let Some(first) = memory::place(memory::pages(memory), bits) else { return };
    let new = Pages::new(first);
    // A root table is all or nothing.
    let lacks_root = |old: &&Old<'_>| memory.lend_page(old.unit.rtaddr().root_table()).is_none();
    let lacks_root = old.iter().any(|old| lacks_root(&old));
    for mode in [Mode::Copy, Mode::Adopt] {
        let options = Options { mode, partial: Partial::Keep, ..Options::default() };
        if lacks_root {
            let failed = execute(old, memory, &options, new.clone(), Iovas::default());
            assert!(matches!(failed, Err(Error::Incomplete { .. })), "there is no root table");
            continue;
        }
        let made = execute(old, memory, &options, new.clone(), Iovas::default());
        let made = made.unwrap_or_else(|error| panic!("{mode:?}: {error}"));
        check_pages(old, memory, &made, mode);
        check_reached(&made);
        check_reservations(old, &made);
        for (number, (one, root)) in old.iter().zip(&made.roots).enumerate() {
            if mode == Mode::Copy {
                compare::check(one, *root, memory, &made);
            } else {
                compare::check_adopted(one, *root, memory, &made);
            }
            assert_eq!(root.0 & 0xfff, one.built.rtaddr & 0xfff, "unit {number}: the mode stays as it is");
        }
        check_losses(old, memory, &made, mode);
        check_failures(old, memory, &options, &made);

        let copied = execute(old, &Copying::new(memory), &options, new.clone(), Iovas::default());
        let copied = copied.unwrap_or_else(|error| panic!("{mode:?}, from what can't be lent: {error}"));
        assert!(copied.pages.words() == made.pages.words() && copied.iovas == made.iovas && copied.plan == made.plan);
    }
}

/// Plans, copies and verifies. After an error, nothing is handed out and nothing is told any more.
fn execute<R: PhysReader>(
    old: &[Old<'_>],
    memory: &R,
    options: &Options,
    mut pages: Pages,
    mut iovas: Iovas,
) -> Result<Made, Error> {
    let units: Vec<Unit> = old.iter().map(|old| old.unit).collect();
    let (mut memo, mut room) = (vec![MemoSlot::EMPTY; SLOTS], Box::new(Room::new()));
    let mut work = Workspace::new(&mut memo, &mut room);
    let mut problems = Vec::new();
    let planned = copy::plan(memory, &units, options, &mut work, |_, problem| problems.push(*problem));
    let mut roots = vec![Rtaddr(0); units.len()];
    let done = planned.and_then(|plan| {
        let done = plan.execute(memory, &units, &mut pages, &mut iovas, &mut work, &mut roots)?;
        assert_eq!(done, plan, "it is done as planned");
        Ok(plan)
    });
    match done {
        Ok(plan) => {
            let verified = copy::verify(memory, &units, &roots, &pages, options, &mut work);
            verified.unwrap_or_else(|difference| panic!("{options:?}: {difference}"));
            Ok(Made { plan, problems, pages, iovas, roots })
        }
        Err(error) => {
            assert!(pages.pages.is_empty(), "{error}: all pages are given back");
            assert!(iovas.widths.is_empty() && iovas.ranges.is_empty() && iovas.in_use.is_empty(), "{error}");
            Err(error)
        }
    }
}

/// As many pages as there are tables, one for each thing that a page is read as.
fn check_pages(old: &[Old<'_>], memory: &SparseMemory<'_>, made: &Made, mode: Mode) {
    let mut roles = BTreeSet::new();
    for one in old {
        // What a legacy unit and a scalable one read at the same place are two tables.
        let scalable = one.unit.is_scalable();
        let copied = one.built.twin(memory).copied().into_iter();
        roles.extend(copied.map(|role| (role, scalable && role.kind == crate::twin::Kind::Context)));
    }
    if mode == Mode::Adopt {
        roles.retain(|(role, _)| role.kind == crate::twin::Kind::Context);
    }
    let expected = old.len() as u64 + roles.iter().map(|(role, _)| role.pages).sum::<u64>();
    assert_eq!(
        (made.plan.pages, made.pages.pages.len() as u64),
        (expected, expected),
        "{mode:?}: {roles:x?} {:#?}",
        made.problems
    );
    assert!(made.pages.all_flushed());
    let lost = made.problems.iter().filter(|problem| problem.is_loss()).count() as u64;
    assert_eq!(made.plan.lost, lost);
}

/// New roots lead to each new page: none is taken for nothing. No old word leads to any of them.
fn check_reached(made: &Made) {
    let mut left: BTreeSet<u64> = made.pages.pages.keys().copied().collect();
    let mut led: Vec<u64> = made.roots.iter().map(|root| root.0 & memory::ADDRESS).collect();
    while let Some(addr) = led.pop() {
        if !left.remove(&addr) {
            continue;
        }
        led.extend(made.pages.pages[&addr].0.words().iter().map(|word| word.get() & memory::ADDRESS));
        // A PASID directory may go on behind its first page.
        let pages = made.pages.blocks.get(&addr).map_or(0, |pages| *pages as u64);
        led.extend((1..pages).map(|page| addr + page * 4096));
    }
    assert!(left.is_empty(), "nothing leads to {left:x?}");
}

/// What is reserved in a domain is what its devices have mapped, and nothing else.
fn check_reservations(old: &[Old<'_>], made: &Made) {
    let mut mapped: BTreeMap<Key, Vec<(u64, u64)>> = BTreeMap::new();
    let (mut in_use, mut devices) = (BTreeSet::new(), 0);
    for (number, one) in old.iter().enumerate() {
        for seen in &one.found.seen {
            let Some(domain) = seen.device.domain() else { continue };
            devices += 1;
            in_use.insert((number, seen.device.source_id.0, domain.0));
            let leaves = seen.leaves.iter().map(|leaf| (leaf.iova, leaf.iova + (leaf.size - 1)));
            mapped.entry((number, domain.0)).or_default().extend(leaves);
        }
    }
    assert_eq!(made.iovas.in_use, in_use);
    assert!(made.iovas.widths.keys().eq(mapped.keys()), "each domain is opened");
    assert_eq!((made.plan.devices, made.plan.domains), (devices, mapped.len() as u64));
    assert_eq!(made.plan.ranges, made.iovas.ranges.values().map(|ranges| ranges.len() as u64).sum::<u64>());
    for (key, mapped) in mapped {
        let reserved = made.iovas.ranges.get(&key).cloned().unwrap_or_default();
        let (reserved, mapped) = (union(reserved), union(mapped));
        assert!(reserved == mapped, "domain {key:?}: reserved {reserved:x?}, mapped {mapped:x?}");
        // An allocator refuses what lies beyond the width that it was told.
        let width = made.iovas.widths[&key];
        let last = reserved.last().map_or(0, |range| range.1);
        assert_eq!(last.checked_shr(width.into()).unwrap_or(0), 0, "domain {key:?} has {width} bits: {reserved:x?}");
    }
}

/// All or nothing: nothing, where something is lost.
fn check_losses(old: &[Old<'_>], memory: &SparseMemory<'_>, made: &Made, mode: Mode) {
    let options = Options { mode, partial: Partial::Refuse, ..Options::default() };
    let refused = execute(old, memory, &options, Pages::new(made.pages.first), Iovas::default());
    let first = made.problems.iter().find(|problem| problem.is_loss());
    match (first, refused) {
        (None, Ok(whole)) => assert!(whole.pages.words() == made.pages.words() && whole.iovas == made.iovas),
        (Some(Problem::Lost(lost)), Err(Error::Incomplete { fault, .. })) => assert_eq!(*lost, fault),
        (first, refused) => panic!("{mode:?}: {first:?}, {:?}", refused.map(|made| made.plan)),
    }
}

/// Everything is given back when pages or ranges run out, wherever that is.
fn check_failures(old: &[Old<'_>], memory: &SparseMemory<'_>, options: &Options, made: &Made) {
    let (pages, ranges, first) = (made.pages.pages.len(), made.plan.ranges as usize, made.pages.first);
    for limit in BTreeSet::from([0, pages / 3, pages - 1]) {
        let few = Pages { limit: Some(limit), ..Pages::new(first) };
        let failed = execute(old, memory, options, few, Iovas::default());
        assert!(matches!(failed, Err(Error::Pages { .. })), "{limit} of {pages} pages are too few");
    }
    if ranges > 0 {
        let few = Iovas { limit: Some(ranges - 1), ..Iovas::default() };
        let failed = execute(old, memory, options, Pages::new(first), few);
        assert!(matches!(failed, Err(Error::Reserve { .. })), "there is no room for the last range");
    }
}

/// Whether tables behind a second stage are looked for in the old memory, where they stay.
fn is_nested(old: &Old<'_>) -> bool {
    old.found.seen.iter().any(|seen| matches!(seen.device.space, AddressSpace::Nested(..)))
}

fn reader<'a>(old: &Old<'_>, memory: &'a SparseMemory<'_>, made: &'a Made) -> New<'a> {
    New { pages: &made.pages, old: is_nested(old).then_some(memory as &dyn PhysReader) }
}
