//! The fuzzer's bytes as an AVML image: `-max_len=8192`.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Without it the check would not see what is allocated.
#[global_allocator]
static COUNTING: iopt_model::heap::Counting = iopt_model::heap::Counting;

fuzz_target!(|bytes: &[u8]| iopt_model::check::image::check_avml(bytes));
