//! `--live`: the running machine in place of an image.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
pub use linux::{info, interrupt_table, open, units};
#[cfg(not(target_os = "linux"))]
pub use other::{interrupt_table, open, units};
