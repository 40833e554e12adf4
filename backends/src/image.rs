use crate::bytes::Bytes;
use crate::compressed::Compression;
use crate::detect::Format;
use crate::elf::{ByteOrder, Elf, Notes};
use crate::kdump::Kdump;
use crate::missing::{Covered, Missing};
use crate::prefetch::prefetch;
use crate::segments::Segments;
use crate::vmcoreinfo::Vmcoreinfo;
use iopt::memory::{Page, PhysReader, ReadError};
use iopt::{PhysAddr, PhysRange};
use std::borrow::Cow;

/// A memory image: physical memory as some tool saved it.
///
/// Pages are lent wherever a page lies whole in one range of the image; a page that several adjacent ranges share
/// is copied together. Ranges come with neighbours joined, so a page is there exactly if one range holds all of
/// it: part of a page, as at the end of a raw file of odd length, reads as a hole, or as [`Image::missing`] says.
#[derive(Debug)]
pub struct Image {
    pub(crate) bytes: Bytes,
    pub(crate) segments: Segments,
    pub(crate) format: Format,
    pub(crate) compression: Option<Compression>,
    pub(crate) size: u64,
    pub(crate) elf: Option<Elf>,
    /// Has all of the memory, where pages are compressed one by one; there are no segments then.
    pub(crate) kdump: Option<Box<Kdump>>,
    /// The VMCOREINFO of that, which may lie in parts in the file.
    pub(crate) kdump_info: Option<Vec<u8>>,
}

impl Image {
    /// An image of `size` bytes in a file, of which nothing is read yet.
    pub(crate) fn new(format: Format, compression: Option<Compression>, size: u64) -> Self {
        Self {
            bytes: Bytes::Memory(Cow::Borrowed(&[])),
            segments: Segments::default(),
            format,
            compression,
            size,
            elf: None,
            kdump: None,
            kdump_info: None,
        }
    }
}

impl Image {
    /// The format of the image, inside any compression.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The compression around the image, if there is one.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The bytes of the image as they lie in the file, decompressed; of an AVML image, all of its memory side by side,
    /// and of a flattened ELF file, all that its records hold.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.kdump.as_ref().map_or(self.bytes.as_slice(), |kdump| kdump.as_bytes())
    }

    /// Size in bytes of the file, or of the bytes, as they were given: before any decompression.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Memory that the machine had and that the image has not, ascending, without overlap, neighbours of one reason
    /// joined.
    ///
    /// It is what the image itself tells: [`Elf::expected_size`] and [`Elf::incomplete`] say what else may be amiss.
    /// A page of which a part is missing reads as the [reason](crate::MissingReason) says. What a kdump-compressed file
    /// has not is found while it is asked for, in time in proportion to the machine's memory.
    pub fn missing(&self) -> impl Iterator<Item = Missing> + '_ {
        let pages = self.kdump.iter().flat_map(|kdump| kdump.missing());
        self.segments.missing().iter().copied().chain(pages)
    }

    /// What the headers say, if the image is of [`Format::Elf`].
    #[must_use]
    pub fn elf(&self) -> Option<&Elf> {
        self.elf.as_ref()
    }

    /// What the headers say and what became of its pages, if the image is of [`Format::Kdump`].
    #[must_use]
    pub fn kdump(&self) -> Option<&Kdump> {
        self.kdump.as_deref()
    }

    /// The notes, in the order of the file; none in a format that has none.
    ///
    /// ```
    /// let image = iopt_backends::open("tests/corpus/kdump-on/vmcore.elf.xz")?;
    /// let names: Vec<String> = image
    ///     .notes()
    ///     .map(|note| Ok(note?.name.escape_ascii().to_string()))
    ///     .collect::<Result<_, iopt_backends::NoteError>>()?;
    /// assert_eq!(names, ["CORE", "VMCOREINFO"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn notes(&self) -> Notes<'_> {
        let none = || Notes::new(&[], ByteOrder::Little, &[]);
        self.elf.as_ref().map_or_else(none, |elf| elf.notes(self.as_bytes()))
    }

    /// What the Linux kernel in the image tells about itself, if it does; of several notes the first.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<Vmcoreinfo<'_>> {
        match (&self.elf, &self.kdump_info) {
            (Some(elf), _) => elf.vmcoreinfo(self.as_bytes()),
            (None, info) => info.as_deref().map(Vmcoreinfo::new),
        }
    }
}

impl Image {
    /// Puts what the image has of the page at `first` into `page`, but for the bytes that are `covered` already.
    pub(crate) fn add_parts(&self, first: PhysAddr, page: &mut [u8], covered: &mut Covered) -> Option<()> {
        // A kdump-compressed file has a page whole or not at all.
        self.segments.add_parts(self.bytes.as_slice(), first, page, covered)
    }
}

impl PhysReader for Image {
    // Apart from the path of a reader that lends, so that this path stays small.
    #[inline(never)]
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        if let Some(kdump) = &self.kdump {
            return kdump.read_page(addr, page);
        }
        match self.segments.lend(self.bytes.as_slice(), addr) {
            Some(lent) => {
                page.clone_from(lent);
                Ok(())
            }
            None => self.segments.copy(self.bytes.as_slice(), addr, page),
        }
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        match self.segments.lend(self.bytes.as_slice(), addr) {
            Some(page) => Some(page),
            None => self.kdump.as_ref()?.lend_page(addr),
        }
    }

    #[inline]
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        // Of a kdump-compressed file it would take as long to find the page as to read it.
        if let Some(page) = self.segments.lend(self.bytes.as_slice(), addr) {
            prefetch(page, usize::try_from(addr.0 % 4096).unwrap_or(0), bytes);
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        match &self.kdump {
            Some(kdump) => kdump.next_range(from),
            None => self.segments.next_range(from),
        }
    }
}
