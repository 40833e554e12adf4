use super::file::Role;
use super::iomem::{joined, system_ram};
use super::{CoreFile, Devmem, Error, NoMemory, Paths};
use crate::vmcoreinfo::Vmcoreinfo;
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, ranges};
use iopt::{PhysAddr, PhysRange};
use std::path::Path;

/// All memory of a running machine that can be read.
///
/// Its sources are asked one after the other for each page, so that one fills in what another has not: the tables of a
/// capture kernel lie in its own memory, which `/proc/kcore` has, and lead to page tables of the kernel that crashed,
/// which `/proc/vmcore` has. First comes `/proc/kcore`, then `/proc/vmcore`, then `/dev/mem`, each where it can be
/// read.
///
/// A page that no source has is a hole. If one has it and can't deliver it, that source's error is the page's.
#[derive(Debug)]
pub struct Memory {
    sources: Vec<Source>,
    refused: Vec<Error>,
    /// Those of all sources together.
    ranges: Vec<PhysRange>,
}

/// A source of live memory.
#[derive(Debug)]
#[non_exhaustive]
pub enum Source {
    /// `/proc/kcore` or `/proc/vmcore`.
    Core(CoreFile),
    /// `/dev/mem`.
    Devmem(Devmem),
}

impl Source {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Core(core) => core.path(),
            Self::Devmem(devmem) => devmem.path(),
        }
    }
}

impl PhysReader for Source {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        match self {
            Self::Core(core) => core.read_page(addr, page),
            Self::Devmem(devmem) => devmem.read_page(addr, page),
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        match self {
            Self::Core(core) => core.next_range(from),
            Self::Devmem(devmem) => devmem.next_range(from),
        }
    }
}

impl Memory {
    /// Opens every source that there is.
    ///
    /// # Errors
    /// There is none: each says why.
    pub fn open(paths: &Paths) -> Result<Self, NoMemory> {
        let core = |path, role| CoreFile::open_role(path, role).map(Source::Core);
        let tried = [core(&paths.kcore, Role::Kcore), core(&paths.vmcore, Role::Vmcore), devmem(paths)];
        let (mut sources, mut refused) = (Vec::new(), Vec::new());
        for source in tried {
            match source {
                Ok(source) => sources.push(source),
                Err(error) => refused.push(error),
            }
        }
        if sources.is_empty() {
            return Err(NoMemory(refused));
        }
        let ranges = joined(sources.iter().flat_map(ranges).collect());
        Ok(Self { sources, refused, ranges })
    }

    /// What is read, in the order in which it is asked.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// What is not read, and why.
    #[must_use]
    pub fn refused(&self) -> &[Error] {
        &self.refused
    }

    /// What the running kernel tells about itself, or in a capture kernel the one that crashed.
    #[must_use]
    pub fn vmcoreinfo(&self) -> Option<Vmcoreinfo<'_>> {
        self.sources.iter().find_map(|source| match source {
            Source::Core(core) => core.vmcoreinfo(),
            Source::Devmem(_) => None,
        })
    }

    /// Reads the page that holds `addr`, and tells which source had it.
    ///
    /// # Errors
    /// As [`read_page`](PhysReader::read_page).
    pub fn read_from(&self, addr: PhysAddr, page: &mut Page) -> Result<&Source, ReadError> {
        let mut error = ReadError::new(addr, ReadErrorKind::Hole);
        for source in &self.sources {
            match source.read_page(addr, page) {
                Ok(()) => return Ok(source),
                // That one has no such page says nothing about another that has it and fails.
                Err(other) if error.kind == ReadErrorKind::Hole => error = other,
                Err(_) => {}
            }
        }
        Err(error)
    }
}

impl PhysReader for Memory {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.read_from(addr, page).map(|_| ())
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.ranges.get(self.ranges.partition_point(|range| range.last() < from)).copied()
    }
}

/// `/dev/mem`, if memory can be read through it.
fn devmem(paths: &Paths) -> Result<Source, Error> {
    // It says more that there is no such device than that its memory is not known.
    Devmem::open(&paths.mem, Vec::new())?;
    Devmem::open(&paths.mem, system_ram(&paths.iomem)?)?.if_not_strict().map(Source::Devmem)
}
