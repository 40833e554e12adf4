//! Readers around another reader, and the one that a kernel makes of its function.

mod cached;
mod counted;
mod failing;
mod old;
mod traced;
mod window;

pub use cached::{CacheSlot, Cached};
pub use counted::{Counted, Counts};
pub use failing::Failing;
pub use old::OldMemory;
pub use traced::{PageEvent, Traced};
pub use window::Window;
