//! Every call fails once: nothing leaks, nothing stays reserved, the error has a place, and a retry succeeds.

use crate::builder::{Builder, PASS_THROUGH, first_stage, second_stage};
use crate::common::{CONTEXT, ROOT, RW, SOURCE, TOP, Tables, Words, unit};
use crate::ledger::{Book, Failing, Ledger, Old};
use crate::rows::{scalable, words};
use crate::trial::{ADOPT, Bench, COPY, KEEP, Trial, copy};
use iopt::copy::{self, Error, Mode, Options, Partial, Problem};
use iopt::memory::ReadErrorKind;
use iopt::vtd::{Cause, Rtaddr, Unit};
use iopt::{Pasid, Permissions, PhysAddr};

/// P, R/W, U/S and A.
const USER: u64 = 0x27;

fn legacy() -> (Words, Unit) {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW).map(1, 0x40_0000, 0x7000 | RW).map(2, 0x80_0000, 0x80_0083);
    tables.set(CONTEXT, 2 << 2 | 1).set(CONTEXT + 8, 9 << 8 | 1);
    (words(&tables), unit())
}

/// First stage, second stage, both nested, pass-through; PASIDs in both pages of the directory.
pub fn with_pasids() -> (Words, Unit) {
    let mut tables = Builder::new();
    tables.context(SOURCE, 3, 8 | 1, 0);
    let (first, second, inner, outer) = (tables.table(1), tables.table(1), tables.table(1), tables.table(1));
    tables.pasid(SOURCE, Pasid(0), second_stage(second, 3));
    let [word, _, third] = first_stage(first, 4);
    tables.pasid(SOURCE, Pasid(1), [word, 10, third]);
    let [word, _, third] = first_stage(outer, 4);
    let nested = second_stage(inner, 3)[0] & !(7 << 6) | 3 << 6 | word & 1;
    tables.pasid(SOURCE, Pasid(2), [nested, 8, third]);
    tables.pasid(SOURCE, Pasid(0x8005), second_stage(second, 3).map(|word| if word == 7 { 9 } else { word }));
    tables.pasid(SOURCE, Pasid(0x8006), PASS_THROUGH.map(|word| if word == 7 { 11 } else { word }));
    tables.map((second, 3), 1, 0x5000, 0x7000 | RW, RW);
    tables.map((first, 4), 1, 0x6000, 0x7000 | USER, USER);
    tables.map((outer, 4), 1, 0x8000, 0x7000 | USER, USER);
    // The second stage maps the tables of the first, and what they lead to, where they are.
    for level in 1..=4 {
        let table = tables.at((outer, 4), level, 0x8000, USER) & !0xfff;
        tables.map((inner, 3), 1, table, table | RW, RW);
    }
    tables.map((inner, 3), 1, 0x7000, 0x7000 | RW, RW);
    (tables.words, scalable())
}

fn keep(options: Options) -> Options {
    Options { partial: Partial::Keep, ..options }
}

fn units() -> [(Words, Unit); 2] {
    [legacy(), with_pasids()]
}

/// The copy of `words` when the call fails that `spoil` chooses. `None` when there was no such call.
fn spoiled(
    (words, unit): &(Words, Unit),
    options: &Options,
    lends: bool,
    spoil: impl Fn(&mut Ledger, &mut Book, &mut Failing),
) -> Option<Result<(), Error>> {
    let (mut pages, mut iovas) = (Ledger::new(), Book::default());
    words.with(|memory| {
        let old = Old::new(memory, lends);
        spoil(&mut pages, &mut iovas, &mut old.reads.borrow_mut());
        let result = copy(&old, &[*unit], options, &mut pages, &mut iovas);
        let all = [pages.allocations, pages.flushes, iovas.calls, *old.reads.borrow()];
        let fired = all.iter().any(|failing| failing.at.is_some_and(|at| at < failing.calls));
        let healthy = Trial::new(words, &[*unit], options).expect("a healthy backend");
        match &result {
            Err(error) => {
                assert_eq!((pages.balance(), iovas.is_empty()), (0, true), "{error}");
                match error {
                    Error::Pages { table, .. } => assert!(words.holds(table.0), "{error}"),
                    Error::Reserve { requester, .. } => {
                        assert!(healthy.iovas.devices.iter().any(|known| known.1 == requester.source_id))
                    }
                    Error::Incomplete { fault, .. } => {
                        let failed = old.failed.get().expect("a read failed");
                        let Cause::Unreadable(found) = fault.cause else { panic!("{error}") };
                        assert_eq!((found.addr, found.kind), (failed, ReadErrorKind::Io(5)));
                    }
                    // What could not be read at the time of planning could be read later, or the other way round.
                    Error::Changed { .. } | Error::Torn { .. } if options.partial == Partial::Keep => {}
                    error => panic!("{error}"),
                }
            }
            Ok((_, done, roots, _)) => {
                let found = (&iovas.domains, &iovas.devices);
                assert_eq!(found, (&healthy.iovas.domains, &healthy.iovas.devices));
                check_ranges(&iovas, &healthy.iovas, done.lost);
                let mut bench = Bench::new(1 << 10);
                let verified = copy::verify(memory, &[*unit], roots, &pages, options, &mut bench.work()).unwrap();
                assert_eq!(pages.balance() as u64, done.pages);
                // Tables that stay where they are lose reservations only.
                let all_copied = options.mode == Mode::Copy && !unit.is_scalable();
                assert!(verified.missing == done.lost || !all_copied && verified.missing < done.lost);
            }
        }
        fired.then(|| result.map(|_| ()))
    })
}

