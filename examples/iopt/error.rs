//! How a run ends: what is told, and the exit status.

use crate::line::{Refused, escaped};
#[cfg(target_os = "linux")]
use iopt_backends::live;
use iopt_backends::{OpenError, StackError};
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// A run that came to its end. A later one weighs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Done,
    /// Something is partial or malformed, or a request was refused.
    Faulted,
    /// A line of a batch was no request.
    WrongLine,
}

/// What ends a run early.
#[derive(Debug)]
pub enum Error {
    /// What was expected and what was found.
    Use(String),
    Open(OpenError),
    /// The file that does not belong to those before it.
    Stack(PathBuf, StackError),
    #[cfg(target_os = "linux")]
    Live(live::Error),
    #[cfg(target_os = "linux")]
    NoLiveMemory(live::NoMemory),
    Batch(PathBuf, io::Error),
    Copy(iopt::copy::Error),
    Write(PathBuf, io::Error),
    Output(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(message) => f.write_str(message),
            Self::Open(error) => error.fmt(f),
            Self::Stack(path, error) => {
                write!(f, "{}: expected files of the same memory (IMAGE is image 0): {error}", path.display())
            }
            #[cfg(target_os = "linux")]
            Self::Live(error) => error.fmt(f),
            #[cfg(target_os = "linux")]
            Self::NoLiveMemory(error) => error.fmt(f),
            Self::Batch(path, error) => {
                write!(f, "{}: expected a batch of requests, can't be read: {error}", path.display())
            }
            Self::Copy(error) => write!(f, "expected tables that can be copied: {error}"),
            Self::Write(path, error) => {
                write!(f, "{}: expected a file for the new tables, can't be written: {error}", path.display())
            }
            Self::Output(error) => write!(f, "the output can't be written: {error}"),
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

#[cfg(target_os = "linux")]
impl From<live::Error> for Error {
    fn from(error: live::Error) -> Self {
        Self::Live(error)
    }
}

#[cfg(target_os = "linux")]
impl From<live::NoMemory> for Error {
    fn from(error: live::NoMemory) -> Self {
        Self::NoLiveMemory(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

pub fn exit_code(result: Result<Outcome, Error>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Faulted) => ExitCode::from(1),
        Ok(Outcome::WrongLine) => ExitCode::from(2),
        // Whoever closed the pipe has seen enough.
        Err(Error::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::from(2)
        }
    }
}

/// Writes `iopt: message` as one line to stderr.
pub fn tell(message: &impl fmt::Display) {
    tell_plain(&format!("iopt: {}", escaped(&message.to_string())));
}

/// Writes one line to stderr; that it may be closed must not end the run.
pub fn tell_plain(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Help and version are answers; anything else is told in one line.
pub fn not_run(refused: &Refused) -> ExitCode {
    match refused {
        Refused::Answer(answer) => {
            let _ = answer.print();
            ExitCode::SUCCESS
        }
        Refused::Wrong(message) => {
            tell(message);
            ExitCode::from(2)
        }
    }
}
