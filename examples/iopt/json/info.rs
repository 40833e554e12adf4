//! What an image is.

use super::Hex;
use iopt::PhysRange;
use iopt_backends::Vmcoreinfo;
use serde::{Serialize, Serializer};
use std::collections::HashSet;

#[derive(Debug, Serialize)]
pub struct InfoLine<'i> {
    pub format: &'static str,
    pub size: Option<u64>,
    pub ranges: Vec<MemoryRange>,
    pub vmcoreinfo: Option<KernelInfo<'i>>,
}

/// Each key with its first value, in the order of the dump. What is no UTF-8 is replaced.
#[derive(Debug)]
pub struct KernelInfo<'i>(pub Vmcoreinfo<'i>);

impl Serialize for KernelInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seen = HashSet::new();
        let all = self.0.iter().map(|(key, value)| (String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
        serializer.collect_map(all.filter(|(key, _)| seen.insert(key.clone())))
    }
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
