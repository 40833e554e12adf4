use crate::address::{Iova, IovaRange, Pasid, PhysAddr, SourceId};
use crate::copy::memo::Role;
use crate::radix::{Format, Level};
use crate::vtd::{Bits, Cause, Fault, FaultReason, Place, SecondStageReasons, Structure};

/// Which stage a page table is of, and how its defects are called.
#[derive(Clone, Copy)]
pub(in crate::copy) enum Stage {
    /// With XD or without.
    First(bool),
    Second(&'static SecondStageReasons),
}

impl Stage {
    pub(in crate::copy) fn role(self, level: u8) -> Role {
        match self {
            // Leaves are copied as they are, whatever XD is to those who read them.
            Self::First(execute_disable) => Role::FirstStage(level, execute_disable && level > 1),
            Self::Second(_) => Role::SecondStage(level),
        }
    }

    pub(in crate::copy) fn structure(self, level: u8) -> Structure {
        match self {
            Self::First(_) => Structure::FirstStage(level),
            Self::Second(_) => Structure::SecondStage(level),
        }
    }

    pub(super) fn reserved(self) -> FaultReason {
        match self {
            Self::First(_) => FaultReason::FirstStageReserved,
            Self::Second(reasons) => reasons.reserved,
        }
    }

    pub(super) fn unreadable(self) -> FaultReason {
        match self {
            Self::First(_) => FaultReason::FirstStageUnreadable,
            Self::Second(reasons) => reasons.unreadable,
        }
    }

    pub(in crate::copy) fn top_unreadable(self) -> FaultReason {
        match self {
            Self::First(_) => FaultReason::FirstStageTopUnreadable,
            Self::Second(reasons) => reasons.top_unreadable,
        }
    }
}

/// Whose page table it is, for what has to be told of it.
#[derive(Clone, Copy)]
pub(in crate::copy) struct Owner {
    pub(in crate::copy) source_id: SourceId,
    pub(in crate::copy) pasid: Option<Pasid>,
    pub(in crate::copy) fault_disabled: bool,
}

/// A kind of page table, and who has one.
#[derive(Clone, Copy)]
pub(in crate::copy) struct Tree<'f, F> {
    pub(in crate::copy) format: &'f F,
    pub(in crate::copy) stage: Stage,
    pub(in crate::copy) owner: Owner,
    /// The entry that points to its top table.
    pub(in crate::copy) parent: Place,
    /// Which rules for entries they have, a number below 8.
    pub(in crate::copy) rules: u8,
}

impl<F: Format> Tree<'_, F> {
    pub(in crate::copy) fn top(&self) -> u8 {
        u8::try_from(self.format.levels().len()).unwrap_or(0)
    }

    pub(super) fn shape(&self, level: u8) -> Option<&Level> {
        self.format.levels().get(usize::from(level).wrapping_sub(1))
    }

    /// The first address that an entry maps, of a table at this level whose first one is `base`.
    pub(super) fn iova(&self, level: u8, base: u64, index: usize) -> u64 {
        let size_log2 = self.shape(level).map_or(0, |shape| shape.size_log2);
        let iova = base.wrapping_add((index as u64).wrapping_shl(size_log2.into()));
        let bits = u32::from(self.format.input_bits());
        let is_upper = iova.checked_shr(bits.wrapping_sub(1)).unwrap_or(0) & 1 != 0;
        if level == self.top() && self.format.sign_extended() && is_upper {
            iova | u64::MAX.checked_shl(bits).unwrap_or(0)
        } else {
            iova
        }
    }

    /// The addresses that a table at this level maps, of which `base` is the first. Where the input is signed, those of
    /// the top table are apart.
    pub(super) fn spans(&self, level: u8, base: u64) -> [Option<IovaRange>; 2] {
        let bits = self.shape(level).map_or(0, |shape| shape.size_log2.saturating_add(shape.index_bits));
        if level == self.top() && self.format.sign_extended() {
            let lower = IovaRange::block(Iova(0), bits.saturating_sub(1));
            let upper = IovaRange::from_to(Iova(!lower.last().0), Iova(u64::MAX));
            [Some(lower), Some(upper)]
        } else {
            [Some(IovaRange::block(Iova(base), bits)), None]
        }
    }

    /// An entry of the table at `table`, whose first address is `base`.
    pub(super) fn place(&self, level: u8, (table, base): (PhysAddr, u64), index: usize, raw: Option<u64>) -> Place {
        Place {
            structure: self.stage.structure(level),
            table,
            index: u16::try_from(index).unwrap_or(0),
            entry: raw.map(Bits::from),
            source_id: Some(self.owner.source_id),
            pasid: self.owner.pasid,
            iova: Some(Iova(self.iova(level, base, index))),
        }
    }

    pub(in crate::copy) fn fault(&self, reason: FaultReason, cause: Cause, place: Place) -> Fault {
        Fault::new(reason, cause, place, self.owner.fault_disabled)
    }
}
