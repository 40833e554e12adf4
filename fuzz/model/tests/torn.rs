//! Memory that changes while it is read: seeded programs, and captures of real tables.

use iopt::memory::{Slot, SparseMemory};
use iopt::vtd::{Cap, Ecap, Irta, Rtaddr, Unit};
use iopt_backends::Image;
use iopt_model::Program;
use iopt_model::check::{check_swapped, check_torn, check_torn_interrupts, unit};
use std::ops::Range;
use std::path::Path;

/// Units whose memory turns into that of another one, before any of the reads.
fn swap(seeds: Range<u64>) {
    for seed in seeds {
        let mut slots = [vec![Slot::EMPTY; 256], vec![Slot::EMPTY; 256]];
        let [one, other] = &mut slots;
        let (mut memory, mut other) = (SparseMemory::new(one), SparseMemory::new(other));
        let built = Program::from_seed(seed).build(&mut memory);
        Program::from_seed(seed + 1_000_000).build(&mut other);
        eprintln!("seed {seed}");
        check_swapped(&unit(&built), &memory, &other);
    }
}

#[test]
fn programs_that_turn_into_others_stay_well_formed() {
    swap(0..40);
}

/// `cargo test --release --package iopt-model --test torn -- --ignored`
#[test]
#[ignore = "takes minutes"]
fn thousands_of_programs_that_change_stay_well_formed() {
    swap(1_000..2_000);
    for seed in 1_000..6_000 {
        let mut slots = vec![Slot::EMPTY; 256];
        let mut memory = SparseMemory::new(&mut slots);
        let built = Program::from_seed(seed).build(&mut memory);
        eprintln!("seed {seed}");
        check_torn(&unit(&built), &memory, !seed);
    }
}

/// A capture, and RTADDR, CAP, ECAP and IRTA of its unit.
const CAPTURES: [(&str, [u64; 4]); 4] = [
    ("vfio-48/mem.lime.xz", [0x98_c000, 0xd2_008c_222f_0606, 0xf42, 0]),
    ("scalable/mem.lime.xz", [0x90_1400, 0xd2_008c_222f_0606, 0x4800_8000_0f42, 0]),
    ("scalable-first-stage/mem.lime.xz", [0xb0_1400, 0x1d2_008c_222f_0606, 0x8800_00f0_0f4a, 0x80_000f]),
    ("kdump-on/vmcore.lime.xz", [0xb3_7000, 0xd2_008c_222f_0606, 0xf0_0f4a, 0x80_000f]),
];

fn open((name, registers): (&str, [u64; 4])) -> (Image, Unit, Irta) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../backends/tests/corpus");
    let [rtaddr, cap, ecap, irta] = registers;
    let unit = Unit::new(Rtaddr(rtaddr)).unwrap().with_capabilities(Some(Cap(cap)), Some(Ecap(ecap)));
    let image = iopt_backends::open(corpus.join(name)).unwrap();
    (image, unit.with_host_address_width(Some(48)), Irta(irta))
}

#[test]
fn captures_that_change_stay_well_formed() {
    for (at, capture) in CAPTURES.into_iter().enumerate() {
        let (image, unit, irta) = open(capture);
        for seed in 0..8 {
            check_torn(&unit, &image, seed);
        }
        if irta != Irta(0) {
            check_torn_interrupts(irta, &image, 1);
        }
        let (other, ..) = open(CAPTURES[(at + 1) % CAPTURES.len()]);
        check_swapped(&unit, &image, &other);
    }
}
