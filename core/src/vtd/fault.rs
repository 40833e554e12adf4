use super::{Bits, FaultReason, PasidTranslation, Place, TranslationMode};
use crate::access::Access;
use crate::address::{Pasid, PhysAddr, Requester};
use crate::memory::{ReadError, ReadErrorKind};
use crate::radix::{Bound, Defect, Refusal};
use core::fmt;
use thiserror::Error;

/// A request that hardware would refuse, or an entry that it would refuse every request at.
///
/// It prints as one line for people: reason, place, cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub struct Fault {
    /// The hardware's fault reason; `None` where there is none, because the cause lies in the image or in
    /// this walk and not in the tables.
    pub reason: Option<FaultReason>,
    /// What was expected and what was found.
    pub cause: Cause,
    /// Where.
    pub place: Place,
    /// Whether a fault processing disable bit (FPD) on the way keeps the hardware from recording it. The request
    /// is refused all the same.
    pub suppressed: bool,
}

impl Fault {
    /// `cause` at `place`, behind entries of which one has FPD set if `fault_disabled`.
    pub(crate) fn new(reason: FaultReason, cause: Cause, place: Place, fault_disabled: bool) -> Self {
        let reason = cause.reason(reason);
        Self { reason, cause, place, suppressed: fault_disabled && reason.is_some_and(FaultReason::qualified) }
    }
}

/// What limits the address of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WidthLimit {
    /// The maximum guest address width of the unit, CAP.MGAW.
    Unit,
    /// The adjusted guest address width of the page table, from AW.
    PageTable,
    /// The host address width, for requests that pass through.
    Host,
}

impl fmt::Display for WidthLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unit => "the unit's maximum guest address width (CAP.MGAW)",
            Self::PageTable => "the address width of the page table (AW)",
            Self::Host => "the host address width",
        })
    }
}

/// Why a request is refused, or an entry can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The table can't be read: the one that the entry points to, or the root table itself.
    Unreadable(ReadError),
    /// The entry is not present.
    NotPresent,
    /// These bits of the entry are set and must not be.
    ReservedBits(Bits),
    /// AW has no meaning, or the unit does not support it.
    AddressWidth {
        /// The field.
        aw: u8,
        /// CAP.SAGAW, where it is known.
        sagaw: Option<u8>,
    },
    /// TT 11b, which has no meaning.
    TranslationTypeReserved,
    /// TT 01b on a unit without ECAP.DT.
    NoDeviceTlb,
    /// TT 10b on a unit without ECAP.PT.
    NoPassThrough,
    /// The translation table mode is one that the unit does not have.
    ModeUnsupported(TranslationMode),
    /// A request with PASID in legacy mode.
    PasidInLegacyMode,
    /// A request with PASID of a device whose PASIDE is 0.
    PasidDisabled,
    /// A PASID beyond the PASID directory.
    PasidTooLarge {
        /// The PASID.
        pasid: Pasid,
        /// How many the directory has room for.
        limit: u32,
    },
    /// RID_PASID is beyond the PASID directory.
    RidPasidTooLarge {
        /// The field.
        pasid: Pasid,
        /// How many the directory has room for.
        limit: u32,
    },
    /// PGTT is reserved, or the unit does not support it.
    PasidTranslation(PasidTranslation),
    /// FSPM is reserved, or the unit does not support it.
    PagingMode(u8),
    /// Requests without PASID are supervisor requests (RID_PRIV), and SRE is 0.
    SupervisorDisabled,
    /// The first-stage address is not the sign extension of this many bits.
    NotCanonical {
        /// How many bits the tables translate.
        bits: u8,
    },
    /// The entry is for supervisor requests only.
    Supervisor,
    /// The second stage has no read permission for a first-stage table.
    TableDenied,
    /// Hardware would have to set an accessed or dirty bit in the entry, and the second stage has no write permission
    /// for its table.
    UpdateDenied,
    /// The first stage leads to an address that the second stage does not take.
    BeyondSecondStage {
        /// The address.
        addr: PhysAddr,
        /// How many bits there may be.
        bits: u8,
    },
    /// The entry does not let the request through.
    Denied(Access),
    /// The address has more bits than can be translated.
    TooWide {
        /// How many bits there may be.
        bits: u8,
        /// What allows no more.
        limit: WidthLimit,
    },
    /// The address lies in the interrupt address range: the request is an interrupt and never translated.
    InterruptRequest,
    /// The page that the request would reach overlaps the interrupt address range.
    InterruptRangeOutput(PhysAddr),
    /// The table that the entry points to is already on its own path.
    Loop {
        /// The table.
        table: PhysAddr,
        /// The level at which the path went through it before.
        level: u8,
    },
    /// The format has no such level.
    NoSuchLevel {
        /// The level.
        level: u8,
    },
    /// The work budget is used up and the walk has ended.
    Budget(Bound),
}

impl From<Defect> for Cause {
    fn from(defect: Defect) -> Self {
        match defect {
            Defect::ReservedBits(bits) => Self::ReservedBits(bits.into()),
            Defect::Unreadable(error) | Defect::NotLocated { refusal: Refusal::Unreadable(error, _), .. } => {
                Self::Unreadable(error)
            }
            Defect::NotLocated { refusal: Refusal::Denied(_), .. } => Self::TableDenied,
            Defect::NotLocated { refusal: Refusal::ReservedBits(_, bits), .. } => Self::ReservedBits(bits.into()),
            Defect::BeyondInner { addr, bits } => Self::BeyondSecondStage { addr, bits },
            Defect::Loop { table, level } => Self::Loop { table, level },
            Defect::Budget(bound) => Self::Budget(bound),
            Defect::NoSuchLevel { level } => Self::NoSuchLevel { level },
        }
    }
}

