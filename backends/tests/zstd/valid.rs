//! What writers write. A stream opens only if its decoder gives as many bytes as were foreseen.

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
