//! A walk as a tree: reads and events in their order, each with its depth.

use super::upper::{self, PASIDS};
use super::{Broken, unreadable};
use crate::Way;
use iopt::memory::ReadErrorKind;
use iopt::radix::{Run, Table};
use iopt::vtd::{Device, Fault, Place, Structure};
use iopt::walk::{Scratch, Step};
use iopt::{Iova, Permissions, PhysAddr};
use std::collections::BTreeSet;

/// What comes next in a walk.
pub enum Item {
    /// A page is read, of which this is told if it is a hole.
    Read(PhysAddr, Box<Fault>),
    Device(Box<Device>),
    Table(Table),
    Run(Leaves),
}

/// A run, with its leaves.
pub struct Leaves {
    at: (PhysAddr, u8, u16),
    entries: Vec<u64>,
    pub iova: Iova,
    pub size_log2: u8,
    pub permissions: Permissions,
    pub attributes: u64,
    /// Where they lead, first and count of those that continue each other.
    pub memory: Vec<(PhysAddr, u64)>,
}

impl Leaves {
    fn new(run: &Run<'_>) -> Self {
        let Run { iova, permissions, attributes, page_size_log2: size_log2, .. } = *run;
        let entries = run.entries.iter().map(|entry| entry.get()).collect();
        let mut memory = Vec::<(PhysAddr, u64)>::new();
        for leaf in run.leaves() {
            match memory.last_mut() {
                Some((first, leaves)) if first.0 + (*leaves << size_log2) == leaf.phys.0 => *leaves += 1,
                _ => memory.push((leaf.phys, 1)),
            }
        }
        Self { at: (run.table, run.level, run.index), entries, iova, size_log2, permissions, attributes, memory }
    }

    pub fn is(&self, run: &Run<'_>) -> bool {
        (self.iova, self.at, self.size_log2) == (run.iova, (run.table, run.level, run.index), run.page_size_log2)
            && (self.permissions, self.attributes) == (run.permissions, run.attributes)
            && self.entries.iter().copied().eq(run.entries.iter().map(|entry| entry.get()))
    }
}

const DEVICE: u8 = PASIDS + 1;

/// How deep a page table is; no format has more levels than six.
fn depth(level: u8) -> u8 {
    DEVICE + 7 - level
}

/// What a walk comes to when everything can be read. What lies below an item follows it, and is deeper.
pub struct Stream(Vec<(u8, Item)>);

/// What a walk comes to of which one read fails.
#[derive(Clone, Copy)]
pub enum Expected<'s> {
    Item(&'s Item),
    Fault(&'s Fault),
}

/// A walk of which one read fails.
pub struct Torn<'s> {
    /// The number of the read.
    pub read: usize,
    pub kind: ReadErrorKind,
    before: &'s [(u8, Item)],
    pub fault: Fault,
    after: &'s [(u8, Item)],
}

impl Torn<'_> {
    pub fn expected(&self) -> impl Iterator<Item = Expected<'_>> {
        let items = |items| <[(u8, Item)]>::iter(items).map(|(_, item)| Expected::Item(item));
        items(self.before).chain([Expected::Fault(&self.fault)]).chain(items(self.after))
    }
}

impl Stream {
    pub fn new(way: &Way<'_>) -> Self {
        let (broken, mut scratch) = (Broken::whole(way), Scratch::new());
        let reader = broken.reader();
        let mut walk = way.unit.walk(&reader, &mut scratch);
        let (mut items, mut upper) = (Vec::new(), upper::tables(way).into_iter());
        while let Some(step) = walk.next() {
            let mut asked = broken.asked();
            match step {
                Step::Table(table) => {
                    assert_eq!(asked.pop(), Some(table.addr), "{}", way.name);
                    let told = Box::new(lost(way, &items, &table));
                    items.push((depth(table.level), Item::Read(table.addr, told)));
                    items.push((depth(table.level) + 1, Item::Table(table)));
                }
                Step::Run(run) => items.push((depth(run.level) + 1, Item::Run(Leaves::new(&run)))),
                Step::Device(device) => {
                    for addr in asked.drain(..) {
                        let next = upper.next().filter(|next| next.addr == addr).unwrap();
                        items.push((next.depth, Item::Read(addr, Box::new(next.told))));
                    }
                    items.push((DEVICE, Item::Device(Box::new(*device))));
                }
                _ => panic!("{}: {step:?}", way.name),
            }
            assert_eq!(asked, [], "{}", way.name);
        }
        assert!(broken.asked().is_empty() && upper.next().is_none(), "{}: the last table has a device", way.name);
        Self(items)
    }

