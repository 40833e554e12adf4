//! The fuzzer's bytes as a DMAR table, and as the plan of one that mostly is right: `-max_len=1024` is plenty.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iopt_model::check::check_dmar(bytes));
