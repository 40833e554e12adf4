use crate::address::{PhysAddr, SourceId};
use crate::vtd::entry_128::entry_128;
use crate::vtd::{Bits, beyond_host};
entry_128! {
    /// Root entry of scalable mode: which two context tables serve a bus. 256 of them, one per bus, fill a page.
    ///
    /// Source: Intel VT-d specification, "Scalable-Mode Root Entry" (9.2).
    ///
    /// | bits | field |
    /// |---|---|
    /// | 0 | LP, lower half present |
    /// | 11:1 | reserved |
    /// | 63:12 | LCTP, the lower context table; bits 63:HAW reserved |
    /// | 64 | UP, upper half present |
    /// | 75:65 | reserved |
    /// | 127:76 | UCTP, the upper context table; bits 127:64+HAW reserved |
    ScalableRootEntry,
    table: "The page seen as a root table, indexed by bus number."
}

/// Half of a [`ScalableRootEntry`], with a context table for half of the devices of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// For devfn 0 to 127.
    Lower,
    /// For devfn 128 to 255.
    Upper,
}

impl Half {
    /// The half that serves `source_id`.
    #[must_use]
    pub const fn of(source_id: SourceId) -> Self {
        if source_id.devfn() < 0x80 { Self::Lower } else { Self::Upper }
    }
}

impl ScalableRootEntry {
    const fn half(&self, half: Half) -> u64 {
        match half {
            Half::Lower => self.low.get(),
            Half::Upper => self.high.get(),
        }
    }

    /// LP or UP: whether this half of the bus has a context table.
    #[must_use]
    pub const fn present(&self, half: Half) -> bool {
        self.half(half) & 1 != 0
    }

    /// LCTP or UCTP: the context table.
    #[must_use]
    pub const fn context_table(&self, half: Half) -> PhysAddr {
        PhysAddr(self.half(half) & !0xfff)
    }

    /// The reserved bits of `half` that are set, at their place in the whole entry, with a host address width of
    /// `host_width` bits where that is known.
    ///
    /// Nothing is told of the other half. The specification's condition for fault 0x3a names every half that is
    /// present, but no source confirms that hardware judges one that the request does not use.
    #[must_use]
    pub fn reserved(&self, half: Half, host_width: Option<u8>) -> Bits {
        let bits = self.half(half) & (0xffe | beyond_host(host_width));
        match half {
            Half::Lower => Bits::from(bits),
            Half::Upper => Bits::from([0, bits]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Page, Word};

    const HALVES: [Half; 2] = [Half::Lower, Half::Upper];

    #[test]
    fn a_real_entry_reads_as_the_kernel_wrote_it() {
        let entry = ScalableRootEntry::new(0x009b_c001, 0x009c_8001);
        assert!(HALVES.iter().all(|&half| entry.present(half)));
        assert_eq!(HALVES.map(|half| entry.context_table(half)), [PhysAddr(0x009b_c000), PhysAddr(0x009c_8000)]);
        assert!(HALVES.iter().all(|&half| entry.reserved(half, Some(39)).is_zero()));
        assert_eq!(entry.raw(), 0x009c_8001_0000_0000_009b_c001);
    }

    #[test]
    fn the_top_bit_of_devfn_chooses_the_half() {
        let halves = [0, 0x7f, 0x80, 0xff].map(|devfn| Half::of(SourceId::new(0xff, devfn)));
        assert_eq!(halves, [Half::Lower, Half::Lower, Half::Upper, Half::Upper]);
        assert_eq!(Half::of(SourceId::new(0x80, 0)), Half::Lower);
    }

    /// Each of the 128 bits alone: in its own half reserved or a field in its place, and nothing to the other half.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..128 {
            let raw = 1u128 << bit;
            let entry = ScalableRootEntry::new(raw as u64, (raw >> 64) as u64);
            for (half, shift) in HALVES.into_iter().zip([0, 64]) {
                let inside = (shift..shift + 64).contains(&bit);
                let field = inside && matches!(bit - shift, 0 | 12..39);
                let high = inside && matches!(bit - shift, 39..64);
                let told = |told| Bits::from(if told { raw } else { 0 });
                assert_eq!(entry.reserved(half, Some(39)), told(inside && !field), "bit {bit} {half:?}");
                assert_eq!(entry.reserved(half, None), told(inside && !field && !high), "bit {bit} {half:?}");
                let kept = u128::from(entry.present(half)) | u128::from(entry.context_table(half).0);
                assert_eq!(kept << shift, if field || high { raw } else { 0 }, "bit {bit} {half:?}");
            }
        }
    }

    #[test]
    fn a_page_is_a_table_indexed_by_bus() {
        let mut page = Page::ZERO;
        page.words_mut()[2 * 255] = Word::new(0x5001);
        assert_eq!(ScalableRootEntry::table(&page)[255], ScalableRootEntry::new(0x5001, 0));
    }
}
