//! ELF core files: real ones, and for each thing that a valid one may do an invalid twin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

#[path = "../common/mod.rs"]
mod common;

mod builder;
mod capture;
mod flattened;
mod headers;
mod hostile;
mod notes;
mod segments;
