use super::file::Role;
use crate::elf::ElfError;
use iopt::PhysAddr;
use iopt::vtd::dmar::DmarError;
use std::fmt;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// A file of a running machine does not give what it should. One line says why, and what usually is the reason.
#[derive(Debug, Error)]
#[error("{}: {kind}", path.display())]
pub struct Error {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// Why a file of a running machine does not give what it should.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The kernel did not let us at the file.
    #[error("can't be opened: {error}{}", Because(*reason))]
    Open {
        /// What the kernel says.
        error: io::Error,
        /// What that usually means for this file.
        reason: Option<&'static str>,
    },
    /// The file opens, but does not read.
    #[error("can't be read at offset {offset:#x}: {error}{}", Because(*reason))]
    Read {
        /// Where in the file, in bytes.
        offset: u64,
        /// What the kernel says.
        error: io::Error,
        /// What that usually means for this file.
        reason: Option<&'static str>,
    },
    /// The registers of a unit can't be mapped.
    #[error("the registers at {base} can't be mapped: {error}{}", Because(*reason))]
    Map {
        /// Where the registers are.
        base: PhysAddr,
        /// What the kernel says.
        error: io::Error,
        /// What that usually means.
        reason: Option<&'static str>,
    },
    /// The ELF headers are malformed, or have no physical addresses.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The ELF headers need more room than headers ever do.
    #[error("expected up to {most} bytes of program headers, found {found}")]
    ElfHeadersTooLarge {
        /// The limit, in bytes.
        most: u64,
        /// Their size in bytes.
        found: u64,
    },
    /// The file holds more than such a file ever does.
    #[error("expected up to {most} bytes, found more")]
    TooLarge {
        /// The limit, in bytes.
        most: u64,
    },
    /// The DMAR table is malformed.
    #[error(transparent)]
    Dmar(#[from] DmarError),
    /// There is no memory among the addresses, or they are hidden.
    #[error("expected the addresses of System RAM, found none: they are hidden from all but root (CAP_SYS_ADMIN)")]
    NoSystemRam,
    /// Memory can't be read through this file; the page is the first one that was tried.
    #[error("expected to read memory, found page {0} denied: the kernel was built with CONFIG_STRICT_DEVMEM")]
    StrictDevmem(PhysAddr),
    /// Registers start at a page.
    #[error("expected registers at a multiple of 0x1000, found them said to be at {0}")]
    RegistersMisaligned(PhysAddr),
    /// All bits of the registers are 1: nobody answers there.
    #[error("expected the registers of a unit at {0}, found all bits 1: no unit answers")]
    NoRegisters(PhysAddr),
}

/// No source of live memory can be read: why each of them can't.
#[derive(Debug, Error)]
#[error("expected live memory, found none: {}", Joined(.0))]
pub struct NoMemory(pub Vec<Error>);

impl ErrorKind {
    pub(super) fn open(role: Role, error: io::Error) -> Self {
        let reason = role.reason_not_to_open(&error);
        Self::Open { error, reason }
    }

    pub(super) fn read(role: Role, offset: u64, error: io::Error) -> Self {
        let reason = role.reason_not_to_read(&error);
        Self::Read { offset, error, reason }
    }
}

struct Because(Option<&'static str>);

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

struct Joined<'e>(&'e [Error]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}
