//! Leaves and tables that can't be, each with a valid twin.

use super::errors::refused;
use super::{DEVICE, one_device, with};
use iopt::builder::{At, Error, Leaves, PageTable, Stage};
use iopt::vtd::TranslationMode::{Legacy, Scalable};
use iopt::{Iova, Permissions, PhysAddr};

/// What becomes of leaves in an empty page table.
fn mapped(stage: Stage, levels: u8, leaves: Leaves) -> Result<(), Error> {
    with(Scalable, |tables| {
        let table = match stage {
            Stage::First => tables.first_stage(levels)?,
            Stage::Second => tables.second_stage(levels)?,
        };
        tables.map(table, leaves)
    })
}

#[test]
fn levels_are_those_of_the_stage() {
    for level in 0..=8 {
        let second = with(Legacy, |tables| tables.second_stage(level).map(|table| table.levels));
        let error = Error::Level { stage: Stage::Second, level, least: 2, most: 6 };
        assert_eq!(second, if (2..=6).contains(&level) { Ok(level) } else { Err(error) });
        let first = with(Legacy, |tables| tables.first_stage(level).map(|table| table.levels));
        let error = Error::Level { stage: Stage::First, level, least: 4, most: 5 };
        assert_eq!(first, if (4..=5).contains(&level) { Ok(level) } else { Err(error) });
        let entry = with(Legacy, |tables| {
            let table = tables.second_stage(3)?;
            tables.link(table, Iova(0), level, PhysAddr(0))
        });
        let error = Error::Level { stage: Stage::Second, level, least: 1, most: 3 };
        assert_eq!(entry, if (1..=3).contains(&level) { Ok(()) } else { Err(error) });
    }
    let gib = Leaves::of_1g(Iova(0), PhysAddr(0));
    assert_eq!(mapped(Stage::Second, 3, gib), Ok(()));
    assert_eq!(mapped(Stage::Second, 2, gib), Err(Error::Level { stage: Stage::Second, level: 3, least: 1, most: 2 }));
}

#[test]
fn addresses_are_inputs_of_the_page_table() {
    let leaf = |iova| Leaves::of_4k(Iova(iova), PhysAddr(0));
    for (levels, bits) in [(2, 30), (3, 39), (4, 48), (5, 57)] {
        let error = Error::Iova { iova: Iova(1 << bits), bits, stage: Stage::Second };
        assert_eq!(mapped(Stage::Second, levels, leaf(1 << bits)), Err(error));
        assert_eq!(mapped(Stage::Second, levels, leaf((1 << bits) - 0x1000)), Ok(()));
        assert_eq!(mapped(Stage::Second, levels, leaf((1 << bits) - 0x1000).times(2)), Err(error));
    }
    for (levels, bits) in [(4, 48), (5, 57)] {
        let (lower, upper) = (1_u64 << (bits - 1), u64::MAX << (bits - 1));
        let error = |iova| Err(Error::Iova { iova: Iova(iova), bits, stage: Stage::First });
        assert_eq!(mapped(Stage::First, levels, leaf(lower)), error(lower));
        assert_eq!(mapped(Stage::First, levels, leaf(lower - 0x1000)), Ok(()));
        assert_eq!(mapped(Stage::First, levels, leaf(upper - 0x1000)), error(upper - 0x1000));
        assert_eq!(mapped(Stage::First, levels, leaf(upper)), Ok(()));
    }
    let end = |count| mapped(Stage::Second, 6, leaf(!0x1fff).times(count));
    assert_eq!(end(2), Ok(()));
    assert_eq!(end(3), Err(Error::PastEnd { iova: Iova(!0x1fff), count: 3, size: 0x1000 }));
    assert_eq!(end(u64::MAX), Err(Error::PastEnd { iova: Iova(!0x1fff), count: u64::MAX, size: 0x1000 }));
}

#[test]
fn memory_has_52_bits() {
    let error = |phys| Err(Error::Phys { phys: PhysAddr(phys) });
    let leaf = |phys| mapped(Stage::Second, 3, Leaves::of_4k(Iova(0), PhysAddr(phys)).times(2));
    assert_eq!(leaf(0xf_ffff_ffff_e000), Ok(()));
    assert_eq!(leaf(0xf_ffff_ffff_f000), error(1 << 52));
    let link = |phys| {
        with(Legacy, |tables| tables.second_stage(3).and_then(|table| tables.link(table, Iova(0), 2, PhysAddr(phys))))
    };
    assert_eq!(link(0xf_ffff_ffff_f000), Ok(()));
    assert_eq!(link(1 << 52), error(1 << 52));
    let point = |at: fn(PageTable) -> At, phys| {
        with(Legacy, |tables| one_device(tables).and_then(|table| tables.point(at(table), PhysAddr(phys))))
    };
    assert_eq!(point(|table| At::PageTable(table, Iova(0), 3), 1 << 52), error(1 << 52));
    assert_eq!(point(|table| At::PageTable(table, Iova(0), 3), 1 << 51), Ok(()));
    assert_eq!(point(|_| At::Context(DEVICE), 1 << 63), Ok(()), "the pointers of other entries have 64");
}

#[test]
fn leaves_and_tables_are_aligned() {
    for (leaves, size) in [
        (Leaves::of_4k as fn(Iova, PhysAddr) -> Leaves, 1_u64 << 12),
        (Leaves::of_2m, 1 << 21),
        (Leaves::of_1g, 1 << 30),
    ] {
        let half = size / 2;
        assert_eq!(mapped(Stage::Second, 3, leaves(Iova(size), PhysAddr(size))), Ok(()));
        let error = Err(Error::Misaligned { addr: half, size });
        assert_eq!(mapped(Stage::Second, 3, leaves(Iova(half), PhysAddr(size))), error);
        assert_eq!(mapped(Stage::Second, 3, leaves(Iova(size), PhysAddr(half))), error);
    }
    let error = Error::Misaligned { addr: 0x5008, size: 0x1000 };
    let at = PhysAddr(0x5008);
    assert_eq!(refused(Legacy, |tables| one_device(tables).and_then(|_| tables.point(At::Root(DEVICE), at))), error);
    assert_eq!(refused(Legacy, |tables| tables.second_stage(3).and_then(|to| tables.link(to, Iova(0), 3, at))), error);
}

#[test]
fn each_leaf_lets_something_through() {
    let leaf = |permissions| Leaves::of_4k(Iova(0), PhysAddr(0)).permissions(permissions);
    let (none, write, read) = (Permissions::NONE, Permissions::WRITE, Permissions::READ);
    for (stage, levels, bad, good) in
        [(Stage::First, 4, &[none, write][..], &[read][..]), (Stage::Second, 4, &[none], &[read, write])]
    {
        for &permissions in bad {
            assert_eq!(mapped(stage, levels, leaf(permissions)), Err(Error::Permissions { stage, permissions }));
        }
        for &permissions in good {
            assert_eq!(mapped(stage, levels, leaf(permissions)), Ok(()));
        }
    }
}
