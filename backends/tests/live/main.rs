//! The running machine, as files in a folder show it; and this one, whatever it shows.
#![cfg(all(feature = "live", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod core_file;
mod machine;
mod memory;
mod this_machine;
mod units;
