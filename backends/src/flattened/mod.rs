//! makedumpfile's flattened dumps: the pieces of a file, each with its place, in the order in which they were
//! written. They come from dumping to a pipe, where nothing can be written twice; here the file is seen as it
//! would be once it is put together, over an index of the records.
//!
//! Numbers are big-endian on every machine. The layout is that of makedumpfile (`IMPLEMENTATION`, "flattened
//! format") and of libkdumpfile.

mod error;
mod records;

pub(crate) use error::FlattenedError;
pub use error::FlattenedErrorKind;
pub(crate) use records::SIGNATURE;

use crate::bytes::Bytes;
use crate::extents::Extents;
use crate::sink::{Sink, Stop};
use records::{Piece, newest, records};
use std::ops::Range;

/// A flattened dump, read as the file that was flattened. Bytes that no record has are not there.
///
/// The index takes 24 bytes for each record, at most twice that where records overlap, and 16 for each gap; four times
/// as much while it is made.
#[derive(Debug)]
pub(crate) struct Flattened {
    bytes: Bytes,
    /// Ascending, without overlap.
    pieces: Vec<Piece>,
    /// The parts of the file without a gap, first to end: what a gap is must not be looked up record by record.
    parts: Vec<(u64, u64)>,
    truncated: bool,
}

impl Flattened {
    pub(crate) fn new(bytes: Bytes) -> Result<Self, FlattenedError> {
        let (records, truncated) = records(bytes.as_slice())?;
        let mut pieces = newest(records);
        pieces.shrink_to_fit();
        let mut parts: Vec<(u64, u64)> = Vec::new();
        for piece in &pieces {
            match parts.last_mut() {
                Some((_, end)) if *end == piece.first => *end = piece.end,
                _ => parts.push((piece.first, piece.end)),
            }
        }
        Ok(Self { pieces, parts, truncated, bytes })
    }

    /// Whether the record that ends the stream is missing.
    pub(crate) fn truncated(&self) -> bool {
        self.truncated
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Puts the file together in `to`, without what is not there, and says which parts of the file that are.
    pub(crate) fn assemble(&self, to: &mut Sink) -> Result<Extents, Stop> {
        let mut extents = Extents::none();
        for piece in &self.pieces {
            let start = to.bytes.len();
            let place = self.run(piece.first).unwrap_or_default();
            to.push(self.bytes.as_slice().get(place).unwrap_or_default())?;
            extents.push(piece.first, start..to.bytes.len());
        }
        Ok(extents)
    }

    /// Behind the last byte that is there.
    pub(crate) fn end(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// How many bytes are there from `offset` on without a gap.
    pub(crate) fn available(&self, offset: u64) -> u64 {
        let part = self.parts.get(self.parts.partition_point(|(_, end)| *end <= offset));
        part.filter(|(first, _)| *first <= offset).map_or(0, |(_, end)| end.saturating_sub(offset))
    }

    /// Where in the flattened file the bytes from `offset` on are that lie side by side there; nowhere if there are
    /// none.
    pub(crate) fn run(&self, offset: u64) -> Option<Range<usize>> {
        let piece = self.pieces.get(self.pieces.partition_point(|piece| piece.end <= offset))?;
        let inside = usize::try_from(offset.checked_sub(piece.first)?).ok()?;
        let length = usize::try_from(piece.end.checked_sub(piece.first)?).ok()?;
        Some(piece.at.checked_add(inside)?..piece.at.checked_add(length)?)
    }
}
