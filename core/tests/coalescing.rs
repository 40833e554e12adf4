//! Which leaves become one range, and where ranges end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::{CONTEXT, LARGE, R, RW, SNOOP, SOURCE, TOP, Tables, W, unit};
use iopt::coalesce::{Coalescer, DeviceRanges, Join, MappedRange};
use iopt::memory::Page;
use iopt::vtd::{Cap, Cause, Fault, FaultReason, Structure, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, DomainId, Iova, IovaRange, Permissions, PhysAddr, SourceId};

const KIB4: u64 = 1 << 12;
const MIB2: u64 = 1 << 21;
const GIB: u64 = 1 << 30;
const JOINS: [Join; 2] = [Join::Both, Join::Iova];

/// First and last address, memory, permissions, log2 of the page size.
type Range = (u64, u64, Option<u64>, &'static str, u8);

fn letters(permissions: Permissions) -> &'static str {
    match (permissions.read(), permissions.write()) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "nothing",
    }
}

/// The ranges and faults of the tables, in `window`; pulled and pushed ones are the same.
fn limited(tables: &Tables, unit: Unit, join: Join, window: IovaRange) -> (Vec<Range>, Vec<Fault>) {
    tables.with(|memory| {
        let mut scratch = Scratch::new();
        let (mut pulled, mut faults) = (vec![], vec![]);
        for range in DeviceRanges::new(unit.walk(memory, &mut scratch).only_range(window), join) {
            match range {
                Ok(range) => {
                    assert_eq!((range.source_id, range.domain), (SOURCE, DomainId(7)));
                    let (first, last) = (range.iova.first().0, range.iova.last().0);
                    let phys = range.phys.map(|phys| phys.0);
                    pulled.push((first, last, phys, letters(range.permissions), range.page_size_log2.unwrap()));
                }
                Err(fault) => faults.push(fault),
            }
        }
        let mut pushed = vec![];
        let mut coalescer = Coalescer::new(join);
        let mut walk = unit.walk(memory, &mut scratch).only_range(window);
        while let Some(step) = walk.next() {
            if let Step::Run(run) = step {
                coalescer.push(&run, |range| pushed.push(plain(&range)));
            }
        }
        pushed.extend(coalescer.finish().map(|range| plain(&range)));
        assert_eq!(pulled, pushed, "pulled and pushed");
        (pulled, faults)
    })
}

fn plain(range: &MappedRange) -> Range {
    let (first, last) = (range.iova.first().0, range.iova.last().0);
    (first, last, range.phys.map(|phys| phys.0), letters(range.permissions), range.page_size_log2)
}

/// The ranges of tables that have nothing wrong.
fn ranges(tables: &Tables, join: Join) -> Vec<Range> {
    let (ranges, faults) = limited(tables, unit(), join, IovaRange::all());
    assert_eq!(faults, []);
    ranges
}

/// Tables of four levels with these leaves: level, IOVA, entry.
fn leaves(leaves: &[(u8, u64, u64)]) -> Tables {
    let mut tables = Tables::new(4);
    for &(level, iova, entry) in leaves {
        tables.map(level, iova, entry);
    }
    tables
}

