//! The address spaces that a translation joins, and the names of who asks.
//!
//! Each number has a type of its own, so that an IOVA can't be taken for a physical address. The raw
//! value is the public field `.0`.

use core::fmt;

/// A byte address in the memory of the host: what tables live at and what translations lead to.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhysAddr(pub u64);

/// A byte address as a device emits it (I/O virtual address): what a translation starts from.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Iova(pub u64);

/// Size of a table page, and of the smallest leaf, in bytes.
pub const PAGE_SIZE: u64 = 4096;

impl PhysAddr {
    /// The address of the 4 KiB page that holds this byte.
    #[must_use]
    pub const fn page(self) -> Self {
        Self(self.0 & !(PAGE_SIZE - 1))
    }

    /// The address `bytes` higher, or `None` past the end of the 64-bit space.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

macro_rules! address_traits {
    ($type:ident) => {
        impl From<u64> for $type {
            fn from(raw: u64) -> Self {
                Self(raw)
            }
        }
        impl From<$type> for u64 {
            fn from(address: $type) -> Self {
                address.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({:#x})"), self.0)
            }
        }
    };
}
address_traits!(PhysAddr);
address_traits!(Iova);

/// A non-empty stretch of addresses, from its first to its last byte.
///
/// The last address is inclusive, so that the last page of a 64-bit space can be said.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange<A> {
    first: A,
    last: A,
}

/// A stretch of I/O virtual addresses, both ends inclusive.
pub type IovaRange = AddressRange<Iova>;
/// A stretch of physical addresses, both ends inclusive.
pub type PhysRange = AddressRange<PhysAddr>;

impl<A: Copy + Ord + From<u64> + Into<u64>> AddressRange<A> {
    /// The range from `first` to `last`, both inclusive; `None` if it runs backwards.
    #[must_use]
    pub fn new(first: A, last: A) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The range between two addresses of which the second is known not to lie below the first.
    #[inline(always)]
    pub(crate) fn from_to(first: A, last: A) -> Self {
        Self { first, last }
    }

    /// The whole 64-bit space.
    #[must_use]
    pub fn all() -> Self {
        Self { first: A::from(0), last: A::from(u64::MAX) }
    }

    /// The naturally aligned block of 2^`size_log2` bytes that holds `address`.
    ///
    /// A `size_log2` of 64 or more is the whole space.
    #[must_use]
    pub fn block(address: A, size_log2: u8) -> Self {
        let inside = match 1u64.checked_shl(u32::from(size_log2)) {
            Some(size) => size.wrapping_sub(1),
            None => u64::MAX,
        };
        let raw: u64 = address.into();
        Self { first: A::from(raw & !inside), last: A::from(raw | inside) }
    }

    /// The first byte.
    #[must_use]
    pub fn first(&self) -> A {
        self.first
    }

    /// The last byte, inclusive.
    #[must_use]
    pub fn last(&self) -> A {
        self.last
    }

    /// Size in bytes; the whole 64-bit space has 2^64.
    #[must_use]
    pub fn size(&self) -> u128 {
        let (first, last): (u64, u64) = (self.first.into(), self.last.into());
        u128::from(last.wrapping_sub(first)).wrapping_add(1)
    }

    /// Whether `address` lies inside.
    #[must_use]
    pub fn contains(&self, address: A) -> bool {
        self.first <= address && address <= self.last
    }

    /// What both ranges have in common, if anything.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }
}

impl<A: fmt::Display> fmt::Display for AddressRange<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl<A: fmt::Display> fmt::Debug for AddressRange<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Who sent a request: the PCI requester id, bus in bits 15:8, device in 7:3, function in 2:0.
///
/// Bits 7:0 together are the *devfn*, the index into a context table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

impl SourceId {
    /// The source-id of `devfn` (device and function) on `bus`.
    #[must_use]
    pub const fn new(bus: u8, devfn: u8) -> Self {
        Self(u16::from_be_bytes([bus, devfn]))
    }

    /// The bus number.
    #[must_use]
    pub const fn bus(self) -> u8 {
        self.0.to_be_bytes()[0]
    }

    /// Device and function in one byte.
    #[must_use]
    pub const fn devfn(self) -> u8 {
        self.0.to_be_bytes()[1]
    }

    /// The device number, 0 to 31.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.devfn() >> 3
    }

    /// The function number, 0 to 7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.devfn() & 7
    }
}

/// Written as PCI tools do: `bus:device.function` in hexadecimal, `00:1f.2`.
impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{}", self.bus(), self.device(), self.function())
    }
}

/// Process address space id: which of a device's address spaces a request names, 20 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pasid(pub u32);

impl fmt::Display for Pasid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who sent a request, and for which of its address spaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requester {
    /// The device.
    pub source_id: SourceId,
    /// The PASID that the request carries, if it carries one.
    pub pasid: Option<Pasid>,
}

impl From<SourceId> for Requester {
    fn from(source_id: SourceId) -> Self {
        Self { source_id, pasid: None }
    }
}

/// Written as `bus:device.function`, with `@PASID` behind it where there is one.
impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pasid {
            None => self.source_id.fmt(f),
            Some(pasid) => write!(f, "{}@{pasid}", self.source_id),
        }
    }
}

/// The tag under which a unit caches translations: contexts with equal ids should share one table.
///
/// It is no key: a crashed machine's tables can hold one domain-id for two different page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u16);

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_page_of_the_space_is_a_range_like_any_other() {
        let last = IovaRange::block(Iova(u64::MAX), 12);
        assert_eq!(last.first(), Iova(0xffff_ffff_ffff_f000));
        assert_eq!(last.last(), Iova(u64::MAX));
        assert_eq!(last.size(), 4096);
        assert_eq!(IovaRange::all().size(), 1 << 64);
        assert_eq!(IovaRange::block(Iova(5), 64), IovaRange::all());
    }

    #[test]
    fn a_backward_range_is_none() {
        assert_eq!(PhysRange::new(PhysAddr(2), PhysAddr(1)), None);
        assert!(PhysRange::new(PhysAddr(1), PhysAddr(1)).is_some());
    }

    #[test]
    fn ranges_intersect_in_what_both_hold() {
        let low = IovaRange::new(Iova(0), Iova(0x1fff));
        let high = IovaRange::new(Iova(0x1000), Iova(0x2fff));
        let both = low.and_then(|low| low.intersection(&high?));
        assert_eq!(both, IovaRange::new(Iova(0x1000), Iova(0x1fff)));
    }

    #[test]
    fn a_source_id_reads_as_bus_device_function() {
        let source = SourceId::new(0x3a, 0xfa);
        assert_eq!((source.bus(), source.device(), source.function()), (0x3a, 0x1f, 2));
        assert_eq!(std::format!("{source}"), "3a:1f.2");
    }
}
