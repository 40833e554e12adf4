use crate::address::PhysAddr;
use crate::memory::Page;
use crate::vtd::Bits;
use crate::vtd::entry_words::entry_words;
entry_words! {
    /// Posted-interrupt descriptor: where interrupts for a virtual processor are noted. Devices change it at any time.
    ///
    /// Source: Intel VT-d specification, "Posted Interrupt Descriptor (PID)".
    ///
    /// | bits | field |
    /// |---|---|
    /// | 255:0 | PIR, posted interrupt requests: one bit for each vector |
    /// | 256 | ON, outstanding notification |
    /// | 257 | SN, suppress notification |
    /// | 271:258 | reserved |
    /// | 279:272 | NV, notification vector |
    /// | 287:280 | reserved |
    /// | 319:288 | NDST, notification destination |
    /// | 511:320 | reserved |
    ///
    /// With 8-bit destinations only bits 303:296 of NDST count; the others are reserved then, but not judged.
    PostedDescriptor,
    words: 8,
    table: 64 "The descriptors that a page has room for, indexed by bits 11:6 of the address."
}

impl PostedDescriptor {
    /// The descriptor at `address`, out of its page.
    #[allow(clippy::indexing_slicing, reason = "six bits can't leave an array of 64")]
    pub(super) fn at(address: PhysAddr, page: &Page) -> Self {
        Self::table(page)[((address.0 >> 6) & 0x3f) as usize]
    }

    /// PIR: the vectors that wait to be delivered, 63:0 first.
    #[must_use]
    pub fn requests(&self) -> [u64; 4] {
        let [a, b, c, d, ..] = self.words();
        [a, b, c, d]
    }

    /// ON: a notification for the waiting vectors is on its way.
    #[must_use]
    pub const fn outstanding(&self) -> bool {
        self.0[4].get() & 1 != 0
    }

    /// SN: interrupts that are not urgent are noted without a notification.
    #[must_use]
    pub const fn suppressed(&self) -> bool {
        self.0[4].get() & 2 != 0
    }

    /// NV: the vector of the notification.
    #[must_use]
    pub const fn notification_vector(&self) -> u8 {
        ((self.0[4].get() >> 16) & 0xff) as u8
    }

    /// NDST: the processor that is notified, in all 32 bits.
    #[must_use]
    pub const fn notification_destination(&self) -> u32 {
        (self.0[4].get() >> 32) as u32
    }

    /// The reserved bits that are set.
    #[must_use]
    pub fn reserved(&self) -> Bits {
        Bits::from(self.words()) & Bits::from([0, 0, 0, 0, 0xff00_fffc, !0, !0, !0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Word;

    /// Everything that can be read out of a descriptor, in its own place.
    fn fields(descriptor: &PostedDescriptor) -> [u64; 8] {
        let [a, b, c, d] = descriptor.requests();
        let control = u64::from(descriptor.outstanding())
            | u64::from(descriptor.suppressed()) << 1
            | u64::from(descriptor.notification_vector()) << 16
            | u64::from(descriptor.notification_destination()) << 32;
        [a, b, c, d, control, 0, 0, 0]
    }

    /// Each of the 512 bits alone: reserved, or a field that survives decoding in its own place.
    #[test]
    fn every_bit_is_a_field_or_reserved() {
        for bit in 0..512 {
            let mut words = [0; 8];
            words[bit / 64] = 1 << (bit % 64);
            let descriptor = PostedDescriptor::new(words);
            let reserved = matches!(bit, 258..=271 | 280..=287 | 320..);
            let (told, kept) = if reserved { (words, [0; 8]) } else { ([0; 8], words) };
            assert_eq!(descriptor.reserved(), Bits::from(told), "bit {bit}");
            assert_eq!(fields(&descriptor), kept, "bit {bit}");
        }
    }

    #[test]
    fn every_field_alone_is_kept_whole() {
        for words in [
            [!0, !0, !0, !0, 0, 0, 0, 0],
            [0, 0, 0, 0, 1, 0, 0, 0],
            [0, 0, 0, 0, 2, 0, 0, 0],
            [0, 0, 0, 0, 0x00ff_0000, 0, 0, 0],
            [0, 0, 0, 0, 0xffff_ffff_0000_0000, 0, 0, 0],
        ] {
            let descriptor = PostedDescriptor::new(words);
            assert_eq!(fields(&descriptor), words);
            assert!(descriptor.reserved().is_zero());
        }
    }

    #[test]
    fn a_descriptor_is_found_in_its_page() {
        let mut page = Page::ZERO;
        page.words_mut()[8 * 63 + 4] = Word::new(0x00f2_0001);
        let descriptor = PostedDescriptor::at(PhysAddr(0x5fc0), &page);
        assert_eq!((descriptor.notification_vector(), descriptor.outstanding()), (0xf2, true));
        assert_eq!(PostedDescriptor::at(PhysAddr(0x5f80), &page).words(), [0; 8]);
    }
}
