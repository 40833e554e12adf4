use crate::access::Permissions;
use crate::address::{Iova, PhysAddr};

/// Leaves side by side, which lead to memory side by side: one for a start, for reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaves {
    pub(super) level: u8,
    pub(super) iova: Iova,
    pub(super) phys: PhysAddr,
    pub(super) count: u64,
    pub(super) permissions: Permissions,
    pub(super) bits: u64,
}

impl Leaves {
    const fn new(level: u8, iova: Iova, phys: PhysAddr) -> Self {
        Self { level, iova, phys, count: 1, permissions: Permissions::READ_WRITE, bits: 0 }
    }

    /// A leaf of 4 KiB.
    #[must_use]
    pub const fn of_4k(iova: Iova, phys: PhysAddr) -> Self {
        Self::new(1, iova, phys)
    }

    /// A leaf of 2 MiB.
    #[must_use]
    pub const fn of_2m(iova: Iova, phys: PhysAddr) -> Self {
        Self::new(2, iova, phys)
    }

    /// A leaf of 1 GiB.
    #[must_use]
    pub const fn of_1g(iova: Iova, phys: PhysAddr) -> Self {
        Self::new(3, iova, phys)
    }

    /// So many of them.
    #[must_use]
    pub const fn times(self, count: u64) -> Self {
        Self { count, ..self }
    }

    /// With other permissions. A first stage can't let only writes through.
    #[must_use]
    pub const fn permissions(self, permissions: Permissions) -> Self {
        Self { permissions, ..self }
    }

    /// With these bits set too, such as SNP, memory attributes or a reserved one.
    #[must_use]
    pub const fn bits(self, bits: u64) -> Self {
        Self { bits, ..self }
    }
}
