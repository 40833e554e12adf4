use std::ops::Range;

/// Which parts of a file there are, and where among the bytes that are kept of it. A file that was never flattened is
/// one part.
#[derive(Debug)]
pub(crate) struct Extents {
    /// Ascending, with gaps between them: the first byte in the file and the place of all.
    extents: Vec<(u64, Range<usize>)>,
}

impl Extents {
    /// A whole file of `length` bytes.
    pub(crate) fn whole(length: usize) -> Self {
        Self { extents: vec![(0, 0..length)] }
    }

    /// Adds `bytes`, which belong at `first`, to those that are `kept`. It must lie behind all before it.
    pub(crate) fn push(&mut self, first: u64, bytes: Range<usize>) {
        match self.extents.last_mut() {
            Some((start, last)) if last.end == bytes.start && end(*start, last) == first => last.end = bytes.end,
            _ => self.extents.push((first, bytes)),
        }
    }

    /// No file yet.
    pub(crate) fn none() -> Self {
        Self { extents: Vec::new() }
    }

    /// Behind the last byte that is there, in the file.
    pub(crate) fn end(&self) -> u64 {
        self.extents.last().map_or(0, |(first, bytes)| end(*first, bytes))
    }

    /// Where the `size` bytes from `offset` on are kept, as far as they are there without a gap.
    pub(crate) fn find(&self, offset: u64, size: u64) -> Range<usize> {
        let above = self.extents.partition_point(|(first, _)| *first <= offset);
        let found = || {
            let (first, bytes) = self.extents.get(above.checked_sub(1)?)?;
            let start = bytes.start.checked_add(usize::try_from(offset.checked_sub(*first)?).ok()?)?;
            let end = start.saturating_add(usize::try_from(size).unwrap_or(usize::MAX)).min(bytes.end);
            (start < end).then_some(start..end)
        };
        found().unwrap_or(0..0)
    }
}

fn end(first: u64, bytes: &Range<usize>) -> u64 {
    first.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
}
