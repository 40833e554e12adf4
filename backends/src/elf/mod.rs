//! ELF core files of physical memory: what `/proc/vmcore` gives, makedumpfile and QEMU write.

mod error;
mod layout;
mod notes;
mod read;
mod source;

pub use error::{ElfError, ElfErrorKind};
pub use notes::{Note, NoteError, Notes};
pub(crate) use read::read;
#[cfg(all(feature = "live", target_os = "linux"))]
pub(crate) use read::read_headers;
pub(crate) use source::{Kept, Source};

use crate::segments::Segments;
use crate::vmcoreinfo::Vmcoreinfo;
use std::fmt;
use std::ops::Range;

/// What the headers of an ELF image say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Elf {
    /// The width of addresses in the headers; the machine's may be larger.
    pub class: ElfClass,
    /// The byte order of the headers, which is that of the machine.
    pub byte_order: ByteOrder,
    /// The kind of processor, e_machine: 62 is x86-64.
    pub machine: u16,
    /// Whether makedumpfile says that it could not write all, as on a full disk. What is missing for that reason
    /// may stand in no header.
    pub incomplete: bool,
    /// Size in bytes that the (decompressed) file must have to hold all segments. If it is shorter, it is cut short.
    pub expected_size: u64,
    /// Size in bytes that it has; of a flattened file, once it is put together. Where that is not known, as in `/proc`,
    /// the size that it must have.
    pub file_size: u64,
    /// Whether the file came flattened: in a stream of records.
    pub flattened: bool,
    /// Whether such a stream ends before its last record. What is missing for that reason reads as lost, or as behind
    /// the end of the file.
    pub stream_truncated: bool,
    /// Where the notes are.
    notes: Vec<Range<usize>>,
}

impl Elf {
    pub(crate) fn notes<'i>(&'i self, file: &'i [u8]) -> Notes<'i> {
        Notes::new(file, self.byte_order, &self.notes)
    }

    /// Reads the notes, of which `most` bytes at most are kept, and has them found in what it returns from now on.
    /// Those that can't be read are left out: they are no reason to refuse the memory.
    #[cfg(all(feature = "live", target_os = "linux"))]
    pub(crate) fn take_notes<S: Source>(&mut self, file: &S, most: usize) -> Vec<u8> {
        let mut kept = Vec::new();
        for note in &mut self.notes {
            let size = note.len().min(most.saturating_sub(kept.len()));
            let start = kept.len();
            if let Ok(bytes) = file.bytes(in_file(note.start), in_file(size)) {
                kept.extend_from_slice(&bytes);
            }
            *note = start..kept.len();
        }
        kept
    }

    pub(crate) fn vmcoreinfo<'i>(&'i self, file: &'i [u8]) -> Option<Vmcoreinfo<'i>> {
        let mut notes = self.notes(file).filter_map(Result::ok);
        notes.find(|note| note.name == b"VMCOREINFO").map(|note| Vmcoreinfo::new(note.contents))
    }
}

/// An ELF image, read.
pub(crate) struct Core {
    pub(crate) segments: Segments,
    pub(crate) elf: Elf,
    /// Whether any segment has an address other than 0.
    any_addr: bool,
    /// Where the program headers are.
    table: u64,
}

impl Core {
    /// Whether the addresses mean anything: 0 in each segment is one only where a kernel tells about itself.
    pub(crate) fn check_addresses(&self, has_vmcoreinfo: bool) -> Result<(), ElfError> {
        let kind = ElfErrorKind::NoPhysicalAddresses;
        if self.any_addr || has_vmcoreinfo { Ok(()) } else { Err(ElfError { offset: self.table, kind }) }
    }
}

/// The width of addresses in an ELF image. [`Display`](fmt::Display) writes `32-bit` or `64-bit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElfClass {
    /// ELFCLASS32.
    Elf32,
    /// ELFCLASS64.
    Elf64,
}

impl fmt::Display for ElfClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Elf32 => "32-bit",
            Self::Elf64 => "64-bit",
        })
    }
}

/// The byte order of an image. [`Display`](fmt::Display) writes `little-endian` or `big-endian`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ByteOrder {
    /// The low byte first.
    Little,
    /// The high byte first.
    Big,
}

impl ByteOrder {
    fn u32(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

impl fmt::Display for ByteOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        })
    }
}

fn in_file(offset: usize) -> u64 {
    u64::try_from(offset).unwrap_or(u64::MAX)
}
