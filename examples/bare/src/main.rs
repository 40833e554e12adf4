//! iopt as a kernel would use it: no operating system, no allocator, no library but `core`.
//!
//! A crash kernel has the old kernel's memory behind a function that copies bytes of a page frame. [`OldMemory`]
//! makes a [`PhysReader`] of it, and [`checks`] walks, translates, seeks and coalesces over that and over memory
//! that can be lent. The exit status is the number of the first check that fails, or 0.
//!
//! Nothing in here or in iopt can panic: the panic handler calls a function that does not exist, so that the
//! program links only if the optimiser finds every panic unreachable.

#![no_std]
#![no_main]
#![deny(clippy::undocumented_unsafe_blocks)]

mod builds;
mod checks;
mod copies;
mod frames;
#[cfg(feature = "messages")]
mod log;
mod scalable;
mod start;
mod tables;
