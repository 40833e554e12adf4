//! What a kernel that takes over does with the tables of the one that crashed: plan, execute, verify.
//! The two traits are for the kernel to implement; the old tables are made by a `UnitBuilder`.

use iopt::builder::{Leaves, Target, UnitBuilder};
use iopt::copy::{self, MemoSlot, Options, Room, Workspace};
use iopt::memory::{AllocError, AllocErrorKind, IovaReserver, Page, PageAllocator, ReserveError, Slot, SparseMemory};
use iopt::vtd::{Rtaddr, TranslationMode};
use iopt::{DomainId, Iova, IovaRange, Permissions, PhysAddr, SourceId};

const POOL: u64 = 0x10_0000;
/// Pages for tables. A kernel asks its page allocator, and translates between physical and virtual addresses.
struct Pool([Option<Page>; 8]);

fn number(addr: PhysAddr) -> usize {
    addr.0.checked_sub(POOL).and_then(|bytes| usize::try_from(bytes >> 12).ok()).unwrap_or(usize::MAX)
}
fn failed(kind: AllocErrorKind) -> AllocError {
    AllocError { addr: None, kind }
}

impl PageAllocator for Pool {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        let free = self.0.windows(pages.max(1)).position(|run| run.iter().all(Option::is_none));
        let first = free.ok_or(failed(AllocErrorKind::OutOfPages))?;
        self.0.iter_mut().skip(first).take(pages).for_each(|page| *page = Some(Page::ZERO));
        Ok(PhysAddr(POOL | (first as u64) << 12))
    }
    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.0.get(number(addr)).and_then(Option::as_ref).ok_or(failed(AllocErrorKind::NotAllocated))
    }
    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        self.0.get_mut(number(addr)).and_then(Option::as_mut).ok_or(failed(AllocErrorKind::NotAllocated))
    }
    fn flush(&mut self, addr: PhysAddr) -> Result<(), AllocError> {
        self.page(addr).map(|_| ()) // clflush, where ECAP.C is 0
    }
    fn free(&mut self, addr: PhysAddr, pages: usize) {
        self.0.iter_mut().skip(number(addr)).take(pages).for_each(|page| *page = None);
    }
}

/// A kernel takes each range out of the domain's IOVA allocator; this one only says so.
struct Iovas;

fn say(what: &dyn std::fmt::Display) -> Result<(), ReserveError> {
    println!("{what}");
    Ok(())
}
impl IovaReserver for Iovas {
    fn open_domain(&mut self, unit: usize, domain: DomainId, width: u8) -> Result<(), ReserveError> {
        say(&format_args!("unit {unit}: domain {domain} is taken, with addresses of {width} bits"))
    }
    fn reserve(&mut self, _: usize, domain: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        say(&format_args!("domain {domain}: {range} is in use"))
    }
    fn note_in_use(&mut self, _: usize, source: SourceId, domain: DomainId) -> Result<(), ReserveError> {
        say(&format_args!("domain {domain}: of {source}"))
    }
    fn forget_domain(&mut self, _: usize, _: DomainId) {} // the copy has failed: give back what was taken
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The old kernel's memory, as a kernel maps it: root, context and page tables of one device, and a 2 MiB page.
    let mut slots = [Slot::EMPTY; 8];
    let mut old = SparseMemory::new(&mut slots);
    let mut tables = UnitBuilder::new(&mut old, TranslationMode::Legacy)?;
    let table = tables.second_stage(3)?;
    tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x20_0000)))?;
    tables.device(SourceId::new(0, 8), Target::second_stage(table))?;
    let units = [tables.unit()]; // a kernel reads RTADDR_REG, CAP, ECAP and the host address width
    let (mut memo, mut room, options) = ([MemoSlot::EMPTY; 32], Room::new(), Options::default());
    let mut work = Workspace::new(&mut memo, &mut room);
    // A plan changes nothing. What can't be copied, or looks wrong, is told here.
    let plan = copy::plan(&old, &units, &options, &mut work, |_, problem| eprintln!("{problem}"))?;
    let (mut pool, mut roots) = (Pool([const { None }; 8]), [Rtaddr(0)]);
    plan.execute(&old, &units, &mut pool, &mut Iovas, &mut work, &mut roots)?; // all or nothing
    let verified = copy::verify(&old, &units, &roots, &pool, &options, &mut work)?;
    println!("{} tables are as they were; RTADDR_REG becomes {:#x}", verified.tables, roots[0].0);
    Ok(())
}
