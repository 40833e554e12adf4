use crate::address::{PhysAddr, SourceId};
use core::fmt;

/// What an interrupt becomes: an [`InterruptEntry`](super::InterruptEntry), decoded by its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interrupt {
    /// Remapped format: it is delivered to processors.
    Remapped {
        /// DM: how `destination` names processors.
        destination_mode: DestinationMode,
        /// RH: whether one of several destinations may be chosen.
        redirection_hint: bool,
        /// TM.
        trigger: TriggerMode,
        /// DLM.
        delivery: DeliveryMode,
        /// V.
        vector: u8,
        /// DST: all 32 bits in extended interrupt mode, else the 8 bits of an APIC id.
        destination: u32,
    },
    /// Posted format: it is noted in a descriptor in memory, for a virtual processor.
    Posted {
        /// URG: whether the virtual processor is notified at once.
        urgent: bool,
        /// The virtual vector.
        vector: u8,
        /// PDA: the posted-interrupt descriptor, 64-byte aligned.
        descriptor: PhysAddr,
    },
}

/// How a destination names processors, the DM field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestinationMode {
    /// 0: it is one APIC id.
    Physical,
    /// 1: it is a logical set of them.
    Logical,
}

impl fmt::Display for DestinationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Physical => "physical",
            Self::Logical => "logical",
        })
    }
}

/// How an interrupt is signalled, the TM field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TriggerMode {
    /// 0.
    Edge,
    /// 1.
    Level,
}

impl fmt::Display for TriggerMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Edge => "edge",
            Self::Level => "level",
        })
    }
}

/// What a processor does with an interrupt, the DLM field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryMode {
    /// 000b: it takes the vector.
    Fixed,
    /// 001b: the one with the lowest priority takes the vector.
    LowestPriority,
    /// 010b: a system management interrupt.
    Smi,
    /// 100b: a non-maskable interrupt.
    Nmi,
    /// 101b: an INIT.
    Init,
    /// 111b: the vector comes from an external interrupt controller.
    ExtInt,
    /// 011b and 110b, as they stand in the entry.
    Reserved(u8),
}

impl DeliveryMode {
    /// The mode with this encoding; bits above the third do not matter.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::Fixed,
            1 => Self::LowestPriority,
            2 => Self::Smi,
            4 => Self::Nmi,
            5 => Self::Init,
            7 => Self::ExtInt,
            reserved => Self::Reserved(reserved),
        }
    }
}

impl fmt::Display for DeliveryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "fixed",
            Self::LowestPriority => "lowest-priority",
            Self::Smi => "smi",
            Self::Nmi => "nmi",
            Self::Init => "init",
            Self::ExtInt => "extint",
            Self::Reserved(_) => "reserved",
        })
    }
}

/// Whose interrupts an entry is for, from the SVT, SQ and SID fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceValidation {
    /// SVT 00b: anybody's.
    None,
    /// SVT 01b: those of a requester that is equal to SID in the bits of `mask`.
    SourceId {
        /// SID.
        source_id: SourceId,
        /// What SQ leaves to compare: `0xffff`, `0xfffb`, `0xfff9` or `0xfff8`.
        mask: u16,
    },
    /// SVT 10b: those of requesters on these buses.
    BusRange {
        /// SID bits 15:8.
        first: u8,
        /// SID bits 7:0, inclusive.
        last: u8,
    },
    /// SVT 11b.
    Reserved,
}

impl SourceValidation {
    /// Whether an interrupt of `source_id` passes. Under a reserved SVT none does.
    #[must_use]
    pub const fn allows(&self, source_id: SourceId) -> bool {
        match self {
            Self::None => true,
            Self::SourceId { source_id: expected, mask } => (source_id.0 ^ expected.0) & *mask == 0,
            Self::BusRange { first, last } => *first <= source_id.bus() && source_id.bus() <= *last,
            Self::Reserved => false,
        }
    }
}

impl fmt::Display for SourceValidation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("any source-id"),
            Self::SourceId { source_id, mask: 0xffff } => write!(f, "source-id {source_id}"),
            Self::SourceId { source_id, mask } => write!(f, "source-id {source_id} under mask {mask:#06x}"),
            Self::BusRange { first, last } => write!(f, "buses {first:02x} to {last:02x}"),
            Self::Reserved => f.write_str("no source-id, for SVT is 11b"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn delivery_modes_keep_the_values_without_meaning() {
        use DeliveryMode::*;
        let modes = [0, 1, 2, 3, 4, 5, 6, 7].map(DeliveryMode::from_bits);
        assert_eq!(modes, [Fixed, LowestPriority, Smi, Reserved(3), Nmi, Init, Reserved(6), ExtInt]);
    }

    /// Each mask lets exactly the functions through that differ in the ignored bits.
    #[test]
    fn a_qualifier_ignores_bits_of_the_function() {
        let passing = |mask| -> Vec<u16> {
            let validation = SourceValidation::SourceId { source_id: SourceId(0x3a09), mask };
            (0..=u16::MAX).filter(|id| validation.allows(SourceId(*id))).collect()
        };
        assert_eq!(passing(0xffff), [0x3a09]);
        assert_eq!(passing(0xfffb), [0x3a09, 0x3a0d]);
        assert_eq!(passing(0xfff9), [0x3a09, 0x3a0b, 0x3a0d, 0x3a0f]);
        assert_eq!(passing(0xfff8), Vec::from_iter(0x3a08..=0x3a0f));
    }

    #[test]
    fn a_bus_range_includes_both_ends_and_may_be_empty() {
        let allows = |first, last, bus| SourceValidation::BusRange { first, last }.allows(SourceId::new(bus, 0xff));
        assert_eq!([4, 5, 6, 7, 8].map(|bus| allows(5, 7, bus)), [false, true, true, true, false]);
        assert!(allows(5, 5, 5) && allows(0, 0xff, 0xff));
        assert!((0..=0xff).all(|bus| !allows(7, 5, bus)));
    }

    #[test]
    fn a_reserved_validation_lets_nothing_through() {
        assert!(SourceValidation::None.allows(SourceId(0)) && !SourceValidation::Reserved.allows(SourceId(0)));
    }
}
