#![no_std]
#![forbid(unsafe_code)]
#![doc = "wip"]
#[cfg(test)]
extern crate std;

pub mod access;
pub mod address;
pub mod memory;
pub use access::{Access, Permissions};
pub use address::{DomainId, Iova, IovaRange, Pasid, PhysAddr, PhysRange, SourceId};