#[test]
fn neighbours_join_where_the_memory_continues_or_by_the_address_alone() {
    /// Pages as (IOVA, memory), then what becomes of them as (first, last, memory).
    type Case<'a> = (&'a str, &'a [(u64, u64)], &'a [(u64, u64, Option<u64>)], &'a [(u64, u64, Option<u64>)]);
    let cases: &[Case<'_>] = &[
        ("one page", &[(0x1000, 0x5000)], &[(0x1000, 0x1fff, Some(0x5000))], &[(0x1000, 0x1fff, Some(0x5000))]),
        (
            "both continue",
            &[(0x1000, 0x5000), (0x2000, 0x6000)],
            &[(0x1000, 0x2fff, Some(0x5000))],
            &[(0x1000, 0x2fff, Some(0x5000))],
        ),
        (
            "memory runs backwards",
            &[(0x1000, 0x6000), (0x2000, 0x5000)],
            &[(0x1000, 0x1fff, Some(0x6000)), (0x2000, 0x2fff, Some(0x5000))],
            &[(0x1000, 0x2fff, None)],
        ),
        (
            "the same memory twice",
            &[(0x1000, 0x5000), (0x2000, 0x5000)],
            &[(0x1000, 0x1fff, Some(0x5000)), (0x2000, 0x2fff, Some(0x5000))],
            &[(0x1000, 0x2fff, None)],
        ),
        (
            "memory continues, the address does not",
            &[(0x1000, 0x5000), (0x3000, 0x6000)],
            &[(0x1000, 0x1fff, Some(0x5000)), (0x3000, 0x3fff, Some(0x6000))],
            &[(0x1000, 0x1fff, Some(0x5000)), (0x3000, 0x3fff, Some(0x6000))],
        ),
        (
            "memory breaks once in the middle",
            &[(0x1000, 0x5000), (0x2000, 0x6000), (0x3000, 0x9000), (0x4000, 0xa000)],
            &[(0x1000, 0x2fff, Some(0x5000)), (0x3000, 0x4fff, Some(0x9000))],
            &[(0x1000, 0x4fff, None)],
        ),
        (
            "memory comes back to where it would be without the break",
            &[(0x1000, 0x5000), (0x2000, 0x9000), (0x3000, 0x7000)],
            &[(0x1000, 0x1fff, Some(0x5000)), (0x2000, 0x2fff, Some(0x9000)), (0x3000, 0x3fff, Some(0x7000))],
            &[(0x1000, 0x3fff, None)],
        ),
        (
            "across two tables",
            &[(0x1f_f000, 0x5000), (0x20_0000, 0x6000)],
            &[(0x1f_f000, 0x20_0fff, Some(0x5000))],
            &[(0x1f_f000, 0x20_0fff, Some(0x5000))],
        ),
        (
            "across two tables at every level",
            &[(0x7f_ffff_f000, 0x5000), (0x80_0000_0000, 0x6000)],
            &[(0x7f_ffff_f000, 0x80_0000_0fff, Some(0x5000))],
            &[(0x7f_ffff_f000, 0x80_0000_0fff, Some(0x5000))],
        ),
        (
            "across two tables, memory does not continue",
            &[(0x1f_f000, 0x5000), (0x20_0000, 0x7000)],
            &[(0x1f_f000, 0x1f_ffff, Some(0x5000)), (0x20_0000, 0x20_0fff, Some(0x7000))],
            &[(0x1f_f000, 0x20_0fff, None)],
        ),
    ];
    for (name, pages, both, iova) in cases {
        let pages: Vec<_> = pages.iter().map(|(iova, phys)| (1, *iova, phys | RW)).collect();
        for (join, expected) in [(Join::Both, both), (Join::Iova, iova)] {
            let found = ranges(&leaves(&pages), join);
            let expected: Vec<Range> =
                expected.iter().map(|(first, last, phys)| (*first, *last, *phys, "rw", 12)).collect();
            assert_eq!(found, expected, "{name}, {join:?}");
        }
    }
}

#[test]
fn the_last_page_of_every_space_ends_with_the_space() {
    for (levels, last) in [(3, (1 << 39) - 1), (4, (1 << 48) - 1), (5, (1 << 57) - 1), (6, u64::MAX)] {
        for join in JOINS {
            // Were the end one page too high, the last page would meet the first, whose memory continues its own.
            let mut tables = Tables::new(levels);
            tables.map(1, last - 0xfff, 0x5000 | RW).map(1, 0, 0x6000 | RW);
            let expected = [(0, 0xfff, Some(0x6000), "rw", 12), (last - 0xfff, last, Some(0x5000), "rw", 12)];
            assert_eq!(ranges(&tables, join), expected, "{levels} levels, {join:?}");

            tables.map(1, last - 0x1fff, 0x4000 | RW);
            let expected = [(0, 0xfff, Some(0x6000), "rw", 12), (last - 0x1fff, last, Some(0x4000), "rw", 12)];
            assert_eq!(ranges(&tables, join), expected, "{levels} levels, {join:?}");

            let mut large = Tables::new(levels);
            large.map(3, last - (GIB - 1), (4 * GIB) | LARGE | R);
            assert_eq!(ranges(&large, join), [(last - (GIB - 1), last, Some(4 * GIB), "r", 30)]);
        }
    }
}