/// What is mapped is reserved, but for what is lost.
fn check_ranges(found: &Book, healthy: &Book, lost: u64) {
    if lost == 0 {
        assert_eq!(found.ranges, healthy.ranges);
    }
    for (domain, ranges) in &found.ranges {
        for range in ranges {
            let within =
                |whole: &&(u64, u64, Permissions)| whole.0 <= range.0 && range.1 <= whole.1 && whole.2 == range.2;
            assert!(healthy.ranges[domain].iter().any(|whole| within(&whole)), "{range:x?} is not in use");
        }
    }
}

/// Fails each call in turn, and returns how many errors and successes that made.
fn each(
    unit: &(Words, Unit),
    options: &Options,
    lends: bool,
    spoil: impl Fn(&mut Ledger, &mut Book, &mut Failing, Failing),
) -> (u64, u64) {
    let (mut errors, mut successes) = (0, 0);
    loop {
        let call = Failing::at(errors + successes);
        match spoiled(unit, options, lends, |pages, iovas, reads| spoil(pages, iovas, reads, call)) {
            None => return (errors, successes),
            Some(Err(_)) => errors += 1,
            Some(Ok(())) => successes += 1,
        }
    }
}

#[test]
fn each_allocation_flush_and_reservation_fails_once() {
    for unit in units() {
        for options in [COPY, ADOPT, KEEP] {
            let healthy = Trial::new(&unit.0, &[unit.1], &options).unwrap();
            let allocations = healthy.pages.allocations.calls;
            let failed = each(&unit, &options, true, |pages, _, _, call| pages.allocations = call);
            assert_eq!(failed, (allocations, 0));
            let failed = each(&unit, &options, true, |pages, _, _, call| pages.flushes = call);
            assert_eq!(failed, (healthy.plan.pages, 0));
            let failed = each(&unit, &options, true, |_, iovas, _, call| iovas.calls = call);
            assert_eq!(failed, (healthy.iovas.calls.calls, 0));
        }
    }
}

#[test]
fn each_read_fails_once() {
    for unit in units() {
        for lends in [false, true] {
            for options in [COPY, ADOPT, KEEP, keep(ADOPT)] {
                let (errors, successes) = each(&unit, &options, lends, |_, _, reads, call| *reads = call);
                // Who wants all or nothing is told of every single one, even if it could be read later.
                assert_eq!(successes == 0, options.partial == Partial::Refuse, "{errors} {successes}");
                assert!(errors > 0);
            }
        }
    }
}

/// A table that can't be read for a moment is told in the plan, beside one that never can.
#[test]
fn each_read_of_a_plan_fails_once_beside_a_table_that_is_lost() {
    let (words, unit) = with_pasids();
    for (lends, options) in [false, true].into_iter().flat_map(|lends| [KEEP, keep(ADOPT)].map(|keep| (lends, keep))) {
        for page in (0x2000..0x10_0000).step_by(0x1000).filter(|page| words.holds(*page)) {
            let mut tried = 0;
            for call in 0.. {
                let failed = words.with(|memory| {
                    let old = Old { broken: Some(PhysAddr(page)), ..Old::new(memory, lends) };
                    *old.reads.borrow_mut() = Failing::at(call);
                    let mut told = Vec::new();
                    let tell = |_, problem: &Problem| match problem {
                        Problem::Lost(fault) | Problem::Unreserved(fault) => told.push(fault.cause),
                        problem => panic!("{problem}"),
                    };
                    let plan = copy::plan(&old, &[unit], &options, &mut Bench::new(1 << 10).work(), tell);
                    let failed = old.failed.get();
                    let is_told =
                        |addr| told.iter().any(|cause| matches!(cause, Cause::Unreadable(error) if error.addr == addr));
                    match plan {
                        Ok(plan) => {
                            // One that always fails may lie behind the other, which is lost with all that it leads to.
                            let told_of = failed.unwrap_or(PhysAddr(page));
                            assert!(is_told(told_of), "{page:#x} {failed:?} {call}: {told:x?}");
                            assert_eq!(plan.lost, told.len() as u64);
                        }
                        Err(error) => assert!(matches!(error, Error::Incomplete { .. }), "{error}"),
                    }
                    failed
                });
                if failed.is_none() {
                    break;
                }
                tried += 1;
            }
            // Without the context table only the root table is read: to find the widths, the devices, and to be copied.
            assert!(tried >= 3, "{page:#x}: {tried}");
        }
    }
}

