//! Pages out of segments.

use super::{Segment, Segments, phys_range};
use crate::missing::Covered;
use iopt::memory::{Page, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use zerocopy::{IntoBytes, transmute_ref};

impl Segments {
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