#[test]
fn the_last_page_of_a_64_bit_space_does_not_meet_the_first_of_the_next_device() {
    let mut tables = Tables::new(6);
    tables.map(1, !0xfff, 0x5000 | RW);
    // The next device has a table of its own, in which page 0 leads on in memory.
    let mut entry = 0x10_0000;
    tables.set(CONTEXT + 16 * 0x14, entry | 1).set(CONTEXT + 16 * 0x14 + 8, 7 << 8 | 4);
    for _ in 0..5 {
        tables.set(entry, (entry + 0x1000) | RW);
        entry += 0x1000;
    }
    tables.set(entry, 0x6000 | RW);
    for join in JOINS {
        tables.with(|memory| {
            let expected = [(!0xfff, u64::MAX, Some(0x5000), "rw", 12), (0, 0xfff, Some(0x6000), "rw", 12)];
            let mut scratch = Scratch::new();
            let mut found = vec![];
            // One that nobody tells that a device has ended.
            let mut coalescer = Coalescer::new(join);
            let mut walk = unit().walk(memory, &mut scratch);
            while let Some(step) = walk.next() {
                if let Step::Run(run) = step {
                    coalescer.push(&run, |range| found.push(plain(&range)));
                }
            }
            found.extend(coalescer.finish().map(|range| plain(&range)));
            assert_eq!(found, expected, "{join:?}");
        });
    }
}

#[test]
fn equal_neighbours_of_different_devices_are_of_different_ranges() {
    let mut tables = Tables::new(4);
    tables.map(1, 0x5000, 0x8000 | RW);
    // A device before this one, whose only page is followed by that of this one.
    tables.set(CONTEXT + 16 * 0x12, 0x10_0001).set(CONTEXT + 16 * 0x12 + 8, 7 << 8 | 2);
    tables.set(0x10_0000, 0x10_1003).set(0x10_1000, 0x10_2003).set(0x10_2000, 0x10_3003);
    tables.set(0x10_3000 + 8 * 4, 0x7000 | RW);
    for join in JOINS {
        tables.with(|memory| {
            let mut scratch = Scratch::new();
            let found: Vec<_> = DeviceRanges::new(unit().walk(memory, &mut scratch), join)
                .map(|range| range.map(|range| (range.source_id, range.iova.first().0, range.iova.last().0)))
                .collect();
            let expected = [(SourceId::new(1, 0x12), 0x4000, 0x4fff), (SOURCE, 0x5000, 0x5fff)];
            assert_eq!(found, expected.map(Ok), "{join:?}");
        });
    }
}

#[test]
fn ignored_accessed_and_dirty_bits_never_split() {
    let of_4k: Vec<u32> = (2..=10).chain(52..=61).chain([63]).collect();
    let of_large: Vec<u32> = (2..=6).chain(8..=10).chain(52..=61).chain([63]).collect();
    for (level, size, flags, bits) in
        [(1, KIB4, RW, of_4k), (2, MIB2, RW | LARGE, of_large.clone()), (3, GIB, RW | LARGE, of_large)]
    {
        for bit in bits {
            for odd in 0..3u64 {
                let mut tables = Tables::new(4);
                for page in 0..3 {
                    let ignored = if page == odd { 1 << bit } else { 0 };
                    tables.map(level, (4 + page) * size, ((16 + page) * size) | flags | ignored);
                }
                for join in JOINS {
                    let expected = (4 * size, 7 * size - 1, Some(16 * size), "rw", 3 + 9 * level);
                    assert_eq!(ranges(&tables, join), [expected], "level {level}, bit {bit} of page {odd}, {join:?}");
                }
            }
        }
    }
}

