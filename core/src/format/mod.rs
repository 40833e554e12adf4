//! Page-table formats, one small file each: data about each level, in the shape that [`crate::radix`] walks.

mod second_stage;

pub use second_stage::{SecondStage, SecondStageRules};
