//! makedumpfile's flattened dumps: the pieces of a file, each with its place, in the order in which they were
//! written. They come from dumping to a pipe, where nothing can be written twice; here the file is seen as it
//! would be once it is put together, over an index of the records.
//!
//! Numbers are big-endian on every machine. The layout is that of makedumpfile (`IMPLEMENTATION`, "flattened
//! format") and of libkdumpfile.

use crate::bytes::Bytes;
use crate::extents::Extents;
use crate::sink::{Sink, Stop};
use std::collections::BinaryHeap;
use std::ops::Range;
use thiserror::Error;

/// The signature, with its padding.
pub(crate) const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";
/// Where the records start.
const RECORDS: usize = 4096;
const RECORD_HEADER: usize = 16;

/// What is wrong with a flattened dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FlattenedErrorKind {
    /// Something else stands where the signature should.
    #[error("flattened dump: expected the signature \"makedumpfile\", found other bytes")]
    Signature,
    /// The file ends before the first record.
    #[error("flattened dump: expected a header of 4096 bytes, found a file of {found} bytes")]
    TruncatedHeader {
        /// The size of the file.
        found: u64,
    },
    /// Another kind of stream.
    #[error("flattened dump: expected type 1, found type {found}")]
    Type {
        /// The type in the header.
        found: i64,
    },
    /// A version of the format that is not known.
    #[error("flattened dump: expected version 1, found version {found}")]
    Version {
        /// The version in the header.
        found: i64,
    },
    /// A record that has no place in a file.
    #[error("flattened dump: expected a record with a place in the file, found offset {to} and size {size}")]
    Record {
        /// Where the record's bytes belong.
        to: i64,
        /// How many they are.
        size: i64,
    },
}

/// A flattened dump is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlattenedError {
    /// Where in the flattened file, in bytes.
    pub(crate) offset: usize,
    pub(crate) kind: FlattenedErrorKind,
}

/// Bytes of the file that was flattened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Piece {
    /// Where they lie in the flattened file. First, so that pieces compare by age.
    at: usize,
    /// Where they belong.
    first: u64,
    /// Behind the last.
    end: u64,
}

/// A flattened dump, read as the file that was flattened. Bytes that no record has are not there.
///
/// The index takes 24 bytes for each record, at most twice that where records overlap, and 16 for each gap; four times as
/// much while it is made.
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

/// All records that hold anything, and whether the last one is missing.
fn records(bytes: &[u8]) -> Result<(Vec<Piece>, bool), FlattenedError> {
    let refuse = |offset, kind| Err(FlattenedError { offset, kind });
    if !bytes.starts_with(&SIGNATURE) {
        return refuse(0, FlattenedErrorKind::Signature);
    }
    if bytes.len() < RECORDS {
        return refuse(
            0,
            FlattenedErrorKind::TruncatedHeader { found: u64::try_from(bytes.len()).unwrap_or(u64::MAX) },
        );
    }
    match (number(bytes, 16), number(bytes, 24)) {
        (Some(1), Some(1)) => {}
        (Some(1), found) => return refuse(24, FlattenedErrorKind::Version { found: found.unwrap_or(0) }),
        (found, _) => return refuse(16, FlattenedErrorKind::Type { found: found.unwrap_or(0) }),
    }
    let mut records = Vec::new();
    let mut offset = RECORDS;
    loop {
        let (Some(to), Some(size)) = (number(bytes, offset), number(bytes, offset.saturating_add(8))) else {
            return Ok((records, true));
        };
        if to == -1 {
            return Ok((records, false));
        }
        let place = || Some((u64::try_from(to).ok()?, u64::try_from(size).ok()?));
        let Some((first, size)) = place().filter(|(first, size)| first.checked_add(*size).is_some()) else {
            return refuse(offset, FlattenedErrorKind::Record { to, size });
        };
        let at = offset.saturating_add(RECORD_HEADER);
        let there = bytes.len().saturating_sub(at);
        let length = usize::try_from(size).unwrap_or(usize::MAX).min(there);
        if length > 0 {
            let end = first.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            records.push(Piece { at, first, end });
        }
        offset = at.saturating_add(length);
    }
}

fn number(bytes: &[u8], offset: usize) -> Option<i64> {
    bytes.get(offset..)?.first_chunk().copied().map(i64::from_be_bytes)
}

/// What is seen of `records` where later ones lie over earlier ones.
fn newest(mut records: Vec<Piece>) -> Vec<Piece> {
    records.sort_unstable_by_key(|piece| piece.first);
    let apart = records.iter().zip(records.iter().skip(1)).all(|(low, high)| low.end <= high.first);
    if apart {
        return records;
    }
    let mut pieces: Vec<Piece> = Vec::new();
    // Those that hold the byte at `here`, the newest on top.
    let mut open = BinaryHeap::<Piece>::new();
    let mut here = 0;
    let mut next = records.iter().copied().peekable();
    loop {
        while open.peek().is_some_and(|piece| piece.end <= here) {
            open.pop();
        }
        if open.is_empty() {
            let Some(piece) = next.peek() else { return pieces };
            here = here.max(piece.first);
        }
        while let Some(piece) = next.next_if(|piece| piece.first <= here) {
            open.push(piece);
        }
        let Some(&top) = open.peek() else { continue };
        let until = next.peek().map_or(top.end, |piece| top.end.min(piece.first));
        let inside = usize::try_from(here.saturating_sub(top.first)).unwrap_or(usize::MAX);
        let piece = Piece { at: top.at.saturating_add(inside), first: here.max(top.first), end: until };
        match pieces.last_mut().filter(|last| continues(last, &piece)) {
            Some(last) => last.end = until,
            None if until > here => pieces.push(piece),
            None => {}
        }
        here = here.max(until);
    }
}

/// Whether `next` continues `piece`, in the file and in the flattened file.
fn continues(piece: &Piece, next: &Piece) -> bool {
    let length = piece.end.saturating_sub(piece.first);
    piece.end == next.first
        && usize::try_from(length).ok().and_then(|length| piece.at.checked_add(length)) == Some(next.at)
}
