use std::fmt;
use std::time::{Duration, Instant};

/// How far a long opening has come; see [`OpenOptions::progress`](crate::OpenOptions::progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// How many bytes that has given so far.
    pub bytes: u64,
    /// How long it has taken so far.
    pub elapsed: Duration,
}

/// What takes long. [`Display`](fmt::Display) writes it as in "decompressing".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// A pipe is read to its end.
    Reading,
    /// A compressed image is decompressed into memory.
    Decompressing,
    /// A flattened ELF file is put together in memory.
    Assembling,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reading => "reading",
            Self::Decompressing => "decompressing",
            Self::Assembling => "putting together",
        })
    }
}

/// How often progress is told, at most.
const EVERY: Duration = Duration::from_millis(100);

/// Tells somebody now and then how far a stage has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    stage: Stage,
    tell: Option<fn(Progress)>,
    started: Instant,
    told: Duration,
}

impl Meter {
    pub(crate) fn new(stage: Stage, tell: Option<fn(Progress)>) -> Self {
        Self { stage, tell, started: Instant::now(), told: Duration::ZERO }
    }

    pub(crate) fn tell(&mut self, bytes: u64) {
        let Some(tell) = self.tell else { return };
        let elapsed = self.started.elapsed();
        if elapsed.saturating_sub(self.told) >= EVERY {
            self.told = elapsed;
            tell(Progress { stage: self.stage, bytes, elapsed });
        }
    }
}
