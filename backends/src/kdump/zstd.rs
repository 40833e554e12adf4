//! One page in one frame of Zstandard (RFC 8878).
//!
//! The decoder bounds neither a block nor the window, so a frame is looked through first: what it announces must fit
//! a page. What then is left to a frame made for the purpose is matches that are longer than they should be: each of
//! at most a third of a page's bytes gives up to 128 KiB. For a page of 4 KiB that is 171 MiB, in a buffer of 256 MiB
//! beside the one of 128 MiB that it grew out of, until the page is refused.

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::Read;

/// The largest window, as RFC 8878 (3.1.1.1.2) recommends that every decoder can have.
const WINDOW: u64 = 8 << 20;
/// The shortest match (RFC 8878, 3.1.1.3.2.1.1).
const SHORTEST: usize = 3;

/// Decompresses the frame that `input` is into `output`, and says how many bytes that gave; `None` if it is damaged
/// or holds more than there is room for.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    look_through(input, output.len())?;
    let mut rest = input;
    let mut decoder = FrameDecoder::new();
    decoder.init(&mut rest).ok()?;
    decoder.decode_blocks(&mut rest, BlockDecodingStrategy::All).ok()?;
    let length = decoder.can_collect();
    decoder.read_exact(output.get_mut(..length)?).ok()?;
    let sum = decoder.get_checksum_from_data();
    (rest.is_empty() && sum.is_none_or(|sum| decoder.get_calculated_checksum() == Some(sum))).then_some(length)
}

/// Whether `frame` may be given to the decoder, for a page of `size` bytes.
fn look_through(frame: &[u8], size: usize) -> Option<()> {
    let mut frame = frame.strip_prefix(b"\x28\xb5\x2f\xfd")?;
    let descriptor = *take(&mut frame, 1)?.first()?;
    let (single, dictionary) = (descriptor & 0x20 != 0, descriptor & 3 != 0);
    if dictionary {
        return None;
    }
    let page = u64::try_from(size).ok()?;
    if !single {
        let window = *take(&mut frame, 1)?.first()?;
        let base = 1u64.checked_shl(u32::from(window >> 3).checked_add(10)?)?;
        let window = (base >> 3).checked_mul(u64::from(window & 7))?.checked_add(base)?;
        (window <= WINDOW).then_some(())?;
    }
    let announced = match (descriptor >> 6, single) {
        (0, false) => page,
        (0, true) => little(take(&mut frame, 1)?),
        (1, _) => little(take(&mut frame, 2)?).checked_add(256)?,
        (2, _) => little(take(&mut frame, 4)?),
        _ => little(take(&mut frame, 8)?),
    };
    (announced == page).then_some(())?;
    let (mut plain, mut sequences) = (0usize, 0usize);
    loop {
        let header = usize::try_from(little(take(&mut frame, 3)?)).ok()?;
        let length = header >> 3;
        match (header >> 1) & 3 {
            0 => plain = plain.checked_add(take(&mut frame, length)?.len())?,
            1 => {
                plain = plain.checked_add(length)?;
                take(&mut frame, 1)?;
            }
            2 => {
                let (literals, matches) = sections(take(&mut frame, length)?)?;
                plain = plain.checked_add(literals)?;
                sequences = sequences.checked_add(matches)?;
            }
            _ => return None,
        }
        let total = sequences.checked_mul(SHORTEST)?.checked_add(plain)?;
        (total <= size).then_some(())?;
        if header & 1 != 0 {
            return Some(());
        }
    }
}

/// How many literals and how many sequences a compressed block has (RFC 8878, 3.1.1.3.1.1 and 3.1.1.3.2.1).
fn sections(block: &[u8]) -> Option<(usize, usize)> {
    let first = *block.first()?;
    let (kind, format) = (first & 3, (first >> 2) & 3);
    let (header, bits) = match (kind, format) {
        (0 | 1, 0 | 2) => (1, 5),
        (0 | 1, 1) => (2, 12),
        (0 | 1, _) => (3, 20),
        (_, 0 | 1) => (3, 10),
        (_, 2) => (4, 14),
        _ => (5, 18),
    };
    let mut rest = block;
    let sizes = little(take(&mut rest, header)?) >> if bits == 5 { 3 } else { 4 };
    let mask = 1u64.checked_shl(bits)?.checked_sub(1)?;
    let literals = usize::try_from(sizes & mask).ok()?;
    let stored = match kind {
        0 => literals,
        1 => 1,
        _ => usize::try_from(sizes.checked_shr(bits)? & mask).ok()?,
    };
    take(&mut rest, stored)?;
    let sequences = match usize::from(*take(&mut rest, 1)?.first()?) {
        few @ 0..128 => few,
        255 => usize::try_from(little(take(&mut rest, 2)?)).ok()?.checked_add(0x7f00)?,
        many => (many & 127) << 8 | usize::from(*take(&mut rest, 1)?.first()?),
    };
    Some((literals, sequences))
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(taken)
}

/// At most eight bytes, little-endian.
fn little(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
