use crate::segments::{Segment, Segments};
use iopt::{PhysAddr, PhysRange};

/// The offset in the file is the physical address.
pub(crate) fn segments(bytes: &[u8]) -> Segments {
    let last = bytes.len().checked_sub(1).and_then(|last| u64::try_from(last).ok());
    let range = last.and_then(|last| PhysRange::new(PhysAddr(0), PhysAddr(last)));
    range.map(|range| Segments::single(Segment { range, offset: 0 })).unwrap_or_default()
}
