//! Scalable mode: root and context entries, and the two levels of PASID tables that a context entry leads to.

mod check;
mod context;
mod directory;
mod pasid;
mod root;

pub use context::ScalableContextEntry;
pub use directory::PasidDirectoryEntry;
pub use pasid::{PasidEntry, PasidTranslation};
pub use root::{Half, ScalableRootEntry};
