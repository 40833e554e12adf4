//! The entries that a refused request went through, for people.

use iopt::vtd::{PathEntry, Structure};
use std::fmt;

/// Written as aligned lines.
#[derive(Debug)]
pub struct Path<'a>(pub &'a [PathEntry]);

/// The least widths of the columns, which most paths fit into.
const NAME: usize = "context".len();
const TABLE: usize = "0x000000000000".len();
const INDEX: usize = "511".len();

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first_stage = self.0.iter().any(|entry| matches!(entry.structure, Structure::FirstStage(_)));
        let second_stage = self.0.iter().any(|entry| matches!(entry.structure, Structure::SecondStage(_)));
        // The levels of one stage alone need no word about the stage.
        let name = |entry: &PathEntry| match entry.structure {
            Structure::FirstStage(level) if second_stage => format!("first-stage level {level}"),
            Structure::SecondStage(level) if first_stage => format!("second-stage level {level}"),
            structure => structure.to_string(),
        };
        let widest = |text: &dyn Fn(&PathEntry) -> String, least| {
            self.0.iter().map(|entry| text(entry).len()).fold(least, usize::max)
        };
        let names = widest(&name, NAME);
        let tables = widest(&|entry| entry.table.to_string(), TABLE);
        let indices = widest(&|entry| entry.index.to_string(), INDEX);
        for entry in self.0 {
            let (name, table, PathEntry { index, entry, .. }) = (name(entry), entry.table.to_string(), entry);
            writeln!(f, "  {name:<names$}  table {table:<tables$}  entry {index:>indices$} = {entry:#x}")?;
        }
        Ok(())
    }
}
