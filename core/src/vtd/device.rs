use super::{
    AddressSpace, Bits, ContextEntry, Half, PasidDirectoryEntry, PasidEntry, Place, RootEntry, ScalableContextEntry,
    ScalableRootEntry, TranslationType,
};
use crate::address::{DomainId, Pasid, PhysAddr, SourceId};

/// A device that has an address space: in legacy mode a present and valid context entry, in scalable mode such a
/// PASID table entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Whose requests it is about.
    pub source_id: SourceId,
    /// The PASID whose entry it is; `None` in legacy mode.
    pub pasid: Option<Pasid>,
    /// Whether its requests carry the PASID. Those that don't use the entry of RID_PASID.
    pub with_pasid: bool,
    /// The root table that it was found in.
    pub root_table: PhysAddr,
    /// The entries on the path to it.
    pub entries: DeviceEntries,
    /// What its addresses mean.
    pub space: AddressSpace,
}

/// The entries that lead to a device's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEntries {
    /// Of legacy mode.
    Legacy {
        /// The root entry.
        root: RootEntry,
        /// The context entry.
        context: ContextEntry,
    },
    /// Of scalable mode.
    Scalable {
        /// The root entry.
        root: ScalableRootEntry,
        /// The context entry.
        context: ScalableContextEntry,
        /// The PASID directory entry.
        directory: PasidDirectoryEntry,
        /// The PASID table entry; `None` if the directory entry leads to none.
        pasid: Option<PasidEntry>,
    },
}

impl DeviceEntries {
    /// The whole root entry.
    #[must_use]
    pub fn root(&self) -> Bits {
        match self {
            Self::Legacy { root, .. } => root.raw().into(),
            Self::Scalable { root, .. } => root.raw().into(),
        }
    }

    /// The whole context entry.
    #[must_use]
    pub fn context(&self) -> Bits {
        match self {
            Self::Legacy { context, .. } => context.raw().into(),
            Self::Scalable { context, .. } => context.words().into(),
        }
    }
}

impl Device {
    /// The domain-id under which the unit caches its translations; `None` if it has no entry that says so.
    #[must_use]
    pub fn domain(&self) -> Option<DomainId> {
        match &self.entries {
            DeviceEntries::Legacy { context, .. } => Some(context.domain()),
            DeviceEntries::Scalable { pasid, .. } => pasid.filter(PasidEntry::present).map(|entry| entry.domain()),
        }
    }

    /// Whether its faults go unrecorded (FPD).
    #[must_use]
    pub fn fault_disabled(&self) -> bool {
        match &self.entries {
            DeviceEntries::Legacy { .. } => self.context_fault_disabled(),
            DeviceEntries::Scalable { directory, pasid, .. } => {
                self.context_fault_disabled()
                    || directory.fault_disabled()
                    || pasid.is_some_and(|entry| entry.fault_disabled())
            }
        }
    }

    /// Whether it may translate by itself (ATS).
    #[must_use]
    pub fn device_tlb(&self) -> bool {
        match &self.entries {
            DeviceEntries::Legacy { context, .. } => context.translation_type() == TranslationType::DeviceTlb,
            DeviceEntries::Scalable { context, .. } => context.device_tlb(),
        }
    }

    /// Where the last of its entries stands.
    pub(crate) fn place(&self) -> Place {
        let source_id = self.source_id;
        let number = self.pasid.unwrap_or_default();
        match &self.entries {
            DeviceEntries::Legacy { .. } => self.context_place(),
            DeviceEntries::Scalable { directory, pasid: Some(entry), .. } => {
                Place::pasid(directory.pasid_table(), entry.words().into(), source_id, number)
            }
            DeviceEntries::Scalable { context, directory, pasid: None, .. } => {
                Place::directory(context.directory_table(), directory.raw().into(), source_id, number)
            }
        }
    }

    /// Where its context entry stands.
    pub(crate) fn context_place(&self) -> Place {
        let (source_id, devfn) = (self.source_id, self.source_id.devfn());
        let place = |table, index| Place::context(table, index, self.entries.context(), source_id);
        match &self.entries {
            DeviceEntries::Legacy { root, .. } => place(root.context_table(), devfn),
            DeviceEntries::Scalable { root, .. } => {
                let place = place(root.context_table(Half::of(source_id)), devfn & 0x7f);
                Place { pasid: self.pasid, ..place }
            }
        }
    }

    /// Whether FPD of its context entry alone keeps faults from being recorded.
    pub(crate) fn context_fault_disabled(&self) -> bool {
        match &self.entries {
            DeviceEntries::Legacy { context, .. } => context.fault_disabled(),
            DeviceEntries::Scalable { context, .. } => context.fault_disabled(),
        }
    }
}
