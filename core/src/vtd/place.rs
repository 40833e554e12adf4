use super::Bits;
use crate::address::{Iova, Pasid, PhysAddr, SourceId};
use core::fmt;

/// The entry that a [`Fault`](super::Fault) is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What kind of table it is in.
    pub structure: Structure,
    /// The table.
    pub table: PhysAddr,
    /// The index of the entry in it.
    pub index: u16,
    /// The entry as it stands in memory. `None` when the table itself can't be read.
    pub entry: Option<Bits>,
    /// Whose requests it concerns; `None` for a root entry, which concerns a whole bus.
    pub source_id: Option<SourceId>,
    /// Which PASID, or the first of them; `None` when it concerns the device with all of them, or there are none.
    pub pasid: Option<Pasid>,
    /// The first address that it concerns; `None` when it concerns all of them.
    pub iova: Option<Iova>,
}

/// The kind of table that an entry is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Structure {
    /// The root table, indexed by bus.
    Root,
    /// A context table, indexed by devfn; in scalable mode by the lower seven bits of it.
    Context,
    /// A PASID directory, indexed by the upper 14 bits of the PASID.
    PasidDirectory,
    /// A PASID table, indexed by the lower six bits of the PASID.
    PasidTable,
    /// A first-stage page table of this level.
    FirstStage(u8),
    /// A second-stage page table of this level.
    SecondStage(u8),
}

impl fmt::Display for Structure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Context => f.write_str("context"),
            Self::PasidDirectory => f.write_str("PASID directory"),
            Self::PasidTable => f.write_str("PASID"),
            Self::FirstStage(level) | Self::SecondStage(level) => write!(f, "level {level}"),
        }
    }
}

impl Place {
    /// The entry of `bus` in the root table at `table`; without an `entry` it can't be read.
    pub(crate) fn root(table: PhysAddr, bus: u8, entry: Option<Bits>, source_id: Option<SourceId>) -> Self {
        let index = bus.into();
        Self { structure: Structure::Root, table, index, entry, source_id, pasid: None, iova: None }
    }

    /// The entry of `source_id`, entry `index` of the context table at `table`.
    pub(crate) fn context(table: PhysAddr, index: u8, entry: Bits, source_id: SourceId) -> Self {
        Self {
            structure: Structure::Context,
            table,
            index: index.into(),
            entry: Some(entry),
            source_id: Some(source_id),
            pasid: None,
            iova: None,
        }
    }

    /// The entry of `pasid` in the PASID directory at `table`.
    pub(crate) fn directory(table: PhysAddr, entry: Bits, source_id: SourceId, pasid: Pasid) -> Self {
        let index = u16::try_from(pasid.0 >> 6).unwrap_or(u16::MAX);
        let structure = Structure::PasidDirectory;
        Self { structure, table, index, entry: Some(entry), source_id: Some(source_id), pasid: Some(pasid), iova: None }
    }

    /// The entry of `pasid` in the PASID table at `table`.
    pub(crate) fn pasid(table: PhysAddr, entry: Bits, source_id: SourceId, pasid: Pasid) -> Self {
        let index = u16::try_from(pasid.0 & 0x3f).unwrap_or(0);
        let structure = Structure::PasidTable;
        Self { structure, table, index, entry: Some(entry), source_id: Some(source_id), pasid: Some(pasid), iova: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {} entry {}", self.structure, self.table, self.index)?;
        match self.entry {
            Some(entry) => write!(f, " = {entry:#x}"),
            None => Ok(()),
        }
    }
}
