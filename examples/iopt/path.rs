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

#[cfg(test)]
mod tests {
    use super::*;
    use iopt::PhysAddr;
    use iopt::vtd::Bits;

    fn entry(structure: Structure, table: u64, index: u16, entry: impl Into<Bits>) -> PathEntry {
        PathEntry { structure, table: PhysAddr(table), index, entry: entry.into() }
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let path = [
            entry(Structure::Context, 0x1000, 2, 0x5001_u64),
            entry(Structure::PasidDirectory, 0xf_ffff_ffff_f000, 16_383, 0x6001_u64),
            entry(Structure::PasidTable, 0x6000, 63, [0x41, 2, 0x7000, 0]),
        ];
        let expected = "  \
  context          table 0x1000           entry     2 = 0x5001
  PASID directory  table 0xffffffffff000  entry 16383 = 0x6001
  PASID            table 0x6000           entry    63 = 0x700000000000000000020000000000000041
";
        assert_eq!(Path(&path).to_string(), expected);
        assert_eq!(Path(&[]).to_string(), "");
    }

    /// Nested tables have two entries of each level.
    #[test]
    fn stages_are_named_where_there_are_both() {
        let path = [
            entry(Structure::SecondStage(4), 0x1000, 0, 0x2003_u64),
            entry(Structure::FirstStage(4), 0x3000, 9, 1_u64),
        ];
        let expected = "  \
  second-stage level 4  table 0x1000          entry   0 = 0x2003
  first-stage level 4   table 0x3000          entry   9 = 0x1
";
        assert_eq!(Path(&path).to_string(), expected);
        assert_eq!(Path(&path[1..]).to_string(), "  level 4  table 0x3000          entry   9 = 0x1\n");
    }
}
