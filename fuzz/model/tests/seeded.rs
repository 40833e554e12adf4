//! A seeded run of what the fuzz targets do, so that a machine without a fuzzer checks the invariants too.

use iopt_model::check::{check_arguments, check_bytes, check_copies, check_dmar, check_interrupts, check_program};
use iopt_model::{Program, random_bytes};

/// Runs `check` for every seed; a panic is told with its seed.
fn each_seed(seeds: std::ops::Range<u64>, check: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| check(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn programs_agree_with_the_twin() {
    each_seed(0..700, |seed| check_program(&Program::from_seed(seed)));
}

#[test]
fn units_that_share_tables_are_copied_together() {
    each_seed(0..60, |seed| check_copies(&Program::from_seed(seed), &Program::from_seed(seed + 1000)));
}

/// `cargo test --release --package iopt-model --test seeded -- --ignored`
#[test]
#[ignore = "takes minutes"]
fn thousands_of_programs_agree_with_the_twin() {
    each_seed(1_000..6_000, |seed| check_program(&Program::from_seed(seed)));
    each_seed(1_000..2_000, |seed| check_copies(&Program::from_seed(seed), &Program::from_seed(seed + 10_000)));
}

#[test]
fn random_memory_keeps_the_invariants() {
    each_seed(0..160, |seed| {
        let len = 4096 * (1 + seed as usize % 12);
        // Mostly present entries, since a random word is present three times out of four anyway.
        check_bytes(&random_bytes(seed, len));
    });
}

#[test]
fn dmar_tables_keep_the_invariants() {
    each_seed(0..2000, |seed| check_dmar(&random_bytes(seed, seed as usize % 400)));
}

#[test]
fn interrupt_tables_keep_the_invariants() {
    each_seed(0..300, |seed| check_interrupts(&random_bytes(seed, 8 + seed as usize * 61 % 18000)));
}

#[test]
fn command_lines_are_taken_whole_or_refused_by_name() {
    each_seed(0..4000, |seed| check_arguments(&[&[seed as u8], &random_bytes(seed, 300)[..]].concat()));
}

#[test]
fn short_memory_is_memory_too() {
    for len in [0, 1, 7, 8, 16, 4095, 4097] {
        check_bytes(&vec![0xff; len]);
        check_dmar(&vec![0xff; len]);
        check_interrupts(&vec![0xff; len]);
    }
}
