use super::{DmarError, Part, Problem};

/// Records that say their own length, one behind the other: remapping structures, device scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
    /// Of `rest`, from the start of the table.
    offset: usize,
}

/// How the records of a list begin.
pub(super) struct Head {
    pub what: &'static str,
    /// Size in bytes of type and length.
    pub size: usize,
    /// Type and length; `None` if there are fewer than `size` bytes.
    pub read: fn(&[u8]) -> Option<(Part, usize)>,
}

impl<'a> Records<'a> {
    pub(super) const fn new(rest: &'a [u8], offset: usize) -> Self {
        Self { rest, offset }
    }

    /// The next record with its offset. Each call either gets on by at least the size of a header, or is the last.
    pub(super) fn next(&mut self, head: &Head) -> Option<Result<(usize, &'a [u8]), DmarError>> {
        let Self { rest, offset } = *self;
        if rest.is_empty() {
            return None;
        }
        // What ends the list stays so, unless a whole record is found below.
        self.rest = &[];
        Some(self.cut(head, rest).map_err(|problem| DmarError { offset, problem }).map(|bytes| (offset, bytes)))
    }

    fn cut(&mut self, head: &Head, rest: &'a [u8]) -> Result<&'a [u8], Problem> {
        let (left, expected) = (rest.len(), head.size);
        let (part, length) = (head.read)(rest).ok_or(Problem::Fragment { what: head.what, expected, found: left })?;
        if length < expected {
            return Err(Problem::Endless { part, expected, length });
        }
        let (bytes, behind) = rest.split_at_checked(length).ok_or(Problem::PastEnd { part, length, left })?;
        *self = Self { rest: behind, offset: self.offset.saturating_add(length) };
        Ok(bytes)
    }
}
