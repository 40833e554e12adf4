//! What it takes to copy tables, beside a plain copy of the same pages.

use iopt::copy::{self, MemoSlot, Mode, Options, Plan, Reserve, Room, Workspace};
use iopt::memory::{AllocError, AllocErrorKind, IovaReserver, Page, PageAllocator, PhysReader, ReserveError};
use iopt::vtd::{Rtaddr, Unit};
use iopt::{DomainId, IovaRange, Permissions, PhysAddr, SourceId};

/// Where the first new page is, beyond every table of an image.
const FIRST: u64 = 1 << 44;

/// Pages for new tables, handed out one behind the other. All of them have been written to before, so that no page
/// fault of the machine is measured. They are not zeroed again, since every page of a copy is written whole.
#[derive(Debug)]
pub struct Arena {
    pages: Vec<Page>,
    used: usize,
}

impl Arena {
    fn new(pages: usize) -> Self {
        // What is zeroed by the allocator alone would not be there before the first write.
        let mut pages = vec![Page::ZERO; pages];
        pages.iter_mut().for_each(|page| page.words_mut().fill(1.into()));
        Self { pages, used: 0 }
    }

    fn index(addr: PhysAddr) -> usize {
        usize::try_from(addr.0.wrapping_sub(FIRST) / 4096).unwrap_or(usize::MAX)
    }
}

impl PageAllocator for Arena {
    fn allocate(&mut self, pages: usize) -> Result<PhysAddr, AllocError> {
        if self.used + pages > self.pages.len() {
            return Err(AllocError { addr: None, kind: AllocErrorKind::OutOfPages });
        }
        let first = FIRST + 4096 * self.used as u64;
        self.used += pages;
        Ok(PhysAddr(first))
    }

    fn page(&self, addr: PhysAddr) -> Result<&Page, AllocError> {
        self.pages.get(Self::index(addr)).ok_or(AllocError { addr: Some(addr), kind: AllocErrorKind::NotAllocated })
    }

    fn page_mut(&mut self, addr: PhysAddr) -> Result<&mut Page, AllocError> {
        self.pages.get_mut(Self::index(addr)).ok_or(AllocError { addr: Some(addr), kind: AllocErrorKind::NotAllocated })
    }

    fn flush(&mut self, _: PhysAddr) -> Result<(), AllocError> {
        Ok(())
    }

    fn free(&mut self, _: PhysAddr, _: usize) {}
}

/// Adds up what it is told.
#[derive(Debug, Default)]
struct Sum(u64);

impl IovaReserver for Sum {
    fn open_domain(&mut self, _: usize, _: DomainId, _: u8) -> Result<(), ReserveError> {
        Ok(())
    }
    fn reserve(&mut self, _: usize, _: DomainId, range: IovaRange, _: Permissions) -> Result<(), ReserveError> {
        self.0 = self.0.wrapping_add(range.last().0);
        Ok(())
    }
    fn note_in_use(&mut self, _: usize, _: SourceId, _: DomainId) -> Result<(), ReserveError> {
        Ok(())
    }
    fn forget_domain(&mut self, _: usize, _: DomainId) {}
}

/// So few slots are enough for root and context tables.
const SMALL: u64 = 64;

/// Room to copy a unit in, over and over, and the plans for it.
#[derive(Debug)]
pub struct Copying {
    arena: Arena,
    memo: Vec<MemoSlot>,
    room: Box<Room>,
    plans: [Plan; 4],
}

impl Copying {
    /// Room for the tables of `unit`, of which page tables are `tables`.
    ///
    /// # Panics
    /// If the tables can't be copied.
    pub fn new<R: PhysReader>(unit: &Unit, reader: &R, tables: usize) -> Self {
        let mut memo = vec![MemoSlot::EMPTY; tables + tables / 2 + 64];
        let mut room = Box::new(Room::new());
        let mut work = Workspace::new(&mut memo, &mut room);
        let plans = [
            (Mode::Copy, Reserve::Ranges),
            (Mode::Copy, Reserve::Domains),
            (Mode::Adopt, Reserve::Ranges),
            (Mode::Adopt, Reserve::Domains),
        ];
        let plans = plans.map(|(mode, reserve)| {
            let options = Options { mode, reserve, ..Options::default() };
            copy::plan(reader, &[*unit], &options, &mut work, |_, _| ()).expect("room for each table")
        });
        let pages = plans[0].pages.max(tables as u64);
        Self { arena: Arena::new(usize::try_from(pages).expect("it fits in memory")), memo, room, plans }
    }

    /// The limit: copies the pages, in the order given.
    pub fn limit(&mut self, pages: &[&Page]) -> u64 {
        for (to, from) in self.arena.pages.iter_mut().zip(pages) {
            to.clone_from(from);
        }
        self.arena.pages[0].word(0)
    }

    /// Finds out what it takes to copy everything.
    pub fn plan<R: PhysReader>(&mut self, unit: &Unit, reader: &R) -> u64 {
        let mut work = Workspace::new(&mut self.memo, &mut self.room);
        let plan = copy::plan(reader, &[*unit], &Options::default(), &mut work, |_, _| ());
        plan.expect("as before").pages
    }

    /// Copies everything and reserves what is in use, as planned before.
    pub fn copy<R: PhysReader>(&mut self, unit: &Unit, reader: &R) -> u64 {
        self.execute(0, unit, reader)
    }

    /// Copies everything, and tells the domains in use.
    pub fn copy_for_domains<R: PhysReader>(&mut self, unit: &Unit, reader: &R) -> u64 {
        self.execute(1, unit, reader)
    }

    /// Copies root and context tables, and reserves what is in use.
    pub fn adopt<R: PhysReader>(&mut self, unit: &Unit, reader: &R) -> u64 {
        self.execute(2, unit, reader)
    }

    /// Copies root and context tables, and tells the domains in use.
    pub fn adopt_for_domains<R: PhysReader>(&mut self, unit: &Unit, reader: &R) -> u64 {
        self.execute(3, unit, reader)
    }

    fn execute<R: PhysReader>(&mut self, which: usize, unit: &Unit, reader: &R) -> u64 {
        let Self { arena, memo, room, plans } = self;
        let plan = &plans[which];
        // To clear the memo takes time too, and where page tables are left alone it need not have room for them.
        let slots = if plan.tables < SMALL { SMALL as usize } else { memo.len() };
        arena.used = 0;
        let (mut roots, mut sum) = ([Rtaddr(0)], Sum::default());
        let mut work = Workspace::new(&mut memo[..slots], room);
        plan.execute(reader, &[*unit], arena, &mut sum, &mut work, &mut roots).expect("as planned");
        roots[0].0.wrapping_add(sum.0)
    }
}