/// A read that fails in `execute` only: an error and nothing left of it, or under `Keep` a table less, unless copies were
/// made already of what it leads to.
#[test]
fn each_read_of_execute_fails_once() {
    // The second stage of PASID 0 is also that of PASID 0x8005 in another domain: its three tables are read again. Page
    // tables are copied before the context table is, the PASID directory and the first of its tables; the other one
    // leads to that second stage only.
    for ((words, unit), (again, above)) in units().into_iter().zip([(0, 1), (3, 3)]) {
        for options in [COPY, ADOPT, KEEP] {
            let healthy = Trial::new(&words, &[unit], &options).unwrap();
            let (mut kept, mut torn) = (0, 0);
            for call in 0.. {
                let (mut pages, mut iovas) = (Ledger::new(), Book::default());
                let mut bench = Bench::new(1 << 10);
                let more = words.with(|memory| {
                    let (old, mut work, mut roots) = (Old::new(memory, false), bench.work(), [Rtaddr(0)]);
                    let plan =
                        copy::plan(&old, &[unit], &options, &mut work, |_, problem| panic!("{problem}")).unwrap();
                    *old.reads.borrow_mut() = Failing::at(call);
                    let done = plan.execute(&old, &[unit], &mut pages, &mut iovas, &mut work, &mut roots);
                    let fired = old.failed.get().is_some();
                    match done {
                        Ok(done) => {
                            check_ranges(&iovas, &healthy.iovas, done.lost);
                            kept += u64::from(done.lost > 0);
                        }
                        Err(error) => {
                            match error {
                                Error::Torn { .. } if options == KEEP => torn += 1,
                                Error::Incomplete { .. } => {}
                                error => panic!("{error}"),
                            }
                            assert_eq!((pages.balance(), iovas.is_empty()), (0, true));
                            let done = plan.execute(&old, &[unit], &mut pages, &mut iovas, &mut work, &mut roots);
                            assert_eq!(done, Ok(healthy.done), "a retry");
                            copy::verify(memory, &[unit], &roots, &pages, &options, &mut work).unwrap();
                        }
                    }
                    fired
                });
                if !more {
                    break;
                }
            }
            // Each table but the root was lost once, and each that is read again once more.
            let lost = healthy.plan.tables - 1 + again;
            let expected = if options == KEEP { (lost - above, above) } else { (0, 0) };
            assert_eq!((kept, torn), expected, "{options:?}");
        }
    }
}

/// Two devices have one domain, and the second of them the wider addresses. A domain is opened once, for both.
#[test]
fn a_domain_is_as_wide_as_planned_whichever_read_fails() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    let [context, top] = [0x50_0000, 0x51_0000];
    tables.set(ROOT + 16 * 2, context | 1).set(context, top | 1).set(context + 8, 7 << 8 | 2);
    tables.set(top + 8, 0x52_0000 | RW).set(0x52_0000, 0x53_0000 | RW).set(0x53_0000, 0x54_0000 | RW);
    tables.set(0x54_0000, 0x7000 | RW);
    let healthy = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!(healthy.iovas.domains[&(0, 7)], 48);
    words(&tables).with(|memory| {
        for call in 0.. {
            let (mut pages, mut iovas, mut bench) = (Ledger::new(), Book::default(), Bench::new(1 << 8));
            let (old, mut work, mut roots) = (Old::new(memory, false), bench.work(), [Rtaddr(0)]);
            let plan = copy::plan(&old, &[unit()], &COPY, &mut work, |_, _| ()).unwrap();
            *old.reads.borrow_mut() = Failing::at(call);
            let done = plan.execute(&old, &[unit()], &mut pages, &mut iovas, &mut work, &mut roots);
            match done {
                Ok(_) => assert_eq!((&iovas.domains, &iovas.ranges), (&healthy.iovas.domains, &healthy.iovas.ranges)),
                Err(error) => assert!(matches!(error, Error::Incomplete { .. }), "{error}"),
            }
            if old.failed.get().is_none() {
                assert!(done.is_ok() && call > 10, "{call}");
                return;
            }
        }
    });
}

