//! Every code of LZO1X, by what the kernel's `Documentation/staging/lzo.rst` says of it.

use crate::builder::{Builder, LZO};
use iopt::PhysAddr;
use iopt::memory::Page;
use iopt_backends::KdumpPageErrorKind;
use zerocopy::IntoBytes;

const BLOCK: usize = 65536;
/// How many literals each stream starts with.
const LITERALS: usize = 20000;

fn literal(at: usize) -> u8 {
    (at * 7 + at / 251) as u8
}

/// What is had from literals, then `codes`, then a match for the rest of the block; `None` if that is refused.
fn read(codes: &[u8], written: usize) -> Option<Vec<u8>> {
    let mut stream = vec![0];
    length(&mut stream, LITERALS - 18);
    stream.extend((0..LITERALS).map(literal));
    stream.extend(codes);
    stream.push(32);
    length(&mut stream, BLOCK - LITERALS - written - 33);
    stream.extend([0, 0, 17, 0, 0]);
    let dump = Builder { block_size: 65536, ..Builder::new() }.stored(1, LZO, stream).open();
    let mut block = Vec::new();
    for addr in (BLOCK as u64..).step_by(4096).take(16) {
        let mut page = Page::ZERO;
        match dump.read(PhysAddr(addr), &mut page) {
            Ok(()) => block.extend(page.as_bytes()),
            Err(error) => {
                assert!(matches!(error.kind, KdumpPageErrorKind::Damaged { .. }), "{error}");
                return None;
            }
        }
    }
    let rest = &block[LITERALS + written - 1..];
    assert!(rest.iter().all(|byte| *byte == rest[0]), "the match for the rest repeats the last byte");
    Some(block[LITERALS..][..written].to_vec())
}

fn length(stream: &mut Vec<u8>, mut left: usize) {
    while left > 255 {
        stream.push(0);
        left -= 255;
    }
    stream.push(left as u8);
}

/// Matches, each a distance and a length, with literals between them.
enum Part {
    Match(usize, usize),
    Literals(&'static [u8]),
}
use Part::{Literals, Match};

fn expected(parts: &[Part]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..LITERALS).map(literal).collect();
    for part in parts {
        match part {
            Match(distance, length) => (0..*length).for_each(|_| bytes.push(bytes[bytes.len() - distance])),
            Literals(literals) => bytes.extend(*literals),
        }
    }
    bytes.split_off(LITERALS)
}

#[test]
fn every_code_is_read() {
    let cases: [(&[u8], &[Part]); 12] = [
        // Behind four literals or more: three bytes from 2049 to 3072 ago.
        (&[0b0000_0000, 0], &[Match(2049, 3)]),
        (&[0b0000_1100, 255], &[Match(2049 + 3 + 255 * 4, 3)]),
        // Behind a match with literals: two bytes from 1 to 1024 ago.
        (&[0b0000_0001, 0, 9, 0b0000_0000, 0], &[Match(2049, 3), Literals(&[9]), Match(1, 2)]),
        (&[0b0000_0010, 0, 8, 9, 0b0000_1000, 255], &[Match(2049, 3), Literals(&[8, 9]), Match(255 * 4 + 3, 2)]),
        // Behind a match without: literals.
        (&[0b0000_0000, 0, 1, 5, 6, 7, 8], &[Match(2049, 3), Literals(&[5, 6, 7, 8])]),
        // From 3 to 8 bytes from 1 to 2048 ago.
        (&[0b0100_0000, 0], &[Match(1, 3)]),
        (&[0b1111_1100, 255], &[Match(2048, 8)]),
        (&[0b1010_0111, 3, 1, 2, 3], &[Match(3 * 8 + 1 + 1, 6), Literals(&[1, 2, 3])]),
        // From 3 bytes on, from 1 to 16384 ago.
        (&[0b0010_0001, 0b0000_0101, 0, 6], &[Match(2, 3), Literals(&[6])]),
        (&[0b0010_0000, 0, 1, 0xfc, 0xff], &[Match(16384, 31 + 255 + 1 + 2)]),
        // From 3 bytes on, from 16385 ago.
        (&[0b0001_0001, 0b0000_0110, 0, 4, 5], &[Match(16385, 3), Literals(&[4, 5])]),
        (&[0b0001_0000, 1, 0x04, 0x0c], &[Match(16384 + (0x0c04 >> 2), 7 + 1 + 2)]),
    ];
    for (codes, parts) in cases {
        let expected = expected(parts);
        assert_eq!(read(codes, expected.len()), Some(expected), "{codes:?}");
    }
    // The farthest match: 32768 + 16383 ago is behind the start until so much is written.
    let far = [&[0b0010_0000][..], &[0; 50], &[1, 0, 0], &[0b0001_1001, 0x00, 0x00]].concat();
    let run = 31 + 50 * 255 + 1 + 2;
    let parts = [Match(1, run), Match(32768, 3)];
    let expected = expected(&parts);
    assert_eq!(read(&far, expected.len()), Some(expected));
}

#[test]
fn invalid_codes() {
    for (codes, written) in [
        // Before the start, or the end too early or in an odd way.
        (&[0b0001_1001, 0x00, 0x00][..], 3),
        (&[0b0001_0001, 0x00, 0x40], 3),
        (&[0b0001_0001, 0, 0], 0),
        (&[0b0001_0010, 0, 0], 4),
        (&[0b0001_0000, 0, 0], 9),
        // More than there is room for.
        (&[0b1111_1100, 0], 7),
    ] {
        assert_eq!(read(codes, written), None, "{codes:?}");
    }
}
