//! An invalid twin for each rule.

use crate::frame::{block, compressed, frame, literals, sequences};
use crate::open;
use crate::sample::FIXTURES;

fn refused(bytes: &[u8], offset: usize, why: &str) {
    let expected = format!("the zstd stream is damaged or cut short: at offset {offset:#x}: {why}");
    assert_eq!(open(bytes, u64::MAX), Err(expected));
}

fn of(content: &[&[u8]]) -> Vec<u8> {
    frame(6, &[compressed(&content.concat())])
}

/// Two sequences of one literal and a match of three bytes.
fn two() -> Vec<u8> {
    sequences(2, (1, 0), &[1])
}

#[test]
fn invalid_headers_of_frames() {
    let valid = frame(6, &[block(0, 2, b"ab", true)]);
    assert_eq!(open(&valid, u64::MAX).unwrap(), b"ab");
    let twin = |at: usize, value: u8| {
        let mut bytes = valid.clone();
        bytes[at] = value;
        bytes
    };
    refused(&twin(4, 8), 0, "expected zeros as reserved bits, found the byte 0x08");
    refused(&[&valid[..], b"more"].concat(), valid.len(), "expected another frame or the end, found something else");
    let dictionary = [&valid[..4], &[2, 0x30, 0x34, 0x12], &valid[6..]].concat();
    refused(&dictionary, 0, "expected a frame without a dictionary, found one that needs the dictionary 0x1234");
    let none = [&valid[..4], &[2, 0x30, 0, 0], &valid[6..]].concat();
    assert_eq!(open(&none, u64::MAX).unwrap(), b"ab");
    let sized = |size: u8| [&valid[..4], &[0x20, size], &valid[6..]].concat();
    assert_eq!(open(&sized(2), u64::MAX).unwrap(), b"ab");
    refused(&sized(3), 11, "expected a frame of 3 bytes, as its header says, found 2");
    refused(&sized(1), 6, "expected a block of at most 1 bytes, found 2 or more");
    let more = frame(6, &[block(0, 2, b"ab", false), block(1, 3, b"c", true)]);
    assert_eq!(open(&more, u64::MAX).unwrap(), b"abccc");
    let sized = [&more[..4], &[0x20, 4], &more[6..]].concat();
    refused(&sized, 11, "expected a frame of 4 bytes, as its header says, found 5");
}

#[test]
fn invalid_blocks() {
    refused(
        &frame(6, &[block(3, 0, b"", true)]),
        6,
        "expected a raw, RLE or compressed block, found the reserved type 3",
    );
    for kind in [0, 1] {
        let plain = vec![7; 65_537];
        let bytes = |size| frame(6, &[block(kind, size, &plain[..if kind == 1 { 1 } else { size as usize }], true)]);
        assert!(open(&bytes(65_536), u64::MAX).is_ok());
        refused(&bytes(65_537), 6, "expected a block of at most 65536 bytes, found 65537 or more");
    }
    // Its literals alone.
    assert_eq!(open(&of(&[&literals(65_536), &[0]]), u64::MAX).unwrap(), vec![b'x'; 65_536]);
    refused(&of(&[&literals(65_537), &[0]]), 6, "expected a block of at most 65536 bytes, found 65537 or more");
    refused(&of(&[&literals(1), &[0, 9]]), 6, "expected the end behind a block without sequences, found 1 bytes");
    refused(&of(&[b""]), 6, "expected the header of the literals of a block, found the end");
    refused(&of(&[&literals(1)]), 6, "expected the number of sequences, found the end");
    // The block before is not to blame.
    let second = frame(6, &[block(0, 2, b"ab", false), block(3, 0, b"", true)]);
    refused(&second, 11, "expected a raw, RLE or compressed block, found the reserved type 3");
}