#[test]
fn ignored_bits_above_the_leaf_never_split() {
    // In entries that point to tables, bit 11 is reserved and bit 7 means something else.
    for bit in (2..=6).chain(8..=10).chain(52..=61).chain([63]) {
        for level in 2..=4 {
            let mut tables = leaves(&[(1, 0x7f_ffff_f000, 0x5003), (1, 0x80_0000_0000, 0x6003)]);
            let at = tables.at(level, 0x80_0000_0000);
            let entry = tables.get(at);
            tables.set(at, entry | 1 << bit);
            let expected = (0x7f_ffff_f000, 0x80_0000_0fff, Some(0x5000), "rw", 12);
            assert_eq!(ranges(&tables, Join::Both), [expected], "level {level}, bit {bit}");
        }
    }
}

#[test]
fn the_snoop_bit_splits_and_is_told() {
    for (level, size, flags) in [(1, KIB4, RW), (2, MIB2, RW | LARGE), (3, GIB, RW | LARGE)] {
        let mut tables = Tables::new(4);
        for (page, snoop) in [(0, 0), (1, SNOOP), (2, SNOOP), (3, 0)] {
            tables.map(level, page * size, ((16 + page) * size) | flags | snoop);
        }
        for join in JOINS {
            let range =
                |first: u64, last: u64| (first * size, last * size - 1, Some((16 + first) * size), "rw", 3 + 9 * level);
            assert_eq!(ranges(&tables, join), [range(0, 1), range(1, 3), range(3, 4)], "level {level}, {join:?}");
        }
        let attributes = tables.with(|memory| {
            let mut scratch = Scratch::new();
            let mut walk = unit().walk(memory, &mut scratch);
            let mut coalescer = Coalescer::new(Join::Both);
            let mut attributes = vec![];
            while let Some(step) = walk.next() {
                if let Step::Run(run) = step {
                    coalescer.push(&run, |range| attributes.push(range.attributes));
                }
            }
            attributes.extend(coalescer.finish().map(|range| range.attributes));
            attributes
        });
        assert_eq!(attributes, [0, SNOOP, 0]);
    }
}

#[test]
fn permissions_count_as_anded_down_the_path() {
    let names = ["nothing", "r", "w", "rw"];
    for level in 2..=4 {
        // Both pages have tables of their own at every level, so that either path can be narrowed.
        for (above, leaf) in [1, 2, 3].into_iter().flat_map(|above| [1, 2, 3].map(|leaf| (above, leaf))) {
            for (next_above, next_leaf) in [1, 2, 3].into_iter().flat_map(|above| [1, 2, 3].map(|leaf| (above, leaf))) {
                let (first, second) = (0x7f_ffff_f000, 0x80_0000_0000);
                let mut tables = leaves(&[(1, first, 0x5000 | leaf), (1, second, 0x6000 | next_leaf)]);
                for (iova, above) in [(first, above), (second, next_above)] {
                    let at = tables.at(level, iova);
                    let entry = tables.get(at);
                    tables.set(at, entry & !RW | above);
                }
                let [one, other] = [above & leaf, next_above & next_leaf];
                let range = |first: u64, pages: u64, phys, permissions: u64| {
                    (first, first + pages * 0x1000 - 1, Some(phys), names[usize::try_from(permissions).unwrap()], 12)
                };
                let mut expected = vec![range(first, 1, 0x5000, one), range(second, 1, 0x6000, other)];
                if one == other {
                    expected = vec![range(first, 2, 0x5000, one)];
                }
                expected.retain(|range| range.3 != "nothing");
                for join in JOINS {
                    let case = format!("level {level}: {above}&{leaf} next to {next_above}&{next_leaf}, {join:?}");
                    assert_eq!(ranges(&tables, join), expected, "{case}");
                }
            }
        }
    }
}

