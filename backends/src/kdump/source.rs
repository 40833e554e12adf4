use crate::bytes::Bytes;
use crate::extents::Extents;
use crate::flattened::{self, Flattened, FlattenedError};
use crate::sink::{Sink, Stop};
use std::borrow::Cow;
use std::io;
use std::ops::Range;

/// The bytes of a dump, by their offset in its file.
#[derive(Debug)]
pub(crate) enum Source {
    Plain(Bytes),
    Flattened(Flattened),
}

impl Source {
    pub(crate) fn new(bytes: Bytes) -> Result<Self, FlattenedError> {
        Self::Plain(bytes).unflattened()
    }

    /// Seen as the file that was flattened, if it is one.
    pub(crate) fn unflattened(self) -> Result<Self, FlattenedError> {
        match self {
            Self::Plain(bytes) if bytes.as_slice().starts_with(&flattened::SIGNATURE) => {
                Flattened::new(bytes).map(Self::Flattened)
            }
            source => Ok(source),
        }
    }

    /// If it is flattened: whether the stream ends before its last record.
    pub(crate) fn is_stream_truncated(&self) -> Option<bool> {
        match self {
            Self::Plain(_) => None,
            Self::Flattened(flattened) => Some(flattened.truncated()),
        }
    }

    /// Which parts of the file there are, and puts them together in `to` if it is flattened.
    pub(crate) fn assemble(&self, to: &mut Sink) -> Result<Extents, Stop> {
        match self {
            Self::Plain(bytes) => Ok(Extents::whole(bytes.as_slice().len())),
            Self::Flattened(flattened) => flattened.assemble(to),
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Flattened(flattened) => flattened.into_bytes(),
        }
    }

    /// Behind the last byte that is there.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Plain(bytes) => u64::try_from(bytes.as_slice().len()).unwrap_or(u64::MAX),
            Self::Flattened(flattened) => flattened.end(),
        }
    }

    /// The bytes as they were given.
    pub(crate) fn bytes(&self) -> &Bytes {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Flattened(flattened) => flattened.bytes(),
        }
    }

    /// The bytes from `offset` on that lie side by side in memory; empty if there are none.
    fn run(&self, offset: u64) -> &[u8] {
        self.place(offset).and_then(|place| self.bytes().as_slice().get(place)).unwrap_or_default()
    }

    /// Where the bytes from `offset` on are that lie side by side in memory.
    fn place(&self, offset: u64) -> Option<Range<usize>> {
        match self {
            Self::Plain(bytes) => Some(usize::try_from(offset).ok()?..bytes.as_slice().len()),
            Self::Flattened(flattened) => flattened.run(offset),
        }
    }

    /// As many bytes from `offset` on as `room` has, which are wanted once; `None` if they are not all there.
    pub(crate) fn read<'a>(&'a self, offset: u64, room: &'a mut [u8]) -> Option<io::Result<&'a [u8]>> {
        match self.place(offset) {
            Some(place) if place.len() >= room.len() => self.bytes().read(place.start, room),
            _ => self.read_at(offset, room).map(|()| Ok(&*room)),
        }
    }

    /// `length` bytes, if they lie side by side in memory.
    #[inline]
    pub(crate) fn borrow(&self, offset: u64, length: usize) -> Option<&[u8]> {
        self.run(offset).get(..length)
    }

    /// How many bytes are there from `offset` on without a gap, but `most` at most.
    pub(crate) fn available(&self, offset: u64, most: u64) -> u64 {
        let found = match self {
            Self::Plain(_) => u64::try_from(self.run(offset).len()).unwrap_or(u64::MAX),
            Self::Flattened(flattened) => flattened.available(offset),
        };
        found.min(most)
    }

    /// Fills `to` with the bytes from `offset` on, if they are all there.
    pub(crate) fn read_at(&self, mut offset: u64, mut to: &mut [u8]) -> Option<()> {
        while !to.is_empty() {
            let run = self.run(offset);
            let length = run.len().min(to.len());
            if length == 0 {
                return None;
            }
            let (piece, rest) = to.split_at_mut_checked(length)?;
            piece.copy_from_slice(run.get(..length)?);
            offset = offset.checked_add(u64::try_from(length).ok()?)?;
            to = rest;
        }
        Some(())
    }

    /// `length` bytes, borrowed where that can be. No more is allocated than is there.
    pub(crate) fn get(&self, offset: u64, length: u64) -> Option<Cow<'_, [u8]>> {
        let size = usize::try_from(length).ok()?;
        if let Some(bytes) = self.borrow(offset, size) {
            return Some(Cow::Borrowed(bytes));
        }
        if self.available(offset, length) < length {
            return None;
        }
        let mut bytes = vec![0; size];
        self.read_at(offset, &mut bytes)?;
        Some(Cow::Owned(bytes))
    }
}
