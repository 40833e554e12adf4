//! Which memory is where in an image.

mod read;

use crate::missing::{Covered, Missing};
use iopt::{PhysAddr, PhysRange};
use std::ops::RangeInclusive;

/// A range of physical memory, and the offset of its first byte among the image's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) range: PhysRange,
    pub(crate) offset: usize,
}

impl Segment {
    /// The offset of the byte at `addr`, which must not lie below the segment.
    #[inline]
    fn offset_of(&self, addr: PhysAddr) -> Option<usize> {
        let inside = addr.0.checked_sub(self.range.first().0)?;
        self.offset.checked_add(usize::try_from(inside).ok()?)
    }

    /// The part of the segment that lies at `range`, which must lie in it.
    fn part(&self, range: PhysRange) -> Option<Self> {
        Some(Self { range, offset: self.offset_of(range.first())? })
    }

    /// How many bytes the segment has from `addr` on, but `most` at most; 0 behind its end.
    fn bytes_from(&self, addr: PhysAddr, most: usize) -> usize {
        let Some(behind_first) = self.range.last().0.checked_sub(addr.0) else { return 0 };
        usize::try_from(behind_first).map_or(most, |behind| behind.saturating_add(1).min(most))
    }
}

/// Two segments that claim the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overlap(pub(crate) Segment, pub(crate) Segment);

/// Which physical range lies where among the image's bytes.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// Ascending by address, without overlap.
    segments: Vec<Segment>,
    /// The same addresses with neighbours joined: a page is readable exactly if one of these holds it whole.
    ranges: Vec<PhysRange>,
    /// What else the machine had, ascending, without overlap with anything.
    missing: Vec<Missing>,
}

impl Segments {
    pub(crate) fn single(segment: Segment) -> Self {
        Self { segments: vec![segment], ranges: vec![segment.range], missing: Vec::new() }
    }

    /// The map of `segments`, which may come in any order.
    pub(crate) fn new(mut segments: Vec<Segment>) -> Result<Self, Overlap> {
        segments.sort_unstable_by_key(|segment| segment.range.first());
        let mut previous: Option<Segment> = None;
        for &segment in &segments {
            if let Some(previous) = previous.filter(|previous| segment.range.first() <= previous.range.last()) {
                return Err(Overlap(previous, segment));
            }
            previous = Some(segment);
        }
        Ok(Self::ascending(segments, Vec::new()))
    }

    /// The map of `segments` and of what is missing, which may come in any order and overlap: at each address the
    /// first one that has it wins, and segments win over what is missing.
    pub(crate) fn overlaid(segments: Vec<Segment>, missing: Vec<Missing>) -> Self {
        let mut covered = Covered::default();
        let mut add =
            |range: PhysRange| covered.add(range.first().0..=range.last().0).into_iter().filter_map(phys_range);
        let mut parts: Vec<Segment> = Vec::with_capacity(segments.len());
        for segment in segments {
            parts.extend(add(segment.range).filter_map(|range| segment.part(range)));
        }
        parts.sort_unstable_by_key(|segment| segment.range.first());
        let mut lost: Vec<Missing> = missing
            .into_iter()
            .flat_map(|missing| add(missing.range).map(move |range| Missing { range, ..missing }).collect::<Vec<_>>())
            .collect();
        lost.sort_unstable_by_key(|missing| missing.range.first());
        lost.dedup_by(|next, missing| {
            let joined = joined(&missing.range, &next.range).filter(|_| missing.reason == next.reason);
            missing.range = joined.unwrap_or(missing.range);
            joined.is_some()
        });
        Self::ascending(parts, lost)
    }

    fn ascending(segments: Vec<Segment>, missing: Vec<Missing>) -> Self {
        let mut ranges: Vec<PhysRange> = Vec::new();
        for segment in &segments {
            let joined = ranges.last_mut().and_then(|range| Some((joined(range, &segment.range)?, range)));
            match joined {
                Some((joined, range)) => *range = joined,
                None => ranges.push(segment.range),
            }
        }
        Self { segments, ranges, missing }
    }

    pub(crate) fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// The first range, neighbours joined, that ends at or after `from`.
    pub(crate) fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.ranges.get(self.ranges.partition_point(|range| range.last() < from)).copied()
    }
}

fn phys_range(range: RangeInclusive<u64>) -> Option<PhysRange> {
    PhysRange::new(PhysAddr(*range.start()), PhysAddr(*range.end()))
}

fn joined(low: &PhysRange, high: &PhysRange) -> Option<PhysRange> {
    (low.last().checked_add(1)? == high.first()).then(|| PhysRange::new(low.first(), high.last()))?
}
