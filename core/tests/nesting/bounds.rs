//! How much work a walk may be.

use crate::walked::{ALL, Seen, leaves, rest, scratch, seen, start, walk};
use crate::world::World;
use crate::worlds;
use iopt::radix::{Bound, Budget, Defect, Nested, NestedItem};

#[test]
fn a_budget_ends_the_walk_wherever_it_is_used_up() {
    for (seed, world) in worlds().take(8) {
        let (all, tables) = walk(&world, ALL);
        for max in (0..20).chain((20..tables).step_by(17)).chain([tables, tables + 1]) {
            let (mut outer, mut inner) = (scratch(), scratch());
            let mut walk = Nested::new(&world.memory, &mut outer, &mut inner);
            walk.set_budget(Budget { tables: max, ..Budget::UNLIMITED });
            match start(&world, &mut walk, ALL) {
                Err(defect) => assert_eq!(defect, Defect::Budget(Bound::Tables(max)), "world {seed}"),
                Ok(mut found) => {
                    found.extend(rest(&mut walk));
                    if found.last() == Some(&Seen::Budget) {
                        found.pop();
                        assert!(max <= tables, "world {seed}: {max} of {tables}");
                    } else {
                        assert!(max >= tables, "world {seed}: {max} of {tables}");
                    }
                    assert!(all.starts_with(&found), "world {seed}: {max} of {tables}");
                }
            }
            assert!(walk.next().is_none(), "world {seed}: {max} of {tables}");
            assert!(walk.statistics().tables <= max, "world {seed}: {max} of {tables}");
        }
    }
}

/// An outer tree of four levels behind an inner one of four, whose tables lie where they say: below 1 GiB, intermediate
/// addresses and memory are the same, of which the inner tree has one leaf.
fn plain() -> World {
    let mut world = World::empty(4, 4);
    world.map_inner(0, 3, 0x83);
    world.outer_root = 0x80_0000;
    world
}

#[test]
fn large_outer_leaves_over_small_inner_ones_end_with_the_budget() {
    let mut world = plain();
    world.memory.set(0x80_0000, 0, 0x80_1067);
    for index in 0..512 {
        world.memory.set(0x80_1000, index, (1 + index % 2) << 30 | 0xe7);
        world.memory.set(0x80_2000, index, 0x80_3003);
        world.memory.set(0x80_3000, index, 0x1_0000_0003 + (index << 12));
    }
    world.map_inner(1 << 30, 3, 0x80_2003);
    world.map_inner(2 << 30, 3, 0x80_2003);
    let (mut outer, mut inner) = (scratch(), scratch());
    let mut walk = Nested::new(&world.memory, &mut outer, &mut inner);
    walk.set_budget(Budget { tables: 1500, ..Budget::UNLIMITED });
    start(&world, &mut walk, ALL).unwrap();
    let (mut runs, mut items) = (0, 0);
    while let Some(item) = walk.next() {
        items += 1;
        match item {
            NestedItem::Run(run) => {
                assert_eq!((run.len(), run.linear), (512, 512));
                runs += 1;
            }
            item => assert!(items == 1 || seen(item) == [Seen::Budget]),
        }
    }
    assert_eq!(walk.statistics().tables, 1500);
    assert!((1450..1500).contains(&runs), "{runs}");
}

#[test]
fn dense_outer_tables_stay_dense_and_no_inner_table_is_read_twice() {
    for inner_leaves in [12, 21, 30] {
        let mut world = plain();
        world.memory.set(0x80_0000, 0, 0x80_1067);
        world.memory.set(0x80_1000, 0, 0x80_2067);
        // 16 tables, of leaves that are half a table off.
        for index in 0..16u64 {
            let table = 0x80_3000 + (index << 12);
            world.memory.set(0x80_2000, index, table | 0x67);
            for leaf in 0..512 {
                world.memory.set(table, leaf, (1 << 30) + 0x10_0067 + (index << 21) + (leaf << 12));
            }
        }
        match inner_leaves {
            12 => (0..17 << 9).for_each(|page| world.map_inner((1 << 30) + (page << 12), 1, 4 << 30 | page << 12 | 3)),
            21 => {
                (0..17).for_each(|region| world.map_inner((1 << 30) + (region << 21), 2, 4 << 30 | region << 21 | 0x83))
            }
            _ => world.map_inner(1 << 30, 3, 4 << 30 | 0x83),
        }
        let (all, tables) = walk(&world, ALL);
        let expected = (0..16u64 << 9).map(|page| (page << 12, (4 << 30) + 0x10_0000 + (page << 12), 12));
        let found = leaves(&all);
        assert!(found.iter().map(|leaf| (leaf.iova, leaf.phys, leaf.size_log2)).eq(expected));
        // Each outer table, and two inner tables to locate it; the inner tables with leaves.
        let inner = match inner_leaves {
            12 => 2 + 1 + 17,
            21 => 2 + 1,
            _ => 2,
        };
        assert_eq!(tables, 3 * 19 + inner);
        let (mut outer, mut inner) = (scratch(), scratch());
        let mut walk = Nested::new(&world.memory, &mut outer, &mut inner);
        start(&world, &mut walk, ALL).unwrap();
        let (mut runs, mut left) = (0, 0);
        while let Some(item) = walk.next() {
            match item {
                NestedItem::Run(run) => {
                    assert_eq!(run.linear, run.len());
                    runs += 1;
                }
                // The 16 tables are left out now and then.
                NestedItem::Table(table) if table.level == 1 && table.iova.0 >> 21 & 3 == 3 => {
                    walk.skip_table();
                    left += 1;
                }
                item => assert!(matches!(seen(item)[..], [Seen::Table(..)])),
            }
        }
        assert_eq!((runs, left), (if inner_leaves == 30 { 12 } else { 24 }, 4));
    }
}

#[test]
fn leaves_beyond_the_inner_input_are_told_once_and_the_others_walked() {
    let mut world = plain();
    world.input_bits = 34;
    world.memory.set(0x80_0000, 0, 0x80_1067);
    world.memory.set(0x80_1000, 1, 0x80_2067);
    // 2 MiB leaves over the end of the input.
    for index in 0..16 {
        world.memory.set(0x80_2000, index, (1 << 34) + 0xe7 - (6 << 21) + (index << 21));
    }
    world.map_inner((1 << 34) - (1 << 30), 3, 1 << 40 | 0x87);
    let (all, _) = walk(&world, ALL);
    let found = leaves(&all);
    assert_eq!(found.len(), 6);
    assert_eq!((found[0].iova, found[0].phys), (1 << 30, (1 << 40) + (1 << 30) - (6 << 21)));
    let bad: Vec<_> = all.iter().filter(|seen| matches!(seen, Seen::Bad(..))).collect();
    assert!(matches!(bad[..], [Seen::Bad(iova, bad)] if (*iova, bad.index) == ((1 << 30) + (6 << 21), 6)), "{bad:x?}");
    assert_eq!(all.last(), bad.last().copied());
}
