//! One page in one frame of Zstandard.

use crate::zstd::{Frame, Limits};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::Read;

/// The largest window, as RFC 8878 (3.1.1.1.2) recommends that every decoder can have.
const WINDOW: u64 = 8 << 20;

/// Decompresses the frame that `input` is into `output`, and says how many bytes that gave; `None` if it is damaged
/// or does not hold as many as there is room for.
pub(super) fn decompress(input: &[u8], output: &mut [u8]) -> Option<usize> {
    let page = u64::try_from(output.len()).ok()?;
    // The decoder bounds neither a block nor a frame.
    let frame = Frame::first(input, Limits { window: WINDOW, content: page }).ok()?;
    (frame.content == Some(page) && frame.rest.is_empty()).then_some(())?;
    let mut rest = input;
    let mut decoder = FrameDecoder::new();
    decoder.init(&mut rest).ok()?;
    decoder.decode_blocks(&mut rest, BlockDecodingStrategy::All).ok()?;
    let length = decoder.can_collect();
    decoder.read_exact(output.get_mut(..length)?).ok()?;
    let sum = decoder.get_checksum_from_data();
    (rest.is_empty() && sum.is_none_or(|sum| decoder.get_calculated_checksum() == Some(sum))).then_some(length)
}