impl Cause {
    /// `reason`, if this is what hardware would find too. It knows no filters and no I/O errors of a backend,
    /// and neither loops nor budgets.
    pub(crate) fn reason(&self, reason: FaultReason) -> Option<FaultReason> {
        match self {
            Self::Unreadable(ReadError { kind: ReadErrorKind::Hole, .. }) => Some(reason),
            Self::Unreadable(_)
            | Self::Loop { .. }
            | Self::NoSuchLevel { .. }
            | Self::Budget(_)
            | Self::InterruptRequest => None,
            _ => Some(reason),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => Defect::Unreadable(*error).fmt(f),
            Self::NotPresent => f.write_str("the entry is not present"),
            Self::ReservedBits(bits) => write!(f, "reserved bits {} are set", bits.mask()),
            Self::AddressWidth { aw, sagaw: None } => {
                write!(f, "AW is {aw}, which means no address width (expected 1 to 3, on old hardware 0 or 4)")
            }
            Self::AddressWidth { aw, sagaw: Some(sagaw) } => {
                write!(f, "AW is {aw}, which the unit does not support (CAP.SAGAW is {sagaw:#07b})")
            }
            Self::TranslationTypeReserved => f.write_str("TT is 11b, which is reserved"),
            Self::NoDeviceTlb => f.write_str("TT is 01b, but the unit has no device-TLB support (ECAP.DT is 0)"),
            Self::NoPassThrough => f.write_str("TT is 10b, but the unit has no pass-through (ECAP.PT is 0)"),
            Self::ModeUnsupported(mode) => write!(f, "TTM says {mode}, which the unit does not have (ECAP.SMTS is 0)"),
            Self::PasidInLegacyMode => f.write_str("the request has a PASID, which legacy mode does not translate"),
            Self::PasidDisabled => f.write_str("the request has a PASID, but the device's PASIDE is 0"),
            Self::PasidTooLarge { pasid, limit } => {
                write!(f, "PASID {pasid} is beyond the PASID directory (PDTS allows {limit})")
            }
            Self::RidPasidTooLarge { pasid, limit } => {
                write!(f, "RID_PASID {pasid} is beyond the PASID directory (PDTS allows {limit})")
            }
            Self::PasidTranslation(found) => f.write_str(match found {
                PasidTranslation::Reserved(_) => "PGTT is reserved (expected 1 to 4)",
                PasidTranslation::FirstStage => "PGTT is 1, but the unit has no first stage (ECAP.FSTS is 0)",
                PasidTranslation::SecondStage => "PGTT is 2, but the unit has no second stage (ECAP.SSTS is 0)",
                PasidTranslation::Nested => "PGTT is 3, but the unit does not nest (of ECAP.NEST, FSTS and SSTS one is 0)",
                PasidTranslation::PassThrough => "PGTT is 4, but the unit has no pass-through (ECAP.PT is 0)",
            }),
            Self::PagingMode(1) => f.write_str("FSPM is 1, but the unit has no 5-level first stage (CAP.FS5LP is 0)"),
            Self::PagingMode(mode) => write!(f, "FSPM is {mode}, which is reserved (expected 0 or 1)"),
            Self::SupervisorDisabled => {
                f.write_str("the device's requests without PASID are supervisor requests (RID_PRIV), but SRE is 0")
            }
            Self::NotCanonical { bits } => write!(f, "the address is not canonical: not the sign extension of {bits} bits"),
            Self::TableDenied => f.write_str("the entry does not let the first-stage table be read"),
            Self::UpdateDenied => f.write_str(
                "the accessed or dirty bit would have to be set, but the second stage does not let the table be written",
            ),
            Self::BeyondSecondStage { addr, bits } => {
                write!(f, "it leads to {addr}, and the second stage takes {bits} bits")
            }
            Self::Supervisor => f.write_str("the entry is for supervisor requests only (U/S is 0)"),
            Self::Denied(Access::Read) => f.write_str("the entry has no read permission"),
            Self::Denied(Access::Write) => f.write_str("the entry has no write permission"),
            Self::TooWide { bits, limit } => write!(f, "the address has more than {bits} bits, {limit}"),
            Self::InterruptRequest => {
                f.write_str("the address is in the interrupt range 0xfee00000-0xfeefffff, whose requests are interrupts and never translated")
            }
            Self::InterruptRangeOutput(phys) => {
                write!(f, "the page at {phys} overlaps the interrupt range 0xfee00000-0xfeefffff")
            }
            Self::Loop { table, level } => Defect::Loop { table: *table, level: *level }.fmt(f),
            Self::NoSuchLevel { level } => Defect::NoSuchLevel { level: *level }.fmt(f),
            Self::Budget(bound) => Defect::Budget(*bound).fmt(f),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source_id) = self.place.source_id {
            write!(f, "{} ", Requester { source_id, pasid: self.place.pasid })?;
        }
        if let Some(iova) = self.place.iova {
            write!(f, "iova {iova} ")?;
        }
        if let Some(reason) = self.reason {
            write!(f, "fault {reason} ")?;
        }
        write!(f, "at {}: {}", self.place, self.cause)
    }
}
