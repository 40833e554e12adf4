//! What the programs of many seeds have in them: enough of everything, and not too much.

mod common;

use common::{SLOTS, probes};
use iopt::memory::{Slot, SparseMemory, ranges as memory_ranges};
use iopt_model::{Device, Found, Leaf, Lost, Program, Space, Stage, Tables, Twin, Who, ranges};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
struct Spread {
    units: u64,
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
    /// About what is not canonical.
    canonical_edges: BTreeMap<u32, [u64; 2]>,
    levels: BTreeMap<(bool, u8), u64>,
    sizes: BTreeMap<u64, u64>,
    /// Of scalable mode.
    kinds: BTreeMap<&'static str, u64>,
    codes: BTreeMap<u8, u64>,
    /// Leaves and bad entries of devices with both stages.
    nested: Vec<(usize, usize)>,
    suppressed: u64,
    most: usize,
}

impl Spread {
    fn request(&mut self, twin: Twin<'_>, who: Who, iova: u64) {
        for write in [false, true] {
            let fault = twin.translate(who, iova, write).err();
            self.suppressed += u64::from(fault.as_ref().is_some_and(|fault| fault.suppressed));
            *self.codes.entry(fault.map_or(0, |fault| fault.code)).or_default() += 1;
        }
    }

    fn leaf(&mut self, leaf: &Leaf) {
        *self.sizes.entry(leaf.size).or_default() += 1;
        let last = leaf.iova + (leaf.size - 1);
        for width in [30, 39, 48, 57] {
            let count = self.edges.entry(width).or_default();
            count[0] += u64::from(last == (1 << width) - 1);
            count[1] += u64::from(leaf.iova == 1 << width);
        }
        for width in [47, 56] {
            let count = self.canonical_edges.entry(width).or_default();
            count[0] += u64::from(last == (1 << width) - 1);
            count[1] += u64::from(leaf.iova == !0 << width);
        }
        self.at_the_end += u64::from(last == u64::MAX);
    }

    fn unit(&mut self, seed: u64, twin: Twin<'_>) {
        self.units += 1;
        let (mut good, mut evil) = (0, 0);
        let devices = twin.devices();
        for device in &devices {
            let (leaves, bad) = twin.leaves_of(device);
            self.devices += 1;
            self.with_leaves += u64::from(!leaves.is_empty());
            self.leaves += leaves.len() as u64;
            self.ranges += ranges(&leaves, true).len() as u64;
            self.pieces += ranges(&leaves, false).len() as u64;
            self.bad += bad.len() as u64;
            self.loops += bad.iter().filter(|bad| bad.code.is_none()).count() as u64;
            self.most = self.most.max(leaves.len() + bad.len());
            good += leaves.len();
            evil += bad.len();
            *self.kinds.entry(kind(device)).or_default() += 1;
            if let Ok(Space::Nested(..)) = device.space {
                self.nested.push((leaves.len(), bad.len()));
            }
            if let (Ok(Space::Tables(tables)), false) = (device.space, leaves.is_empty()) {
                *self.levels.entry((tables.stage == Stage::First, tables.levels)).or_default() += 1;
            }
            leaves.iter().for_each(|leaf| self.leaf(leaf));

            // A table that two entries in different places lead to.
            let mut parents: BTreeMap<u64, BTreeSet<(u64, u64)>> = BTreeMap::new();
            for leaf in &leaves {
                for step in twin.translate(device.who(), leaf.iova, !leaf.read).iter().flat_map(|t| t.path.windows(2)) {
                    parents.entry(step[1].table).or_default().insert((step[0].table, step[0].index));
                }
            }
            self.shared += parents.values().filter(|parents| parents.len() > 1).count() as u64;
            probes(seed, &leaves, &bad).into_iter().for_each(|iova| self.request(twin, device.who(), iova));
        }
        // Source-ids that no device has, buses that fault, and PASIDs that may not be there.
        for source in (0..=255).map(|bus| bus << 8 | [0, 0x55, 0xaa][usize::from(bus % 3)]) {
            self.request(twin, source.into(), 0);
        }
        for found in twin.survey() {
            if let Found::Lost(Lost { source: None, at: Some(root), .. }) = found {
                let bus = (root.index as u16) << 8;
                [bus, bus | 0x80].into_iter().for_each(|source| self.request(twin, source.into(), 0));
            }
        }
        for source in devices.iter().map(|device| device.source) {
            for pasid in [None, Some(0), Some(1), Some(64), Some(64 * 512), Some(0xf_ffff)] {
                self.request(twin, Who { source, pasid }, 0xfee0_0000);
            }
        }
        self.mostly_good += u64::from(good >= 10 * evil);
    }
}

