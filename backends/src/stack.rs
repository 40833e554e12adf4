use crate::image::Image;
use crate::missing::Covered;
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use std::ops::Range;
use thiserror::Error;
use zerocopy::IntoBytes;

/// Several images of the same memory, read as one: the files of a split dump, low and high memory in a file each, or
/// any mix.
///
/// Each page is that of the first image that has it; whether another one has the same is not looked at. A page
/// that no image has whole is put together, at each byte from the first image that has it. If that can't be done
/// either, it reads as the image says that knows most: [`Io`](ReadErrorKind::Io) before
/// [`Excluded`](ReadErrorKind::Excluded) before [`Hole`](ReadErrorKind::Hole).
///
/// ```
/// use iopt::{PhysAddr, memory::PhysReader};
/// use iopt_backends::{OpenOptions, Stack};
///
/// let low = OpenOptions::new().from_bytes(&[0; 4096])?;
/// let high = OpenOptions::new().raw_base(PhysAddr(0x1_0000_0000)).from_bytes(&[0; 4096])?;
/// let memory = Stack::new(vec![low, high])?;
/// assert!(memory.lend_page(PhysAddr(0)).is_some());
/// assert!(memory.lend_page(PhysAddr(0x1_0000_0000)).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stack {
    images: Vec<Image>,
}

/// Images do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("image {index}: {kind}")]
pub struct StackError {
    /// Which image, counted from 0.
    pub index: usize,
    /// Why it does not belong to one before it.
    pub kind: StackErrorKind,
}

/// Why images do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StackErrorKind {
    /// Both are of split dumps, but not of the same one.
    #[error("expected another file of the split dump that image {other} is of, found another {field}")]
    OtherDump {
        /// The image before.
        other: usize,
        /// The first field of the header that differs.
        field: &'static str,
    },
    /// Two files of a split dump have the same page frames: one may be given twice.
    #[error(
        "expected page frames outside the part {:#x} up to {:#x} of image {other}, found {:#x} up to {:#x}",
        theirs.start, theirs.end, found.start, found.end
    )]
    PartOverlaps {
        /// The image before.
        other: usize,
        /// Its part, the last page frame exclusive.
        theirs: Range<u64>,
        /// The part of this image.
        found: Range<u64>,
    },
}

impl Stack {
    /// All of `images` as one, those before others in their order.
    ///
    /// # Errors
    /// Files of split dumps must be of the same dump, and have a part of it each.
    pub fn new(images: Vec<Image>) -> Result<Self, StackError> {
        let stack = Self { images };
        let mut before: Vec<(usize, Range<u64>)> = Vec::new();
        for (index, part) in stack.parts() {
            for (other, theirs) in &before {
                let other = *other;
                let headers = (stack.header(index), stack.header(other));
                if let Some(field) = headers.0.zip(headers.1).and_then(|(this, other)| this.differs(other)) {
                    return Err(StackError { index, kind: StackErrorKind::OtherDump { other, field } });
                }
                if part.start.max(theirs.start) < part.end.min(theirs.end) {
                    let kind = StackErrorKind::PartOverlaps { other, theirs: theirs.clone(), found: part };
                    return Err(StackError { index, kind });
                }
            }
            before.push((index, part));
        }
        Ok(stack)
    }

    /// The images, in their order.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The page frames of a split dump of which no image is the file, ascending, the last of each exclusive. None if no
    /// image is of a split dump.
    #[must_use]
    pub fn missing_parts(&self) -> Vec<Range<u64>> {
        let Some((first, _)) = self.parts().next() else { return Vec::new() };
        let all = self.header(first).map_or(0, |header| header.max_mapnr);
        // Parts may be empty, and behind the last page frame.
        let there = |part: &Range<u64>| part.start < part.end.min(all);
        let mut parts: Vec<Range<u64>> = self.parts().map(|(_, part)| part).filter(there).collect();
        parts.sort_unstable_by_key(|part| part.start);
        parts.push(all..all);
        let mut end = 0;
        let mut missing = Vec::new();
        for part in parts {
            if end < part.start {
                missing.push(end..part.start);
            }
            end = end.max(part.end);
        }
        missing
    }

    /// The parts of a split dump, and which images have them.
    fn parts(&self) -> impl Iterator<Item = (usize, Range<u64>)> + '_ {
        let part = |image: &Image| image.kdump()?.header().part.clone();
        self.images.iter().enumerate().filter_map(move |(index, image)| Some((index, part(image)?)))
    }

    fn header(&self, index: usize) -> Option<&crate::KdumpHeader> {
        Some(self.images.get(index)?.kdump()?.header())
    }

    /// The page out of an image behind the first, if no image before it has it in another way.
    #[inline(never)]
    fn lend_other(&self, addr: PhysAddr) -> Option<&Page> {
        let mut copy = Page::ZERO;
        for image in &self.images {
            if let Some(page) = image.lend_page(addr) {
                return Some(page);
            }
            if image.read_page(addr, &mut copy).is_ok() {
                return None;
            }
        }
        None
    }

    /// Puts a page together that no image has whole.
    fn assemble(&self, addr: PhysAddr, page: &mut Page) -> Option<()> {
        let mut covered = Covered::default();
        let first = addr.page();
        for image in &self.images {
            image.add_parts(first, page.as_mut_bytes(), &mut covered)?;
        }
        covered.add(first.0..=first.0 | 0xfff).is_empty().then_some(())
    }
}

/// Whichever tells more about a page that is not there.
fn more_telling(one: ReadErrorKind, other: ReadErrorKind) -> ReadErrorKind {
    let weight = |kind| match kind {
        ReadErrorKind::Hole => 0,
        ReadErrorKind::Excluded => 1,
        _ => 2,
    };
    if weight(other) > weight(one) { other } else { one }
}

impl PhysReader for Stack {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let mut kind = ReadErrorKind::Hole;
        for image in &self.images {
            match image.read_page(addr, page) {
                Ok(()) => return Ok(()),
                Err(error) => kind = more_telling(kind, error.kind),
            }
        }
        // Alone, an image has told.
        let several = self.images.len() > 1;
        several.then(|| self.assemble(addr, page)).flatten().ok_or(ReadError::new(addr, kind))
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let (first, rest) = self.images.split_first()?;
        match first.lend_page(addr) {
            Some(page) => Some(page),
            None if rest.is_empty() => None,
            None => self.lend_other(addr),
        }
    }

    #[inline]
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        // Of no use to the others: which of them lends the page is not known before it is asked for.
        if let Some(first) = self.images.first() {
            first.prefetch(addr, bytes);
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let nearest = self.images.iter().filter_map(|image| image.next_range(from)).min_by_key(PhysRange::first)?;
        let (mut first, mut last) = (nearest.first(), nearest.last());
        let at = |addr: PhysAddr| {
            let here = move |range: &PhysRange| range.first() <= addr;
            self.images.iter().filter_map(move |image| image.next_range(addr).filter(here))
        };
        while let Some(below) =
            first.0.checked_sub(1).and_then(|below| at(PhysAddr(below)).map(|range| range.first()).min())
        {
            first = below;
        }
        while let Some(above) = last.checked_add(1).and_then(|above| at(above).map(|range| range.last()).max()) {
            last = above;
        }
        PhysRange::new(first, last)
    }
}
