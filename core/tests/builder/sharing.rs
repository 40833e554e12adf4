//! Tables that several paths lead to, and loops.

use super::{DEVICE, MODES, one_device, told, with};
use iopt::builder::{At, Error, Leaves, Target};
use iopt::vtd::TranslationMode::{Legacy, Scalable};
use iopt::{Iova, Pasid, PhysAddr, SourceId};

#[test]
fn page_tables_are_shared_by_devices_and_pasids() {
    let made = with(Scalable, |tables| {
        let table = one_device(tables)?;
        tables.pasid(DEVICE, Pasid(64), Target::second_stage(table))?;
        tables.device(SourceId::new(7, 0x90), Target::second_stage(table))?;
        Ok(told(tables))
    });
    let leaf = "0x200000 -> 0x80200000 rw x1";
    let expected = ["00:01.0@0 second/3 in 1", leaf, "00:01.0@64 second/3 in 1", leaf, "07:12.0@0 second/3 in 1", leaf];
    assert_eq!(made.unwrap(), expected);
}

#[test]
fn each_kind_of_entry_is_shared() {
    let (bus_1, other) = (SourceId::new(1, 8), SourceId::new(0, 0x88));
    let leaf = "0x200000 -> 0x80200000 rw x1".to_string();
    for mode in MODES {
        let pasid = if mode == Scalable { "@0" } else { "" };
        for (from, to, name) in [
            (At::Root(DEVICE), At::Root(bus_1), "01:01.0"),
            (At::Context(DEVICE), At::Context(bus_1), "01:01.0"),
            (At::Context(DEVICE), At::Context(other), "00:11.0"),
        ] {
            let made = with(mode, |tables| {
                one_device(tables)?;
                tables.share(from, to)?;
                assert_eq!(tables.table(from)?, tables.table(to)?);
                Ok(told(tables))
            });
            let device = |name| format!("{name}{pasid} second/3 in 1");
            assert_eq!(made.unwrap(), [device("00:01.0"), leaf.clone(), device(name), leaf.clone()], "{mode:?} {to}");
        }
    }
    for (from, to) in [
        (At::Pasid(DEVICE, Pasid(0)), At::Pasid(DEVICE, Pasid(99))),
        (At::PasidDirectory(DEVICE, Pasid(0)), At::PasidDirectory(DEVICE, Pasid(99))),
    ] {
        let made = with(Scalable, |tables| {
            one_device(tables)?;
            tables.share(from, to)?;
            tables.set(At::Context(DEVICE), 1_u64 << 3)?;
            Ok(told(tables))
        });
        let other = if matches!(to, At::Pasid(..)) { 99 } else { 64 };
        let device = |pasid| format!("00:01.0@{pasid} second/3 in 1");
        assert_eq!(made.unwrap(), [device(0), leaf.clone(), device(other), leaf.clone()], "{to}");
    }
}

#[test]
fn subtrees_are_shared_within_and_between_page_tables() {
    let made = with(Legacy, |tables| {
        let table = one_device(tables)?;
        tables.share(At::PageTable(table, Iova(0), 3), At::PageTable(table, Iova(5 << 30), 3))?;
        let other = tables.second_stage(4)?;
        tables.link(other, Iova(0), 3, tables.table(At::PageTable(table, Iova(0), 3))?)?;
        tables.device(SourceId::new(0, 9), Target::second_stage(other))?;
        Ok(told(tables))
    });
    let expected = [
        "00:01.0 second/3 in 1",
        "0x200000 -> 0x80200000 rw x1",
        "0x140200000 -> 0x80200000 rw x1",
        "00:01.1 second/4 in 1",
        "0x200000 -> 0x80200000 rw x1",
    ];
    assert_eq!(made.unwrap(), expected);
}

#[test]
fn loops_lead_to_tables_above() {
    for levels in 2..=6 {
        let made = with(Legacy, |tables| {
            let table = tables.second_stage(levels)?;
            tables.device(DEVICE, Target::second_stage(table))?;
            tables.map(table, Leaves::of_4k(Iova(0), PhysAddr(0x9000)))?;
            tables.link(table, Iova(0x20_0000), 2, table.top)?;
            Ok(told(tables))
        });
        let told = made.unwrap();
        assert!(told.iter().any(|line| line.contains("level 2 1")), "{levels}: {told:?}");
        let straight = with(Legacy, |tables| {
            let table = tables.second_stage(levels)?;
            tables.device(DEVICE, Target::second_stage(table))?;
            tables.map(table, Leaves::of_4k(Iova(0), PhysAddr(0x9000)))?;
            Ok(super::told(tables))
        });
        assert_eq!(straight.unwrap(), [format!("00:01.0 second/{levels} in 1"), "0x0 -> 0x9000 rw x1".into()]);
    }
}

#[test]
fn a_shared_entry_is_of_the_same_kind_and_new() {
    let other = SourceId::new(0, 9);
    let error =
        |from, to| with(Scalable, |tables| one_device(tables).and_then(|_| tables.share(from, to))).unwrap_err();
    let (from, to) = (At::Root(DEVICE), At::Context(other));
    assert_eq!(error(from, to), Error::Kind { from, to });
    assert!(matches!(error(At::Root(DEVICE), At::Root(other)), Error::Occupied { .. }), "the same bus");
    with(Scalable, |tables| {
        one_device(tables)?;
        let (first, second) = (tables.first_stage(4)?, tables.second_stage(4)?);
        let (from, to) = (At::PageTable(first, Iova(0), 4), At::PageTable(second, Iova(0), 4));
        assert_eq!(tables.share(from, to), Err(Error::Kind { from, to }));
        tables.share(At::Context(DEVICE), At::Context(other))
    })
    .unwrap();
}
