//! Tables of finite state entropy (RFC 8878, 4.1).

use super::bits::{Backward, Forward};
use super::error::DamageKind;

/// What a table is for.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    /// The logarithm of the most states.
    most_log: u8,
    /// The largest code.
    most_code: u8,
    /// The table that needs no description (RFC 8878, 3.1.1.3.2.2): the logarithm of its size, and how many states
    /// each code has.
    predefined: (u8, &'static [i16]),
}

pub(super) const LITERALS: Kind = Kind {
    most_log: 9,
    most_code: 35,
    predefined: (
        6,
        &[
            4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1,
            -1,
        ],
    ),
};
pub(super) const OFFSETS: Kind = Kind {
    most_log: 8,
    most_code: 31,
    predefined: (5, &[1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1]),
};
pub(super) const MATCHES: Kind = Kind {
    most_log: 9,
    most_code: 52,
    predefined: (
        6,
        &[
            1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
            1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
        ],
    ),
};
/// The weights of a Huffman tree (4.2.1.2), which have no predefined table.
pub(super) const WEIGHTS: Kind = Kind { most_log: 6, most_code: 12, predefined: (0, &[]) };

/// How many states the largest table has.
const STATES: usize = 1 << 9;
/// How many codes there are at most.
const CODES: usize = 53;

/// A state: the code it stands for, and the states that may follow, which as many bits tell apart.
#[derive(Clone, Copy, Default)]
pub(super) struct State {
    pub(super) code: u8,
    bits: u8,
    base: u16,
}

/// A table to decode codes by.
pub(super) struct Table {
    log: u8,
    states: [State; STATES],
}

impl Table {
    /// Of one code, which takes no bits.
    pub(super) fn single(code: u8, kind: Kind) -> Result<Self, DamageKind> {
        if code > kind.most_code {
            return Err(DamageKind::Code { most: kind.most_code, found: code.into() });
        }
        Ok(Self { log: 0, states: [State { code, bits: 0, base: 0 }; STATES] })
    }

    pub(super) fn predefined(kind: Kind) -> Self {
        Self::build(kind.predefined.0, kind.predefined.1)
    }

    /// Takes the description of one off `from` (RFC 8878, 4.1.1).
    pub(super) fn read(from: &mut &[u8], kind: Kind) -> Result<Self, DamageKind> {
        let short = DamageKind::CutShort("the whole of an FSE table");
        let mut bits = Forward::new(from);
        let log = bits.take(4).and_then(|log| u8::try_from(log).ok()).ok_or(short)?.saturating_add(5);
        if log > kind.most_log {
            return Err(DamageKind::TableLog { most: kind.most_log, found: log });
        }
        let (mut counts, mut code) = ([0i16; CODES], 0usize);
        let mut left = 1u32 << log;
        while left != 0 {
            let place = counts.get_mut(code).filter(|_| code <= kind.most_code.into());
            let place = place.ok_or(DamageKind::Code { most: kind.most_code, found: code })?;
            let value = value(&mut bits, left.saturating_add(1)).ok_or(short)?;
            // A code that is rarer than once has a state, too.
            *place = i16::try_from(value).unwrap_or(i16::MAX).saturating_sub(1);
            left = left.saturating_sub(u32::from(place.unsigned_abs()));
            code = code.saturating_add(1);
            if value == 1 {
                code = code.saturating_add(zeros(&mut bits).ok_or(short)?);
            }
        }
        *from = from.get(bits.at.div_ceil(8)..).unwrap_or_default();
        Ok(Self::build(log, counts.get(..code).unwrap_or(&counts)))
    }

    /// From how many states each code has, -1 for one that is rarer than once. They add up to 2 to the power of `log`.
    fn build(log: u8, counts: &[i16]) -> Self {
        let size = 1usize << log;
        let mut states = [State::default(); STATES];
        let codes = || (0u8..).zip(counts);
        let rare = codes().filter(|(_, count)| **count == -1).map(|(code, _)| code);
        let mut end = size;
        for code in rare {
            end = end.saturating_sub(1);
            if let Some(state) = states.get_mut(end) {
                state.code = code;
            }
        }
        let step = (size >> 1).saturating_add(size >> 3).saturating_add(3);
        let places = std::iter::successors(Some(0usize), |at| Some(at.wrapping_add(step) & size.wrapping_sub(1)));
        let common = codes().flat_map(|(code, count)| (0..*count).map(move |_| code));
        for (code, at) in common.zip(places.take(size).filter(|at| *at < end)) {
            if let Some(state) = states.get_mut(at) {
                state.code = code;
            }
        }
        let mut next = [0u16; CODES];
        for (next, count) in next.iter_mut().zip(counts) {
            *next = count.unsigned_abs();
        }
        for state in states.iter_mut().take(size) {
            let Some(next) = next.get_mut(usize::from(state.code)) else { continue };
            let bits = log.saturating_sub(u8::try_from(next.checked_ilog2().unwrap_or(0)).unwrap_or(0));
            state.bits = bits;
            state.base = (*next << bits).saturating_sub(1 << log);
            *next = next.saturating_add(1);
        }
        Self { log, states }
    }

    /// The first state. `None` if there are no bits for it.
    pub(super) fn start(&self, bits: &mut Backward) -> Option<State> {
        self.states.get(usize::try_from(bits.take(self.log)?).ok()?).copied()
    }

    /// The state behind `state`.
    pub(super) fn next(&self, state: State, bits: &mut Backward) -> Option<State> {
        let index = usize::try_from(bits.take(state.bits)?).ok()?.checked_add(state.base.into())?;
        self.states.get(index).copied()
    }
}

/// A number from 0 to `most`, in as few bits as that takes, or one less for the small ones.
fn value(bits: &mut Forward, most: u32) -> Option<u32> {
    let width = u32::BITS.saturating_sub(most.leading_zeros());
    let half = 1u32.checked_shl(width.saturating_sub(1))?;
    let small = half.saturating_mul(2).saturating_sub(1).saturating_sub(most);
    let number = bits.take(width)?;
    let low = number & half.saturating_sub(1);
    if low < small {
        bits.back();
        Some(low)
    } else if number >= half {
        Some(number.saturating_sub(small))
    } else {
        Some(number)
    }
}

/// How many more codes have no state: two bits each time, until they are not 3.
fn zeros(bits: &mut Forward) -> Option<usize> {
    let mut zeros = 0usize;
    loop {
        let more = bits.take(2)?;
        zeros = zeros.saturating_add(usize::try_from(more).ok()?);
        if more != 3 {
            return Some(zeros);
        }
    }
}