#[test]
fn a_page_under_a_narrower_table_joins_a_narrower_page() {
    let mut tables = leaves(&[(1, 0x1f_f000, 0x5000 | RW), (1, 0x20_0000, 0x6000 | R)]);
    let above = tables.at(2, 0x1f_f000);
    let entry = tables.get(above);
    tables.set(above, entry & !RW | R);
    assert_eq!(ranges(&tables, Join::Both), [(0x1f_f000, 0x20_0fff, Some(0x5000), "r", 12)]);
}

#[test]
fn reads_next_to_writes_never_join() {
    for (one, other, names) in [(R, W, ["r", "w"]), (R, RW, ["r", "rw"]), (RW, W, ["rw", "w"])] {
        for join in JOINS {
            let tables = leaves(&[(1, 0x1000, 0x5000 | one), (1, 0x2000, 0x6000 | other)]);
            let expected = [(0x1000, 0x1fff, Some(0x5000), names[0], 12), (0x2000, 0x2fff, Some(0x6000), names[1], 12)];
            assert_eq!(ranges(&tables, join), expected, "{join:?}");
        }
    }
}

#[test]
fn a_page_that_lets_nothing_through_belongs_to_no_range_and_parts_its_neighbours() {
    let mut tables = leaves(&[(1, 0x1000, 0x5000 | W), (1, 0x2000, 0x6000 | R), (1, 0x3000, 0x7000 | RW)]);
    let above = tables.at(2, 0x1000);
    let entry = tables.get(above);
    tables.set(above, entry & !RW | W);
    for join in JOINS {
        let expected = [(0x1000, 0x1fff, Some(0x5000), "w", 12), (0x3000, 0x3fff, Some(0x7000), "w", 12)];
        assert_eq!(ranges(&tables, join), expected, "{join:?}");
    }
}

/// Two pages, a large one and a huge one, each behind the one before; then the same from huge to small.
const STAIRS: [(u8, u64); 5] = [(1, GIB - MIB2 - KIB4), (2, GIB - MIB2), (3, GIB), (2, 2 * GIB), (1, 2 * GIB + MIB2)];

#[test]
fn pages_of_every_size_join_when_they_continue_each_other() {
    let entry = |level: u8, iova: u64| (16 * GIB + iova) | RW | if level > 1 { LARGE } else { 0 };
    for first in 0..STAIRS.len() {
        for last in first..STAIRS.len() {
            let stairs = &STAIRS[first..=last];
            let tables =
                leaves(&stairs.iter().map(|&(level, iova)| (level, iova, entry(level, iova))).collect::<Vec<_>>());
            let (start, end) = (STAIRS[first].1, STAIRS[last].1 + (1 << (3 + 9 * STAIRS[last].0)) - 1);
            let smallest = 3 + 9 * stairs.iter().map(|(level, _)| *level).min().unwrap();
            for join in JOINS {
                let expected = (start, end, Some(16 * GIB + start), "rw", smallest);
                assert_eq!(ranges(&tables, join), [expected], "steps {first} to {last}, {join:?}");
            }
        }
    }
}

#[test]
fn pages_of_different_sizes_stay_apart_where_the_memory_does_not_continue() {
    for break_at in 1..STAIRS.len() {
        let mut tables = Tables::new(4);
        for (step, &(level, iova)) in STAIRS.iter().enumerate() {
            let base = if step < break_at { 16 * GIB } else { 32 * GIB };
            tables.map(level, iova, (base + iova) | RW | if level > 1 { LARGE } else { 0 });
        }
        let split = STAIRS[break_at].1;
        let (start, end) = (STAIRS[0].1, 2 * GIB + MIB2 + KIB4 - 1);
        let smallest = |steps: &[(u8, u64)]| 3 + 9 * steps.iter().map(|(level, _)| *level).min().unwrap();
        let expected = [
            (start, split - 1, Some(16 * GIB + start), "rw", smallest(&STAIRS[..break_at])),
            (split, end, Some(32 * GIB + split), "rw", smallest(&STAIRS[break_at..])),
        ];
        assert_eq!(ranges(&tables, Join::Both), expected, "break at {break_at}");
        assert_eq!(ranges(&tables, Join::Iova), [(start, end, None, "rw", 12)], "break at {break_at}");
    }
}

