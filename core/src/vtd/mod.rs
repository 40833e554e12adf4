//! Intel VT-d: one small file per structure, and the unit that puts them together.
//!
//! Section numbers are those of the Intel Virtualization Technology for Directed I/O specification, whose
//! numbering drifts between revisions.

mod context;
pub mod dmar;
mod fault;
mod reason;
mod registers;
mod root;
mod space;
mod translate;
mod unit;

pub use context::{ContextEntry, TranslationType};
pub use fault::{Cause, Fault, Place, Structure, WidthLimit};
pub use reason::FaultReason;
pub use registers::{Cap, Ecap, Rtaddr, RtaddrError, TranslationMode};
pub use root::RootEntry;
pub use space::{AddressSpace, SecondStageSpace};
pub use translate::{INTERRUPT_RANGE, PathEntry};
pub use unit::{Device, Unit};

/// The address bits of a pointer that lie beyond a host address width of `width` bits, and so are reserved.
fn beyond_host(width: Option<u8>) -> u64 {
    width.map_or(0, |width| u64::MAX.checked_shl(u32::from(width)).unwrap_or(0))
}
