//! Plans, copies and proofs: what can't be read is an error or told, and partial copies have all the rest.

use super::{Broken, KINDS, is_told};
use crate::new_kernel::{Iovas, NewPages};
use crate::{Capture, Way};
use iopt::copy::{self, Difference, Error, MemoSlot, Mode, Options, Partial, Plan, Problem, Room, Workspace};
use iopt::memory::{Failing, ReadErrorKind};
use iopt::vtd::{Fault, Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt::{PhysAddr, coalesce::DeviceRange};
use std::collections::BTreeSet;

const MODES: [Mode; 2] = [Mode::Copy, Mode::Adopt];

/// Calls `look` for each way and mode with room to work in.
fn each(mut look: impl FnMut(&Way<'_>, &Options, &mut Workspace<'_>)) {
    let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 4096], Box::new(Room::new()));
    let mut work = Workspace::new(&mut memo, &mut room);
    Capture::each(|way| {
        for mode in MODES {
            look(way, &Options { mode, ..Options::default() }, &mut work);
        }
    });
}

/// Plans, and tells what was told.
fn plan(broken: &Broken<'_>, options: &Options, work: &mut Workspace<'_>) -> (Result<Plan, Error>, Vec<Problem>) {
    let mut problems = Vec::new();
    let units = [broken.way.unit];
    let plan = copy::plan(&broken.reader(), &units, options, work, |_, problem| problems.push(*problem));
    (plan, problems)
}

fn execute(way: &Way<'_>, plan: &Plan, work: &mut Workspace<'_>) -> (Result<Plan, Error>, NewPages, Rtaddr) {
    let (mut pages, mut roots) = (NewPages::default(), [Rtaddr(0)]);
    let done = plan.execute(&way.reader, &[way.unit], &mut pages, &mut Iovas::default(), work, &mut roots);
    (done, pages, roots[0])
}

fn fault(problem: &Problem) -> &Fault {
    match problem {
        Problem::Lost(fault) | Problem::Unreserved(fault) | Problem::Refused(fault) => fault,
        other => panic!("{other}"),
    }
}

/// What a plan counts, and what was done.
fn counts(plan: &Plan) -> [u64; 7] {
    [plan.tables, plan.pages, plan.shared, plan.domains, plan.devices, plan.ranges, plan.lost]
}

#[test]
fn a_plan_that_misses_a_page_says_so_and_is_not_executed() {
    let mut seen = [0; 3];
    each(|way, options, work| {
        let whole = Broken::whole(way);
        let healthy = plan(&whole, options, work).0.unwrap();
        for (number, addr) in whole.asked().into_iter().enumerate() {
            for kind in KINDS {
                let (found, problems) = plan(&Broken::at(way, number, kind), options, work);
                let name = format!("{} {:?}: read {number} {kind}", way.name, options.mode);
                let is_its = |fault: &Fault| is_told(way, fault, Some(addr), kind);
                assert!(problems.iter().all(|problem| is_its(fault(problem))), "{name}: {problems:?}");
                let found = match found {
                    Err(Error::Incomplete { unit: 0, fault }) => {
                        assert!(is_its(&fault) && fault.place.entry.is_none(), "{name}: {fault}");
                        seen[0] += 1;
                        continue;
                    }
                    found => found.unwrap_or_else(|error| panic!("{name}: {error}")),
                };
                let (done, pages, _) = execute(way, &found, work);
                if found.lost > 0 {
                    let first = problems.iter().find(|problem| !matches!(problem, Problem::Refused(_))).unwrap();
                    assert_eq!(done, Err(Error::Incomplete { unit: 0, fault: *fault(first) }), "{name}");
                    assert_eq!(pages.count(), 0, "{name}");
                    seen[1] += 1;
                } else {
                    // The hardware can't read it either. It could be read again, and what is done is all there is.
                    assert_eq!(kind, ReadErrorKind::Hole, "{name}");
                    assert_eq!(done.map(|done| counts(&done)), Ok(counts(&healthy)), "{name}");
                    seen[2] += 1;
                }
            }
        }
    });
    assert_eq!(seen, [192, 7984, 3216], "no plan, one of which something is lost, and one that is carried out");
}

#[test]
fn a_proof_that_misses_a_page_is_none() {
    let mut proofs = 0;
    each(|way, options, work| {
        let healthy = plan(&Broken::whole(way), options, work).0.unwrap();
        let (done, pages, root) = execute(way, &healthy, work);
        assert_eq!(done, Ok(healthy), "{}", way.name);
        let units = [way.unit];
        let mut verify =
            |broken: &Broken<'_>| copy::verify(&broken.reader(), &units, &[root], &pages, options, &mut *work);
        let whole = Broken::whole(way);
        let proved = verify(&whole).unwrap();
        for (number, addr) in whole.asked().into_iter().enumerate() {
            for kind in KINDS {
                let Err(Difference::Unreadable(fault)) = verify(&Broken::at(way, number, kind)) else {
                    panic!("{}: read {number} {kind}", way.name);
                };
                assert!(is_told(way, &fault, Some(addr), kind), "{}: {fault}", way.name);
                assert_eq!(verify(&Broken::whole(way)), Ok(proved), "{}", way.name);
                proofs += 1;
            }
        }
    });
    assert_eq!(proofs, 4960);
}

/// All that can be reached, device by device.
fn ranges(unit: &Unit, reader: &impl iopt::memory::PhysReader, scratch: &mut Scratch) -> Vec<DeviceRange> {
    unit.ranges(reader, scratch).filter_map(Result::ok).collect()
}

#[test]
fn a_partial_copy_has_all_that_does_not_lie_below_the_page() {
    let (mut scratch, mut copies) = (Scratch::new(), 0);
    each(|way, options, work| {
        let options = Options { partial: Partial::Keep, ..*options };
        let whole = Broken::whole(way);
        plan(&whole, &options, work).0.unwrap();
        let tables = BTreeSet::from_iter(whole.asked());
        for (lost, kind) in tables.into_iter().flat_map(|lost| KINDS.map(|kind| (lost, kind))) {
            way.reader.asked.take();
            let name = format!("{} {:?}: without {lost} {kind}", way.name, options.mode);
            let old = Failing::new(&way.reader, |_, addr: PhysAddr| (addr.page() == lost).then_some(kind));
            let planned = copy::plan(&old, &[way.unit], &options, work, |_, _| ());
            if lost == way.unit.rtaddr().root_table() {
                assert!(matches!(planned, Err(Error::Incomplete { .. })), "{name}");
                continue;
            }
            let plan = planned.unwrap_or_else(|error| panic!("{name}: {error}"));
            let (mut pages, mut roots) = (NewPages::default(), [Rtaddr(0)]);
            let done = plan.execute(&old, &[way.unit], &mut pages, &mut Iovas::default(), work, &mut roots);
            assert_eq!(done, Ok(plan), "{name}");
            assert_eq!(pages.count(), plan.pages, "{name}");
            let verified = copy::verify(&old, &[way.unit], &roots, &pages, &options, work);
            assert!(verified.is_ok(), "{name}: {verified:?}");
            let unit = Unit::new(roots[0]).unwrap().with_capabilities(way.unit.cap(), way.unit.ecap());
            let unit = unit.with_host_address_width(way.unit.host_address_width());
            if options.mode == Mode::Copy {
                assert_eq!(ranges(&unit, &pages, &mut scratch), ranges(&way.unit, &old, &mut scratch), "{name}");
            }
            copies += 1;
        }
    });
    assert_eq!(copies, 9312);
}