#[test]
fn invalid_sequences() {
    assert_eq!(open(&of(&[&literals(2), &two()]), u64::MAX).unwrap(), [b'x'; 8]);
    refused(&of(&[&literals(1), &two()]), 6, "expected sequences for 1 literals at most, found 2");
    let few = sequences(2, (1, 32), &[3]);
    refused(&of(&[&literals(2), &few]), 6, "expected 2 sequences that use up their bits, found too few bits");
    assert_eq!(open(&of(&[&literals(2), &sequences(2, (1, 32), &[7])]), u64::MAX).unwrap().len(), 2 + 36 + 36);
    let many = sequences(2, (1, 0), &[2]);
    refused(&of(&[&literals(2), &many]), 6, "expected 2 sequences that use up their bits, found bits left over");
    for none in [&[][..], &[0], &[1, 0]] {
        let bytes = of(&[&literals(2), &sequences(2, (1, 0), none)]);
        refused(&bytes, 6, "expected a set bit at the end of the sequences, found a zero byte or none");
    }
    refused(&of(&[&literals(2), &[2, 0x55, 1, 0, 0, 1]]), 6, "expected zeros as reserved bits, found the byte 0x55");
    refused(&of(&[&literals(2), &[2, 0x54, 1]]), 6, "expected the code of all sequences, found the end");
    refused(
        &of(&[&literals(2), &sequences(2, (36, 0), &[1])]),
        6,
        "expected a code of at most 35 in an FSE table, found 36",
    );
    refused(
        &of(&[&literals(2), &sequences(2, (1, 53), &[1])]),
        6,
        "expected a code of at most 52 in an FSE table, found 53",
    );
    refused(
        &of(&[&literals(2), &[2, 0x54, 1, 32, 0, 1]]),
        6,
        "expected a code of at most 31 in an FSE table, found 32",
    );
}

#[test]
fn invalid_tables() {
    let none = "expected an FSE table in an earlier block of the frame, found none to repeat";
    for modes in [0xd4, 0x74, 0x5c] {
        refused(&of(&[&literals(2), &[2, modes, 1, 0, 1]]), 6, none);
    }
    // Behind a block that has them, and in the next frame, which has none.
    let first = [&literals(2)[..], &two()].concat();
    let second = [&literals(2)[..], &[2, 0xfc, 1]].concat();
    let both = frame(6, &[block(2, first.len() as u32, &first, false), compressed(&second)]);
    assert_eq!(open(&both, u64::MAX).unwrap(), [b'x'; 16]);
    let apart = [of(&[&first]), of(&[&second])].concat();
    refused(&apart, of(&[&first]).len() + 6, none);
    // The low four bits, and 5.
    refused(&of(&[&literals(2), &[2, 0x80, 5]]), 6, "expected an FSE table of 2^5 to 2^9 states, found 2^10");
    refused(&of(&[&literals(2), &[2, 0x20, 4]]), 6, "expected an FSE table of 2^5 to 2^8 states, found 2^9");
    refused(&of(&[&literals(2), &[2, 0x08, 5]]), 6, "expected an FSE table of 2^5 to 2^9 states, found 2^10");
    refused(&of(&[&literals(2), &[2, 0x80, 0]]), 6, "expected the whole of an FSE table, found the end");
    // The first code has no state, and neither have three times as many as there are codes.
    let zeros = [&[2, 0x80, 0x10, 0xfe][..], &[0xff; 10], &[0]].concat();
    refused(&of(&[&literals(2), &zeros]), 6, "expected a code of at most 35 in an FSE table, found 131");
    // A Huffman tree in 127 bytes, all of them its table.
    let tree = [&[0x02 | 0x10, 0, 0x20, 127, 0x10, 0xfe][..], &[0xff; 124], &[0]].concat();
    refused(&of(&[&tree]), 6, "expected a code of at most 12 in an FSE table, found 1499");
}

/// What only the decoder can see is told by place, without its own words.
#[test]
fn invalid_offset() {
    // Offset code 31: far before the start.
    let far = [2, 0x54, 1, 31, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
    let why = "expected a frame that decodes, found bad literals or offsets";
    refused(&[FIXTURES[1], &of(&[&literals(2), &far])].concat(), FIXTURES[1].len(), why);
}
