//! Page-table formats, one small file each: data about each level, in the shape that [`crate::radix`] walks.

pub(crate) mod first_stage;
pub(crate) mod levels;
pub(crate) mod second_stage;

pub use first_stage::{FirstStage, FirstStageRules};
pub use second_stage::{SecondStage, SecondStageRules};