/// A page that can never be read loses what is below it, and nothing else.
#[test]
fn a_page_that_cannot_be_read_loses_only_that_table() {
    for (words, unit) in units() {
        for options in [COPY, ADOPT] {
            let healthy = Trial::new(&words, &[unit], &options).unwrap();
            for page in (0x1000..0x10_0000).step_by(0x1000).filter(|page| words.holds(*page)) {
                let (mut pages, mut iovas) = (Ledger::new(), Book::default());
                words.with(|memory| {
                    let old = Old { broken: Some(PhysAddr(page)), ..Old::new(memory, page & 0x1000 == 0) };
                    let refused = copy(&old, &[unit], &options, &mut pages, &mut iovas);
                    assert!(matches!(refused, Err(Error::Incomplete { .. })), "{page:#x}: {refused:?}");
                    assert_eq!((pages.allocations.calls, iovas.calls.calls), (0, 0));
                    let kept = copy(&old, &[unit], &keep(options), &mut pages, &mut iovas);
                    let Ok((plan, done, roots, problems)) = kept else {
                        assert_eq!(page, 0x1000, "{kept:?}");
                        return;
                    };
                    assert_eq!((plan.lost, done.lost), (problems.len() as u64, plan.lost), "{problems:?}");
                    assert!(plan.lost > 0 && plan.pages <= healthy.plan.pages);
                    for (domain, ranges) in &iovas.ranges {
                        assert!(ranges.iter().all(|range| healthy.iovas.ranges[domain].contains(range)));
                    }
                    let mut bench = Bench::new(1 << 10);
                    copy::verify(&old, &[unit], &roots, &pages, &keep(options), &mut bench.work()).unwrap();
                });
            }
        }
    }
}

/// Too small a memo is an error, in the plan or later, and what the documentation says is enough.
#[test]
fn a_memo_that_is_too_small_is_an_error_and_nothing_is_left() {
    for (words, unit) in units() {
        let healthy = Trial::new(&words, &[unit], &COPY).unwrap().plan;
        // The root table needs none, and each domain has one page table.
        let enough = (healthy.tables + 2 * healthy.domains + 1) as usize;
        for slots in 0..=enough {
            let (mut pages, mut iovas) = (Ledger::new(), Book::default());
            let (mut bench, mut small) = (Bench::new(1 << 10), Bench::new(slots));
            words.with(|memory| {
                let plan = copy::plan(memory, &[unit], &COPY, &mut bench.work(), |_, _| ()).unwrap();
                let (mut roots, mut work) = ([Rtaddr(0)], small.work());
                let again = copy::plan(memory, &[unit], &COPY, &mut work, |_, _| ());
                let done = plan.execute(memory, &[unit], &mut pages, &mut iovas, &mut work, &mut roots);
                assert_eq!(again.is_ok(), done.is_ok(), "{slots} slots");
                match done {
                    Ok(_) => assert!(copy::verify(memory, &[unit], &roots, &pages, &COPY, &mut work).is_ok()),
                    Err(error) => {
                        assert_eq!(error, Error::MemoFull { slots });
                        assert_eq!((pages.balance(), iovas.is_empty(), slots < enough), (0, true, true));
                    }
                }
            });
        }
    }
}

/// What a nested first stage and adopted tables map is known from them alone: where the image only lacks a table, its
/// ranges may be in use; where there is no memory, not even the hardware can read it.
#[test]
fn a_table_that_is_not_copied_and_cannot_be_read_is_told() {
    let (words, unit) = legacy();
    for table in [TOP, words.get(TOP) & crate::ADDRESS] {
        words.with(|memory| {
            let (mut pages, mut iovas) = (Ledger::new(), Book::default());
            let old = Old { broken: Some(PhysAddr(table)), ..Old::new(memory, true) };
            let (.., problems) = copy(&old, &[unit], &keep(ADOPT), &mut pages, &mut iovas).unwrap();
            let [problem @ Problem::Unreserved(_)] = problems.as_slice() else { panic!("{problems:?}") };
            assert!(problem.is_loss());
        });
        let mut hole = words.clone();
        let trial = Trial::new(hole.hole(table), &[unit], &ADOPT).unwrap();
        assert!(matches!(trial.problems.as_slice(), [Problem::Refused(_)]), "{:?}", trial.problems);
    }
}
