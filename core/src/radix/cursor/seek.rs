use super::Cursor;
use super::frame::{offset, place, window};
use crate::address::{Iova, IovaRange};
use crate::memory::PhysReader;
use crate::radix::Format;

/// What of the top table is to be looked at, as in a [`Frame`].
struct Half {
    base: u64,
    next: usize,
    last: usize,
}

impl<R: PhysReader + ?Sized, F: Format> Cursor<'_, R, F> {
    /// The first address that the next items can concern, to [`seek`](Self::seek) to with a later cursor;
    /// `None` at the end.
    #[must_use]
    pub fn position(&self) -> Option<Iova> {
        let mut level = self.level;
        while let (Some(frame), Some(shape)) = (self.frame(level), self.shape(level)) {
            if frame.next <= frame.last {
                return Some(Iova(frame.base.wrapping_add(offset(shape, frame.next)).max(self.from)));
            }
            level = level.wrapping_add(1);
        }
        let upper = self.half(true).filter(|half| self.upper_to_come && self.level != 0 && half.next <= half.last)?;
        Some(Iova(upper.base.wrapping_add(offset(self.shape(self.top)?, upper.next)).max(self.from)))
    }

    /// Goes to `iova`, forwards or backwards: what comes next is the first item that concerns it or an address
    /// behind it. Tables on the path that both places share are not read again.
    pub fn seek(&mut self, iova: Iova) {
        self.seek_within(iova, Iova(self.last));
    }

    /// Goes to the start of `window`, which replaces the one given to [`start`](Self::start). Tables on the path
    /// that both places share are not read again.
    pub fn set_window(&mut self, window: IovaRange) {
        self.seek_within(window.first(), window.last());
    }

    fn seek_within(&mut self, iova: Iova, last: Iova) {
        (self.from, self.last) = (iova.0, last.0);
        // The way back up, and even the end, leave the lower tables at hand.
        let mut level = self.at_hand;
        while let (Some(shape), Some(frame)) = (self.shape(level), self.frame(level)) {
            let span = IovaRange::block(Iova(frame.base), shape.size_log2.saturating_add(shape.index_bits));
            if level >= self.top || span.contains(iova) {
                break;
            }
            level = level.wrapping_add(1);
        }
        if self.format.sign_extended() {
            // Of the lower half nothing lies behind an address of the upper one.
            self.stand_in_half(iova.0 > u64::MAX >> 1);
        }
        self.level = level;
        let (from, last) = (self.from, self.last);
        for above in level..=self.top {
            let place = place(above);
            let (Some(shape), Some(frame)) = (self.format.levels().get(place), self.frames.get_mut(place)) else {
                break;
            };
            if above < self.top || !self.format.sign_extended() {
                (frame.next, frame.last) = window(shape, frame.base, from, last);
            }
            // The entry of the address itself leads to the table below.
            if above > level {
                frame.next = frame.next.wrapping_add(1);
            }
        }
    }

    /// Goes to the first entry of the top table that concerns the window.
    pub(super) fn stand_at_top(&mut self) {
        if self.format.sign_extended() {
            self.stand_in_half(false);
        }
    }

    pub(super) fn stand_in_half(&mut self, upper: bool) {
        if let (Some(half), Some(frame)) = (self.half(upper), self.frames.get_mut(place(self.top))) {
            (frame.base, frame.next, frame.last) = (half.base, half.next, half.last);
            (self.level, self.upper_to_come) = (self.top, !upper);
        }
    }

    /// One half of the top table, as a table of its own.
    ///
    /// The two halves are apart in a sign-extended input, so that no run may go from one into the other. Taken
    /// one after the other, each has a base to which the place of an entry just adds up.
    fn half(&self, upper: bool) -> Option<Half> {
        let shape = self.shape(self.top)?;
        let middle = shape.entries().wrapping_shr(1);
        let base = if upper { u64::MAX.checked_shl(self.format.input_bits().into()).unwrap_or(0) } else { 0 };
        let (next, last) = window(shape, base, self.from, self.last);
        Some(if upper {
            Half { base, next: next.max(middle), last }
        } else {
            Half { base, next, last: last.min(middle.wrapping_sub(1)) }
        })
    }
}
