use super::file::{self, Role};
use super::iomem::joined;
use super::{Error, ErrorKind};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use libc::{EFAULT, EPERM};
use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes;

/// `/dev/mem`: memory by its physical address, read a page at a time.
///
/// Only whole pages of the memory that it is told of are asked for: behind other addresses may be devices, whose state
/// a read can change. What the kernel then says about a page becomes
///
/// | the kernel says | the page reads as |
/// |---|---|
/// | EFAULT: above what it maps for itself, or a hole in that | [`ReadErrorKind::Hole`] |
/// | EPERM: CONFIG_STRICT_DEVMEM keeps System RAM from us | [`ReadErrorKind::Io`] with EPERM |
/// | zeros below 1 MiB, where CONFIG_STRICT_DEVMEM is set or may be: it gives them instead of the page | [`ReadErrorKind::Excluded`] |
/// | any other error | [`ReadErrorKind::Io`] with its number |
///
/// It is never written to, and no page is lent.
#[derive(Debug)]
pub struct Devmem {
    path: PathBuf,
    file: Box<dyn ReadPages>,
    ram: Vec<PhysRange>,
    restriction: Restriction,
}

/// What the kernel keeps from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restriction {
    /// A page of memory could be read.
    None,
    /// There is no page that would tell.
    Unknown,
    /// This page of memory was denied.
    Strict(PhysAddr),
}

/// Below it, a page of zeros may stand for one that is kept from us.
const ZEROS_BELOW: PhysAddr = PhysAddr(1 << 20);

impl Devmem {
    /// Opens `path`, which is `/dev/mem` or a file like it, to read the memory at `ram`: mostly that of
    /// [`system_ram`](super::system_ram). One page is read to find out whether memory can be.
    ///
    /// # Errors
    /// The kernel does not let us open it.
    pub fn open(path: impl AsRef<Path>, ram: Vec<PhysRange>) -> Result<Self, Error> {
        let path = path.as_ref();
        Ok(Self::new(path, Box::new(file::open(path, Role::Mem)?), ram))
    }

    fn new(path: &Path, file: Box<dyn ReadPages>, ram: Vec<PhysRange>) -> Self {
        let ram = joined(ram);
        let mut devmem = Self { path: path.to_owned(), file, ram, restriction: Restriction::Unknown };
        devmem.restriction = devmem.restriction();
        devmem
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The page that the kernel denied, if it does not let memory be read (CONFIG_STRICT_DEVMEM).
    #[must_use]
    pub fn denied(&self) -> Option<PhysAddr> {
        match self.restriction {
            Restriction::Strict(page) => Some(page),
            Restriction::None | Restriction::Unknown => None,
        }
    }

    /// It, unless the kernel lets no memory be read.
    pub(super) fn if_not_strict(self) -> Result<Self, Error> {
        match self.denied() {
            None => Ok(self),
            Some(page) => Err(Error { path: self.path, kind: ErrorKind::StrictDevmem(page) }),
        }
    }

    fn restriction(&self) -> Restriction {
        let from = self.ram.partition_point(|range| range.last() <= ZEROS_BELOW);
        let addr = self.ram.get(from).and_then(|range| {
            let first = range.first().max(ZEROS_BELOW).0.checked_next_multiple_of(0x1000)?;
            Some(PhysAddr(first)).filter(|first| self.has(*first))
        });
        let Some(addr) = addr else { return Restriction::Unknown };
        match self.file.read_page(addr, &mut Page::ZERO.clone()) {
            Ok(()) => Restriction::None,
            Err(error) if error.raw_os_error() == Some(EPERM) => Restriction::Strict(addr),
            Err(_) => Restriction::Unknown,
        }
    }

    /// Whether all of the page is memory.
    fn has(&self, addr: PhysAddr) -> bool {
        let page = PhysRange::block(addr, 12);
        self.next_range(page.first()).is_some_and(|range| range.intersection(&page) == Some(page))
    }

    fn page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadErrorKind> {
        if !self.has(addr) {
            return Err(ReadErrorKind::Hole);
        }
        match self.file.read_page(addr.page(), page) {
            Ok(()) if self.is_doubtful(addr, page) => Err(ReadErrorKind::Excluded),
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(EFAULT) => Err(ReadErrorKind::Hole),
            Err(error) => Err(file::page_error(&error)),
        }
    }

    fn is_doubtful(&self, addr: PhysAddr, page: &Page) -> bool {
        addr < ZEROS_BELOW && self.restriction != Restriction::None && page.words().iter().all(|word| word.get() == 0)
    }
}

impl PhysReader for Devmem {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.page(addr, page).map_err(|kind| ReadError::new(addr, kind))
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.ram.get(self.ram.partition_point(|range| range.last() < from)).copied()
    }
}

/// Where pages come from. A single page, since an error behind the first one would lose those before it.
trait ReadPages: Debug + Send + Sync {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> io::Result<()>;
}

impl ReadPages for File {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> io::Result<()> {
        let bytes = page.as_mut_bytes();
        match file::read_up_to(self, addr.0, bytes)? {
            Page::SIZE => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests;
