//! Faults as lines of text, as they would go to a kernel's log.

use core::fmt::Write;
use iopt::memory::PhysReader;
use iopt::vtd::{InterruptFault, Unit};
use iopt::walk::Scratch;

/// A line of the log. What does not fit is cut off.
struct Line {
    bytes: [u8; 256],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(text.bytes()) {
            *to = from;
            self.len += 1;
        }
        Ok(())
    }
}

/// Whether every fault of the unit prints, and the first as it should.
pub fn prints(unit: &Unit, memory: &dyn PhysReader) -> bool {
    let expected = b"00:01.0 iova 0x80000000 fault ";
    let mut scratch = Scratch::new();
    let (mut lines, mut first_is_right) = (0, false);
    for fault in unit.ranges(memory, &mut scratch).filter_map(|range| range.err()) {
        let mut line = Line { bytes: [0; 256], len: 0 };
        if write!(line, "{fault}").is_err() {
            return false;
        }
        first_is_right |= lines == 0 && line.bytes.starts_with(expected);
        lines += 1;
    }
    lines == 2 && first_is_right
}

/// Whether a fault of the interrupt remapping table prints as it should.
pub fn prints_interrupt(fault: &InterruptFault) -> bool {
    let expected = b"interrupt fault 0x24 at table ";
    let mut line = Line { bytes: [0; 256], len: 0 };
    write!(line, "{fault}").is_ok() && line.bytes.starts_with(expected)
}
