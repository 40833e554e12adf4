use crate::vtd::INTERRUPT_RANGE;

/// A message-signalled interrupt as a device sends it: a write of `data` to `address`.
///
/// Source: Intel VT-d specification, "Interrupt Requests in Remappable Format". Of the address:
///
/// | bits | field |
/// |---|---|
/// | 1:0 | ignored |
/// | 2 | handle bit 15 |
/// | 3 | SHV, the data holds a subhandle |
/// | 4 | format: 0 compatibility, 1 remappable |
/// | 19:5 | handle bits 14:0 |
/// | 31:20 | `0xfee`, the interrupt range |
/// | 63:32 | 0 |
///
/// Of the data, bits 15:0 are the subhandle when SHV is set, and bits 31:16 are reserved. The rest of this type is
/// for requests in remappable format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Msi {
    /// Where the device writes.
    pub address: u64,
    /// What it writes.
    pub data: u32,
}

impl Msi {
    /// Whether the address is in the interrupt range; a write to another one is no interrupt.
    #[must_use]
    pub const fn is_interrupt(self) -> bool {
        INTERRUPT_RANGE.0 <= self.address && self.address <= INTERRUPT_RANGE.1
    }

    /// Whether the request has the remappable format, and not the compatibility format.
    #[must_use]
    pub const fn remappable(self) -> bool {
        self.address & 1 << 4 != 0
    }

    /// The handle.
    #[must_use]
    pub const fn handle(self) -> u16 {
        (((self.address >> 5) & 0x7fff | (self.address & 4) << 13) & 0xffff) as u16
    }

    /// The subhandle, if SHV is set.
    #[must_use]
    pub const fn subhandle(self) -> Option<u16> {
        if self.address & 1 << 3 == 0 { None } else { Some((self.data & 0xffff) as u16) }
    }

    /// The index of the entry that the request asks for: handle plus subhandle. It can be one that no table has.
    #[must_use]
    pub const fn index(self) -> u32 {
        let subhandle = match self.subhandle() {
            Some(subhandle) => subhandle as u32,
            None => 0,
        };
        (self.handle() as u32).saturating_add(subhandle)
    }

    /// The reserved bits of the data that are set.
    #[must_use]
    pub const fn reserved(self) -> u32 {
        self.data & 0xffff_0000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handle_is_put_together_from_two_places() {
        for bit in 0..16 {
            let address = 0xfee0_0010 | if bit == 15 { 4 } else { 1 << (bit + 5) };
            let msi = Msi { address, data: 0xffff };
            assert_eq!((msi.handle(), msi.subhandle(), msi.index()), (1 << bit, None, 1 << bit), "bit {bit}");
            assert!(msi.is_interrupt() && msi.remappable());
        }
        assert_eq!(Msi { address: 0xfee0_0013, data: 0 }.handle(), 0);
    }

    #[test]
    fn the_subhandle_counts_only_where_it_is_valid() {
        let msi = Msi { address: 0xfeef_fffc, data: 0xffff };
        assert_eq!((msi.handle(), msi.subhandle(), msi.index()), (0xffff, Some(0xffff), 0x1_fffe));
        assert_eq!(Msi { address: 0xfee0_0058, data: 3 }.index(), 5);
    }

    #[test]
    fn only_the_interrupt_range_has_interrupts() {
        let is_interrupt = |address| Msi { address, data: 0 }.is_interrupt();
        assert!(is_interrupt(0xfee0_0000) && is_interrupt(0xfeef_ffff));
        assert!(!is_interrupt(0xfedf_ffff) && !is_interrupt(0xfef0_0000) && !is_interrupt(0x1_fee0_0000));
    }

    #[test]
    fn the_upper_half_of_the_data_is_reserved() {
        for bit in 0..32 {
            let data = 1 << bit;
            assert_eq!(Msi { address: 0, data }.reserved(), if bit < 16 { 0 } else { data });
        }
    }
}
