//! Two stages of tables, against naive code that does one address at a time.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod bounds;
mod naive;
#[path = "../common/numbers.rs"]
mod numbers;
mod walked;
mod world;

use iopt::coalesce::{Coalescer, Join, MappedRange};
use iopt::memory::Page;
use iopt::radix::{Nested, NestedItem, NestedRefusal, Stage, Visit, translate_nested};
use iopt::{Access, Iova, PhysAddr};
use naive::{Refused, Wrong};
use numbers::Random;
use std::collections::{BTreeMap, HashMap, HashSet};
use walked::{ALL, Leaf, Seen, leaves, scratch, start, walk, why};
use world::World;

const WORLDS: u64 = 24;

fn worlds() -> impl Iterator<Item = (u64, World)> {
    (0..WORLDS).map(|seed| {
        let mut world = World::random(seed);
        world.memory.lends = seed % 4 < 2;
        (seed, world)
    })
}

/// The pages to look at: all of the smaller leaves, and of a large one the ends and some in between.
fn sample(world: &World, random: &mut Random) -> Vec<u64> {
    let mut pages = Vec::new();
    for (iova, size_log2) in &world.leaves {
        let count = 1u64 << (size_log2 - 12);
        let some: Vec<u64> = match size_log2 {
            12 => vec![0],
            21 if random.one_in(8) => (0..512).collect(),
            _ => (0..40).map(|_| random.below(count)).chain([0, 1, count - 1]).collect(),
        };
        pages.extend(some.into_iter().map(|page| iova + (page << 12)));
        pages.extend([iova.wrapping_sub(4096), iova.wrapping_add(count << 12)]);
    }
    let sign = 9 * u32::from(world.outer_levels) + 11;
    pages.iter_mut().for_each(|page| *page = extend(*page, sign));
    pages.sort_unstable();
    pages.dedup();
    pages
}

/// Bit `sign` is that of all bits above it.
fn extend(addr: u64, sign: u32) -> u64 {
    let above = u64::MAX << sign;
    if addr >> sign & 1 == 1 { addr | above } else { addr & !above }
}

fn step(stage: Stage, visit: Visit) -> naive::Step {
    (stage, visit.level, visit.table.0, visit.index.into(), visit.raw)
}

#[test]
fn requests_end_where_the_naive_ones_do() {
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for (seed, world) in worlds() {
        let (outer, inner) = (world.outer(), world.inner());
        let mut copy = Page::ZERO;
        for page in sample(&world, &mut Random(seed)) {
            let iova = page | page >> 7 & 0xfff;
            for access in [Access::Read, Access::Write] {
                let mut path = Vec::new();
                let found = translate_nested(
                    &world.memory,
                    &outer,
                    PhysAddr(world.outer_root),
                    &inner,
                    Iova(iova),
                    access,
                    &mut copy,
                    |stage, visit| path.push(step(stage, visit)),
                );
                let (expected_path, expected) = naive::translate(&world, iova, access);
                let context = format!("world {seed}, {access} at {iova:#x}");
                assert_eq!(path, expected_path, "{context}");
                let last = |of| path.iter().rfind(|step| step.0 == of).copied();
                let blamed = |stage, visit: Option<Visit>| {
                    assert_eq!(visit.map(|visit| step(stage, visit)), last(stage), "{context}");
                };
                let inside = |refusal| match refusal {
                    iopt::radix::Refusal::Denied(visit) | iopt::radix::Refusal::ReservedBits(visit, _) => Some(visit),
                    iopt::radix::Refusal::Unreadable(_, visit) => visit,
                };
                let judged = match found {
                    Ok(found) => {
                        blamed(Stage::Inner, found.leaf);
                        let (read, write) = (found.permissions.read(), found.permissions.write());
                        Ok((found.phys.0, u32::from(found.page_size_log2), read, write))
                    }
                    Err(NestedRefusal::Outer(refusal)) => {
                        blamed(Stage::Outer, inside(refusal));
                        Err(Refused::Outer(why(refusal)))
                    }
                    Err(NestedRefusal::TableBeyond(at, entry)) => {
                        blamed(Stage::Outer, entry);
                        Err(Refused::TableBeyond(at.0))
                    }
                    Err(NestedRefusal::Table(refusal, entry)) => {
                        blamed(Stage::Outer, entry);
                        blamed(Stage::Inner, inside(refusal));
                        Err(Refused::Table(why(refusal)))
                    }
                    Err(NestedRefusal::Update(entry)) => {
                        blamed(Stage::Outer, Some(entry));
                        Err(Refused::Update)
                    }
                    Err(NestedRefusal::OutputBeyond(at, entry)) => {
                        blamed(Stage::Outer, Some(entry));
                        Err(Refused::OutputBeyond(at.0))
                    }
                    Err(NestedRefusal::Output(refusal, entry)) => {
                        blamed(Stage::Outer, Some(entry));
                        blamed(Stage::Inner, inside(refusal));
                        Err(Refused::Output(why(refusal)))
                    }
                };
                let expected = expected.map(|(phys, size, read, write, _)| (phys, size, read, write));
                assert_eq!(judged, expected, "{context}");
                let kind = match judged {
                    Ok((_, size, ..)) => format!("page of 2^{size}"),
                    Err(refused) => {
                        let name = format!("{refused:?}");
                        name.split(|end: char| end.is_ascii_digit()).next().unwrap_or_default().to_owned()
                    }
                };
                *kinds.entry(kind).or_default() += 1;
            }
        }
    }
    // Three refusals of each stage and of the way to a table, three others, three page sizes.
    assert_eq!(kinds.len(), 15, "{kinds:#?}");
}

