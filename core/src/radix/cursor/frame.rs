use crate::access::Permissions;
use crate::address::{Iova, IovaRange, PhysAddr};
use crate::memory::{Page, Word};
use crate::radix::scan::{self, Presence};
use crate::radix::{Format, Level, Run};

/// The cursor's place in one table on its path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'m> {
    /// The table if it was lent; otherwise it is the copy for its level.
    pub(super) lent: Option<&'m Page>,
    pub(super) table: PhysAddr,
    /// What the path down to this table lets through.
    pub(super) permissions: Permissions,
    /// The first address that the table maps.
    pub(super) base: u64,
    /// The next entry to look at.
    pub(super) next: usize,
    /// The last entry to look at.
    pub(super) last: usize,
    pub(super) presence: Presence,
}

pub(super) const NOWHERE: Frame<'static> = Frame {
    lent: None,
    table: PhysAddr(0),
    permissions: Permissions::NONE,
    base: 0,
    next: 1,
    last: 0,
    presence: Presence::UNKNOWN,
};

/// The longest run of leaves from the one at `index` on.
#[inline(always)]
pub(super) fn leaf_run<'p, F: Format>(
    format: &F,
    shape: &Level,
    level: u8,
    frame: &Frame<'_>,
    page: &'p Page,
    index: usize,
    permissions: Permissions,
) -> Option<Run<'p>> {
    let words = page.words().get(index..=frame.last)?;
    let raw = words.first()?.get();
    let mask = shape.run_mask();
    let linear = scan::linear(words, mask, shape.leaf_address, shape.size_log2);
    let more = match words.get(linear..) {
        Some(rest @ [next, ..]) if (next.get() ^ raw) & mask == 0 => scan::equal(rest, mask),
        _ => 0,
    };
    let run = run_at(format, shape, level, frame, index, permissions, words.get(..linear.wrapping_add(more))?)?;
    Some(Run { linear, ..run })
}

/// The run whose leaves are `entries`, from the one at `index` on.
#[inline(always)]
pub(super) fn run_at<'p, F: Format>(
    format: &F,
    shape: &Level,
    level: u8,
    frame: &Frame<'_>,
    index: usize,
    permissions: Permissions,
    entries: &'p [Word],
) -> Option<Run<'p>> {
    Some(Run {
        iova: Iova(frame.base.wrapping_add(offset(shape, index))),
        table: frame.table,
        index: u16::try_from(index).unwrap_or(0),
        level,
        page_size_log2: shape.size_log2,
        permissions,
        attributes: format.attributes(shape, entries.first()?.get()),
        entries,
        linear: 0,
        address_mask: shape.leaf_address,
        offset: 0,
    })
}

/// How many entries directly behind the one at `index`, up to the one at `last`, are equal to it.
pub(super) fn repeats(page: &Page, index: usize, last: usize) -> u16 {
    let mut words = page.words().get(index..=last).unwrap_or_default().iter().map(|word| word.get());
    let first = words.next();
    u16::try_from(words.take_while(|word| Some(*word) == first).count()).unwrap_or(0)
}

/// Where the arrays have this level; level 0, which is none, lies outside of them.
#[inline]
pub(super) fn place(level: u8) -> usize {
    usize::from(level).wrapping_sub(1)
}

pub(super) fn level_number(level: usize) -> u8 {
    u8::try_from(level).unwrap_or(0)
}

#[inline]
pub(super) fn offset(shape: &Level, index: usize) -> u64 {
    (index as u64).wrapping_shl(u32::from(shape.size_log2))
}

/// The first and the last entry of a table at `base` that concern the addresses from `from` to `last`.
#[inline]
pub(super) fn window(shape: &Level, base: u64, from: u64, last: u64) -> (usize, usize) {
    let span = IovaRange::block(Iova(base), shape.size_log2.saturating_add(shape.index_bits));
    let after_last = shape.entries();
    let first = match from {
        from if from <= base => 0,
        from if from <= span.last().0 => shape.index(from),
        _ => after_last,
    };
    let last = match last {
        last if last >= span.last().0 => after_last.wrapping_sub(1),
        last if last >= base => shape.index(last),
        _ => return (after_last, 0),
    };
    (first, last)
}
