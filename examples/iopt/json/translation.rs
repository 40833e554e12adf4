//! What becomes of a request.

use super::{Bdf, Code, Entry, Hex, Level, ReadOrWrite, Words};
use iopt::vtd::PathEntry;
use serde::{Serialize, Serializer};

#[derive(Debug, Serialize)]
pub struct TranslationLine {
    pub source_id: Bdf,
    pub pasid: Option<u32>,
    pub iova: Hex,
    pub access: ReadOrWrite,
    pub phys: Hex,
    pub page: Option<u64>,
    pub read: bool,
    pub write: bool,
}

#[derive(Debug, Serialize)]
pub struct FaultLine<'a> {
    pub source_id: Bdf,
    pub pasid: Option<u32>,
    pub iova: Hex,
    pub access: ReadOrWrite,
    pub fault: Option<Code>,
    pub name: Option<&'static str>,
    pub why: Words,
    pub path: Path<'a>,
}

/// The entries that a translation went through.
#[derive(Debug)]
pub struct Path<'a>(pub &'a [PathEntry]);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Step::from))
    }
}

#[derive(Debug, Serialize)]
struct Step {
    level: Level,
    table: Hex,
    index: u16,
    entry: Entry,
}

impl From<&PathEntry> for Step {
    fn from(entry: &PathEntry) -> Self {
        Self { level: Level(entry.structure), table: entry.table.into(), index: entry.index, entry: Entry(entry.entry) }
    }
}
