//! What writers write. A stream opens only if its decoder gives as many bytes as were foreseen.

use crate::frame::{compressed, frame, literals, sequences};
use crate::open;
use crate::sample::{FIXTURES, Random, noise, sample, text};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

fn assert_exact(bytes: &[u8], plain: &[u8]) {
    let size = plain.len() as u64;
    assert!(open(bytes, size).unwrap() == plain);
    let limit = format!("the zstd stream decompresses to more than the limit of {} bytes", size - 1);
    assert_eq!(open(bytes, size - 1), Err(limit));
}

#[test]
fn streams_of_the_real_tool() {
    for bytes in FIXTURES {
        assert_exact(bytes, &sample());
    }
    let twice = [FIXTURES[0], b"\x5f\x2a\x4d\x18\x02\0\0\0ab", FIXTURES[1]].concat();
    assert_exact(&twice, &sample().repeat(2));
}

#[test]
fn streams_of_the_decoders_own_encoder() {
    let lengths = (1..300).chain([1000, 4096, 65_536, 131_071, 131_072, 131_073, 400_000]);
    for length in lengths {
        for plain in [text(length, 9), noise(length, 9), vec![7; length]] {
            for level in [CompressionLevel::Uncompressed, CompressionLevel::Fastest] {
                assert_exact(&compress_to_vec(&plain[..], level), &plain);
            }
        }
    }
}

#[test]
fn invalid_streams_cut_short_anywhere() {
    for bytes in FIXTURES {
        for length in 4..bytes.len() {
            let text = open(&bytes[..length], u64::MAX).unwrap_err();
            assert!(text.starts_with("the zstd stream is damaged or cut short: at offset 0x"), "{text}");
            assert!(text.ends_with(", found the end"), "{text}");
        }
    }
}

/// Whatever is changed: the decoder does not panic, and gives as many bytes as were foreseen, or none.
#[test]
fn changed_streams() {
    let mut random = Random(5);
    let (mut opened, mut undecodable) = (0, 0);
    let own = compress_to_vec(&text(3000, 6)[..], CompressionLevel::Fastest);
    for valid in FIXTURES.into_iter().chain([&own[..]]) {
        for _ in 0..1500 {
            let mut bytes = valid.to_vec();
            for _ in 0..1 + random.below(3) {
                let at = 6 + random.below(bytes.len() as u64 - 6) as usize;
                bytes[at] = random.below(256) as u8;
            }
            match open(&bytes, 1 << 20) {
                Ok(_) => opened += 1,
                Err(text) => undecodable += usize::from(text.contains("a frame that decodes")),
            }
        }
    }
    // Without a checksum many open, and some only the decoder can refuse.
    assert!(opened > 100 && undecodable > 100, "{opened} {undecodable}");
}

/// The first length of each code that has bits, and how many: tables 17 and 18 of RFC 8878.
const LITERALS: [(u32, u32); 20] = [
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
const MATCHES: [(u32, u32); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];

#[test]
fn every_code_of_a_length() {
    let one = |count, codes, bits: u32, value: u32| {
        let stream = (value | 1 << bits).to_le_bytes();
        let stream = &stream[..(bits / 8 + 1) as usize];
        frame(7, &[compressed(&[literals(count), sequences(1, codes, stream)].concat())])
    };
    for (code, (first, bits)) in (16..).zip(LITERALS) {
        // All bits set would be more than a block may have.
        for value in [0, 1, (1 << bits) - 1].map(|value: u32| value.min(131_069 - first)) {
            assert_exact(&one(first + value, (code, 0), bits, value), &vec![b'x'; (first + value + 3) as usize]);
            assert!(open(&one(first + value - 1, (code, 0), bits, value), u64::MAX).is_err(), "{code}");
        }
    }
    for (code, (first, bits)) in (32..).zip(MATCHES) {
        for value in [0, 1, (1 << bits) - 1].map(|value: u32| value.min(131_071 - first)) {
            assert_exact(&one(1, (1, code), bits, value), &vec![b'x'; (1 + first + value) as usize]);
        }
    }
    for code in 1..16 {
        assert_exact(&one(16, (code, 31 - code), 0, 0), &vec![b'x'; 50 - usize::from(code)]);
    }
}
