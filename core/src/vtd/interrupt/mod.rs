//! Interrupt remapping: the table that decides which vector of which processor a device's interrupt becomes.

mod cause;
mod decode;
mod descriptor;
mod entries;
mod entry;
mod irta;
mod lookup;
mod msi;

pub use cause::{InterruptCause, InterruptFault, InterruptPlace};
pub use decode::{DeliveryMode, DestinationMode, Interrupt, SourceValidation, TriggerMode};
pub use descriptor::PostedDescriptor;
pub use entries::{Entries, IndexedEntry};
pub use entry::InterruptEntry;
pub use irta::Irta;
pub use lookup::Remapped;
pub use msi::Msi;