/// An entry that hardware refuses lies between two good neighbours, at `level`: it is told with its place, and the
/// neighbours are two ranges.
fn malformed(name: &str, unit: Unit, levels: u8, level: u8, entry: u64, reserved: u64) {
    let size = 1u64 << (3 + 9 * level);
    let mut tables = Tables::new(levels);
    tables.map(1, size - KIB4, 0x5000 | RW).map(level, size, entry).map(1, 2 * size, 0x7000 | RW);
    let at = tables.at(level, size);
    for join in JOINS {
        let (found, faults) = limited(&tables, unit, join, IovaRange::all());
        let expected =
            [(size - KIB4, size - 1, Some(0x5000), "rw", 12), (2 * size, 2 * size + 0xfff, Some(0x7000), "rw", 12)];
        assert_eq!(found, expected, "{name}, {join:?}");
        let [fault] = faults[..] else { panic!("{name}: {faults:?}") };
        assert_eq!(fault.reason, Some(FaultReason::PageTableReserved), "{name}");
        assert_eq!(fault.cause, Cause::ReservedBits(reserved.into()), "{name}");
        let place = fault.place;
        assert_eq!((place.structure, place.table.0), (Structure::SecondStage(level), at & !0xfff), "{name}");
        assert_eq!((u64::from(place.index), place.entry), ((at & 0xfff) / 8, Some(entry.into())), "{name}");
        assert_eq!((place.source_id, place.iova), (Some(SOURCE), Some(Iova(size))), "{name}");
    }
}

#[test]
fn pages_of_a_size_that_there_is_not_are_malformed() {
    for (levels, level) in [(4, 4), (5, 4), (5, 5), (6, 6)] {
        malformed(&format!("large page at level {level}"), unit(), levels, level, 0x5083, LARGE);
    }
    let cap = |sslps: u64| unit().with_capabilities(Some(Cap(6 | 0x1f << 8 | 47 << 16 | sslps << 34)), None);
    malformed("2 MiB without SSLPS", cap(0), 4, 2, MIB2 | 0x83, LARGE);
    malformed("2 MiB with 1 GiB only", cap(2), 4, 2, MIB2 | 0x83, LARGE);
    malformed("1 GiB without SSLPS", cap(0), 4, 3, GIB | 0x83, LARGE);
    malformed("1 GiB with 2 MiB only", cap(1), 4, 3, GIB | 0x83, LARGE);
    for (cap, level, size) in [(cap(1), 2, MIB2), (cap(2), 3, GIB), (unit(), 2, MIB2), (unit(), 3, GIB)] {
        let mut tables = Tables::new(4);
        tables.map(level, size, size | 0x83);
        let found = limited(&tables, cap, Join::Both, IovaRange::all());
        assert_eq!(found, (vec![(size, 2 * size - 1, Some(size), "rw", 3 + 9 * level)], vec![]));
    }
}

#[test]
fn misaligned_large_pages_are_malformed() {
    for bit in 12..21 {
        malformed("2 MiB", unit(), 4, 2, MIB2 | 1 << bit | 0x83, 1 << bit);
    }
    for bit in 12..30 {
        malformed("1 GiB", unit(), 4, 3, GIB | 1 << bit | 0x83, 1 << bit);
    }
}

