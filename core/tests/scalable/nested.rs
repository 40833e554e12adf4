//! What fails between the two stages of nested page tables: to a request, and to a walk.

use crate::builder::{Builder, first_stage, second_stage};
use crate::request::SOURCE;
use crate::walk::{unit, whole};
use crate::{ADDRESS, LARGE, RW, Reason};
use iopt::memory::Page;
use iopt::vtd::{FaultReason, Structure};
use iopt::{Access, Iova, Pasid};

const IOVA: u64 = 0x5000;
/// P, R/W, U/S and A.
const USER: u64 = 0x27;
/// The first address that the second stage does not take, and one that it does not map.
const BEYOND: u64 = 1 << 39;
const UNMAPPED: u64 = 0x4000_0000;

/// Tables of a nested device. The second stage maps the first GiB, where the tables are, to itself.
struct World {
    tables: Builder,
    second: u64,
    first: u64,
    /// The word of the PASID table entry that has the first stage's top table.
    third: u64,
}

impl World {
    fn new() -> Self {
        let mut tables = Builder::new();
        let (second, first) = (tables.table(1), tables.table(1));
        tables.map((second, 3), 3, 0, LARGE | RW, RW);
        tables.map((first, 4), 1, IOVA, 0x7000 | USER, USER);
        tables.context(SOURCE, 0, 1, 0);
        let ([word, domain, _], [.., third]) = (second_stage(second, 3), first_stage(first, 4));
        let at = tables.pasid(SOURCE, Pasid(0), [word & !(7 << 6) | 3 << 6, domain, third]);
        Self { tables, second, first, third: at + 16 }
    }

    /// Where the first-stage entry of [`IOVA`] at this level is.
    fn entry(&mut self, level: u8) -> u64 {
        self.tables.at((self.first, 4), level, IOVA, USER)
    }

    /// Makes an entry lead somewhere else.
    fn lead(&mut self, at: u64, to: u64) {
        let flags = self.tables.words.get(at) & !ADDRESS;
        self.tables.words.set(at, to | flags);
    }

    /// A request and a walk meet the same fault, at the entry at `at`.
    fn fails(&self, (code, name): Reason, structure: Structure, at: u64) {
        let request = self.tables.words.with(|memory| {
            unit().translate(memory, SOURCE, Iova(IOVA), Access::Read, &mut { Page::ZERO }, |_| ()).unwrap_err()
        });
        let walked = whole(&self.tables).faults;
        let [walk] = walked.as_slice() else { panic!("{name}: {walked:?}") };
        assert_eq!((walk.reason, walk.cause), (request.reason, request.cause), "{name}");
        for fault in [request, *walk] {
            assert_eq!(fault.reason.map(FaultReason::code), Some(code), "{fault}");
            assert_eq!(fault.reason.map(FaultReason::name), Some(name), "{fault}");
            let (place, size) = (fault.place, if structure == Structure::PasidTable { 64 } else { 8 });
            assert_eq!((place.structure, place.table.0), (structure, at & !0xfff), "{fault}");
            assert_eq!(u64::from(place.index), (at & 0xfff) / size, "{fault}");
            assert_eq!(place.entry.map(|entry| entry.words()[0]), Some(self.tables.words.get(at)), "{fault}");
        }
    }
}

#[test]
fn what_is_well_is_walked() {
    let walked = whole(&World::new().tables);
    assert_eq!((walked.faults.len(), walked.leaves.len()), (0, 1));
}

#[test]
fn a_table_beyond_the_second_stage_is_0x74_at_the_entry_that_leads_there() {
    for level in 2..=4 {
        let mut world = World::new();
        let at = world.entry(level);
        world.lead(at, BEYOND);
        world.fails((0x74, "SFS.5"), Structure::FirstStage(level), at);
    }
    let mut world = World::new();
    world.lead(world.third, BEYOND);
    world.fails((0x74, "SFS.5"), Structure::PasidTable, world.third - 16);
}

#[test]
fn memory_beyond_the_second_stage_is_0x84_at_the_leaf() {
    let mut world = World::new();
    let at = world.entry(1);
    world.lead(at, BEYOND);
    world.fails((0x84, "SGN.5"), Structure::FirstStage(1), at);
}

#[test]
fn a_table_that_the_second_stage_does_not_map_is_0x75_or_0x76_at_its_entry() {
    for level in 2..=4 {
        let mut world = World::new();
        let at = world.entry(level);
        world.lead(at, UNMAPPED);
        world.fails((0x76, "SFS.7"), Structure::SecondStage(3), world.second + 8);
    }
    let mut world = World::new();
    world.lead(world.third, UNMAPPED);
    world.fails((0x75, "SFS.6"), Structure::SecondStage(3), world.second + 8);
}

#[test]
fn a_table_behind_a_reserved_bit_of_the_second_stage_is_0x7a_there() {
    for level in 2..=4 {
        let mut world = World::new();
        let at = world.entry(level);
        world.lead(at, UNMAPPED);
        world.tables.words.set(world.second + 8, 1 << 62 | LARGE | UNMAPPED | RW);
        world.fails((0x7a, "SSS.3"), Structure::SecondStage(3), world.second + 8);
    }
}
