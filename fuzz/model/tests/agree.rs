//! The twin's two ways agree: the list of leaves, and one request at a time.

mod common;

use common::{SLOTS, probes};
use iopt::memory::{Slot, SparseMemory};
use iopt_model::{Bad, Device, Leaf, Program, Twin, ranges};

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

/// Whether the device goes through page tables, rather than fault before them or pass through.
fn is_walked(device: &Device) -> bool {
    device.code.is_none() && device.words[0] >> 2 & 3 != 2
}

/// The last address that an entry at the level of `bad` covers.
fn last(bad: &Bad) -> u64 {
    let shift = 12 + 9 * (u32::from(bad.level) - 1);
    bad.iova | ((1_u64 << shift) - 1)
}

fn in_interrupt_range(leaf: &Leaf) -> bool {
    leaf.phys < 0xfef0_0000 && leaf.phys + leaf.size > 0xfee0_0000
}

/// Whether an address has more bits than the device's tables or the unit translate.
fn is_too_wide(twin: Twin<'_>, device: &Device, iova: u64) -> bool {
    let agaw = 30 + 9 * (device.words[1] & 7);
    let mgaw = twin.cap.map_or(64, |cap| (cap >> 16 & 0x3f) + 1);
    u128::from(iova) >= 1 << agaw.min(mgaw).min(64)
}

/// What the lists of leaves and bad entries say of one request: its address, or the codes it may fault
/// with. `None` if they say nothing, since the walk did not follow a loop.
fn foretell(leaves: &[Leaf], bad: &[Bad], iova: u64, write: bool) -> Option<Result<u64, Vec<u8>>> {
    let denied = if write { 0x05 } else { 0x06 };
    let behind = leaves.partition_point(|leaf| leaf.iova <= iova);
    if let Some(leaf) = leaves[..behind].last().filter(|leaf| iova <= leaf.iova + (leaf.size - 1)) {
        let permitted = if write { leaf.write } else { leaf.read };
        return Some(if !permitted {
            Err(vec![denied])
        } else if in_interrupt_range(leaf) {
            Err(vec![0x0e])
        } else {
            Ok(leaf.phys + (iova - leaf.iova))
        });
    }
    if bad.iter().any(|bad| bad.level == 254) {
        return Some(Err(vec![0x03]));
    }
    match bad.iter().find(|bad| bad.iova <= iova && iova <= last(bad)) {
        // Permission may be missing here or further up, and is tested first.
        Some(bad) => bad.code.map(|code| Err(vec![code, denied])),
        None => Some(Err(vec![denied])),
    }
}

#[test]
fn requests_do_what_the_lists_say() {
    let mut foretold = 0;
    for_each_device(|seed, twin, device| {
        let (leaves, bad) = twin.leaves(device.source);
        assert!(is_walked(&device) || (leaves.is_empty() && bad.is_empty()));
        for iova in probes(seed, &leaves, &bad) {
            for write in [false, true] {
                let done = twin.translate(device.source, iova, write);
                let context = || format!("seed {seed}, {:04x} {iova:#x}, write {write}: {done:x?}", device.source);
                if let Some(code) = device.code {
                    assert_eq!(done.as_ref().map_err(|fault| fault.code), Err(code), "{}", context());
                    continue;
                }
                if !is_walked(&device) {
                    assert!(matches!(&done, Ok(t) if t.phys == iova) || done.as_ref().is_err_and(|f| f.code == 0x04));
                    continue;
                }
                if is_too_wide(twin, &device, iova) {
                    assert_eq!(done.as_ref().map_err(|fault| fault.code), Err(0x04), "{}", context());
                    continue;
                }
                match foretell(&leaves, &bad, iova, write) {
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
        let (leaves, bad) = twin.leaves(device.source);
        assert!(leaves.windows(2).all(|pair| pair[0].iova + (pair[0].size - 1) < pair[1].iova), "seed {seed}");
        assert!(bad.windows(2).all(|pair| last(&pair[0]) < pair[1].iova), "seed {seed}");
        for leaf in leaves.iter().step_by(1 + leaves.len() / 300) {
            assert!(leaf.read || leaf.write);
            for page in [leaf.iova, leaf.iova + (leaf.size - 4096)] {
                let done = twin.translate(device.source, page, !leaf.read);
                if in_interrupt_range(leaf) {
                    assert_eq!(done.unwrap_err().code, 0x0e);
                    continue;
                }
                let done = done.unwrap_or_else(|fault| panic!("seed {seed}, {leaf:x?}: {fault:x?}"));
                assert_eq!(done.phys, leaf.phys + (page - leaf.iova));
                assert_eq!((done.page_size, done.read, done.write), (leaf.size, leaf.read, leaf.write));
                assert_eq!(done.path.last().map(|step| step.entry >> 11 & 1 == 1), Some(leaf.snoop));
            }
        }
    });
}

#[test]
fn ranges_are_whole_and_can_not_be_longer() {
    for_each_device(|seed, twin, device| {
        let (leaves, bad) = twin.leaves(device.source);
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
                    if bad.iter().any(|bad| bad.code.is_none() && bad.iova <= iova && iova <= last(bad)) {
                        continue;
                    }
                    let Ok(done) = twin.translate(device.source, iova, write) else { continue };
                    let snoop = done.path.last().map(|step| step.entry >> 11 & 1 == 1);
                    let alike = (done.read, done.write, snoop) == (range.read, range.write, Some(range.snoop));
                    let joins = alike && (by_iova_only || Some(done.phys) == phys);
                    assert!(!joins, "seed {seed}: {range:x?} goes on at {iova:#x}");
                }
            }
        }
    });
}
