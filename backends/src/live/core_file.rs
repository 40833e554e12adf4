use super::file::{self, Role};
use super::{Error, ErrorKind};
use crate::elf::{self, Elf, Notes, Source};
use crate::missing::Missing;
use crate::segments::Segments;
use crate::vmcoreinfo::Vmcoreinfo;
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use std::borrow::Cow;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An ELF core file of physical memory that is read a page at a time, where one can't or must not be mapped:
/// `/proc/kcore`, `/proc/vmcore`, or a file on a medium that fails.
///
/// The sizes of such files mean nothing, so none is looked at: [`next_range`](PhysReader::next_range) tells what the
/// headers say, and a page behind the end of the file reads as [`ReadErrorKind::Io`] without an error number. A page
/// that the kernel can't read fails alone, with its error number. No page is lent.
///
/// The headers are those of the moment of opening: memory that is plugged in later is not known.
#[derive(Debug)]
pub struct CoreFile {
    path: PathBuf,
    file: File,
    segments: Segments,
    elf: Elf,
    notes: Vec<u8>,
}

/// Room for 299,593 program headers. The kernel writes 65,535 at most.
const MOST_HEADERS: u64 = 16 << 20;
/// A note for each of some ten thousand processors.
const MOST_NOTES: usize = 16 << 20;
const PIECE: usize = 1 << 16;

impl CoreFile {
    /// The memory of the running kernel, `/proc/kcore`.
    ///
    /// It has what the kernel maps for itself, the System RAM of `/proc/iomem`. A page that is offline or broken reads
    /// as zeros.
    ///
    /// # Errors
    /// The kernel does not let us, or its headers have no physical addresses, as before Linux 4.11.
    pub fn kcore() -> Result<Self, Error> {
        Self::open_role("/proc/kcore".as_ref(), Role::Kcore)
    }

    /// The memory of the kernel that crashed, as its capture kernel sees it, `/proc/vmcore`.
    ///
    /// # Errors
    /// This is no capture kernel, or it does not let us.
    pub fn vmcore() -> Result<Self, Error> {
        Self::open_role("/proc/vmcore".as_ref(), Role::Vmcore)
    }

    /// Any ELF core file of physical memory.
    ///
    /// ```
    /// # use std::io::Write;
    /// use iopt::memory::ranges;
    /// use iopt_backends::{live::CoreFile, open};
    ///
    /// let image = open("tests/corpus/kdump-on/vmcore.elf.xz")?;
    /// # let mut file = tempfile::NamedTempFile::new()?;
    /// # file.write_all(image.as_bytes())?;
    /// # let path = file.path();
    /// let core = CoreFile::open(path)?; // not compressed
    /// assert!(ranges(&core).eq(ranges(&image)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// It can't be opened or read, or its headers are malformed or have no physical addresses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_role(path.as_ref(), Role::Other)
    }

    pub(super) fn open_role(path: &Path, role: Role) -> Result<Self, Error> {
        let file = file::open(path, role)?;
        let headers = || {
            let source = Headers { file: &file, role };
            let mut core = elf::read_headers(&source)?;
            let notes = core.elf.take_notes(&source, MOST_NOTES);
            core.check_addresses(core.elf.vmcoreinfo(&notes).is_some())?;
            Ok((core, notes))
        };
        let (core, notes) = headers().map_err(|kind| Error { path: path.to_owned(), kind })?;
        Ok(Self { path: path.to_owned(), file, segments: core.segments, elf: core.elf, notes })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the headers say.
    #[must_use]
    pub fn elf(&self) -> &Elf {
        &self.elf
    }

    /// Memory that the machine had and that the file has not: what its headers leave out.
    pub fn missing(&self) -> impl Iterator<Item = Missing> + '_ {
        self.segments.missing().iter().copied()
    }

    /// The notes, in the order of the file. Those that can't be read, and what is more than 16 MiB, are left out.
    #[must_use]
    pub fn notes(&self) -> Notes<'_> {
        self.elf.notes(&self.notes)
    }

    /// What the Linux kernel in the file tells about itself, if it does.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<Vmcoreinfo<'_>> {
        self.elf.vmcoreinfo(&self.notes)
    }
}

impl PhysReader for CoreFile {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.segments.copy_from(addr, page, |offset, piece| {
            let offset = u64::try_from(offset).unwrap_or(u64::MAX);
            match file::read_up_to(&self.file, offset, piece) {
                Ok(read) if read == piece.len() => Ok(()),
                Ok(_) => Err(ReadErrorKind::Io(0)),
                Err(error) => Err(file::page_error(&error)),
            }
        })
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.segments.next_range(from)
    }
}

/// The file while its headers are read.
struct Headers<'f> {
    file: &'f File,
    role: Role,
}

impl Source for Headers<'_> {
    type Error = ErrorKind;

    fn end(&self) -> Option<u64> {
        None
    }

    fn find(&self, offset: u64, size: u64) -> Range<usize> {
        let [start, end] = [offset, offset.saturating_add(size)].map(|at| usize::try_from(at).unwrap_or(usize::MAX));
        start..end
    }

    fn bytes(&self, offset: u64, size: u64) -> Result<Cow<'_, [u8]>, ErrorKind> {
        if size > MOST_HEADERS {
            return Err(ErrorKind::ElfHeadersTooLarge { most: MOST_HEADERS, found: size });
        }
        let size = usize::try_from(size).unwrap_or(0);
        let mut bytes = Vec::new();
        // A piece at a time: that a header asks for them does not mean that they are there.
        while bytes.len() < size {
            let done = bytes.len();
            bytes.resize(done.saturating_add(PIECE).min(size), 0);
            let piece = bytes.get_mut(done..).unwrap_or_default();
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            let read = file::read_up_to(self.file, at, piece).map_err(|error| ErrorKind::read(self.role, at, error))?;
            if read < piece.len() {
                bytes.truncate(done.saturating_add(read));
                break;
            }
        }
        Ok(Cow::Owned(bytes))
    }
}
