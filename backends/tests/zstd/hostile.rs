//! Blocks that would give gigabytes.

use crate::frame::{block, compressed, frame, literals, sequences};
use crate::open;

/// Of matches as long as the code and bits that are all set make them, each behind a literal.
fn bomb(count: u32, code: u8, bits: u32) -> Vec<u8> {
    let length = u64::from(count) * u64::from(bits);
    let mut stream = vec![0xff; (length / 8) as usize];
    stream.push(((1u16 << (length % 8 + 1)) - 1) as u8);
    frame(7, &[compressed(&[literals(count), sequences(count, (1, code), &stream)].concat())])
}

#[test]
fn invalid_blocks_of_gigabytes() {
    // 60000 matches of 131074 bytes; and as many as there can be, of 2050.
    for (bytes, found) in [(bomb(60_000, 52, 16), 60_000 + 131_074), (bomb(98_000, 46, 10), 98_000 + 17 * 2050)] {
        assert!(bytes.len() < 124_000);
        let expected = format!(
            "the zstd stream is damaged or cut short: at offset 0x6: expected a block of at most 131072 bytes, \
             found {found} or more"
        );
        assert_eq!(open(&bytes, u64::MAX), Err(expected));
    }
}

#[test]
fn the_largest_block_is_of_128_kib_or_of_the_window() {
    // A literal, and a match of 65539 and what the bits say.
    let one = |exponent, more: u32| {
        let bits = [&more.to_le_bytes()[..2], &[1]].concat();
        frame(exponent, &[compressed(&[literals(1), sequences(1, (1, 52), &bits)].concat())])
    };
    assert_eq!(open(&one(7, 131_071 - 65_539), u64::MAX).unwrap(), vec![b'x'; 131_072]);
    assert!(open(&one(7, 131_072 - 65_539), u64::MAX).unwrap_err().ends_with("131072 bytes, found 131073 or more"));
    assert!(open(&one(6, 0), u64::MAX).unwrap_err().ends_with("at most 65536 bytes, found 65540 or more"));
    // The limit is refused before anything is decompressed.
    let text = "the zstd stream decompresses to more than the limit of 65539 bytes";
    assert_eq!(open(&one(7, 0), 65_539), Err(text.into()));
    assert_eq!(open(&one(7, 0), 65_540).unwrap().len(), 65_540);
}

#[test]
fn windows_of_eighths_and_the_largest() {
    let of = |descriptor: u8, size| {
        let mut bytes = frame(6, &[block(1, size, b"x", true)]);
        bytes[5] = descriptor;
        open(&bytes, u64::MAX)
    };
    assert_eq!(of(0x33, (64 << 10) + (24 << 10)).unwrap().len(), 88 << 10);
    assert!(of(0x33, (88 << 10) + 1).unwrap_err().ends_with("at most 90112 bytes, found 90113 or more"));
    // 128 MiB, and an eighth more.
    assert_eq!(of(17 << 3, 1 << 17).unwrap().len(), 1 << 17);
    let text = "the zstd stream needs a window of more than 134217728 bytes to decompress";
    assert_eq!(of(17 << 3 | 1, 1 << 17), Err(text.into()));
}
