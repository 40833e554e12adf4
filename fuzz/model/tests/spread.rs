//! What the programs of many seeds have in them: enough of everything, and not too much.

mod common;

use common::{SLOTS, probes};
use iopt::memory::{Slot, SparseMemory, ranges as memory_ranges};
use iopt_model::{Program, ranges};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct Spread {
    tables: u64,
    devices: u64,
    with_leaves: u64,
    leaves: u64,
    ranges: u64,
    pieces: u64,
    bad: u64,
    mostly_good: u64,
    loops: u64,
    shared: u64,
    full: u64,
    at_the_end: u64,
    edges: BTreeMap<u32, [u64; 2]>,
    levels: BTreeMap<u64, u64>,
    sizes: BTreeMap<u64, u64>,
    codes: BTreeMap<u8, u64>,
    most: usize,
}

#[test]
fn five_hundred_seeds_have_everything() {
    const SEEDS: u64 = 500;
    let mut spread = Spread::default();
    for seed in 0..SEEDS {
        let mut slots = vec![Slot::EMPTY; SLOTS];
        let mut memory = SparseMemory::new(&mut slots);
        let built = Program::from_seed(seed).build(&mut memory);
        let pages: u64 = memory_ranges(&memory).map(|range| (range.size() / 4096) as u64).sum();
        spread.tables += pages;
        spread.full += u64::from(pages == SLOTS as u64);
        let twin = built.twin(&memory);
        let mut good = 0;
        let mut evil = 0;
        for device in twin.devices() {
            let (leaves, bad) = twin.leaves(device.source);
            spread.devices += 1;
            spread.with_leaves += u64::from(!leaves.is_empty());
            spread.leaves += leaves.len() as u64;
            spread.ranges += ranges(&leaves, true).len() as u64;
            spread.pieces += ranges(&leaves, false).len() as u64;
            spread.bad += bad.len() as u64;
            spread.loops += bad.iter().filter(|bad| bad.code.is_none()).count() as u64;
            spread.most = spread.most.max(leaves.len() + bad.len());
            good += leaves.len();
            evil += bad.len();
            if !leaves.is_empty() {
                *spread.levels.entry((device.words[1] & 7) + 2).or_default() += 1;
            }
            for leaf in &leaves {
                *spread.sizes.entry(leaf.size).or_default() += 1;
                for width in [30, 39, 48, 57] {
                    let count = spread.edges.entry(width).or_default();
                    count[0] += u64::from(leaf.iova + (leaf.size - 1) == (1 << width) - 1);
                    count[1] += u64::from(leaf.iova == 1 << width);
                }
                spread.at_the_end += u64::from(leaf.iova + (leaf.size - 1) == u64::MAX);
            }

            // A table that two entries in different places lead to.
            let mut parents: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
            for leaf in &leaves {
                for step in twin.translate(device.source, leaf.iova, !leaf.read).iter().flat_map(|t| t.path.windows(2))
                {
                    parents.entry(step[1].table).or_default().insert((step[0].table, step[0].index));
                }
            }
            spread.shared += parents.values().filter(|parents| parents.len() > 1).count() as u64;

            for iova in probes(seed, &leaves, &bad) {
                for write in [false, true] {
                    let code = twin.translate(device.source, iova, write).err().map_or(0, |fault| fault.code);
                    *spread.codes.entry(code).or_default() += 1;
                }
            }
        }
        // Source-ids that no device has, and buses that fault.
        for source in (0..=255).flat_map(|bus| [bus << 8, bus << 8 | 0x55]) {
            let code = twin.translate(source, 0, false).err().map_or(0, |fault| fault.code);
            *spread.codes.entry(code).or_default() += 1;
        }
        spread.mostly_good += u64::from(good > 10 * evil);
    }
    println!("{spread:#?}");

    assert!(spread.tables / SEEDS >= 25, "tables");
    assert!(spread.full < SEEDS / 20, "programs that need more memory");
    assert!(spread.with_leaves * 10 >= spread.devices * 7, "devices that can reach something");
    assert!(spread.leaves / SEEDS >= 2000, "leaves");
    assert!(spread.ranges / SEEDS >= 20 && spread.pieces > 2 * spread.ranges, "ranges");
    assert!(spread.mostly_good * 10 >= SEEDS * 7, "programs that are mostly valid");
    assert!(spread.loops >= SEEDS / 4 && spread.shared >= SEEDS / 2, "loops and sharing");
    assert!(spread.at_the_end >= 10, "leaves at the end of 64 bits");
    for (width, count) in &spread.edges {
        assert!(count.iter().all(|count| *count >= 5), "leaves before and behind 2^{width}");
    }
    assert!(spread.most <= Program::MAX_ENTRIES, "a device that takes too long");
    for levels in 2..=6 {
        assert!(spread.levels.get(&levels).is_some_and(|count| *count >= 50), "{levels} levels");
    }
    for shift in [12, 21, 30] {
        assert!(spread.sizes.get(&(1 << shift)).is_some_and(|count| *count >= 1000), "pages of 2^{shift}");
    }
    for code in (0x00..=0x0c).chain([0x0e]) {
        assert!(spread.codes.contains_key(&code), "no fault {code:#04x}");
    }
}

#[test]
fn equal_seeds_give_equal_programs_and_bytes_are_the_published_ones() {
    assert_eq!(format!("{:?}", Program::from_seed(3)), format!("{:?}", Program::from_seed(3)));
    assert_ne!(format!("{:?}", Program::from_seed(3)), format!("{:?}", Program::from_seed(4)));
    // The first words of SplitMix64 from 1234567, as its other implementations give them.
    let words: Vec<_> = [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973].map(u64::to_le_bytes).concat();
    assert_eq!(iopt_model::random_bytes(1_234_567, 16), words);
    assert_eq!(iopt_model::random_bytes(1_234_567, 11), words[..11]);
}

#[test]
fn a_memory_of_any_size_is_enough() {
    for seed in 0..40 {
        for count in [0, 1, 2, 3, 5, 8, 13, 21] {
            let mut slots = vec![Slot::EMPTY; count];
            let mut memory = SparseMemory::new(&mut slots);
            let built = Program::from_seed(seed).build(&mut memory);
            let twin = built.twin(&memory);
            for device in twin.devices() {
                twin.leaves(device.source);
            }
        }
    }
}

#[test]
fn few_bytes_make_a_small_program() {
    for len in [0, 1, 10, 100, 300] {
        let bytes = iopt_model::random_bytes(9, len);
        let program: Program = arbitrary::Unstructured::new(&bytes).arbitrary().unwrap();
        let mut slots = vec![Slot::EMPTY; SLOTS];
        let mut memory = SparseMemory::new(&mut slots);
        let built = program.build(&mut memory);
        assert!(!built.twin(&memory).devices().is_empty(), "{len} bytes");
    }
}

#[test]
fn a_seed_has_bytes_to_spare() {
    for seed in 0..500 {
        let bytes = iopt_model::random_bytes(seed, 8192);
        let mut left = arbitrary::Unstructured::new(&bytes);
        left.arbitrary::<Program>().unwrap();
        assert!(left.len() > 1000, "seed {seed}: {} bytes left", left.len());
    }
}
