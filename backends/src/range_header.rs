//! The header of 32 bytes that stands before each range of memory in LiME and AVML images.

use iopt::PhysAddr;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct RangeHeader {
    pub(crate) magic: [u8; 4],
    pub(crate) version: U32,
    pub(crate) first: U64,
    /// Inclusive.
    pub(crate) last: U64,
    pub(crate) reserved: [u8; 8],
}

impl RangeHeader {
    pub(crate) const SIZE: usize = size_of::<Self>();

    /// The first and the last address.
    pub(crate) fn ends(&self) -> (PhysAddr, PhysAddr) {
        (PhysAddr(self.first.get()), PhysAddr(self.last.get()))
    }
}
