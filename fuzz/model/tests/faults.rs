//! Hand-made tables: each fault reason beside the valid tables that it comes from.

use iopt::PhysAddr;
use iopt::memory::{Slot, SparseMemory};
use iopt_model::{Bad, Fault, Found, Kind, Leaf, Range, Step, Translated, Twin, ranges};

const ROOT: u64 = 0x1000;
const CONTEXT: u64 = 0x2000;
/// The four tables of a 48-bit tree, from the top.
const TABLES: [u64; 4] = [0x3000, 0x4000, 0x5000, 0x6000];
/// Bus 1, device 2, function 3.
const SOURCE: u16 = 0x0113;
const IOVA: u64 = 5 << 39 | 6 << 30 | 7 << 21 | 8 << 12;
const PHYS: u64 = 0x1234_5000;
/// Where each entry on the path of `IOVA` is: root, context, then levels 4 to 1.
const AT: [u64; 6] =
    [ROOT + 16, CONTEXT + 16 * 0x13, TABLES[0] + 8 * 5, TABLES[1] + 8 * 6, TABLES[2] + 8 * 7, TABLES[3] + 8 * 8];
/// All address widths, 48 bits of MGAW, 64 Ki domains, both large page sizes.
const CAP: u64 = 6 | 0x1f << 8 | 47 << 16 | 3 << 34;
/// DT, PT and SC.
const ECAP: u64 = 1 << 2 | 1 << 6 | 1 << 7;

/// What the unit is known to be.
#[derive(Clone, Copy, Default)]
struct Known {
    cap: Option<u64>,
    ecap: Option<u64>,
    haw: Option<u8>,
}

const NOTHING: Known = Known { cap: None, ecap: None, haw: None };
const ALL: Known = Known { cap: Some(CAP), ecap: Some(ECAP), haw: Some(46) };

