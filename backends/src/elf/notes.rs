use super::ByteOrder;
use std::ops::Range;
use std::slice;
use thiserror::Error;

/// A note of an ELF image: what its writer knew beside the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'i> {
    /// Who defines it, without the zero behind it: `CORE`, `VMCOREINFO`, `QEMU`.
    pub name: &'i [u8],
    /// What it is, among the notes of this name.
    pub kind: u32,
    /// What it says.
    pub contents: &'i [u8],
}

/// A note is malformed. Those before it are good, and so is the memory of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("ELF note at offset {offset:#x}: expected {expected} bytes, found {found} up to the end of the notes")]
pub struct NoteError {
    /// Where in the (decompressed) file the note starts, in bytes.
    pub offset: u64,
    /// How many bytes it should have.
    pub expected: u64,
    /// How many bytes there are.
    pub found: u64,
}

/// The notes of an image, in the order of the file; see [`Image::notes`](crate::Image::notes).
///
/// Behind a malformed note, the rest of its segment can't be told apart: the next item is of the next segment.
#[derive(Clone, Debug)]
pub struct Notes<'i> {
    file: &'i [u8],
    byte_order: ByteOrder,
    segments: slice::Iter<'i, Range<usize>>,
    /// What is left of the segment that is being read.
    rest: Range<usize>,
}

const HEADER_SIZE: usize = 12;
/// Name and contents are filled up to a multiple of this, in both classes.
const ALIGNMENT: usize = 4;

impl<'i> Notes<'i> {
    pub(crate) fn new(file: &'i [u8], byte_order: ByteOrder, segments: &'i [Range<usize>]) -> Self {
        Self { file, byte_order, segments: segments.iter(), rest: 0..0 }
    }

    /// The note at the start of `bytes`, and how many of them it takes; or how many it should have.
    fn note(&self, bytes: &'i [u8]) -> Result<(Note<'i>, usize), usize> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_SIZE>().ok_or(HEADER_SIZE)?;
        let word = |at: usize| {
            let bytes = header.get(at..).and_then(|bytes| bytes.first_chunk()).copied();
            self.byte_order.u32(bytes.unwrap_or_default())
        };
        let size = |at| usize::try_from(word(at)).unwrap_or(usize::MAX);
        let (name_size, size) = (size(0), size(4));
        let padded = name_size.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX);
        let expected = HEADER_SIZE.saturating_add(padded).saturating_add(size);
        let name = rest.get(..name_size).ok_or(expected)?;
        let contents = rest.get(padded..).and_then(|rest| rest.get(..size)).ok_or(expected)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let note = Note { name, kind: word(8), contents };
        // What fills up the last one may be missing: the next then starts behind the end, where there is none.
        Ok((note, expected.checked_next_multiple_of(ALIGNMENT).unwrap_or(usize::MAX)))
    }
}

impl<'i> Iterator for Notes<'i> {
    type Item = Result<Note<'i>, NoteError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let bytes = self.file.get(self.rest.clone()).unwrap_or_default();
            // A kernel ends its notes with an empty one, and zeros fill up the rest.
            if bytes.iter().take(HEADER_SIZE).all(|byte| *byte == 0) {
                self.rest = self.segments.next()?.clone();
                continue;
            }
            return Some(match self.note(bytes) {
                Ok((note, size)) => {
                    self.rest.start = self.rest.start.saturating_add(size);
                    Ok(note)
                }
                Err(expected) => {
                    let [offset, expected, found] = [self.rest.start, expected, bytes.len()].map(super::in_file);
                    self.rest.start = self.rest.end;
                    Err(NoteError { offset, expected, found })
                }
            });
        }
    }
}
