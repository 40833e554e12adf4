//! Whole units that are mostly valid, drawn from the fuzzer's bytes: `-max_len=8192` is room for the largest.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|program: iopt_model::Program| iopt_model::check::check_program(&program));
