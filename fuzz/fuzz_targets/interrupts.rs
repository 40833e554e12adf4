//! The fuzzer's bytes as an interrupt remapping table of four pages at most: `-max_len=16392`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iopt_model::check::check_interrupts(bytes));
