//! Lines of JSON: their keys, in the order in which they are written.

mod copying;
mod info;
mod interrupts;
mod listing;
mod translation;
mod values;

pub use copying::{CopyLine, ReservationLine, VerifiedLine};
pub use info::{InfoLine, KernelInfo, MemoryRange};
pub use interrupts::{InterruptLine, MalformedInterrupt};
pub use listing::{DeviceLine, Malformed, RangeLine};
pub use translation::{FaultLine, Path, TranslationLine};
pub use values::{Bdf, Code, Entry, Hex, Level, ReadOrWrite, Text, Words, page_size};
