//! What can't be built is refused by name, and its valid twin is built.

use super::{DEVICE, Tables, one_device, with};
use iopt::builder::{At, Error, Leaves, PageTable, Pasids, Stage, Target, UnitBuilder};
use iopt::memory::{AllocErrorKind, Slot, SparseMemory};
use iopt::vtd::TranslationMode::{self, Legacy, Scalable};
use iopt::vtd::{Bits, RtaddrError};
use iopt::{Iova, Pasid, PhysAddr, SourceId};

const TOP: PhysAddr = PhysAddr(0x2000);

pub fn refused<T>(mode: TranslationMode, make: impl FnOnce(&mut Tables<'_, '_>) -> Result<T, Error>) -> Error {
    with(mode, |tables| Ok(make(tables).err().expect("it should be refused"))).unwrap()
}

#[test]
fn a_unit_is_in_legacy_or_scalable_mode() {
    for mode in [TranslationMode::Extended, TranslationMode::AbortDma] {
        let error = with(mode, |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::Mode(RtaddrError::Mode { mode: found, .. }) if found == mode), "{error}");
    }
}

#[test]
fn nothing_is_put_over_something_else() {
    let over = |first: Leaves, second: Leaves| {
        with(Legacy, |tables| {
            let table = tables.second_stage(3)?;
            tables.map(table, first)?;
            tables.map(table, second)
        })
    };
    let (small, large) = (Leaves::of_4k(Iova(0), PhysAddr(0)), Leaves::of_2m(Iova(0), PhysAddr(0)));
    assert_eq!(over(small, Leaves::of_4k(Iova(0x1000), PhysAddr(0))), Ok(()));
    assert_eq!(over(small, small), Err(Error::Occupied { addr: PhysAddr(0x4000), entry: 3_u64.into() }));
    assert_eq!(over(small, large), Err(Error::Occupied { addr: PhysAddr(0x3000), entry: 0x4003_u64.into() }));
    assert_eq!(over(large, small), Err(Error::Leaf { addr: PhysAddr(0x3000), level: 2, entry: 0x83 }));
    let huge = Leaves::of_1g(Iova(0), PhysAddr(0));
    assert_eq!(over(huge, small), Err(Error::Leaf { addr: PhysAddr(0x2000), level: 3, entry: 0x83 }));
    // Bit 7 is reserved above: the entry points to a table all the same.
    with(Legacy, |tables| {
        let table = tables.second_stage(4)?;
        tables.map(table, small)?;
        tables.set(At::PageTable(table, Iova(0), 4), 1_u64 << 7)?;
        tables.map(table, Leaves::of_4k(Iova(0x1000), PhysAddr(0)))
    })
    .unwrap();
    let occupied = |error| matches!(error, Error::Occupied { .. });
    for mode in super::MODES {
        let again = |tables: &mut Tables<'_, '_>, device| {
            one_device(tables).and_then(|_| tables.device(device, Target::pass_through()))
        };
        assert!(occupied(refused(mode, |tables| again(tables, DEVICE))));
        with(mode, |tables| again(tables, SourceId::new(0, 9))).unwrap();
        with(mode, |tables| {
            one_device(tables)?;
            let entry = if mode == Legacy { At::Context(DEVICE) } else { At::Pasid(DEVICE, Pasid(0)) };
            tables.write(entry, 0_u64)?;
            tables.device(DEVICE, Target::pass_through())
        })
        .unwrap();
    }
    assert!(
        occupied(refused(Scalable, |tables| one_device(tables).and_then(|_| tables.pasids(DEVICE, Pasids::new()))))
    );
}

#[test]
fn entries_are_found_by_the_pointers_that_lead_to_them() {
    let other = SourceId::new(1, 0);
    let no_table = |at| Error::NoTable { at };
    assert_eq!(refused(Legacy, |tables| tables.set(At::Context(other), 1_u64)), no_table(At::Root(other)));
    assert_eq!(refused(Legacy, |tables| tables.table(At::Root(other))), no_table(At::Root(other)));
    assert_eq!(refused(Legacy, |tables| tables.free(At::Root(other))), no_table(At::Root(other)));
    let far = |tables: &mut Tables<'_, '_>, pasid| {
        one_device(tables)?;
        tables.entry(At::Pasid(DEVICE, Pasid(pasid)))
    };
    assert_eq!(refused(Scalable, |tables| far(tables, 64)), no_table(At::PasidDirectory(DEVICE, Pasid(64))));
    assert_eq!(with(Scalable, |tables| far(tables, 63)), Ok(Bits::default()));
    let table = PageTable { stage: Stage::Second, levels: 3, top: TOP };
    let find = |tables: &mut Tables<'_, '_>, iova| {
        one_device(tables).and_then(|_| tables.entry(At::PageTable(table, iova, 1)))
    };
    let iova = Iova(0x4000_0000);
    assert_eq!(refused(Legacy, |tables| find(tables, iova)), no_table(At::PageTable(table, iova, 3)));
    assert_eq!(refused(Legacy, |tables| find(tables, Iova(0))), no_table(At::PageTable(table, Iova(0), 2)));
    let leaf = refused(Legacy, |tables| find(tables, Iova(0x20_0000)));
    assert_eq!(leaf, Error::Leaf { addr: PhysAddr(0x3008), level: 2, entry: 0x8020_0083 });
}