#[test]
fn a_walk_finds_what_is_found_page_by_page() {
    let mut pairs: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let mut wrongs = HashSet::new();
    for (seed, world) in worlds() {
        let (seen, _) = walk(&world, ALL);
        let leaves = leaves(&seen);
        for two in leaves.windows(2) {
            assert!(two[0].last() < two[1].iova, "world {seed}: {two:x?}");
        }
        let bad: Vec<_> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Bad(iova, bad) => Some((*iova, *bad)),
                _ => None,
            })
            .collect();
        let mut pages = sample(&world, &mut Random(seed));
        pages.extend(leaves.iter().step_by(5).map(|leaf| leaf.iova));
        for page in pages {
            let context = format!("world {seed}, page {page:#x}");
            let leaf = leaves.get(leaves.partition_point(|leaf| leaf.last() < page)).filter(|leaf| leaf.iova <= page);
            let found = leaf.map(|leaf| {
                let phys = leaf.phys + (page - leaf.iova);
                (phys, leaf.size_log2, leaf.access.0, leaf.access.1, leaf.attributes)
            });
            match naive::page(&world, page) {
                Ok(mapped) => assert_eq!(found, mapped, "{context}"),
                Err(expected) => {
                    assert_eq!(found, None, "{context}: {expected:x?}");
                    let told = bad.iter().any(|(iova, bad)| {
                        // Leaves beyond the inner tree that follow each other are told of once.
                        let beyond = bad.wrong == Wrong::Beyond && bad.table == expected.table;
                        *iova <= page && (*bad == expected || beyond && expected.wrong == Wrong::Beyond)
                    });
                    assert!(told, "{context}: {expected:x?}");
                    wrongs.insert((expected.stage, format!("{:?}", expected.wrong)));
                }
            }
        }
        for (iova, bad) in bad {
            assert_eq!(naive::page(&world, iova & !0xfff), Err(bad), "world {seed}, {iova:#x}");
        }
        for (iova, size_log2) in &world.leaves {
            if let Ok(Some((_, both, ..))) = naive::page(&world, *iova) {
                *pairs.entry((*size_log2, both)).or_default() += 1;
            }
        }
    }
    for pair in [(12, 12), (21, 12), (21, 21), (30, 12), (30, 21), (30, 30)] {
        assert!(pairs.contains_key(&pair), "{pairs:?}");
    }
    assert!(wrongs.len() >= 8, "{wrongs:?}");
}

/// First and last address, memory, permissions, attributes.
type Range = (u64, u64, Option<u64>, (bool, bool), u64);

/// Leaves that follow each other and are alike, joined one by one.
fn joined(leaves: &[Leaf], by_iova_only: bool) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for leaf in leaves.iter().filter(|leaf| leaf.access != (false, false)) {
        if let Some((first, last, phys, access, attributes)) = ranges.last_mut() {
            let follows =
                last.checked_add(1) == Some(leaf.iova) && (*access, *attributes) == (leaf.access, leaf.attributes);
            let one_piece = phys.is_some_and(|phys| phys + (leaf.iova - *first) == leaf.phys);
            if follows && (one_piece || by_iova_only) {
                *last = leaf.last();
                *phys = phys.filter(|_| one_piece);
                continue;
            }
        }
        ranges.push((leaf.iova, leaf.last(), Some(leaf.phys), leaf.access, leaf.attributes));
    }
    ranges
}