    /// The page tables that a walk comes to that never gets the page at `lost`, with their levels.
    pub fn tables_without(&self, lost: PhysAddr) -> BTreeSet<(PhysAddr, u8)> {
        let (mut tables, mut lost_at) = (BTreeSet::new(), None);
        for (depth, item) in &self.0 {
            if lost_at.is_some_and(|lost_at| *depth > lost_at) {
                continue;
            }
            lost_at = None;
            match item {
                Item::Read(addr, _) if *addr == lost => lost_at = Some(*depth),
                Item::Table(table) => tables.extend([(table.addr, table.level)]),
                _ => {}
            }
        }
        tables
    }

    /// What a walk comes to if a read fails, for each of them.
    pub fn each_torn(&self, kind: ReadErrorKind) -> impl Iterator<Item = Torn<'_>> {
        let reads = self.0.iter().enumerate().filter_map(|(at, (depth, item))| match item {
            Item::Read(addr, told) => Some((at, *depth, *addr, **told)),
            _ => None,
        });
        reads.enumerate().map(move |(read, (at, depth, addr, told))| {
            let (before, rest) = self.0.split_at(at + 1);
            let below = rest.iter().take_while(|(other, _)| *other > depth).count();
            let code = told.reason.unwrap().code();
            Torn { read, kind, before, fault: unreadable(code, addr, kind, told.place), after: &rest[below..] }
        })
    }
}

/// What is told if the page table that comes next is a hole.
fn lost(way: &Way<'_>, before: &[(u8, Item)], table: &Table) -> Fault {
    let found = |is: &dyn Fn(&Item) -> bool| before.iter().rposition(|(_, item)| is(item)).unwrap();
    let at = found(&|item| matches!(item, Item::Device(_)));
    let Item::Device(device) = &before[at].1 else { panic!("{at}") };
    let first = device.space.first_stage().is_some();
    let by_kind = |codes: [u8; 3]| match (way.unit.is_scalable(), first) {
        (false, _) => codes[0],
        (true, true) => codes[1],
        (true, false) => codes[2],
    };
    let parent = before[at..].iter().rev().find_map(|(_, item)| match item {
        Item::Table(parent) if parent.level == table.level + 1 => Some(parent),
        _ => None,
    });
    let (code, place) = match parent {
        None => {
            let upper = before.iter().rev().find_map(|(depth, item)| match item {
                Item::Read(addr, _) if *depth <= PASIDS => Some(*addr),
                _ => None,
            });
            (by_kind([0x03, 0x73, 0x7b]), upper::entry(way, upper.unwrap(), device))
        }
        Some(parent) => {
            let index = (table.iova.0 >> (3 + 9 * parent.level) & 0x1ff) as u16;
            let entry = way.reader.words(parent.addr.0)[usize::from(index)];
            let place = Place {
                structure: if first {
                    Structure::FirstStage(parent.level)
                } else {
                    Structure::SecondStage(parent.level)
                },
                table: parent.addr,
                index,
                entry: Some(entry.into()),
                source_id: Some(device.source_id),
                pasid: device.pasid,
                iova: Some(table.iova),
            };
            (by_kind([0x07, 0x70, 0x78]), place)
        }
    };
    unreadable(code, table.addr, ReadErrorKind::Hole, place)
}