const KINDS: [&str; 7] = [
    "pass-through",
    "second stage",
    "first stage",
    "first stage, RID_PASID",
    "first stage, supervisor",
    "fault",
    "nested",
];

fn kind(device: &Device) -> &'static str {
    let which = match (&device.space, device.with_pasid) {
        (Ok(Space::PassThrough), _) => 0,
        (Ok(Space::Tables(Tables { stage: Stage::Second, .. })), _) => 1,
        (Ok(Space::Tables(_)), true) => 2,
        (Ok(Space::Tables(Tables { supervisor: false, .. })), false) => 3,
        (Ok(Space::Tables(_)), false) => 4,
        (Err(_), _) => 5,
        (Ok(Space::Nested(..)), _) => 6,
    };
    KINDS[which]
}

#[test]
fn six_hundred_seeds_have_everything() {
    const SEEDS: u64 = 600;
    let mut modes = [Spread::default(), Spread::default()];
    for seed in 0..SEEDS {
        let mut slots = vec![Slot::EMPTY; SLOTS];
        let mut memory = SparseMemory::new(&mut slots);
        let built = Program::from_seed(seed).build(&mut memory);
        let pages: u64 = memory_ranges(&memory).map(|range| (range.size() / 4096) as u64).sum();
        let twin = built.twin(&memory);
        let spread = &mut modes[usize::from(twin.is_scalable())];
        spread.tables += pages;
        spread.full += u64::from(pages == SLOTS as u64);
        spread.unit(seed, twin);
    }
    println!("{modes:#?}");
    let [legacy, scalable] = &modes;

    for spread in &modes {
        let units = spread.units;
        assert!(units >= SEEDS / 3, "units");
        assert!(spread.tables / units >= 25, "tables");
        assert!(spread.full < units / 10, "programs that need more memory");
        assert!(spread.with_leaves * 10 >= spread.devices * 3, "devices that can reach something");
        assert!(spread.leaves / units >= 1000, "leaves");
        assert!(spread.ranges / units >= 20 && spread.pieces > 2 * spread.ranges, "ranges");
        assert!(spread.mostly_good * 10 >= units * 5, "programs that are mostly valid");
        assert!(spread.loops >= units / 4 && spread.shared >= units / 2, "loops and sharing");
        assert!(spread.at_the_end >= 10, "leaves at the end of 64 bits");
        assert!(spread.suppressed >= 1000, "faults that FPD suppresses");
        for (width, count) in &spread.edges {
            assert!(count.iter().all(|count| *count >= 5), "leaves before and behind 2^{width}");
        }
        assert!(spread.most <= Program::MAX_ENTRIES, "a device that takes too long");
        for levels in 2..=6 {
            let count = spread.levels.get(&(false, levels));
            assert!(count.is_some_and(|count| *count >= 30), "{levels} levels of a second stage");
        }
        for shift in [12, 21, 30] {
            assert!(spread.sizes.get(&(1 << shift)).is_some_and(|count| *count >= 1000), "pages of 2^{shift}");
        }
    }
    assert!(legacy.with_leaves * 10 >= legacy.devices * 5, "devices of legacy mode that can reach something");
    for levels in 4..=5 {
        let count = scalable.levels.get(&(true, levels));
        assert!(count.is_some_and(|count| *count >= 60), "{levels} levels of a first stage");
    }
    for kind in KINDS {
        assert!(scalable.kinds.get(kind).is_some_and(|count| *count >= 20), "{kind}");
    }
    let nested = |is: fn(&&(usize, usize)) -> bool| scalable.nested.iter().filter(is).count();
    assert!(nested(|(leaves, _)| *leaves > 50) >= 30 && nested(|(_, bad)| *bad > 5) >= 5, "nested leaves and faults");
    for (width, count) in &scalable.canonical_edges {
        assert!(
            count.iter().all(|count| *count >= 3),
            "leaves before and behind what is not canonical in {width} bits"
        );
    }
    for code in (0x00..=0x0c).chain([0x0e, 0x31]) {
        assert!(legacy.codes.get(&code).is_some_and(|count| *count >= 10), "no fault {code:#04x}");
    }
    let way =
        [0, 0x5d, 0x30, 0x38, 0x39, 0x3a, 0x40, 0x41, 0x42, 0x45, 0x46, 0x48, 0x50, 0x51, 0x52, 0x58, 0x59, 0x5a, 0x5b];
    let tables =
        [0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x80, 0x81, 0x83, 0x84, 0x85, 0x87];
    for code in way.into_iter().chain(tables) {
        assert!(scalable.codes.get(&code).is_some_and(|count| *count >= 10), "no fault {code:#04x}");
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
                twin.leaves_of(&device);
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
        assert!(!built.twin(&memory).survey().is_empty(), "{len} bytes");
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
