/// Global Status Register, GSTS_REG (offset 0x1c): what of the unit is switched on.
///
/// Source: Intel VT-d specification, "Global Status Register".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gsts(pub u32);

impl Gsts {
    /// TES (31): requests are translated. Without it, each device reaches all memory.
    #[must_use]
    pub const fn translation_enabled(self) -> bool {
        self.0 & 1 << 31 != 0
    }

    /// RTPS (30): the root table address was taken over from RTADDR_REG.
    #[must_use]
    pub const fn root_table_set(self) -> bool {
        self.0 & 1 << 30 != 0
    }

    /// QIES (26): queued invalidation.
    #[must_use]
    pub const fn queued_invalidation_enabled(self) -> bool {
        self.0 & 1 << 26 != 0
    }

    /// IRES (25): interrupts are remapped. Without it, each passes unchanged.
    #[must_use]
    pub const fn interrupt_remapping_enabled(self) -> bool {
        self.0 & 1 << 25 != 0
    }

    /// IRTPS (24): the interrupt remapping table address was taken over from IRTA_REG.
    #[must_use]
    pub const fn interrupt_table_set(self) -> bool {
        self.0 & 1 << 24 != 0
    }

    /// CFIS (23): interrupts in compatibility format pass.
    #[must_use]
    pub const fn compatibility_format_enabled(self) -> bool {
        self.0 & 1 << 23 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    type Field = fn(Gsts) -> bool;

    #[test]
    fn each_bit_is_one_field() {
        let fields: [(u32, Field); 6] = [
            (31, Gsts::translation_enabled),
            (30, Gsts::root_table_set),
            (26, Gsts::queued_invalidation_enabled),
            (25, Gsts::interrupt_remapping_enabled),
            (24, Gsts::interrupt_table_set),
            (23, Gsts::compatibility_format_enabled),
        ];
        for bit in 0..32 {
            let set = fields.iter().filter(|(_, field)| field(Gsts(1 << bit))).map(|(bit, _)| *bit).collect::<Vec<_>>();
            let known = fields.iter().any(|(field, _)| *field == bit);
            assert_eq!(set, if known { Vec::from([bit]) } else { Vec::new() });
        }
    }
}