#[test]
fn ranges_are_the_leaves_joined_one_by_one() {
    let mut kinds = HashSet::new();
    for (seed, world) in worlds() {
        let leaves = leaves(&walk(&world, ALL).0);
        for join in [Join::Both, Join::Iova] {
            let (mut outer, mut inner) = (scratch(), scratch());
            let mut walk = Nested::new(&world.memory, &mut outer, &mut inner);
            start(&world, &mut walk, ALL).unwrap();
            let mut coalescer = Coalescer::new(join);
            let mut ranges: Vec<MappedRange> = Vec::new();
            while let Some(item) = walk.next() {
                if let NestedItem::Run(run) = item {
                    kinds.insert((run.level, run.page_size_log2, run.offset != 0));
                    coalescer.push(&run, |range| ranges.push(range));
                }
            }
            ranges.extend(coalescer.finish());
            let range = |range: &MappedRange| {
                let access = (range.permissions.read(), range.permissions.write());
                let phys = range.phys.map(|phys| phys.0);
                (range.iova.first().0, range.iova.last().0, phys, access, range.attributes)
            };
            let ranges: Vec<_> = ranges.iter().map(range).collect();
            let expected = joined(&leaves, join == Join::Iova);
            let differs = (0..ranges.len().max(expected.len())).find(|at| ranges.get(*at) != expected.get(*at));
            if let Some(at) = differs {
                panic!("world {seed}, {join:?}: number {at} is {:x?}, not {:x?}", ranges.get(at), expected.get(at));
            }
        }
    }
    // Entries of the inner tree, then those of the outer one inside of larger inner leaves.
    for kind in [(1, 12, false), (2, 21, false), (3, 30, false), (1, 12, true), (2, 21, true)] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

#[test]
fn it_does_not_matter_whether_memory_is_lent() {
    for (seed, mut world) in worlds() {
        let [lent, copied] = [true, false].map(|lends| {
            world.memory.lends = lends;
            walk(&world, ALL)
        });
        assert!(lent == copied, "world {seed}");
    }
}

#[test]
fn windows_show_a_part_of_the_whole() {
    let mut worlds_with_leaves = 0;
    for (seed, world) in worlds() {
        let mut random = Random(seed);
        let all = walk(&world, ALL).0;
        let places: HashMap<u64, u64> = leaves(&all).iter().map(|leaf| (leaf.iova, leaf.last())).collect();
        let mut ends: Vec<u64> = places.iter().flat_map(|(first, last)| [*first, *last]).collect();
        if ends.is_empty() {
            continue;
        }
        worlds_with_leaves += 1;
        ends.sort_unstable();
        let (mut outer, mut inner) = (scratch(), scratch());
        let mut one = Nested::new(&world.memory, &mut outer, &mut inner);
        start(&world, &mut one, ALL).unwrap();
        for _ in 0..30 {
            let first = random.of(&ends).wrapping_add(random.of(&[0, 1, 4096, 0x5123_4000])).min(u64::MAX - 0x1000);
            let last = first.saturating_add(random.of(&[0, 0xfff, 0x1000, 0x20_0000, 0x7654_3210, 1 << 45]));
            let of = (first, last);
            let inside = |leaf: &Leaf| leaf.last() >= of.0 && leaf.iova <= of.1;
            let expected: Vec<_> = leaves(&all).into_iter().filter(inside).collect();
            let (part, _) = walk(&world, of);
            assert!(leaves(&part) == expected, "world {seed}, {of:x?}");
            one.set_window(walked::window(of));
            for _ in 0..random.below(5) {
                one.next();
            }
            one.set_window(walked::window(of));
            let again: Vec<_> = walked::rest(&mut one);
            assert!(leaves(&again) == expected, "world {seed}, {of:x?}, by one walk");
            for seen in part.iter().chain(&again) {
                if let Seen::Bad(_, bad) = seen {
                    let known = all.iter().any(|seen| matches!(seen, Seen::Bad(_, whole) if (whole.table, whole.wrong) == (bad.table, bad.wrong)));
                    assert!(known, "world {seed}, {of:x?}: {bad:x?}");
                }
            }
        }
    }
    assert!(worlds_with_leaves > WORLDS / 2, "{worlds_with_leaves}");
}
