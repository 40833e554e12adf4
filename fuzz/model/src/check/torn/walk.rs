//! Walks: what they come to is what they read, each entry once and each table a level below the one that leads to it.

use super::memory::{Change, Changing};
use super::{World, words};
use crate::twin::bits::{self, ADDRESS};
use iopt::memory::Page;
use iopt::radix::{Budget, Run, Statistics, Table};
use iopt::vtd::{AddressSpace, Cause, Device, Fault};
use iopt::walk::{Flow, MemoSlot, Met, Scratch, Shared, Step, Visitor};
use iopt::{Iova, IovaRange, PhysAddr};
use std::rc::Rc;

/// More than this is not walked: tables can be turned into endless ones.
const BUDGET: Budget = Budget { tables: 1500, runs: 20_000, reads: 1600, faults: 20_000 };

/// What a walk came to.
#[derive(Clone, Debug, PartialEq)]
enum Event {
    Device(Box<Device>),
    Table(Table),
    /// The addresses of a run, and how many of them some request may use.
    Run(IovaRange, u64, (PhysAddr, u8, u16)),
    Fault(Fault),
    Shared,
}

/// A table that the walk is in, as it was read.
struct Level {
    table: Table,
    pages: Vec<Rc<Page>>,
}

/// Holds each event against what was read.
struct Witness<'r> {
    scalable: bool,
    reader: &'r Changing<'r>,
    /// How many reads were looked at.
    seen: usize,
    device: Option<Device>,
    path: Vec<Level>,
    /// Tables that were read, and their levels.
    met: Vec<(Met, u8)>,
    /// The last address that was yielded of the device.
    last: Option<Iova>,
    events: Vec<Event>,
    leaves: u64,
}

impl<'r> Witness<'r> {
    fn new(reader: &'r Changing<'r>, scalable: bool) -> Self {
        Self {
            scalable,
            reader,
            seen: 0,
            device: None,
            path: vec![],
            met: vec![],
            last: None,
            events: vec![],
            leaves: 0,
        }
    }

    fn space(&self) -> &AddressSpace {
        &self.device.as_ref().expect("a device comes before what is its").space
    }

    /// Whether all that is read below the device is what the walk comes to.
    fn is_single(&self) -> bool {
        !matches!(self.space(), AddressSpace::Nested(..))
    }

    fn check_table(&mut self, table: &Table) {
        let new = self.reader.delivered(self.seen);
        self.seen += new.len();
        assert!(!self.is_single() || new.len() == 1, "{table:?} is fetched once");
        let pages: Vec<_> = new.into_iter().filter(|(addr, _)| *addr == table.addr.page().0).map(|new| new.1).collect();
        assert!(!pages.is_empty(), "{table:?} was not read");
        self.check_place(table);
        self.met.push((self.met(table), table.level));
        assert!(table.level >= 1 && self.last.is_none_or(|last| last < table.iova), "{table:?}");
        self.path.push(Level { table: *table, pages });
    }

    fn met(&self, table: &Table) -> Met {
        let device = self.device.as_ref().expect("a device comes before its tables");
        Met { source_id: device.source_id, pasid: device.pasid, iova: table.iova }
    }

    /// It is led to by the table that the walk is in, and a level below it.
    fn check_place(&mut self, table: &Table) {
        self.path.retain(|above| above.table.level > table.level);
        match self.path.last() {
            None => {
                let space = self.space();
                let top = space.first_stage().map(|first| (first.root, first.levels()));
                let top = top.or(space.second_stage().map(|second| (second.root, second.levels())));
                let (root, levels) = top.expect("it has page tables");
                assert_eq!((table.level, table.iova), (levels, Iova(0)));
                assert!(!self.is_single() || table.addr == root, "{table:?}");
            }
            Some(parent) => {
                let level = parent.table.level;
                assert_eq!(table.level + 1, level, "{table:?} is one level below the table that leads to it");
                let leads = |page: &Rc<Page>| {
                    let entry = page.word(index(level, table.iova.0));
                    let single = self.is_single() && entry & ADDRESS != table.addr.0;
                    entry & 3 != 0 && !bits::is_leaf(entry, level) && !single
                };
                assert!(parent.pages.iter().any(leads), "{table:?}: no entry that was read leads to it");
                assert!(is_inside(&parent.table, table.iova), "{table:?}");
            }
        }
    }

