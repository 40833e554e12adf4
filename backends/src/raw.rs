use crate::segments::{Segment, Segments};
use iopt::{PhysAddr, PhysRange};

/// The first byte of the file is at `base`. `None` if the last one is behind the end of the address space.
pub(crate) fn segments(bytes: &[u8], base: PhysAddr) -> Option<Segments> {
    let last = u64::try_from(bytes.len().checked_sub(1)?).ok()?;
    let range = PhysRange::new(base, base.checked_add(last)?)?;
    Some(Segments::single(Segment { range, offset: 0 }))
}
