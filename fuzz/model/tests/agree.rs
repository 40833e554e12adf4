//! The twin's two ways agree: the list of leaves, and one request at a time.

mod common;

use common::{SLOTS, probes};
use iopt::memory::{Slot, SparseMemory};
use iopt_model::{Bad, Device, Kind, Leaf, Program, Space, Stage, Step, Tables, Twin, ranges};

const SEEDS: u64 = 300;

fn for_each_device(mut look: impl FnMut(u64, Twin<'_>, Device)) {
    for seed in 0..SEEDS {
        let mut slots = vec![Slot::EMPTY; SLOTS];
        let mut memory = SparseMemory::new(&mut slots);
        let built = Program::from_seed(seed).build(&mut memory);
        let twin = built.twin(&memory);
        for device in twin.devices() {
            look(seed, twin, device);
        }
    }
}

/// The page tables that the device goes through, if it does not fault before them or pass through.
fn tables(device: &Device) -> Option<Tables> {
    if let Ok(Space::Tables(tables)) = device.space { Some(tables) } else { None }
}

/// The last address that a bad entry covers; `None` if it leads to the top table.
fn last(bad: &Bad) -> Option<u64> {
    let (Kind::First(level) | Kind::Second(level)) = bad.at.kind else { return None };
    let shift = 12 + 9 * (u32::from(level) - 1);
    Some(bad.iova | ((1_u64 << shift) - 1))
}

fn in_interrupt_range(leaf: &Leaf) -> bool {
    leaf.phys < 0xfef0_0000 && leaf.phys + leaf.size > 0xfee0_0000
}

/// Whether an address has more bits than the device's tables or the unit translate.
fn is_too_wide(twin: Twin<'_>, tables: &Tables, iova: u64) -> bool {
    let bits = 12 + 9 * u32::from(tables.levels);
    if tables.stage == Stage::First {
        // The bits above the highest repeat it.
        return (iova << (64 - bits)) as i64 >> (64 - bits) != iova as i64;
    }
    let mgaw = twin.cap.map_or(64, |cap| (cap >> 16 & 0x3f) as u32 + 1);
    u128::from(iova) >= 1 << bits.min(mgaw).min(64)
}

/// Reasons of a mode and a stage.
struct Codes {
    too_wide: u8,
    top_missing: u8,
    read_denied: &'static [u8],
    write_denied: &'static [u8],
    interrupts: u8,
}

fn codes(twin: Twin<'_>, tables: &Tables) -> Codes {
    let (too_wide, top_missing, read_denied, write_denied, interrupts): (_, _, &[u8], &[u8], _) =
        match (twin.is_scalable(), tables.stage) {
            (false, _) => (0x04, 0x03, &[0x06], &[0x05], 0x0e),
            (true, Stage::Second) => (0x84, 0x7b, &[0x79], &[0x79], 0x87),
            (true, Stage::First) => (0x80, 0x73, &[0x71, 0x81], &[0x71, 0x81, 0x85], 0x87),
        };
    Codes { too_wide, top_missing, read_denied, write_denied, interrupts }
}

/// What the lists of leaves and bad entries say of one request: its address, or the codes it may fault
/// with. `None` if they say nothing, since the walk did not follow a loop.
fn foretell(codes: &Codes, leaves: &[Leaf], bad: &[Bad], iova: u64, write: bool) -> Option<Result<u64, Vec<u8>>> {
    let denied = if write { codes.write_denied } else { codes.read_denied };
    let behind = leaves.partition_point(|leaf| leaf.iova <= iova);
    if let Some(leaf) = leaves[..behind].last().filter(|leaf| iova <= leaf.iova + (leaf.size - 1)) {
        let permitted = if write { leaf.write } else { leaf.read };
        return Some(if !permitted {
            Err(denied.to_vec())
        } else if in_interrupt_range(leaf) {
            Err(vec![codes.interrupts])
        } else {
            Ok(leaf.phys + (iova - leaf.iova))
        });
    }
    if bad.iter().any(|bad| last(bad).is_none()) {
        return Some(Err(vec![codes.top_missing]));
    }
    match bad.iter().find(|bad| bad.iova <= iova && last(bad).is_some_and(|last| iova <= last)) {
        // Permission may be missing here or further up, and is tested first.
        Some(bad) => bad.code.map(|code| Err([&[code], denied].concat())),
        None => Some(Err(denied.to_vec())),
    }
}

/// The memory attributes that the leaves at the end of a path give: one, or one of each stage.
fn attributes(path: &[Step]) -> u64 {
    let last = |is_leaf: fn(&&Step) -> bool| path.iter().rev().find(is_leaf);
    let first = last(|step| matches!(step.kind, Kind::First(_))).map_or(0, |leaf| {
        let pat = if leaf.kind == Kind::First(1) { leaf.entry[0] & 1 << 7 } else { (leaf.entry[0] & 1 << 12) >> 5 };
        leaf.entry[0] & 0x18 | pat
    });
    let second = last(|step| matches!(step.kind, Kind::Second(_))).map_or(0, |leaf| leaf.entry[0] & 1 << 11);
    first | second
}

#[test]
fn requests_do_what_the_lists_say() {
    let mut foretold = 0;
    for_each_device(|seed, twin, device| {
        let (leaves, bad) = twin.leaves_of(&device);
        if let Ok(Space::Nested(..)) = device.space {
            return;
        }
        let tables = tables(&device);
        assert!(tables.is_some() || (leaves.is_empty() && bad.is_empty()));
        for iova in probes(seed, &leaves, &bad) {
            for write in [false, true] {
                let done = twin.translate(device.who(), iova, write);
                let context = || format!("seed {seed}, {:x?} {iova:#x}, write {write}: {done:x?}", device.who());
                if let Some(code) = device.code() {
                    assert_eq!(done.as_ref().map_err(|fault| fault.code), Err(code), "{}", context());
                    continue;
                }
                assert!(done.as_ref().err().is_none_or(|fault| fault.suppressed == device.suppressed), "{}", context());
                let Some(tables) = tables else {
                    let code = done.as_ref().err().map(|fault| fault.code);
                    assert!(matches!(&done, Ok(t) if t.phys == iova) || matches!(code, Some(0x04 | 0x83 | 0x87)));
                    continue;
                };
                let codes = codes(twin, &tables);
                if is_too_wide(twin, &tables, iova) {
                    assert_eq!(done.as_ref().map_err(|fault| fault.code), Err(codes.too_wide), "{}", context());
                    continue;
                }
                match foretell(&codes, &leaves, &bad, iova, write) {
                    Some(Ok(phys)) => {
                        assert_eq!(done.as_ref().map(|done| done.phys).ok(), Some(phys), "{}", context());
                        foretold += 1;
                    }
                    Some(Err(codes)) => {
                        let code = done.as_ref().map_err(|fault| fault.code).err();
                        assert!(code.is_some_and(|code| codes.contains(&code)), "{codes:x?}, {}", context());
                    }
                    None => {}
                }
            }
        }
    });
    assert!(foretold > 50_000, "{foretold}");
}

#[test]
fn leaves_ascend_and_their_pages_translate() {
    for_each_device(|seed, twin, device| {
        let (leaves, bad) = twin.leaves_of(&device);
        assert!(leaves.windows(2).all(|pair| pair[0].iova + (pair[0].size - 1) < pair[1].iova), "seed {seed}");
        assert!(bad.windows(2).all(|pair| last(&pair[0]) < Some(pair[1].iova)), "seed {seed}");
        for leaf in leaves.iter().step_by(1 + leaves.len() / 300) {
            assert!(leaf.read || leaf.write);
            for page in [leaf.iova, leaf.iova + (leaf.size - 4096)] {
                let done = twin.translate(device.who(), page, !leaf.read);
                if in_interrupt_range(leaf) {
                    assert_eq!(done.unwrap_err().code, if twin.is_scalable() { 0x87 } else { 0x0e });
                    continue;
                }
                // What hardware may not mark a table for, a list of leaves does not know.
                if done.as_ref().is_err_and(|fault| fault.code == 0x77) {
                    continue;
                }
                let done = done.unwrap_or_else(|fault| panic!("seed {seed}, {leaf:x?}: {fault:x?}"));
                assert_eq!(done.phys, leaf.phys + (page - leaf.iova));
                assert_eq!((done.page_size, done.read, done.write), (leaf.size, leaf.read, leaf.write));
                assert_eq!(attributes(&done.path), leaf.attributes);
            }
        }
    });
}

#[test]
fn ranges_are_whole_and_can_not_be_longer() {
    for_each_device(|seed, twin, device| {
        let (leaves, bad) = twin.leaves_of(&device);
        for by_iova_only in [false, true] {
            let ranges = ranges(&leaves, by_iova_only);
            let bytes: u128 = ranges.iter().map(|range| u128::from(range.last - range.iova) + 1).sum();
            assert_eq!(bytes, leaves.iter().map(|leaf| u128::from(leaf.size)).sum(), "seed {seed}");
            for range in ranges.iter().step_by(1 + ranges.len() / 100) {
                assert!(by_iova_only || range.phys.is_some());
                let write = !range.read;
                let before = range.iova.checked_sub(1);
                let after = range.last.checked_add(1);
                let neighbours = [(before, range.phys.map(|phys| phys.wrapping_sub(1))), {
                    (after, range.phys.map(|phys| phys + (range.last - range.iova) + 1))
                }];
                for (iova, phys) in neighbours {
                    let Some(iova) = iova else { continue };
                    // Behind a loop there may be more, but the list ends there.
                    if bad.iter().any(|bad| bad.code.is_none() && bad.iova <= iova && Some(iova) <= last(bad)) {
                        continue;
                    }
                    let Ok(done) = twin.translate(device.who(), iova, write) else { continue };
                    let attributes = attributes(&done.path);
                    let alike = (done.read, done.write, attributes) == (range.read, range.write, range.attributes);
                    let joins = alike && (by_iova_only || Some(done.phys) == phys);
                    assert!(!joins, "seed {seed}: {range:x?} goes on at {iova:#x}");
                }
            }
        }
    });
}