    /// It is not read again, and whoever came to it first did so before.
    fn check_shared(&mut self, shared: &Shared) {
        self.seen = self.reader.reads();
        self.check_place(&shared.table);
        assert!(self.met.contains(&(shared.with, shared.table.level)), "{shared:?}");
        assert!(self.last.is_none_or(|last| last < shared.table.iova), "{shared:?}");
    }

    fn check_run(&mut self, run: &Run<'_>) {
        assert_eq!(self.reader.reads(), self.seen + self.unseen(), "{run:?}: leaves are those of a page that was read");
        let (first, last) = (run.iova_range().first(), run.iova_range().last());
        assert!(self.last.is_none_or(|before| before < first) && run.len() > 0, "{run:?}");
        self.last = Some(last);
        let at = usize::from(run.index);
        let has =
            |page: &Page| page.words()[at..][..run.len()].iter().zip(run.entries).all(|(a, b)| a.get() == b.get());
        if self.is_single() {
            self.path.retain(|above| above.table.level >= run.level);
            let level = self.path.last().filter(|here| here.table.level == run.level).expect("the run is of a table");
            assert!(level.table.addr == run.table && has(&level.pages[0]), "{run:?}");
            assert!(run.entries.iter().all(|entry| bits::is_leaf(entry.get(), run.level)), "{run:?}");
            assert_eq!(index(run.level, first.0), at, "{run:?}");
            assert!(is_inside(&level.table, first) && is_inside(&level.table, last), "{run:?}");
            let path = self.path.iter().map(|above| above.pages[0].word(index(above.table.level, first.0)));
            let granted = path.fold(3, |granted, entry| granted & entry);
            let found = u64::from(run.permissions.read()) | u64::from(run.permissions.write()) << 1;
            assert!(self.space().first_stage().is_some() || found == granted, "{run:?} grants more than its path");
        } else {
            assert!(self.reader.brought(run.table, has), "{run:?}");
        }
    }

    /// How many reads there were since the last table: those of a second stage, behind a first.
    fn unseen(&self) -> usize {
        if self.is_single() { 0 } else { self.reader.reads() - self.seen }
    }

    fn check_fault(&mut self, fault: &Fault) {
        let Some(entry) = fault.place.entry else { return };
        let words = words(fault.place.structure, self.scalable);
        let at = usize::from(fault.place.index) * words;
        let table = PhysAddr(fault.place.table.0.wrapping_add(at as u64 / 512 * 4096));
        let is = |page: &Page| (0..words).all(|word| page.word(at % 512 + word) == entry.words()[word]);
        assert!(self.reader.brought(table, is), "{fault}: its entry was not read");
    }

    fn step(&mut self, step: &Step<'_>) {
        let event = match step {
            Step::Device(device) => {
                (self.device, self.last, self.seen) = (Some(**device), None, self.reader.reads());
                self.path.clear();
                Event::Device(Box::new(**device))
            }
            Step::Table(table) => {
                self.check_table(table);
                Event::Table(*table)
            }
            Step::Run(run) => {
                self.check_run(run);
                self.leaves += run.len() as u64;
                let usable = run.permissions.read() || run.permissions.write();
                let bytes = if usable { run.len() as u64 * run.page_size() } else { 0 };
                Event::Run(run.iova_range(), bytes, (run.table, run.level, run.index))
            }
            Step::Shared(shared) => {
                self.check_shared(shared);
                Event::Shared
            }
            Step::Fault(fault) => {
                self.check_fault(fault);
                Event::Fault(*fault)
            }
        };
        self.events.push(event);
    }

    fn end(self, statistics: &Statistics) -> Vec<Event> {
        let reads = self.reader.reads() as u64;
        assert_eq!((statistics.tables, statistics.pages_read), (reads, reads), "each table is fetched once");
        assert_eq!(statistics.reads, self.reader.asked());
        let Budget { tables, runs, reads, faults } = BUDGET;
        assert!(statistics.tables <= tables && statistics.runs <= runs && statistics.reads <= reads, "{statistics:?}");
        // The end is told as a fault too.
        assert!(statistics.faults <= faults + 1, "{statistics:?}");
        assert_eq!(statistics.leaves, self.leaves);
        self.events
    }
}

