//! kdump-compressed files: captures of a real one in every compression, and small ones built for a test, with an
//! invalid twin for each thing that a valid one may do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod builder;
mod cached;
mod captures;
mod damage;
mod flattened;
mod headers;
mod lzo;
mod missing;
mod pages;
mod parts;
mod sparse;
