//! From bytes to structures.

use super::records::{Head, Records};
use super::{Andd, Atsr, DeviceScopes, DmarError, Drhd, Part, Problem, Rhsa, Rmrr, Satc, Sidp, Structure};
use crate::address::PhysAddr;
use core::iter::FusedIterator;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// The remapping structures of a table, in table order.
///
/// A malformed one is an error in its place. Those behind it are read as long as its length leads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Structures<'a>(pub(super) Records<'a>);

fn head(bytes: &[u8]) -> Option<(u16, u16)> {
    let (&[kind, length], _) = TypeAndLength::ref_from_prefix(bytes).ok()?;
    Some((kind.get(), length.get()))
}

const HEAD: Head = Head {
    what: "remapping structure",
    size: 4,
    read: |bytes| head(bytes).map(|(kind, length)| (Part::Structure(kind), length.into())),
};

impl<'a> Iterator for Structures<'a> {
    type Item = Result<Structure<'a>, DmarError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.0.next(&HEAD)?;
        Some(record.and_then(|(offset, bytes)| {
            let kind = head(bytes).map_or(0, |(kind, _)| kind);
            Structure::read(offset, kind, bytes)
        }))
    }
}

impl FusedIterator for Structures<'_> {}

/// The short name of a type, if it is known.
pub(super) const fn name(kind: u16) -> Option<&'static str> {
    match kind {
        0 => Some("DRHD"),
        1 => Some("RMRR"),
        2 => Some("ATSR"),
        3 => Some("RHSA"),
        4 => Some("ANDD"),
        5 => Some("SATC"),
        6 => Some("SIDP"),
        _ => None,
    }
}

type TypeAndLength = [U16; 2];

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DrhdFields {
    head: TypeAndLength,
    flags: u8,
    size: u8,
    segment: U16,
    base: U64,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RmrrFields {
    head: TypeAndLength,
    reserved: U16,
    segment: U16,
    base: U64,
    limit: U64,
}

/// Of ATSR, SATC and SIDP; the last has no flags.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SegmentFields {
    head: TypeAndLength,
    flags: u8,
    reserved: u8,
    segment: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RhsaFields {
    head: TypeAndLength,
    reserved: U32,
    base: U64,
    proximity_domain: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct AnddFields {
    head: TypeAndLength,
    reserved: [u8; 3],
    acpi_device_number: u8,
}

impl<'a> Structure<'a> {
    fn read(offset: usize, kind: u16, bytes: &'a [u8]) -> Result<Self, DmarError> {
        Ok(match kind {
            0 => {
                let (fields, scopes) = split::<DrhdFields>(offset, kind, bytes)?;
                let (flags, size, segment) = (fields.flags, fields.size, fields.segment.get());
                Self::Drhd(Drhd { offset, flags, size, segment, base: PhysAddr(fields.base.get()), scopes })
            }
            1 => {
                let (fields, scopes) = split::<RmrrFields>(offset, kind, bytes)?;
                let (base, limit) = (PhysAddr(fields.base.get()), PhysAddr(fields.limit.get()));
                Self::Rmrr(Rmrr { offset, segment: fields.segment.get(), base, limit, scopes })
            }
            2 => {
                let (fields, scopes) = split::<SegmentFields>(offset, kind, bytes)?;
                Self::Atsr(Atsr { offset, flags: fields.flags, segment: fields.segment.get(), scopes })
            }
            3 => {
                let (fields, _) = prefix::<RhsaFields>(offset, kind, bytes)?;
                let proximity_domain = fields.proximity_domain.get();
                Self::Rhsa(Rhsa { offset, base: PhysAddr(fields.base.get()), proximity_domain })
            }
            4 => {
                let (fields, text) = prefix::<AnddFields>(offset, kind, bytes)?;
                Self::Andd(Andd { offset, acpi_device_number: fields.acpi_device_number, text })
            }
            5 => {
                let (fields, scopes) = split::<SegmentFields>(offset, kind, bytes)?;
                Self::Satc(Satc { offset, flags: fields.flags, segment: fields.segment.get(), scopes })
            }
            6 => {
                let (fields, scopes) = split::<SegmentFields>(offset, kind, bytes)?;
                Self::Sidp(Sidp { offset, segment: fields.segment.get(), scopes })
            }
            kind => Self::Unknown { offset, kind, bytes },
        })
    }
}

/// The fixed part of a structure, and what follows it.
fn prefix<F: FromBytes + KnownLayout + Immutable + Unaligned>(
    offset: usize,
    kind: u16,
    bytes: &[u8],
) -> Result<(&F, &[u8]), DmarError> {
    F::ref_from_prefix(bytes).map_err(|_| {
        let (part, expected) = (Part::Structure(kind), size_of::<F>());
        DmarError { offset, problem: Problem::Short { part, expected, length: bytes.len() } }
    })
}

/// The fixed part of a structure, and the device scopes that follow it.
fn split<F: FromBytes + KnownLayout + Immutable + Unaligned>(
    offset: usize,
    kind: u16,
    bytes: &[u8],
) -> Result<(&F, DeviceScopes<'_>), DmarError> {
    let (fields, rest) = prefix::<F>(offset, kind, bytes)?;
    Ok((fields, DeviceScopes(Records::new(rest, offset.saturating_add(size_of::<F>())))))
}
