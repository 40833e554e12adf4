//! Copies of real tables of which one call fails: nothing is left, the error has its place, and a retry succeeds.

use crate::{Capture, Way};
use iopt::copy::{self, Error, MemoSlot, Mode, Options, Plan, Room, Workspace};
use iopt::memory::{
    AllocError, AllocErrorKind, Failing, IovaReserver, Page, PageAllocator, PhysReader, ReadErrorKind, Reservations,
    ReserveError, ReserveErrorKind, Slot, SparseMemory,
};
use iopt::vtd::Rtaddr;
use iopt::{DomainId, IovaRange, Permissions, PhysAddr, SourceId};
use std::cell::Cell;

/// What can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Allocate,
    Flush,
    Reserve,
}

const CALLS: [Call; 4] = [Call::Read, Call::Allocate, Call::Flush, Call::Reserve];

/// Counts calls of each kind, and lets one of them fail.
#[derive(Debug, Default)]
struct Counter {
    counts: [Cell<u64>; 4],
    fails: Cell<Option<(Call, u64)>>,
}

impl Counter {
    fn count(&self, call: Call) -> u64 {
        self.counts[call as usize].get()
    }

    /// Whether this call fails.
    fn call(&self, call: Call) -> bool {
        let number = self.count(call);
        self.counts[call as usize].set(number + 1);
        self.fails.get() == Some((call, number))
    }
}

struct New<'c, 's> {
    pages: &'c mut SparseMemory<'s>,
    counter: &'c Counter,
    balance: i64,
}

impl PageAllocator for New<'_, '_> {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        if self.counter.call(Call::Allocate) {
            return Err(AllocError { addr: None, kind: AllocErrorKind::OutOfPages });
        }
        self.balance += i64::try_from(pages).unwrap();
        self.pages.allocate(pages)
    }
    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.pages.page(addr)
    }
    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        self.pages.page_mut(addr)
    }
    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        if self.counter.call(Call::Flush) {
            return Err(AllocError { addr: Some(addr), kind: AllocErrorKind::Flush });
        }
        self.pages.flush(addr)
    }
    fn free(&mut self, addr: PhysAddr, pages: usize) {
        self.balance -= i64::try_from(pages).unwrap();
        self.pages.free(addr, pages);
    }
}

struct Iovas<'c>(&'c mut Reservations<32, 4096>, &'c Counter);

impl Iovas<'_> {
    fn call(&self, domain: DomainId) -> Result<(), ReserveError> {
        let full = ReserveError { domain, kind: ReserveErrorKind::Full };
        if self.1.call(Call::Reserve) { Err(full) } else { Ok(()) }
    }
}

impl IovaReserver for Iovas<'_> {
    fn open_domain(&mut self, unit: usize, domain: DomainId, width: u8) -> Result<(), ReserveError> {
        self.call(domain)?;
        self.0.open_domain(unit, domain, width)
    }
    fn reserve(
        &mut self,
        unit: usize,
        domain: DomainId,
        range: IovaRange,
        how: Permissions,
    ) -> Result<(), ReserveError> {
        self.call(domain)?;
        self.0.reserve(unit, domain, range, how)
    }
    fn note_in_use(&mut self, unit: usize, source: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        self.call(domain)?;
        self.0.note_in_use(unit, source, domain)
    }
    fn forget_domain(&mut self, unit: usize, domain: DomainId) {
        self.0.forget_domain(unit, domain);
    }
}

/// Executes a plan, of which the call that `counter` says fails. An error leaves nothing.
fn execute(way: &Way<'_>, plan: &Plan, work: &mut Workspace<'_>, counter: &Counter) -> Result<(), Error> {
    let mut slots = vec![Slot::EMPTY; 2048];
    let mut pages = SparseMemory::new(&mut slots);
    pages.allocate_from(PhysAddr(0x40_0000_0000));
    let mut iovas = Box::new(Reservations::new());
    let (mut new, mut roots) = (New { pages: &mut pages, counter, balance: 0 }, [Rtaddr(0)]);
    let old = Failing::new(&way.reader, |_, _| counter.call(Call::Read).then_some(ReadErrorKind::Io(5)));
    let done = plan.execute(&old, &[way.unit], &mut new, &mut Iovas(&mut iovas, counter), work, &mut roots);
    let left = (new.balance, iovas.domains().count(), iovas.ranges().count());
    match done {
        Ok(done) => {
            assert_eq!((done, left.0), (*plan, i64::try_from(plan.pages).unwrap()));
            Ok(())
        }
        Err(error) => {
            assert_eq!((left, roots), ((0, 0, 0), [Rtaddr(0)]), "{}: {error}", way.name);
            Err(error)
        }
    }
}

#[test]
fn whatever_fails_nothing_is_left_and_a_retry_succeeds() {
    const SAMPLES: u64 = 5;
    Capture::each(|way| {
        let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 4096], Box::new(Room::new()));
        let mut work = Workspace::new(&mut memo, &mut room);
        for mode in [Mode::Copy, Mode::Adopt] {
            let options = Options { mode, ..Options::default() };
            let plan = copy::plan(&way.reader, &[way.unit], &options, &mut work, |_, _| ()).unwrap();
            let healthy = Counter::default();
            execute(way, &plan, &mut work, &healthy).unwrap();
            for call in CALLS {
                let calls = healthy.count(call);
                assert!(calls > 0, "{call:?}");
                for sample in 0..=SAMPLES {
                    let number = (calls - 1) * sample / SAMPLES;
                    let counter = Counter { fails: Cell::new(Some((call, number))), ..Counter::default() };
                    let error = execute(way, &plan, &mut work, &counter).unwrap_err();
                    let has_place = match &error {
                        Error::Incomplete { fault, .. } => call == Call::Read && fault.place.table.0 != 0,
                        Error::Pages { table, .. } => {
                            let mut page = Page::ZERO;
                            let read = way.reader.read_page(*table, &mut page);
                            matches!(call, Call::Allocate | Call::Flush) && read.is_ok()
                        }
                        Error::Reserve { requester, .. } => call == Call::Reserve && requester.source_id.0 != u16::MAX,
                        _ => false,
                    };
                    assert!(has_place, "{} {mode:?}: {call:?} {number} of {calls}: {error}", way.name);
                    counter.fails.set(None);
                    execute(way, &plan, &mut work, &counter).unwrap();
                }
            }
        }
    });
}
