use iopt::PhysRange;
use iopt::memory::ReadErrorKind;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

/// Memory that the machine had and that an image has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which memory.
    pub range: PhysRange,
    /// Why it is not there.
    pub reason: MissingReason,
}

/// Why an image has not all memory of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissingReason {
    /// The tool that wrote the image left it out: its pages read as [`ReadErrorKind::Excluded`].
    Excluded,
    /// The file ends before it: its pages read as [`ReadErrorKind::Io`] without an error number. No filter has
    /// left it out, and a complete copy of the file has it.
    Truncated,
    /// It was not written, though the file has a place for it: the writer ran out of space. Its pages read as
    /// [`ReadErrorKind::Io`] without an error number, too.
    Lost,
    /// What the image says of how it is stored makes no sense. Its pages read as [`ReadErrorKind::Io`] without an error
    /// number. Pages that are damaged themselves are not told: they are not decompressed for this.
    Damaged,
    /// Another file of a split dump has it, or is to say why not; see [`Stack`](crate::Stack). Its pages read as
    /// [`ReadErrorKind::Excluded`].
    OtherPart,
}

impl fmt::Display for MissingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Excluded => "left out by the tool that wrote the image",
            Self::Truncated => "behind the end of the file",
            Self::Lost => "not written, as the dump was not finished",
            Self::Damaged => "stored in a way that makes no sense",
            Self::OtherPart => "in another file of the split dump",
        })
    }
}

impl From<MissingReason> for ReadErrorKind {
    fn from(reason: MissingReason) -> Self {
        match reason {
            MissingReason::Excluded | MissingReason::OtherPart => Self::Excluded,
            MissingReason::Truncated | MissingReason::Lost | MissingReason::Damaged => Self::Io(0),
        }
    }
}

/// Numbers that are spoken for.
#[derive(Debug, Default)]
pub(crate) struct Covered {
    /// First to last, without overlap.
    ranges: BTreeMap<u64, u64>,
}

impl Covered {
    /// Covers `range` and returns, ascending, the parts of it that were not covered before.
    ///
    /// What overlaps is joined here, so that many calls together take time and give parts in proportion to their
    /// number, however they overlap.
    pub(crate) fn add(&mut self, range: RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let (mut first, mut last) = range.clone().into_inner();
        let mut parts = Vec::new();
        // The first number that is not looked at yet.
        let mut from = Some(first);
        if let Some((&below, &end)) = self.ranges.range(..first).next_back().filter(|(_, end)| **end >= first) {
            first = below;
            last = last.max(end);
            from = end.checked_add(1);
        }
        while let Some((&start, &end)) = self.ranges.range(range.clone()).next() {
            self.ranges.remove(&start);
            let gap = from.zip(start.checked_sub(1)).filter(|(from, before)| from <= before);
            parts.extend(gap.map(|(from, before)| from..=before));
            last = last.max(end);
            from = end.checked_add(1);
        }
        parts.extend(from.filter(|from| range.contains(from)).map(|from| from..=*range.end()));
        self.ranges.insert(first, last);
        parts
    }
}
