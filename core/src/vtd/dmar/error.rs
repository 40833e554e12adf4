use super::ScopeType;
use core::fmt;
use thiserror::Error;

/// What is wrong in a DMAR table, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("DMAR table, offset {offset}: {problem}")]
pub struct DmarError {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// What was expected and what was found.
    pub problem: Problem,
}

/// What was expected and what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// There is not even a signature, or another one. The first four bytes, zeros where there are none.
    #[error("expected signature \"DMAR\", found \"{}\"", found.escape_ascii())]
    Signature {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// The header is cut short.
    #[error("expected a header of 48 bytes, found {found}")]
    Header {
        /// How many bytes there are.
        found: usize,
    },
    /// The length in the header is less than that of the header, or more than there is.
    #[error("expected a table length of 48 to {given} bytes, found {length}")]
    TableLength {
        /// What the header says.
        length: u32,
        /// How many bytes there are.
        given: usize,
    },
    /// The bytes that are left hold no header of a structure or scope. They are the last.
    #[error("expected the {expected}-byte header of a {what}, found {}", Bytes(*found))]
    Fragment {
        /// A remapping structure, or a device scope.
        what: &'static str,
        /// Size of its header in bytes.
        expected: usize,
        /// How many bytes are left.
        found: usize,
    },
    /// A length that does not even cover itself. Nothing behind it can be found.
    #[error("{part}: expected a length of at least {}, found {length}", Bytes(*expected))]
    Endless {
        /// What has the length.
        part: Part,
        /// Size of its header in bytes.
        expected: usize,
        /// Its length in bytes, as it says.
        length: usize,
    },
    /// A length beyond the end of the table (of a scope: of its structure). It is the last.
    #[error("{part}: expected a length within the {} that are left, found {length}", Bytes(*left))]
    PastEnd {
        /// What has the length.
        part: Part,
        /// Its length in bytes, as it says.
        length: usize,
        /// How many bytes there are from its start.
        left: usize,
    },
    /// A length that does not cover all fields. What follows is read.
    #[error("{part}: expected a length of at least {}, found {length}", Bytes(*expected))]
    Short {
        /// What has the length.
        part: Part,
        /// Size of its fixed part in bytes.
        expected: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// The path of a device scope ends in half a pair. What follows is read.
    #[error("{part}: expected a length of 6 bytes and 2 for each pair of its path, found {length}")]
    HalfPair {
        /// The scope.
        part: Part,
        /// Its length in bytes.
        length: usize,
    },
    /// A reserved memory region runs backwards.
    #[error("expected a region whose limit is not below its base {base:#x}, found limit {limit:#x}")]
    Backwards {
        /// First byte.
        base: u64,
        /// Last byte.
        limit: u64,
    },
    /// The object name of an ACPI namespace device does not end before its structure does.
    #[error("expected an object name that ends with a zero byte, found none")]
    Unterminated,
}

/// A part of the table that says its own length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A remapping structure of this type.
    Structure(u16),
    /// A device scope of this type.
    Scope(ScopeType),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure(kind) => match super::decode::name(*kind) {
                Some(name) => write!(f, "{name} structure"),
                None => write!(f, "remapping structure of type {kind}"),
            },
            Self::Scope(kind) => write!(f, "device scope ({kind})"),
        }
    }
}

struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} byte{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}
