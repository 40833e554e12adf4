use super::Kdump;
use super::page_error::KdumpPageErrorKind;
use crate::missing::{Missing, MissingReason};

impl Kdump {
    /// Memory that the machine had and that this file has not, ascending, neighbours of one reason joined.
    ///
    /// It is found while it is asked for, out of the bitmaps and the descriptors of all pages; what is stored for the
    /// pages is not decompressed.
    pub fn missing(&self) -> impl Iterator<Item = Missing> + '_ {
        let mut pages = self.missing_pages().peekable();
        std::iter::from_fn(move || {
            let (first, reason) = pages.next()?;
            let mut end = first.saturating_add(1);
            while pages.next_if_eq(&(end, reason)).is_some() {
                end = end.saturating_add(1);
            }
            Some(Missing { range: self.range(first, end)?, reason })
        })
    }

    fn missing_pages(&self) -> impl Iterator<Item = (u64, MissingReason)> + '_ {
        let words = self.memory.words(&self.source).iter().zip(self.words());
        let bits = (0u64..).step_by(64).zip(words).flat_map(|(base, (memory, dumped))| {
            let mut either = memory.get() | dumped.get();
            std::iter::from_fn(move || {
                let bit = either.trailing_zeros();
                either &= either.checked_sub(1)?;
                Some(base.saturating_add(u64::from(bit)))
            })
        });
        bits.take_while(|pfn| *pfn < self.frames).filter_map(|pfn| Some((pfn, self.missing_page(pfn)?)))
    }

    /// Why nothing is stored for a page, if that is so.
    fn missing_page(&self, pfn: u64) -> Option<MissingReason> {
        let behind = |offset: u64, size: u64| match offset.checked_add(size) {
            // A flattened dump can have gaps.
            Some(end) if end <= self.source.end() => MissingReason::Lost,
            _ => MissingReason::Truncated,
        };
        match self.descriptor(pfn) {
            Ok(page) if self.compression(&page).is_err() => Some(MissingReason::Damaged),
            Ok(page) => {
                let size = u64::from(page.size);
                (self.source.available(page.offset, size) < size).then(|| behind(page.offset, size))
            }
            Err(KdumpPageErrorKind::Excluded) => Some(MissingReason::Excluded),
            Err(KdumpPageErrorKind::OtherPart { .. }) => Some(MissingReason::OtherPart),
            Err(KdumpPageErrorKind::DescriptorMissing { offset, .. }) => Some(behind(offset, super::page::DESCRIPTOR)),
            Err(KdumpPageErrorKind::Lost) => Some(MissingReason::Lost),
            Err(_) => None,
        }
    }
}
