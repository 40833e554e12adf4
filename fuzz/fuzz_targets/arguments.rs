//! The fuzzer's bytes as a command line of `iopt`, or as the plan of one that mostly is right: `-max_len=512`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iopt_model::check::check_arguments(bytes));
