use iopt::PhysAddr;
use thiserror::Error;

/// An ELF image is malformed, or is no image of physical memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("ELF header at offset {offset:#x}: {kind}")]
pub struct ElfError {
    /// Where in the (decompressed) file the field is that tells, in bytes.
    pub offset: u64,
    /// What is wrong.
    pub kind: ElfErrorKind,
}

/// What is wrong with an ELF image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ElfErrorKind {
    /// The file ends inside its header.
    #[error("expected {expected} bytes, found {found}: the file is cut short")]
    TruncatedHeader {
        /// How many bytes the header has.
        expected: u64,
        /// How many bytes there are.
        found: u64,
    },
    /// The file starts with something else.
    #[error(
        "expected the magic 7f 45 4c 46, found {:02x} {:02x} {:02x} {:02x}",
        found[0], found[1], found[2], found[3]
    )]
    BadMagic {
        /// The bytes in its place.
        found: [u8; 4],
    },
    /// Neither 32 nor 64 bits.
    #[error("expected EI_CLASS 1 (32-bit) or 2 (64-bit), found {found}")]
    Class {
        /// EI_CLASS.
        found: u8,
    },
    /// Neither little-endian nor big-endian.
    #[error("expected EI_DATA 1 (little-endian) or 2 (big-endian), found {found}")]
    ByteOrder {
        /// EI_DATA.
        found: u8,
    },
    /// A version of the format that is not known.
    #[error("expected EI_VERSION 1, found {found}")]
    Version {
        /// EI_VERSION.
        found: u8,
    },
    /// A program, a library or an object file.
    #[error("expected e_type 4 (a core file), found {found}")]
    NotACore {
        /// e_type.
        found: u16,
    },
    /// Program headers of another size than those of the class.
    #[error("expected e_phentsize {expected}, found {found}")]
    ProgramHeaderSize {
        /// The size of a program header of this class.
        expected: u64,
        /// e_phentsize.
        found: u16,
    },
    /// The first section header, which has the number of program headers, is not there.
    #[error("expected at e_shoff, as e_phnum is 0xffff, the section header that has the number; found {found:#x}")]
    NoSectionHeader {
        /// e_shoff.
        found: u64,
    },
    /// The table of program headers does not lie in the file.
    #[error("expected {number} program headers of {size} bytes at e_phoff {start:#x}, found the end at {end:#x}")]
    TruncatedProgramHeaders {
        /// How many there should be.
        number: u32,
        /// The size of each.
        size: u64,
        /// e_phoff.
        start: u64,
        /// The size of the file.
        end: u64,
    },
    /// A segment stores more bytes than it has memory.
    #[error("expected p_filesz up to p_memsz {memory_size:#x}, found {file_size:#x}")]
    FileSize {
        /// p_filesz.
        file_size: u64,
        /// p_memsz.
        memory_size: u64,
    },
    /// A segment does not end in the address space.
    #[error("expected a segment that ends in 64 bits, found p_paddr {start} and p_memsz {size:#x}")]
    Wraps {
        /// p_paddr.
        start: PhysAddr,
        /// p_memsz.
        size: u64,
    },
    /// The writer did not fill in physical addresses: an old `/proc/kcore`, or the core file of a program.
    #[error(
        "expected physical addresses, found p_paddr 0 in each segment and no VMCOREINFO: an old /proc/kcore or the \
         core file of a program"
    )]
    NoPhysicalAddresses,
    /// No segment holds physical memory.
    #[error("expected a PT_LOAD segment with a physical address, found none in {number} program headers")]
    NoMemory {
        /// How many program headers there are.
        number: u32,
    },
}
