//! Frames written by hand (RFC 8878).

/// A frame with a window of 64 KiB, or more for a larger exponent, that does not say what it holds.
pub fn frame(exponent: u8, blocks: &[Vec<u8>]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3], &blocks.concat()[..]].concat()
}

/// A block whose header says so.
pub fn block(kind: u32, size: u32, bytes: &[u8], is_last: bool) -> Vec<u8> {
    let header = (size << 3 | kind << 1 | u32::from(is_last)).to_le_bytes();
    [&header[..3], bytes].concat()
}

/// The last block, compressed.
pub fn compressed(content: &[u8]) -> Vec<u8> {
    block(2, content.len() as u32, content, true)
}

/// So many equal literals.
pub fn literals(count: u32) -> Vec<u8> {
    [&(count << 4 | 0xd).to_le_bytes()[..3], b"x"].concat()
}

/// Sequences of the literal code `length` and the match code `code`, with the last offset but for no literals, and
/// the bits behind the codes.
pub fn sequences(count: u32, (length, code): (u8, u8), bits: &[u8]) -> Vec<u8> {
    let more = count.saturating_sub(0x7f00).to_le_bytes();
    let number = match count {
        0..128 => vec![count as u8],
        128..0x7f00 => vec![(count >> 8) as u8 | 128, count as u8],
        _ => vec![255, more[0], more[1]],
    };
    [&number, &[0x54, length, 0, code][..], bits].concat()
}
