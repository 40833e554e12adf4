//! The files of split dumps: which of them belong together, and which are missing.

use super::Stack;
use crate::image::Image;
use std::ops::Range;
use thiserror::Error;

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
    /// Whether the files of split dumps are of the same one, and have a part of it each.
    pub(super) fn check_parts(&self) -> Result<(), StackError> {
        let mut before: Vec<(usize, Range<u64>)> = Vec::new();
        for (index, part) in self.parts() {
            for (other, theirs) in &before {
                let other = *other;
                let headers = (self.header(index), self.header(other));
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
        Ok(())
    }

    /// The page frames of a split dump of which no image is the file, ascending, the last of each exclusive. None if no
    /// image is of a split dump, or one is all of it.
    #[must_use]
    pub fn missing_parts(&self) -> Vec<Range<u64>> {
        let Some(of) = self.parts().next().and_then(|(first, _)| self.header(first)) else { return Vec::new() };
        let headers = self.images.iter().filter_map(|image| Some(image.kdump()?.header()));
        if headers.filter(|header| header.part.is_none()).any(|whole| whole.differs(of).is_none()) {
            return Vec::new();
        }
        let all = of.max_mapnr;
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
}