/// Writes the valid tables, then `changes`, and lets `look` see them.
fn with<T>(known: Known, changes: &[(u64, u64)], look: impl FnOnce(Twin<'_>) -> T) -> T {
    let mut slots = vec![Slot::EMPTY; 16];
    let mut memory = SparseMemory::new(&mut slots);
    let valid = [
        (AT[0], CONTEXT | 1),
        (AT[1], TABLES[0] | 1),
        (AT[1] + 8, 7 << 8 | 2),
        (AT[2], TABLES[1] | 3),
        (AT[3], TABLES[2] | 3),
        (AT[4], TABLES[3] | 3),
        (AT[5], PHYS | 3),
    ];
    for (at, word) in valid.iter().chain(changes) {
        memory.write_u64(PhysAddr(*at), *word).unwrap();
    }
    look(Twin { memory: &memory, rtaddr: ROOT, cap: known.cap, ecap: known.ecap, haw: known.haw })
}

fn go(known: Known, changes: &[(u64, u64)], iova: u64, write: bool) -> Result<Translated, Fault> {
    with(known, changes, |twin| twin.translate(SOURCE, iova, write))
}

/// The fault code of a read of `IOVA`, and how many entries were seen; code 0 if it is translated.
fn read(known: Known, changes: &[(u64, u64)]) -> (u8, usize) {
    match go(known, changes, IOVA, false) {
        Ok(translated) => (0, translated.path.len()),
        Err(fault) => (fault.code, fault.path.len()),
    }
}

/// A page-table entry.
fn step(level: u8, table: u64, index: u64, entry: u64) -> Step {
    Step { kind: Kind::Second(level), table, index, entry: [entry, 0, 0, 0, 0, 0, 0, 0] }
}

/// What there is to find: devices, and what is lost on the way; with code 0 where requests get to page tables.
fn told(twin: Twin<'_>) -> Vec<(Option<u16>, u8)> {
    let found = twin.survey().into_iter().map(|found| match found {
        Found::Device(device) => (Some(device.source), device.code().unwrap_or(0)),
        Found::Lost(lost) => (lost.source, lost.code),
    });
    found.collect()
}

#[test]
fn a_valid_path_translates_whatever_is_known() {
    for known in [NOTHING, ALL] {
        let translated = go(known, &[], IOVA + 0x123, true).unwrap();
        assert_eq!((translated.phys, translated.page_size), (PHYS + 0x123, 4096));
        assert!(translated.read && translated.write);
        let levels: Vec<_> = translated.path.iter().map(|step| (step.kind, step.table, step.index)).collect();
        let ways = [(Kind::Root, ROOT, 1), (Kind::Context, CONTEXT, 0x13)];
        let tables = [(4, 0x3000, 5), (3, 0x4000, 6), (2, 0x5000, 7), (1, 0x6000, 8)];
        assert_eq!(
            levels,
            [&ways[..], &tables.map(|(level, table, index)| (Kind::Second(level), table, index))].concat()
        );
        assert_eq!(translated.path[1].entry, [0x3001, 7 << 8 | 2, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn root_entries() {
    assert_eq!(read(ALL, &[(AT[0], CONTEXT)]), (0x01, 1));
    // Absence comes before reserved bits.
    assert_eq!(read(ALL, &[(AT[0], CONTEXT | 2)]), (0x01, 1));
    assert_eq!(read(ALL, &[(AT[0], CONTEXT | 1 | 2)]), (0x0a, 1));
    assert_eq!(read(ALL, &[(AT[0], CONTEXT | 1 | 1 << 11)]), (0x0a, 1));
    assert_eq!(read(ALL, &[(AT[0] + 8, 1)]), (0x0a, 1));
    assert_eq!(read(ALL, &[(AT[0], 1 << 46 | CONTEXT | 1)]), (0x0a, 1));
    assert_eq!(read(NOTHING, &[(AT[0], 1 << 46 | CONTEXT | 1)]), (0x09, 1));
    assert_eq!(read(NOTHING, &[(AT[0], 1 << 63 | CONTEXT | 1)]), (0x09, 1));
    with(ALL, &[], |twin| {
        let fault = Twin { rtaddr: 0x9000, ..twin }.translate(SOURCE, IOVA, false).unwrap_err();
        assert_eq!(fault, Fault { code: 0x08, suppressed: false, path: vec![] });
        assert_eq!(told(Twin { rtaddr: 0x9000, ..twin }), [(None, 0x08)]);
    });
}

#[test]
fn pointers_above_bit_51_count_in_root_and_context_entries() {
    let high = 0xfff0_0000_0000_0000;
    let changes = [
        (AT[0], high | CONTEXT | 1),
        (high | AT[1], high | TABLES[0] | 1),
        (high | (AT[1] + 8), 2),
        (high | AT[2], TABLES[1] | 3),
    ];
    assert_eq!(read(NOTHING, &changes), (0, 6));
}

#[test]
fn context_entries() {
    let top = TABLES[0];
    assert_eq!(read(ALL, &[(AT[1], top)]), (0x02, 2));
    assert_eq!(read(ALL, &[(AT[1], top | 0x10)]), (0x02, 2));
    for bit in 4..12 {
        assert_eq!(read(NOTHING, &[(AT[1], top | 1 | 1 << bit)]), (0x0b, 2), "bit {bit}");
    }
    // FPD is no one's fault.
    assert_eq!(read(ALL, &[(AT[1], top | 3)]), (0, 6));
    for bit in 3..64 {
        let code = match bit {
            7 | 24.. => 0x0b,
            _ => 0,
        };
        assert_eq!(read(NOTHING, &[(AT[1] + 8, 2 | 1 << bit)]).0, code, "bit {}", 64 + bit);
    }
    assert_eq!(read(ALL, &[(AT[1], 1 << 46 | top | 1)]), (0x0b, 2));
    assert_eq!(read(NOTHING, &[(AT[1], 1 << 46 | top | 1)]), (0x03, 2));
    // ND = 0: four bits of domain-id.
    let narrow = Known { cap: Some(CAP & !7), ..ALL };
    assert_eq!(read(narrow, &[(AT[1] + 8, 15 << 8 | 2)]), (0, 6));
    assert_eq!(read(narrow, &[(AT[1] + 8, 16 << 8 | 2)]), (0x0b, 2));
    assert_eq!(read(ALL, &[(AT[1] + 8, 0xffff << 8 | 2)]), (0, 6));
}

#[test]
fn address_widths_and_translation_types() {
    for width in [5, 6, 7] {
        assert_eq!(read(NOTHING, &[(AT[1] + 8, width)]), (0x03, 2));
    }
    let only_48 = Known { cap: Some(CAP & !(0x1f << 8) | 1 << 10), ..ALL };
    assert_eq!(read(only_48, &[]), (0, 6));
    assert_eq!(read(only_48, &[(AT[1] + 8, 1)]), (0x03, 2));
    assert_eq!(read(NOTHING, &[(AT[1], TABLES[0] | 3 << 2 | 1)]), (0x03, 2));
    for (kind, bit) in [(1, 2), (2, 6)] {
        let changes = [(AT[1], TABLES[0] | kind << 2 | 1)];
        assert_eq!(read(NOTHING, &changes).0, 0);
        assert_eq!(read(ALL, &changes).0, 0);
        assert_eq!(read(Known { ecap: Some(ECAP & !(1 << bit)), ..ALL }, &changes), (0x03, 2));
    }
}

#[test]
fn pass_through_is_identity_below_the_host_address_width() {
    let pass = [(AT[1], 2 << 2 | 1)];
    let translated = go(ALL, &pass, (1 << 46) - 1, true).unwrap();
    assert_eq!((translated.phys, translated.page_size, translated.path.len()), ((1 << 46) - 1, 4096, 2));
    assert_eq!(go(ALL, &pass, 1 << 46, true).unwrap_err().code, 0x04);
    assert_eq!(go(NOTHING, &pass, u64::MAX, true).unwrap().phys, u64::MAX);
    with(ALL, &pass, |twin| assert_eq!(twin.leaves(SOURCE), (vec![], vec![])));
}

#[test]
fn addresses_too_wide_for_the_tables_or_the_unit() {
    assert_eq!(go(NOTHING, &[], 1 << 48, false).unwrap_err(), go(ALL, &[], 1 << 48, false).unwrap_err());
    assert_eq!(go(NOTHING, &[], 1 << 48, false).unwrap_err().code, 0x04);
    assert_eq!(go(NOTHING, &[], IOVA, false).unwrap().path.len(), 6);
    let narrow = Known { cap: Some(CAP & !(0x3f << 16) | 38 << 16), ..ALL };
    assert_eq!(read(narrow, &[]), (0x04, 2));
    with(narrow, &[], |twin| assert_eq!(twin.leaves(SOURCE), (vec![], vec![])));
    with(ALL, &[], |twin| assert_eq!(twin.leaves(SOURCE).0.len(), 1));
}

#[test]
fn permissions_are_tested_at_every_level_before_reserved_bits() {
    for level in 2..6 {
        let target = if level == 5 { PHYS } else { TABLES[level - 1] };
        let bad = 1 << 62;
        for (rights, write, code) in [(2, false, 0x06), (1, true, 0x05), (0, false, 0x06), (0, true, 0x05)] {
            for extra in [0, bad] {
                let fault = go(ALL, &[(AT[level], target | rights | extra)], IOVA, write).unwrap_err();
                assert_eq!((fault.code, fault.path.len()), (code, level + 1));
            }
        }
        let translated = go(ALL, &[(AT[level], target | 2)], IOVA, true).unwrap();
        assert!(!translated.read && translated.write);
        assert_eq!(go(ALL, &[(AT[level], target | 1 | bad)], IOVA, false).unwrap_err().code, 0x0c);
        // X alone is not present, and X beside R or W is nothing.
        assert_eq!(read(ALL, &[(AT[level], target | 4)]), (0x06, level + 1));
        assert_eq!(read(ALL, &[(AT[level], target | 7)]), (0, 6));
    }
}

#[test]
fn tables_that_are_not_in_memory() {
    assert_eq!(read(ALL, &[(AT[1], 0x9000 | 1)]), (0x03, 2));
    for level in 2..5 {
        assert_eq!(read(ALL, &[(AT[level], 0x9000 | 3)]), (0x07, level + 1));
        // Bits 61:52 and 63 are no part of the address.
        let target = TABLES[level - 1];
        assert_eq!(read(ALL, &[(AT[level], 0xbff0_0000_0000_0778 & !0x80 | target | 3)]), (0, 6));
    }
    with(ALL, &[(AT[1], 0x9000 | 1)], |twin| {
        let entry = [0x9001, 7 << 8 | 2, 0, 0, 0, 0, 0, 0];
        let at = Step { kind: Kind::Context, table: CONTEXT, index: 0x13, entry };
        let bad = Bad { at, iova: 0, code: Some(0x03) };
        assert_eq!(twin.leaves(SOURCE), (vec![], vec![bad]));
    });
    with(ALL, &[(AT[4], 0x9000 | 3)], |twin| {
        let bad = Bad { at: step(2, TABLES[2], 7, 0x9003), iova: IOVA & !0x1f_ffff, code: Some(0x07) };
        assert_eq!(twin.leaves(SOURCE), (vec![], vec![bad]));
    });
}

#[test]
fn reserved_bits_of_page_table_entries() {
    let code = |known, level: usize, entry| read(known, &[(AT[level], entry)]);
    for level in 2..5 {
        let target = TABLES[level - 1];
        assert_eq!(code(NOTHING, level, target | 3 | 1 << 11), (0x0c, level + 1));
        assert_eq!(code(NOTHING, level, target | 3 | 1 << 62), (0x0c, level + 1));
        for bit in [46, 51] {
            assert_eq!(code(ALL, level, target | 3 | 1 << bit), (0x0c, level + 1));
            assert_eq!(code(NOTHING, level, target | 3 | 1 << bit), (0x07, level + 1));
        }
        assert_eq!(code(ALL, level, target | 3 | 1 << 45), (0x07, level + 1));
    }
    assert_eq!(code(NOTHING, 2, TABLES[1] | 0x83), (0x0c, 3));
    // A host address width beyond 52 bits does not free bit 62.
    assert_eq!(code(Known { haw: Some(64), ..ALL }, 5, PHYS | 3 | 1 << 62), (0x0c, 6));
    assert_eq!(code(Known { haw: Some(64), ..ALL }, 5, PHYS | 3 | 1 << 63), (0, 6));
    for bit in (2..11).chain(52..62).chain([63]) {
        assert_eq!(code(ALL, 5, PHYS | 3 | 1 << bit), (0, 6), "bit {bit}");
    }
    // Snoop: only a unit that is known to have no control over it reserves the bit.
    let no_snoop = Known { ecap: Some(ECAP & !(1 << 7)), ..ALL };
    for (level, leaf) in [(5, 0x1234_5003), (4, 0x1220_0083), (3, 0x4000_0083)] {
        assert_eq!(code(NOTHING, level, leaf | 1 << 11), (0, level + 1));
        assert_eq!(code(ALL, level, leaf | 1 << 11), (0, level + 1));
        assert_eq!(code(no_snoop, level, leaf | 1 << 11), (0x0c, level + 1));
        assert_eq!(code(no_snoop, level, leaf), (0, level + 1));
    }
}

#[test]
fn large_pages() {
    for (level, shift, support, leaf) in [(4, 21, 34, 0x1220_0083_u64), (3, 30, 35, 0x4000_0083)] {
        let changes = [(AT[level], leaf)];
        for known in [NOTHING, ALL] {
            let translated = go(known, &changes, IOVA | 0x1f_ffff, true).unwrap();
            assert_eq!(translated.page_size, 1 << shift);
            let offset = (IOVA | 0x1f_ffff) & ((1 << shift) - 1);
            assert_eq!(translated.phys, (leaf & !0xfff) + offset);
            for bit in 12..shift {
                assert_eq!(read(known, &[(AT[level], leaf | 1 << bit)]), (0x0c, level + 1));
            }
        }
        let unsupported = Known { cap: Some(CAP & !(1 << support)), ..ALL };
        assert_eq!(read(unsupported, &changes), (0x0c, level + 1));
    }
}

#[test]
fn results_in_the_interrupt_range() {
    let cases = [
        (5, 0xfedf_f003, 0),
        (5, 0xfee0_0003, 0x0e),
        (5, 0xfeef_f003, 0x0e),
        (5, 0xfef0_0003, 0),
        (4, 0xfec0_0083, 0),
        // All of a large page counts, not only the part in the range.
        (4, 0xfee0_0083, 0x0e),
        (4, 0xff00_0083, 0),
        (3, 0xc000_0083, 0x0e),
        (3, 0x1_0000_0083, 0),
        // A table in the range is a table like any other: here, one that is not in memory.
        (4, 0xfee0_0003, 0x07),
    ];
    for (level, entry, code) in cases {
        assert_eq!(read(NOTHING, &[(AT[level], entry)]).0, code, "{entry:#x} at {level}");
    }
}

#[test]
fn two_and_six_levels() {
    let two = [(AT[1] + 8, 0), (TABLES[0] + 8 * 511, TABLES[1] | 3), (TABLES[1] + 8 * 511, 0x7000 | 3)];
    assert_eq!(go(NOTHING, &two, 0x3fff_ffff, true).unwrap().phys, 0x7fff);
    assert_eq!(go(NOTHING, &two, 0x4000_0000, true).unwrap_err().code, 0x04);

    // All six levels are the same two tables in turn; the sixth has 128 entries, so its last is number 127.

    let mut six = vec![(AT[1] + 8, 4), (AT[1], 0x8000 | 1), (0x8000 + 8 * 127, 0x9000 | 3)];
    for table in 0..5 {
        let next = if table == 4 { PHYS } else { 0xa000 + 0x1000 * table };
        six.push((0x9000 + 0x1000 * table + 8 * 511, next | 3));
    }
    // An entry behind the seven bits of index is never read.
    six.push((0x8000 + 8 * 128, PHYS | 3 | 1 << 62));
    let translated = go(NOTHING, &six, u64::MAX, true).unwrap();
    assert_eq!(translated.phys, PHYS + 0xfff);
    assert_eq!(translated.path[2], step(6, 0x8000, 127, 0x9003));
    with(NOTHING, &six, |twin| {
        let (leaves, bad) = twin.leaves(SOURCE);
        assert_eq!((leaves.len(), bad), (1, vec![]));
        let range = Range { iova: !0xfff, last: u64::MAX, phys: Some(PHYS), read: true, write: true, attributes: 0 };
        assert_eq!(ranges(&leaves, false), [range]);
    });
}

#[test]
fn a_loop_is_bad_only_to_one_who_walks_everything() {
    let itself = [(AT[2], TABLES[0] | 3)];
    // The same table at all four levels; only index 5 leads anywhere.
    let iova = 5 << 39 | 5 << 30 | 5 << 21 | 5 << 12;
    assert_eq!(go(ALL, &itself, iova, true).unwrap().phys, TABLES[0]);
    with(ALL, &itself, |twin| {
        let bad = Bad { at: step(4, TABLES[0], 5, TABLES[0] | 3), iova: 5 << 39, code: None };
        assert_eq!(twin.leaves(SOURCE), (vec![], vec![bad]));
    });
    // To the grandparent.
    with(ALL, &[(AT[4], TABLES[1] | 3)], |twin| {
        let (leaves, bad) = twin.leaves(SOURCE);
        assert_eq!((leaves.len(), bad.len()), (0, 1));
        assert_eq!((bad[0].at.kind, bad[0].at.index, bad[0].code), (Kind::Second(2), 7, None));
    });
    // A table under two parents is no loop.
    with(ALL, &[(AT[4] + 8, TABLES[3] | 3)], |twin| {
        let (leaves, bad) = twin.leaves(SOURCE);
        assert_eq!((leaves.len(), bad.len()), (2, 0));
        assert_eq!(leaves[1].iova, leaves[0].iova + (1 << 21));
    });
}

#[test]
fn leaves_that_permit_nothing_are_left_out() {
    for (above, own, expected) in [(3, 1, (true, false)), (2, 3, (false, true)), (1, 3, (true, false))] {
        with(ALL, &[(AT[3], TABLES[2] | above), (AT[5], PHYS | own | 1 << 11)], |twin| {
            let leaf =
                Leaf { iova: IOVA, size: 4096, phys: PHYS, read: expected.0, write: expected.1, attributes: 1 << 11 };
            assert_eq!(twin.leaves(SOURCE), (vec![leaf], vec![]));
        });
    }
    with(ALL, &[(AT[3], TABLES[2] | 2), (AT[5], PHYS | 1)], |twin| {
        assert_eq!(twin.leaves(SOURCE), (vec![], vec![]));
    });
}

#[test]
fn ranges_join_what_is_consecutive_and_alike() {
    let leaf = |iova, size, phys| Leaf { iova, size, phys, read: true, write: true, attributes: 0 };
    let leaves = [
        leaf(0x1f_f000, 0x1000, 0x3f_f000),
        leaf(0x20_0000, 0x20_0000, 0x40_0000),
        leaf(0x40_0000, 0x1000, 0x60_0000),
        leaf(0x40_1000, 0x1000, 0x5000),
        leaf(0x40_2000, 0x1000, 0x6000),
        Leaf { write: false, ..leaf(0x40_3000, 0x1000, 0x7000) },
        Leaf { write: false, attributes: 1 << 11, ..leaf(0x40_4000, 0x1000, 0x8000) },
        leaf(0x40_6000, 0x1000, 0xa000),
    ];
    let told = |by_iova_only| -> Vec<_> {
        ranges(&leaves, by_iova_only).iter().map(|range| (range.iova, range.last, range.phys)).collect()
    };
    let rest = [
        (0x40_3000, 0x40_3fff, Some(0x7000)),
        (0x40_4000, 0x40_4fff, Some(0x8000)),
        (0x40_6000, 0x40_6fff, Some(0xa000)),
    ];
    let exact = [(0x1f_f000, 0x40_0fff, Some(0x3f_f000)), (0x40_1000, 0x40_2fff, Some(0x5000))];
    assert_eq!(told(false), [&exact[..], &rest].concat());
    assert_eq!(told(true), [&[(0x1f_f000, 0x40_2fff, None)][..], &rest].concat());
}

#[test]
fn devices_and_roots() {
    let changes = [
        // Bus 0: reserved bit. Bus 2: no context table. Bus 3: shares the table of bus 1.
        (ROOT, CONTEXT | 3),
        (ROOT + 32, 0x9000 | 1),
        (ROOT + 48, CONTEXT | 1),
        (CONTEXT, TABLES[0] | 0x11),
        (CONTEXT + 16 * 255, TABLES[0] | 3 << 2 | 1),
        // Not present.
        (CONTEXT + 16, TABLES[0] | 2),
    ];
    with(ALL, &changes, |twin| {
        let bus = |bus: u16| [(Some(bus << 8), 0x0b), (Some(bus << 8 | 0x13), 0), (Some(bus << 8 | 255), 0x03)];
        assert_eq!(told(twin), [&[(None, 0x0a)], &bus(1)[..], &[(None, 0x09)], &bus(3)].concat());
        for device in twin.devices() {
            if let Some(code) = device.code() {
                assert_eq!(twin.translate(device.source, IOVA, false).unwrap_err().code, code);
                assert_eq!(twin.leaves(device.source), (vec![], vec![]));
            }
        }
    });
}

#[test]
fn fault_processing_disable_counts_once_the_context_entry_is_read() {
    let suppressed = |changes: &[(u64, u64)], iova| go(ALL, changes, iova, false).map_err(|fault| fault.suppressed);
    let top = TABLES[0];
    assert_eq!(suppressed(&[(AT[0], CONTEXT | 3)], IOVA), Err(false));
    assert_eq!(suppressed(&[(AT[1], top | 1)], 0), Err(false));
    for (context, iova) in [(top | 2, IOVA), (top | 0x13, IOVA), (0x9000 | 3, IOVA), (top | 3, 0), (top | 3, 1 << 48)] {
        assert_eq!(suppressed(&[(AT[1], context)], iova), Err(true), "{context:#x}");
    }
    with(ALL, &[(AT[1], top | 3)], |twin| assert!(twin.devices()[0].suppressed));
}
