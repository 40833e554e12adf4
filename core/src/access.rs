//! What a request wants to do, and what a translation lets it.

use core::fmt;
use core::ops::BitAnd;

/// What a request wants to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Access {
    /// A DMA read.
    Read = Permissions::READ.0,
    /// A DMA write.
    Write = Permissions::WRITE.0,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// Which accesses are let through. Those of a whole path are those of its entries, ANDed.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    /// Nothing is let through.
    pub const NONE: Self = Self(0);
    /// Reads only.
    pub const READ: Self = Self(1);
    /// Writes only.
    pub const WRITE: Self = Self(2);
    /// Reads and writes.
    pub const READ_WRITE: Self = Self(3);

    /// Permissions from their two flags.
    #[must_use]
    pub const fn new(read: bool, write: bool) -> Self {
        Self(read as u8 | (write as u8) << 1)
    }

    /// Whether reads are let through.
    #[must_use]
    pub const fn read(self) -> bool {
        self.0 & Self::READ.0 != 0
    }

    /// Whether writes are let through.
    #[must_use]
    pub const fn write(self) -> bool {
        self.0 & Self::WRITE.0 != 0
    }

    /// Whether this access is let through.
    #[must_use]
    pub const fn allow(self, access: Access) -> bool {
        self.0 & access as u8 != 0
    }
}

impl BitAnd for Permissions {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Two columns, `rw`, with `-` for what is not let through.
impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.read(), self.write()) {
            (true, true) => "rw",
            (true, false) => "r-",
            (false, true) => "-w",
            (false, false) => "--",
        })
    }
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permissions({self})")
    }
}
