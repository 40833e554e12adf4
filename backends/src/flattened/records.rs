//! The records of a flattened dump, and what is seen of them.

use super::error::{FlattenedError, FlattenedErrorKind};
use std::collections::BinaryHeap;

/// The signature, with its padding.
pub(crate) const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";
/// Where the records start.
const RECORDS: usize = 4096;
const RECORD_HEADER: usize = 16;

/// Bytes of the file that was flattened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Piece {
    /// Where they lie in the flattened file. First, so that pieces compare by age.
    pub(super) at: usize,
    /// Where they belong.
    pub(super) first: u64,
    /// Behind the last.
    pub(super) end: u64,
}

/// All records that hold anything, and whether the last one is missing.
pub(super) fn records(bytes: &[u8]) -> Result<(Vec<Piece>, bool), FlattenedError> {
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
pub(super) fn newest(mut records: Vec<Piece>) -> Vec<Piece> {
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
