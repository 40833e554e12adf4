//! Bytes that come one after the other, gathered in memory up to a limit.

use crate::progress::Meter;
use std::io::{self, Read};

/// Why it ends early.
pub(crate) enum Stop {
    /// The source says so.
    Failed(io::Error),
    /// It takes a window of more than so many bytes to decompress.
    Window(u64),
    Limit,
    Memory,
}

impl Stop {
    /// With the place of what failed.
    pub(crate) fn placed(self, place: impl FnOnce(io::Error) -> Self) -> Self {
        match self {
            Self::Failed(error) => place(error),
            stop => stop,
        }
    }
}

/// What there is so far. It grows with the bytes that come, never by what a header promises.
pub(crate) struct Sink {
    pub(crate) bytes: Vec<u8>,
    pub(crate) limit: u64,
    pub(crate) meter: Meter,
}

impl Sink {
    pub(crate) fn new(limit: u64, meter: Meter) -> Self {
        Self { bytes: Vec::new(), limit, meter }
    }

    /// Takes all that comes.
    pub(crate) fn fill(&mut self, mut from: impl Read) -> Result<(), Stop> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = match from.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map_err(Stop::Failed)?,
            };
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { return Ok(()) };
            self.push(piece)?;
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Stop> {
        let total = u64::try_from(self.bytes.len().saturating_add(piece.len())).unwrap_or(u64::MAX);
        if total > self.limit {
            return Err(Stop::Limit);
        }
        self.bytes.try_reserve(piece.len()).map_err(|_| Stop::Memory)?;
        self.bytes.extend_from_slice(piece);
        self.meter.tell(total);
        Ok(())
    }
}