#[test]
fn the_top_table_of_six_levels_has_128_entries() {
    let mut tables = Tables::new(6);
    tables.map(1, 0, 0x5003).map(1, 127 << 57, 0x6003);
    let expected = [(0, 0xfff, Some(0x5000), "rw", 12), (127 << 57, (127 << 57) + 0xfff, Some(0x6000), "rw", 12)];
    assert_eq!(ranges(&tables, Join::Both), expected);
    let next = tables.get(TOP);
    // What lies behind the 128th entry would be a mapping, a malformed entry, a table in a hole, and a loop.
    for (index, entry) in (128..512).zip([next, 0x83, 0xdead_0000_0003, TOP | RW].into_iter().cycle()) {
        tables.set(TOP + 8 * index, entry);
    }
    assert_eq!(ranges(&tables, Join::Both), expected);
    tables.with(|memory| {
        let last = unit().translate(memory, SOURCE, Iova(127 << 57), Access::Read, &mut Page::ZERO.clone(), |_| ());
        assert_eq!(last.unwrap().phys, PhysAddr(0x6000));
    });
}

#[test]
fn one_absent_entry_parts_a_run() {
    let base = 8 * MIB2;
    for absent in [0, 1, 2, 7, 8, 31, 63, 64, 65, 255, 256, 509, 510, 511] {
        let mut tables = Tables::new(4);
        for page in (0..512).filter(|page| *page != absent) {
            tables.map(1, base + page * KIB4, ((0x100 + page) * KIB4) | RW);
        }
        // Whatever else an absent entry holds, it has neither R nor W.
        tables.map(1, base + absent * KIB4, !RW);
        let range = |from: u64, to: u64| {
            let (first, last) = (base + from * KIB4, (base + to * KIB4).wrapping_sub(1));
            (from < to).then_some((first, last, Some((0x100 + from) * KIB4), "rw", 12))
        };
        let expected: Vec<Range> = [range(0, absent), range(absent + 1, 512)].into_iter().flatten().collect();
        for join in JOINS {
            assert_eq!(ranges(&tables, join), expected, "entry {absent}, {join:?}");
        }
    }
}

#[test]
fn a_walk_limited_to_a_window_gives_the_leaves_that_overlap_it() {
    let mut tables = Tables::new(4);
    // Half a table, a whole one and half of one; then a large page, and a huge one.
    let (first, small, huge) = (MIB2 / 2, 1024, GIB);
    let mut all = vec![];
    for page in 0..small {
        all.push((1, first + page * KIB4));
    }
    all.push((2, huge - MIB2));
    all.push((3, huge));
    for &(level, iova) in &all {
        tables.map(level, iova, iova | RW | if level > 1 { LARGE } else { 0 });
    }
    let end = first + small * KIB4;
    let edges = [
        0,
        first - 1,
        first,
        first + 1,
        first + 5 * KIB4 - 1,
        first + 5 * KIB4,
        MIB2 - 1,
        MIB2,
        2 * MIB2 - 1,
        2 * MIB2 + 0x1234,
        end - 1,
        end,
        huge - MIB2 - 1,
        huge - MIB2,
        huge - 1,
        huge,
        huge + 0x1234_5678,
        2 * huge - 1,
        2 * huge,
        (1 << 48) - 1,
        u64::MAX,
    ];
    for (number, from) in edges.iter().enumerate() {
        for to in &edges[number..] {
            let window = IovaRange::new(Iova(*from), Iova(*to)).unwrap();
            // A leaf that partly lies in the window counts whole.
            let inside = all.iter().filter_map(|&(level, iova)| {
                let leaf = IovaRange::block(Iova(iova), 3 + 9 * level);
                leaf.intersection(&window).map(|_| (leaf.first().0, leaf.last().0, 3 + 9 * level))
            });
            let mut expected: Vec<Range> = vec![];
            for (first, last, size) in inside {
                match expected.last_mut() {
                    Some(open) if open.1 + 1 == first => (open.1, open.4) = (last, open.4.min(size)),
                    _ => expected.push((first, last, Some(first), "rw", size)),
                }
            }
            for join in JOINS {
                let found = limited(&tables, unit(), join, window);
                assert_eq!(found, (expected.clone(), vec![]), "{window}, {join:?}");
            }
        }
    }
}
