use crate::radix::{Level, MAX_LEVELS};

/// Where an entry of either stage has an address: bits 51:12.
pub(crate) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The address bits that are reserved under a host address width of `width` bits; none if it is not known.
pub(super) fn beyond_host(width: Option<u8>) -> u64 {
    width.map_or(0, |width| ADDRESS & above(width))
}

/// The address bits that lie inside a leaf of 2^`size_log2` bytes, and so say nothing of where it is.
pub(super) fn inside_leaf(size_log2: u8) -> u64 {
    ADDRESS & !above(size_log2)
}

fn above(bits: u8) -> u64 {
    u64::MAX.checked_shl(u32::from(bits)).unwrap_or(0)
}

/// The levels of a format, from level 1 up. By default there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Levels {
    levels: [Level; MAX_LEVELS],
    count: usize,
}

impl Levels {
    /// `count` levels, each as `shape` says for its number.
    pub(super) fn new(count: u8, shape: impl Fn(u8) -> Level) -> Self {
        let mut levels = [Level::default(); MAX_LEVELS];
        for (number, level) in (1..=count).zip(&mut levels) {
            *level = shape(number);
        }
        Self { levels, count: usize::from(count) }
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[Level] {
        self.levels.get(..self.count).unwrap_or_default()
    }
}
