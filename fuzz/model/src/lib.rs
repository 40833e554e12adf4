//! A brute-force twin of the legacy-mode walk.
//!
//! The [`twin`] reads VT-d tables one word at a time, straight from the tables of bits in the
//! specification. It shares no decode with `iopt`, so where the two differ, one of them is wrong.

pub mod twin;

pub use twin::{Bad, Device, Fault, Leaf, Range, Root, Step, Translated, Twin, ranges};
