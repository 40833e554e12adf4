use crate::missing::{Covered, Missing};
use iopt::memory::{Page, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use std::ops::RangeInclusive;
use zerocopy::{IntoBytes, transmute_ref};

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

    /// The page that holds `addr`, if it lies whole in one segment.
    #[inline]
    pub(crate) fn lend<'a>(&self, bytes: &'a [u8], addr: PhysAddr) -> Option<&'a Page> {
        let first = addr.page();
        let segment = match self.segments.as_slice() {
            // Most raw images are one segment, and a random translation asks four times.
            [only] => only,
            _ => self.last_from_or_below(first)?,
        };
        if first < segment.range.first() || segment.range.last() < last_of_page(first) {
            return None;
        }
        // Neither sum can wrap: the page lies in the segment, and the segment among the bytes.
        let inside = usize::try_from(first.0.wrapping_sub(segment.range.first().0)).ok()?;
        let page: &[u8; Page::SIZE] = bytes.get(segment.offset.wrapping_add(inside)..)?.first_chunk()?;
        Some(transmute_ref!(page))
    }

    /// Copies the page that holds `addr`, which may be made of several segments.
    pub(crate) fn copy(&self, bytes: &[u8], addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.copy_from(addr, page, |offset, piece| {
            let stored = bytes.get(offset..).and_then(|bytes| bytes.get(..piece.len()));
            piece.copy_from_slice(stored.ok_or(ReadErrorKind::Hole)?);
            Ok(())
        })
    }

    /// The same, where `read` gets the bytes at an offset.
    pub(crate) fn copy_from(
        &self,
        addr: PhysAddr,
        page: &mut Page,
        read: impl FnMut(usize, &mut [u8]) -> Result<(), ReadErrorKind>,
    ) -> Result<(), ReadError> {
        self.assemble(addr.page(), page.as_mut_bytes(), read).map_err(|kind| ReadError::new(addr, kind))
    }

    /// Why there is no page at `first`: the first missing part of it tells.
    fn absence(&self, first: PhysAddr) -> ReadErrorKind {
        let at = self.missing.partition_point(|missing| missing.range.last() < first);
        let missing = self.missing.get(at).filter(|missing| missing.range.first() <= last_of_page(first));
        missing.map_or(ReadErrorKind::Hole, |missing| missing.reason.into())
    }

    fn assemble(
        &self,
        first: PhysAddr,
        mut page: &mut [u8],
        mut read: impl FnMut(usize, &mut [u8]) -> Result<(), ReadErrorKind>,
    ) -> Result<(), ReadErrorKind> {
        let absent = || self.absence(first);
        let mut at = first;
        loop {
            let segment = self.last_from_or_below(at).ok_or_else(absent)?;
            let length = segment.bytes_from(at, page.len());
            let (piece, rest) = page.split_at_mut_checked(length).filter(|_| length != 0).ok_or_else(absent)?;
            read(segment.offset_of(at).ok_or_else(absent)?, piece)?;
            if rest.is_empty() {
                return Ok(());
            }
            at = u64::try_from(length).ok().and_then(|length| at.checked_add(length)).ok_or_else(absent)?;
            page = rest;
        }
    }

    /// Copies what there is of the page at `first`, but for the bytes that are `covered` already.
    pub(crate) fn add_parts(
        &self,
        bytes: &[u8],
        first: PhysAddr,
        page: &mut [u8],
        covered: &mut Covered,
    ) -> Option<()> {
        let whole = PhysRange::block(first, 12);
        let from = self.segments.partition_point(|segment| segment.range.last() < first);
        let segments = self.segments.get(from..).unwrap_or_default().iter();
        for segment in segments.take_while(|segment| segment.range.first() <= whole.last()) {
            let Some(part) = segment.range.intersection(&whole) else { continue };
            for range in covered.add(part.first().0..=part.last().0).into_iter().filter_map(phys_range) {
                let to = usize::try_from(range.first().0.checked_sub(first.0)?).ok()?;
                let length = usize::try_from(range.size()).ok()?;
                let from = bytes.get(segment.offset_of(range.first())?..)?.get(..length)?;
                page.get_mut(to..)?.get_mut(..length)?.copy_from_slice(from);
            }
        }
        Some(())
    }

    /// The first range, neighbours joined, that ends at or after `from`.
    pub(crate) fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.ranges.get(self.ranges.partition_point(|range| range.last() < from)).copied()
    }

    /// The last segment that starts at or below `addr`; it may end below it too.
    #[inline]
    fn last_from_or_below(&self, addr: PhysAddr) -> Option<&Segment> {
        let above = self.segments.partition_point(|segment| segment.range.first() <= addr);
        self.segments.get(above.checked_sub(1)?)
    }
}

/// The last byte of the page that starts at `first`.
#[inline]
fn last_of_page(first: PhysAddr) -> PhysAddr {
    PhysRange::block(first, 12).last()
}

fn phys_range(range: RangeInclusive<u64>) -> Option<PhysRange> {
    PhysRange::new(PhysAddr(*range.start()), PhysAddr(*range.end()))
}

fn joined(low: &PhysRange, high: &PhysRange) -> Option<PhysRange> {
    (low.last().checked_add(1)? == high.first()).then(|| PhysRange::new(low.first(), high.last()))?
}
