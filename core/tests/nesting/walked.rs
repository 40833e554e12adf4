//! What the engine finds, in the words of the naive code.

use crate::naive::{Bad, Why, Wrong};
use crate::world::{Memory, World};
use iopt::format::{FirstStage, SecondStage};
use iopt::memory::Page;
use iopt::radix::{Defect, MAX_LEVELS, Malformed, Nested, NestedItem, Refusal, Stage, TableScratch};
use iopt::{Iova, IovaRange, PhysAddr};

pub type Walk<'m> = Nested<'m, Memory, FirstStage, SecondStage>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Table(u64, u8, u64),
    Leaf(Leaf),
    Bad(u64, Bad),
    Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub iova: u64,
    pub size_log2: u32,
    pub phys: u64,
    pub access: (bool, bool),
    pub attributes: u64,
}

impl Leaf {
    pub fn last(&self) -> u64 {
        self.iova + ((1 << self.size_log2) - 1)
    }
}

pub fn why(refusal: Refusal) -> Why {
    match refusal {
        Refusal::Denied(_) => Why::Denied,
        Refusal::ReservedBits(_, bits) => Why::Reserved(bits),
        Refusal::Unreadable(..) => Why::Unreadable,
    }
}

fn bad(stage: Stage, malformed: &Malformed) -> Seen {
    let wrong = match malformed.defect {
        Defect::ReservedBits(bits) => Wrong::Reserved(bits),
        Defect::Unreadable(_) => Wrong::Unreadable,
        Defect::Loop { .. } => Wrong::Loop,
        Defect::NotLocated { refusal, .. } => Wrong::NotLocated(why(refusal)),
        Defect::BeyondInner { .. } => Wrong::Beyond,
        Defect::Budget(_) => return Seen::Budget,
        other => panic!("{other:?}"),
    };
    let Malformed { level, raw, .. } = *malformed;
    let (table, index) = (malformed.table.0, malformed.index.into());
    Seen::Bad(malformed.iova.0, Bad { stage, level, table, index, raw, wrong })
}

pub fn seen(item: NestedItem<'_>) -> Vec<Seen> {
    match item {
        NestedItem::Table(table) => vec![Seen::Table(table.addr.0, table.level, table.iova.0)],
        NestedItem::Malformed(stage, malformed) => vec![bad(stage, &malformed)],
        NestedItem::Run(run) => {
            assert_eq!(run.leaves().next().unwrap().iova, run.iova);
            let leaf = |leaf: iopt::radix::Leaf| {
                Seen::Leaf(Leaf {
                    iova: leaf.iova.0,
                    size_log2: leaf.page_size_log2.into(),
                    phys: leaf.phys.0,
                    access: (leaf.permissions.read(), leaf.permissions.write()),
                    attributes: run.attributes,
                })
            };
            run.leaves().map(leaf).collect()
        }
    }
}

pub fn scratch() -> TableScratch {
    [Page::ZERO; MAX_LEVELS]
}

pub fn window((first, last): (u64, u64)) -> IovaRange {
    IovaRange::new(Iova(first), Iova(last)).unwrap()
}

pub const ALL: (u64, u64) = (0, u64::MAX);

pub fn start(world: &World, walk: &mut Walk<'_>, of: (u64, u64)) -> Result<Vec<Seen>, Defect> {
    let table = walk.start(world.outer(), PhysAddr(world.outer_root), window(of), world.inner())?;
    Ok(seen(NestedItem::Table(table)))
}

pub fn rest(walk: &mut Walk<'_>) -> Vec<Seen> {
    let mut all = Vec::new();
    while let Some(item) = walk.next() {
        all.extend(seen(item));
    }
    all
}

/// Everything in a window, and how many tables that took.
pub fn walk(world: &World, of: (u64, u64)) -> (Vec<Seen>, u64) {
    let (mut outer, mut inner) = (scratch(), scratch());
    let mut walk = Nested::new(&world.memory, &mut outer, &mut inner);
    let mut all = start(world, &mut walk, of).unwrap();
    all.extend(rest(&mut walk));
    let count = |is: fn(&Seen) -> bool| all.iter().filter(|seen| is(seen)).count() as u64;
    let statistics = walk.statistics();
    assert_eq!(statistics.leaves, count(|seen| matches!(seen, Seen::Leaf(_))));
    assert_eq!(statistics.faults, count(|seen| matches!(seen, Seen::Bad(..))));
    assert_eq!(statistics.pages_read + statistics.bytes_lent / 4096, statistics.tables);
    (all, statistics.tables)
}

pub fn leaves(seen: &[Seen]) -> Vec<Leaf> {
    let leaf = |seen: &Seen| match seen {
        Seen::Leaf(leaf) => Some(*leaf),
        _ => None,
    };
    seen.iter().filter_map(leaf).collect()
}
