//! Intel VT-d: one small file per structure, and the unit that puts them together.
//!
//! Section numbers are those of the Intel Virtualization Technology for Directed I/O specification, whose
//! numbering drifts between revisions.

mod bits;
mod cap;
mod context;
mod device;
pub mod dmar;
mod ecap;
mod entry_128;
mod entry_words;
mod fault;
mod gsts;
mod interrupt;
mod judge;
mod legacy;
mod lookup;
mod place;
mod reason;
mod reasons;
mod root;
mod rtaddr;
mod scalable;
mod space;
mod translate;
mod unit;

pub use bits::Bits;
pub use cap::Cap;
pub use context::{ContextEntry, TranslationType};
pub use device::{Device, DeviceEntries};
pub use ecap::Ecap;
pub use fault::{Cause, Fault, WidthLimit};
pub use gsts::Gsts;
pub use interrupt::{
    DeliveryMode, DestinationMode, Entries, IndexedEntry, Interrupt, InterruptCause, InterruptEntry, InterruptFault,
    InterruptPlace, Irta, Msi, PostedDescriptor, Remapped, SourceValidation, TriggerMode,
};
pub(crate) use lookup::at as fault_at;
pub use place::{Place, Structure};
pub use reason::FaultReason;
pub(crate) use reasons::SecondStageReasons;
pub use root::RootEntry;
pub use rtaddr::{Rtaddr, RtaddrError, TranslationMode};
pub use scalable::{Half, PasidDirectoryEntry, PasidEntry, PasidTranslation, ScalableContextEntry, ScalableRootEntry};
pub use space::{AddressSpace, FirstStageSpace, SecondStageSpace};
pub use translate::{INTERRUPT_RANGE, PathEntry};
pub use unit::Unit;

/// What becomes of an entry, or why every request that uses it is refused.
type Verdict<T> = Result<T, (FaultReason, Cause)>;

/// The address bits of a pointer that lie beyond a host address width of `width` bits, and so are reserved.
fn beyond_host(width: Option<u8>) -> u64 {
    width.map_or(0, |width| u64::MAX.checked_shl(u32::from(width)).unwrap_or(0))
}
