use crate::numbers::Random;
use crate::twin::{Bit, Twin};

impl Random {
    /// The access bits of a present entry.
    pub fn access(&mut self, twin: &dyn Twin, level: u8, leaf: bool) -> u64 {
        loop {
            let access = self.word() & twin.mask(level, leaf, Bit::Access);
            if twin.present(access) {
                return access;
            }
        }
    }

    /// The fields of an entry that hardware accepts.
    pub fn fields(&mut self, twin: &dyn Twin, level: u8, leaf: bool) -> Fields {
        Fields {
            level,
            leaf,
            address: self.word() & twin.mask(level, leaf, Bit::Address),
            access: self.access(twin, level, leaf),
            attributes: self.word(),
            ignored: self.word(),
        }
    }
}

/// What a valid entry is built from.
#[derive(Clone, Copy, Debug)]
pub struct Fields {
    pub level: u8,
    pub leaf: bool,
    pub address: u64,
    pub access: u64,
    /// As far as these are attribute bits.
    pub attributes: u64,
    /// As far as these are ignored bits.
    pub ignored: u64,
}

impl Fields {
    pub fn encode(&self, twin: &dyn Twin) -> u64 {
        self.encode_in(&Masks::of(twin, self.level, self.leaf))
    }

    pub fn encode_in(&self, masks: &Masks) -> u64 {
        self.address & masks.address
            | self.access
            | if self.leaf { masks.leaf } else { 0 }
            | self.attributes & masks.attribute
            | self.ignored & masks.ignored
    }
}

/// What the twin says of each bit, gathered once for many entries.
pub struct Masks {
    address: u64,
    leaf: u64,
    attribute: u64,
    ignored: u64,
}

impl Masks {
    pub fn of(twin: &dyn Twin, level: u8, leaf: bool) -> Self {
        let mask = |kind| twin.mask(level, leaf, kind);
        Self {
            address: mask(Bit::Address),
            leaf: mask(Bit::Leaf),
            attribute: mask(Bit::Attribute),
            ignored: mask(Bit::Ignored),
        }
    }
}
