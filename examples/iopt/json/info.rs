//! What an image is.

use super::Hex;
use iopt::PhysRange;
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct InfoLine {
    pub format: &'static str,
    pub size: u64,
    pub ranges: Vec<MemoryRange>,
    /// No format that is read so far carries any.
    pub vmcoreinfo: Option<()>,
}

#[derive(Debug, Serialize)]
pub struct MemoryRange {
    start: Hex,
    last: Hex,
}

impl From<PhysRange> for MemoryRange {
    fn from(range: PhysRange) -> Self {
        Self { start: range.first().into(), last: range.last().into() }
    }
}