impl Visitor for Witness<'_> {
    fn device(&mut self, device: &Device) -> Flow {
        self.step(&Step::Device(device));
        Flow::Enter
    }
    fn table(&mut self, table: &Table) -> Flow {
        self.step(&Step::Table(*table));
        Flow::Enter
    }
    fn run(&mut self, run: &Run<'_>) -> Flow {
        self.step(&Step::Run(*run));
        Flow::Enter
    }
    fn fault(&mut self, fault: &Fault) -> Flow {
        self.step(&Step::Fault(*fault));
        Flow::Enter
    }
}

/// Which entry of a table at this level an address selects.
fn index(level: u8, iova: u64) -> usize {
    (iova >> bits::entry_shift(level) & 0x1ff) as usize
}

/// Whether a table maps an address; what the top table maps may be in two halves.
fn is_inside(table: &Table, iova: Iova) -> bool {
    let bits = bits::entry_shift(table.level) + 9;
    let span = IovaRange::block(table.iova, bits.min(64) as u8);
    let sign = u64::MAX.checked_shl(bits - 1).unwrap_or(0);
    span.contains(iova) || table.iova == Iova(0) && iova.0 & sign == sign
}

/// Walks a memory that changes in this way: pulled, pushed, as ranges, and with a memo. Tells how many pages were read.
pub fn check(world: &World<'_>, change: Change) -> usize {
    let mut scratch = Box::new(Scratch::new());
    let reader = world.changing(change);
    let mut witness = Witness::new(&reader, world.unit.is_scalable());
    let mut walk = world.unit.walk(&reader, &mut scratch).budget(BUDGET);
    while let Some(step) = walk.next() {
        witness.step(&step);
    }
    let pulled = witness.end(&walk.statistics());
    let reads = reader.reads();

    let reader = world.changing(change);
    let mut witness = Witness::new(&reader, world.unit.is_scalable());
    let mut walk = world.unit.walk(&reader, &mut scratch).budget(BUDGET);
    walk.visit(&mut witness);
    assert!(witness.end(&walk.statistics()) == pulled, "what is pushed is what is pulled");
    check_ranges(world, change, &pulled);

    let (reader, mut slots) = (world.changing(change), vec![MemoSlot::EMPTY; 64]);
    let mut witness = Witness::new(&reader, world.unit.is_scalable());
    let mut walk = world.unit.walk(&reader, &mut scratch).budget(BUDGET).memo(&mut slots);
    while let Some(step) = walk.next() {
        witness.step(&step);
    }
    witness.end(&walk.statistics());
    reads
}

/// Ranges ascend and are whole pages, and they are the leaves that were yielded.
fn check_ranges(world: &World<'_>, change: Change, events: &[Event]) {
    let (reader, mut scratch) = (world.changing(change), Box::new(Scratch::new()));
    let walk = world.unit.walk(&reader, &mut scratch).budget(BUDGET);
    let (mut last, mut bytes, mut faults) = (None, 0, Vec::new());
    for found in iopt::coalesce::DeviceRanges::new(walk, iopt::coalesce::Join::Both) {
        match found {
            Ok(range) => {
                let key = |iova: Iova| (range.source_id, range.pasid, iova);
                assert!(last.is_none_or(|last| last < key(range.iova.first())), "{range}: in order and disjoint");
                last = Some(key(range.iova.last()));
                let ends = range.iova.first().0 | range.iova.last().0.wrapping_add(1);
                assert_eq!((ends | range.phys.map_or(0, |phys| phys.0)) & 0xfff, 0, "{range} is of whole pages");
                bytes += if range.page_size_log2.is_some() { range.iova.size() } else { 0 };
            }
            Err(fault) => faults.push(fault),
        }
    }
    let yielded = events.iter().map(|event| if let Event::Run(_, bytes, _) = event { u128::from(*bytes) } else { 0 });
    assert_eq!(bytes, yielded.sum(), "ranges are the leaves");
    let told = events.iter().filter_map(|event| if let Event::Fault(fault) = event { Some(*fault) } else { None });
    assert!(told.eq(faults.iter().copied()), "{faults:?}");
    let ends = |fault: &Fault| matches!(fault.cause, Cause::Budget(_));
    assert!(faults.iter().rev().skip(1).all(|fault| !ends(fault)), "a budget ends the walk");
}
