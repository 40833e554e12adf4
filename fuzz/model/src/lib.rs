//! A brute-force twin of the walk, and random table programs to try it on.
//!
//! The [`twin`] reads VT-d tables one word at a time, straight from the tables of bits in the
//! specification. It shares no decode with `iopt`, so where the two differ, one of them is wrong.
//! A [`program`] draws a whole unit (root, contexts, PASIDs, page tables, capabilities) from a seed or from a
//! fuzzer's bytes, shaped by what makes a walker wrong.
//!
//! What benchmarks share is in [`measure`]: large regular images, and the limits of the machine.
//! The [`check`]s hold `iopt` against both; tests and fuzz targets call them. Those of memory images count what they
//! take, with the allocator in [`heap`].
//!
//! ```
//! use iopt::memory::{Slot, SparseMemory};
//! use iopt_model::{Program, ranges};
//!
//! let mut slots = vec![Slot::EMPTY; 256];
//! let mut memory = SparseMemory::new(&mut slots);
//! let built = Program::from_seed(7).build(&mut memory);
//! let twin = built.twin(&memory);
//! for device in twin.devices() {
//!     let (leaves, bad) = twin.leaves_of(&device);
//!     println!("{:x?}: {} ranges, {} bad entries", device.who(), ranges(&leaves, false).len(), bad.len());
//! }
//! ```

pub mod check;
/// The tests of memory images have it too.
#[path = "../../../backends/tests/common/heap.rs"]
pub mod heap;
pub mod measure;
pub mod program;
pub mod twin;

pub use program::{Built, Program, random_bytes};
pub use twin::{
    Bad, Device, Fault, Found, Kind, Leaf, Lost, Range, Space, Stage, Step, Tables, Translated, Twin, Who, ranges,
};
