//! Files that are nearly right.

use crate::seeds::Seed;
use iopt_model::random_bytes;

/// Numbers that nobody can guess, but that are the same for the same seed.
struct Draw(std::vec::IntoIter<u8>);

impl Draw {
    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | u64::from(self.0.next().unwrap_or(0)))
    }

    fn below(&mut self, end: usize) -> usize {
        (self.word() % end.max(1) as u64) as usize
    }
}

/// Numbers at which something ends, or changes its sign.
const EXTREMES: [u64; 8] = [0, 1, 0x7f, 0xfff, 0x1000, i64::MAX as u64, 1 << 63, u64::MAX];

/// One of `seeds` with a few changes: bits, whole fields, pieces of another one, and other lengths.
pub fn mutated(seeds: &[Seed], number: u64) -> Vec<u8> {
    let mut draw = Draw(random_bytes(number, 800).into_iter());
    let seed = &seeds[draw.below(seeds.len())];
    let mut bytes = seed.bytes.clone();
    for _ in 0..1 + draw.below(4) {
        let header = &seed.headers[draw.below(seed.headers.len())];
        let length = bytes.len();
        let at = match draw.below(4) {
            0 => draw.below(length),
            _ => (header.start + draw.below(header.len())).min(length.saturating_sub(1)),
        };
        match draw.below(8) {
            0 => bytes.truncate(draw.below(length)),
            1 => {
                let other = &seeds[draw.below(seeds.len())].bytes;
                let from = draw.below(other.len());
                let piece = &other[from..(from + draw.below(600)).min(other.len())];
                bytes.splice(at..(at + draw.below(2) * piece.len()).min(length), piece.iter().copied());
            }
            2 | 3 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << draw.below(8)),
            4 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = draw.word() as u8),
            _ => {
                let (value, width) = (EXTREMES[draw.below(EXTREMES.len())], 1 << draw.below(4));
                let value = if draw.below(2) == 0 { value } else { value.swap_bytes() }.to_le_bytes();
                let field = bytes.iter_mut().skip(at & !(width - 1)).take(width);
                field.zip(value).for_each(|(byte, value)| *byte = value);
            }
        }
    }
    bytes
}

/// The seed with every field of its headers, whatever the width, at the ends of what it can hold.
pub fn extremes(seed: &Seed) -> impl Iterator<Item = Vec<u8>> + '_ {
    let places = [1, 2, 4, 8].into_iter().flat_map(move |width| {
        let headers = seed.headers.iter().cloned();
        headers.flat_map(move |header| header.step_by(width).map(move |at| (at, width)))
    });
    places.filter(|(at, width)| at + width <= seed.bytes.len()).flat_map(move |(at, width)| {
        let (lowest, highest) = (at, at + width - 1);
        [(0, 0, at), (0, 1, lowest), (0xff, 0x7f, lowest), (0, 0x80, lowest), (0xff, 0xff, at)]
            .into_iter()
            .chain([(0, 1, highest), (0xff, 0x7f, highest), (0, 0x80, highest)])
            .take(if width == 1 { 5 } else { 8 })
            .map(move |(all, one, place)| {
                let mut bytes = seed.bytes.clone();
                bytes[at..at + width].fill(all);
                bytes[place] = one;
                bytes
            })
    })
}
