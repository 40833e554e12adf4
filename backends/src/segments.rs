use iopt::memory::{Page, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use zerocopy::{FromBytes, IntoBytes};

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
}

impl Segments {
    pub(crate) fn single(segment: Segment) -> Self {
        Self { segments: vec![segment], ranges: vec![segment.range] }
    }

    /// The map of `segments`, which may come in any order.
    pub(crate) fn new(mut segments: Vec<Segment>) -> Result<Self, Overlap> {
        segments.sort_unstable_by_key(|segment| segment.range.first());
        let mut ranges: Vec<PhysRange> = Vec::new();
        let mut previous: Option<Segment> = None;
        for &segment in &segments {
            if let Some(previous) = previous.filter(|previous| segment.range.first() <= previous.range.last()) {
                return Err(Overlap(previous, segment));
            }
            previous = Some(segment);
            let joined = ranges.last_mut().and_then(|range| Some((joined(range, &segment.range)?, range)));
            match joined {
                Some((joined, range)) => *range = joined,
                None => ranges.push(segment.range),
            }
        }
        Ok(Self { segments, ranges })
    }

    /// The page that holds `addr`, if it lies whole in one segment.
    #[inline]
    pub(crate) fn lend<'a>(&self, bytes: &'a [u8], addr: PhysAddr) -> Option<&'a Page> {
        let first = addr.page();
        let segment = self.last_from_or_below(first)?;
        if segment.range.last() < last_of_page(first) {
            return None;
        }
        let (page, _) = Page::ref_from_prefix(bytes.get(segment.offset_of(first)?..)?).ok()?;
        Some(page)
    }

    /// Copies the page that holds `addr`, which may be made of several segments.
    pub(crate) fn copy(&self, bytes: &[u8], addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.assemble(bytes, addr.page(), page.as_mut_bytes()).ok_or(ReadError::new(addr, ReadErrorKind::Hole))
    }

    fn assemble(&self, bytes: &[u8], mut at: PhysAddr, mut page: &mut [u8]) -> Option<()> {
        loop {
            let segment = self.last_from_or_below(at)?;
            let length = segment.bytes_from(at, page.len());
            if length == 0 {
                return None;
            }
            let (piece, rest) = page.split_at_mut_checked(length)?;
            piece.copy_from_slice(bytes.get(segment.offset_of(at)?..)?.get(..length)?);
            if rest.is_empty() {
                return Some(());
            }
            at = at.checked_add(u64::try_from(length).ok()?)?;
            page = rest;
        }
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

fn joined(low: &PhysRange, high: &PhysRange) -> Option<PhysRange> {
    (low.last().checked_add(1)? == high.first()).then(|| PhysRange::new(low.first(), high.last()))?
}
