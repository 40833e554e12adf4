//! What a program's devices are made of, by root, context and PASID entries.

use super::draw::{few, rarely, seldom, weighted};
use arbitrary::{Arbitrary, Result, Unstructured};

/// One context entry. What it says of page tables is for legacy mode.
#[derive(Debug, Clone, Arbitrary)]
pub struct Device {
    #[arbitrary(with = bus)]
    pub bus: u8,
    #[arbitrary(with = devfn)]
    pub devfn: u8,
    /// Which tree; several devices may have the same.
    pub tree: u8,
    #[arbitrary(with = translation_type)]
    pub kind: u8,
    #[arbitrary(with = domain)]
    pub domain: u16,
    /// A width that may not be the tree's.
    #[arbitrary(with = seldom::<_, 16>)]
    pub width: Option<u8>,
    /// Bits 70:67 and FPD; in scalable mode DTE, PRE and FPD.
    #[arbitrary(with = seldom::<_, 3>)]
    pub dress: Option<u8>,
    #[arbitrary(with = seldom::<_, 12>)]
    pub flaw: Option<DeviceFlaw>,
    pub pasids: Pasids,
}

/// One of a few domain-ids, so that devices share them, or any.
fn domain(u: &mut Unstructured<'_>) -> Result<u16> {
    if rarely::<4>(u)? { u.arbitrary() } else { u.int_in_range(0..=3) }
}

fn bus(u: &mut Unstructured<'_>) -> Result<u8> {
    let any = u.arbitrary()?;
    u.choose(&[0, 0, 0, 1, 0x3a, 0xff, any]).copied()
}

fn devfn(u: &mut Unstructured<'_>) -> Result<u8> {
    let any = u.arbitrary()?;
    u.choose(&[0, 8, 0xf8, 0xff, any, any, any]).copied()
}

fn translation_type(u: &mut Unstructured<'_>) -> Result<u8> {
    Ok(weighted(u, &[80, 9, 8, 3])? as u8)
}

#[derive(Debug, Clone, Arbitrary)]
pub enum DeviceFlaw {
    Absent,
    /// A reserved bit in the low word, or in the high one.
    ReservedLow(u8),
    ReservedHigh(u8),
    /// A domain-id wider than the unit has; in scalable mode, a RID_PASID beyond the directory.
    Wide,
    Nowhere(u8),
    /// Beyond the host address width.
    High,
}

/// What sets the root entry of one device's bus apart.
#[derive(Debug, Clone, Arbitrary)]
pub struct RootFlaw {
    pub device: u8,
    pub kind: RootFlawKind,
}

#[derive(Debug, Clone, Arbitrary)]
pub enum RootFlawKind {
    Absent,
    ReservedLow(u8),
    /// In the upper half, which in scalable mode may or may not be the half that the device uses.
    ReservedHigh(u8),
    Nowhere(u8),
    High,
    /// Another bus has the same context table.
    SameTable(u8),
}

/// What only the context entry of scalable mode has; its PASID directory is numbered by [`Device::tree`].
#[derive(Debug, Clone, Arbitrary)]
pub struct Pasids {
    #[arbitrary(with = rarely::<4>)]
    pub disabled: bool,
    pub rid_pasid: RidPasid,
    /// RID_PRIV.
    #[arbitrary(with = rarely::<3>)]
    pub privileged: bool,
    /// A PDTS that is not the directory's.
    #[arbitrary(with = seldom::<_, 12>)]
    pub size: Option<u8>,
}

/// RID_PASID.
#[derive(Debug, Clone)]
pub enum RidPasid {
    Zero,
    /// That of one of the directory's slots.
    Slot(u8),
    /// Hardly one that is there.
    Any(u32),
}

impl<'a> Arbitrary<'a> for RidPasid {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[45, 40, 15])? {
            0 => Self::Zero,
            1 => Self::Slot(u.arbitrary()?),
            _ => Self::Any(u.arbitrary()?),
        })
    }
}

/// A PASID directory.
#[derive(Debug, Clone, Arbitrary)]
pub struct Directory {
    /// PDTS.
    #[arbitrary(with = directory_size)]
    pub size: u8,
    /// After so many of its pages there is a hole.
    #[arbitrary(with = seldom::<_, 6>)]
    pub ends_early: Option<u8>,
    #[arbitrary(with = few::<_, 1, 4>)]
    pub slots: Vec<Slot>,
}

fn directory_size(u: &mut Unstructured<'_>) -> Result<u8> {
    Ok(weighted(u, &[45, 8, 14, 14, 10, 3, 2, 4])? as u8)
}

/// One PASID.
#[derive(Debug, Clone, Arbitrary)]
pub struct Slot {
    #[arbitrary(with = pasid)]
    pub pasid: u32,
    pub kind: Translation,
    /// Which tree of each stage; several slots may have the same.
    pub first: u8,
    pub second: u8,
    #[arbitrary(with = domain)]
    pub domain: u16,
    /// AW or FSPM that may not be the tree's.
    #[arbitrary(with = seldom::<_, 12>)]
    pub levels: Option<u8>,
    #[arbitrary(with = rarely::<4>)]
    pub no_execute_disable: bool,
    #[arbitrary(with = rarely::<4>)]
    pub no_supervisor: bool,
    /// WPE.
    pub write_protect: bool,
    /// FPD of this entry, and of that of the directory.
    #[arbitrary(with = rarely::<8>)]
    pub fault_disabled: bool,
    #[arbitrary(with = rarely::<10>)]
    pub all_faults_disabled: bool,
    /// Fields that have to do with caches, memory types and kinds of requests.
    #[arbitrary(with = seldom::<_, 3>)]
    pub dress: Option<u64>,
    #[arbitrary(with = seldom::<_, 8>)]
    pub flaw: Option<SlotFlaw>,
}

/// Edges of the tables and of the pages of a directory, or anything; mostly one that even a small directory has.
fn pasid(u: &mut Unstructured<'_>) -> Result<u32> {
    let any: u32 = u.arbitrary()?;
    u.choose(&[0, 0, 1, 63, 64, 64 * 127, 64 * 128 - 1, 64 * 511, 64 * 512, any & 0x1fff, any & 0xf_ffff]).copied()
}

/// PGTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    FirstStage,
    SecondStage,
    Nested,
    PassThrough,
    Reserved(u8),
}

impl<'a> Arbitrary<'a> for Translation {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match weighted(u, &[34, 30, 20, 12, 4])? {
            0 => Self::SecondStage,
            1 => Self::FirstStage,
            2 => Self::Nested,
            3 => Self::PassThrough,
            _ => Self::Reserved(*u.choose(&[0, 5, 6, 7])?),
        })
    }
}

#[derive(Debug, Clone, Arbitrary)]
pub enum SlotFlaw {
    Absent,
    /// Any reserved bit, or one of a field that the unit may not have.
    Reserved(u16),
    /// The top tables.
    Nowhere(u8),
    High,
    /// The entry of the directory.
    DirectoryAbsent,
    DirectoryReserved(u8),
    DirectoryNowhere(u8),
    DirectoryHigh,
}
