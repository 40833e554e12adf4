//! Copies of real tables of which one call fails: nothing is left, the error has its place, and a retry succeeds.

use crate::every_read::is_told;
use crate::new_kernel::{Call, Counter, Failure, Iovas, NewPages};
use crate::{Capture, Way};
use iopt::PhysAddr;
use iopt::copy::{self, Error, MemoSlot, Mode, Options, Plan, Room, Workspace};
use iopt::memory::{Failing, Page, PhysReader, ReadErrorKind};
use iopt::vtd::Rtaddr;
use std::cell::Cell;

const IO_ERROR: ReadErrorKind = ReadErrorKind::Io(5);
const CALLS: [Call; 4] = [Call::Read, Call::Allocate, Call::Flush, Call::Reserve];

/// What came of executing a plan.
struct Executed {
    /// How often each was called.
    calls: [u64; 4],
    /// The page whose read failed.
    failed: Option<PhysAddr>,
    result: Result<(), Error>,
}

/// Executes a plan of which a call fails, if any. An error leaves nothing.
fn execute(way: &Way<'_>, plan: &Plan, work: &mut Workspace<'_>, fails: Failure) -> Executed {
    way.reader.asked.take();
    let (mut pages, mut iovas) = (NewPages::new(fails), Iovas::new(fails));
    let (reads, mut roots, failed) = (Counter::new(fails), [Rtaddr(0)], Cell::new(None));
    let old = Failing::new(&way.reader, |_, addr| {
        let fails = reads.call(Call::Read);
        fails.then(|| failed.set(Some(addr))).map(|()| IO_ERROR)
    });
    let done = plan.execute(&old, &[way.unit], &mut pages, &mut iovas, work, &mut roots);
    match done {
        Ok(done) => assert_eq!((done, pages.count()), (*plan, plan.pages), "{}", way.name),
        Err(error) => {
            assert!(pages.count() == 0 && iovas.is_empty() && roots == [Rtaddr(0)], "{}: {error}", way.name);
        }
    }
    let counts = [&reads, &pages.counter, &pages.counter, &iovas.counter];
    let calls = CALLS.map(|call| counts[call as usize].count(call));
    Executed { calls, failed: failed.get(), result: done.map(|_| ()) }
}

#[test]
fn whatever_fails_nothing_is_left_and_a_retry_succeeds() {
    let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 4096], Box::new(Room::new()));
    let mut work = Workspace::new(&mut memo, &mut room);
    Capture::each(|way| {
        for mode in [Mode::Copy, Mode::Adopt] {
            let options = Options { mode, ..Options::default() };
            let plan = copy::plan(&way.reader, &[way.unit], &options, &mut work, |_, _| ()).unwrap();
            let healthy = execute(way, &plan, &mut work, None);
            assert_eq!(healthy.result, Ok(()), "{}", way.name);
            for (call, calls) in CALLS.into_iter().zip(healthy.calls) {
                assert!(calls > 0, "{call:?}");
                for number in 0..calls {
                    let Executed { failed, result, .. } = execute(way, &plan, &mut work, Some((call, number)));
                    let error = result.unwrap_err();
                    let has_place = match &error {
                        Error::Incomplete { fault, .. } => call == Call::Read && is_told(way, fault, failed, IO_ERROR),
                        Error::Pages { table, .. } => {
                            let mut page = Page::ZERO;
                            let read = way.reader.read_page(*table, &mut page);
                            matches!(call, Call::Allocate | Call::Flush) && read.is_ok()
                        }
                        Error::Reserve { requester, .. } => call == Call::Reserve && requester.source_id.0 != u16::MAX,
                        _ => false,
                    };
                    assert!(has_place, "{} {mode:?}: {call:?} {number} of {calls}: {error}", way.name);
                    let retried = execute(way, &plan, &mut work, None);
                    assert_eq!((retried.calls, retried.result), (healthy.calls, Ok(())), "{}", way.name);
                }
            }
        }
    });
}
