#![no_std]
#![forbid(unsafe_code)]
#![doc = "wip"]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "a test may panic")
)]
#[cfg(test)]
extern crate std;

pub mod access;
pub mod address;
pub mod coalesce;
pub mod format;
pub mod memory;
pub mod radix;
pub mod vtd;
pub mod walk;
pub use access::{Access, Permissions};
pub use address::{DomainId, Iova, IovaRange, Pasid, PhysAddr, PhysRange, SourceId};
