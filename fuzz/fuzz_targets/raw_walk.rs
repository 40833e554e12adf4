//! The fuzzer's bytes as physical memory: a page is 4096 of them, so give it `-max_len=131072`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| iopt_model::check::check_bytes(bytes));