#[test]
fn tables_that_were_lost_are_missed() {
    let context = PhysAddr(0x4000);
    let lost = |tables: &mut Tables<'_, '_>| {
        one_device(tables)?;
        assert_eq!(tables.table(At::Root(DEVICE)), Ok(context));
        tables.free(At::Root(DEVICE))
    };
    let error = Error::Page { addr: context, kind: AllocErrorKind::NotAllocated };
    let device = |tables: &mut Tables<'_, '_>| tables.device(SourceId::new(0, 0), Target::pass_through());
    assert_eq!(refused(Legacy, |tables| lost(tables).and_then(|()| device(tables))), error);
    assert_eq!(refused(Legacy, |tables| lost(tables).and_then(|()| tables.free(At::Root(DEVICE)))), error);
    with(Legacy, |tables| one_device(tables).and_then(|_| device(tables))).unwrap();
}

type Case = fn(&mut Tables<'_, '_>) -> Result<(), Error>;

#[test]
fn legacy_mode_has_no_pasids_and_no_first_stage() {
    let (pasid, one) = (Pasid(0), SourceId::new(0, 1));
    let cases: [Case; 6] = [
        |tables| tables.pasids(DEVICE, Pasids::new()),
        |tables| tables.pasid(DEVICE, Pasid(0), Target::pass_through()),
        |tables| tables.first_stage(4).and_then(|table| tables.device(DEVICE, Target::first_stage(table))),
        |tables| {
            let (first, second) = (tables.first_stage(4)?, tables.second_stage(4)?);
            tables.device(DEVICE, Target::nested(first, second))
        },
        |tables| tables.set(At::PasidDirectory(DEVICE, Pasid(0)), 1_u64),
        |tables| tables.set(At::Pasid(DEVICE, Pasid(0)), 1_u64),
    ];
    for case in cases {
        assert_eq!(refused(Legacy, case), Error::Legacy);
        let made = with(Scalable, case);
        assert!(matches!(made, Ok(()) | Err(Error::NoTable { .. })), "{made:?}");
    }
    let shared = |tables: &mut Tables<'_, '_>| tables.share(At::Pasid(DEVICE, pasid), At::Pasid(one, pasid));
    assert_eq!(refused(Legacy, |tables| one_device(tables).and_then(|_| shared(tables))), Error::Legacy);
    with(Scalable, |tables| one_device(tables).and_then(|_| shared(tables))).unwrap();
}

#[test]
fn pasids_are_in_the_directory() {
    for size in 0..8 {
        let limit = 1 << (size + 13);
        let last = |tables: &mut Tables<'_, '_>, pasid| {
            tables.pasids(DEVICE, Pasids::new().directory_size(size))?;
            tables.pasid(DEVICE, Pasid(pasid), Target::pass_through())
        };
        with(Scalable, |tables| last(tables, limit - 1)).unwrap();
        let error = Error::Pasid { pasid: Pasid(limit), limit };
        assert_eq!(refused(Scalable, |tables| last(tables, limit)), error);
    }
}

#[test]
fn page_tables_are_of_the_stage_that_is_meant() {
    let made = |target: fn(PageTable, PageTable) -> Target| {
        with(Scalable, |tables| {
            let (first, second) = (tables.first_stage(4)?, tables.second_stage(4)?);
            tables.device(DEVICE, target(first, second))
        })
    };
    let expected = |expected| Err(Error::Stage { expected });
    assert_eq!(made(|_, second| Target::first_stage(second)), expected(Stage::First));
    assert_eq!(made(|first, _| Target::second_stage(first)), expected(Stage::Second));
    assert_eq!(made(|first, _| Target::nested(first, first)), expected(Stage::Second));
    assert_eq!(made(|_, second| Target::nested(second, second)), expected(Stage::First));
    assert_eq!(made(|first, _| Target::first_stage(first)), Ok(()));
    assert_eq!(made(|_, second| Target::second_stage(second)), Ok(()));
    assert_eq!(made(Target::nested), Ok(()));
}

#[test]
fn pages_run_out() {
    // A root table, a page table of three levels, a context table.
    for slots in 0..=4 {
        let mut slots_there = vec![Slot::EMPTY; slots];
        let mut memory = SparseMemory::new(&mut slots_there);
        let made = UnitBuilder::new(&mut memory, Legacy).and_then(|mut tables| one_device(&mut tables).map(drop));
        assert_eq!(made, if slots == 4 { Ok(()) } else { Err(Error::Allocate(AllocErrorKind::OutOfPages)) });
    }
}

#[test]
fn errors_are_one_line_that_says_what_was_expected() {
    let error = refused(Legacy, |tables| tables.table(At::Context(SourceId::new(5, 8))));
    assert_eq!(error.to_string(), "root entry of bus 05: expected an entry that points to a table, found 0");
    let error = refused(Legacy, |tables| {
        tables.second_stage(3).and_then(|table| tables.map(table, Leaves::of_2m(Iova(0x1000), PhysAddr(0))))
    });
    assert_eq!(error.to_string(), "address 0x1000: expected a multiple of 0x200000");
    let error = refused(Scalable, |tables| {
        one_device(tables).and_then(|_| tables.set(At::PasidDirectory(DEVICE, Pasid(0)), [0, 1]))
    });
    let text = "PASID directory entry of 00:01.0@0: expected at most 64 bits, found 0x10000000000000000";
    assert_eq!(error.to_string(), text);
}
