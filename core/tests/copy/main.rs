//! Copy, adopt and verify, from hand-made tables: every case that the first implementation got wrong, every failure at
//! every place, tables that share tables, and copies that were tampered with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

#[path = "../scalable/builder.rs"]
mod builder;
#[path = "../common/mod.rs"]
mod common;

mod ahead;
mod inject;
mod ledger;
mod memory;
mod nested_sharing;
mod places;
mod readings;
mod reserve;
mod rows;
mod rows_more;
mod rows_units;
mod sharing;
mod trial;
mod verify;

/// Where a page-table entry has its address.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
