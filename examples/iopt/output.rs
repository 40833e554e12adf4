//! Where results go: one locked and buffered stdout, for lines of JSON or for people.

use crate::error::{Outcome, tell_plain};
use crate::{human, json, sample};
use iopt::copy::Problem;
use iopt::vtd::{Fault, InterruptFault, Unit};
use serde::Serialize;
use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// Millions of lines must not be millions of system calls.
const BUFFER: usize = 1 << 16;

#[derive(Debug)]
pub struct Output {
    lines: BufWriter<StdoutLock<'static>>,
    terminal: bool,
    colour: bool,
    json: bool,
    outcome: Outcome,
}

impl Output {
    pub fn new(json: bool) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { lines: BufWriter::with_capacity(BUFFER, stdout.lock()), terminal, colour, json, outcome: Outcome::Done }
    }

    pub fn is_json(&self) -> bool {
        self.json
    }

    pub fn json(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.write_all(b"\n")
    }

    /// A line that others stand under.
    pub fn heading(&mut self, line: fmt::Arguments<'_>) -> io::Result<()> {
        let (on, off) = if self.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        writeln!(self, "{on}{line}{off}")
    }

    /// People who gave no image must know that they don't look at one of theirs.
    pub fn sample_note(&mut self, is_sample: bool) -> io::Result<()> {
        if is_sample && !self.json { writeln!(self, "{}", sample::NOTE) } else { Ok(()) }
    }

    pub fn unit(&mut self, index: usize, unit: &Unit) -> io::Result<()> {
        let rtaddr = unit.rtaddr();
        self.heading(format_args!("Unit {index}  root {}, {}", rtaddr.root_table(), rtaddr.mode()))
    }

    /// An entry that can't be followed: a line of JSON in its place, or a line for people on stderr.
    pub fn fault(&mut self, fault: &Fault) -> io::Result<()> {
        self.malformed(&json::Malformed::new(fault), &format_args!("{fault}{}", human::unrecorded(fault)))
    }

    /// The same for an entry that can't be copied as it is.
    pub fn problem(&mut self, problem: &Problem, fault: &Fault) -> io::Result<()> {
        self.malformed(&json::Malformed::new(fault), &format_args!("{problem}{}", human::unrecorded(fault)))
    }

    pub fn interrupt_fault(&mut self, fault: &InterruptFault) -> io::Result<()> {
        self.malformed(&json::MalformedInterrupt::new(fault), fault)
    }

    fn malformed(&mut self, line: &impl Serialize, fault: &impl fmt::Display) -> io::Result<()> {
        if self.json {
            return self.json(line);
        }
        self.note(fault)
    }

    /// A line for people on stderr, behind what was printed so far.
    pub fn note(&mut self, line: &impl fmt::Display) -> io::Result<()> {
        if self.terminal {
            self.flush()?;
        }
        tell_plain(&line.to_string());
        Ok(())
    }

    /// The run can't end better than this any more, whatever becomes of the rest.
    #[cfg(target_os = "linux")]
    pub fn raise(&mut self, outcome: Outcome) {
        self.outcome = self.outcome.max(outcome);
    }

    /// Without it, what is still buffered would be lost without a word.
    pub fn finish(mut self) -> io::Result<Outcome> {
        self.flush()?;
        Ok(self.outcome)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.write(bytes)
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.lines.write_all(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lines.flush()
    }
}
