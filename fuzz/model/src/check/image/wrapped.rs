//! Compressed images.

use super::{XZ, ZSTD, check_any, starting};
use flate2::write::{GzEncoder, ZlibEncoder};
use flate2::{Compression, Crc};
use std::io::Write;

/// As a compressed image: the first byte says how, and whether the rest is compressed already.
///
/// The headers of xz get the checksums that they should have, or nothing but the first header would ever be read.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_compressed(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    match how % 6 {
        0 => check_any(&summed(starting(rest, &[XZ]))),
        1 => check_any(&starting(rest, &[b"\x1f\x8b\x08"])),
        2 => check_any(&starting(rest, &[b"\x78\x9c", b"\x78\x01", b"\x78\xda"])),
        3 => check_any(&starting(rest, &[ZSTD])),
        4 => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(rest).expect("memory takes all");
            check_any(&encoder.finish().expect("memory takes all"));
        }
        _ => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(rest).expect("memory takes all");
            check_any(&encoder.finish().expect("memory takes all"));
        }
    }
}

/// With right checksums in the headers of the first stream and of its first block (the .xz file format, 2.1.1 and 3.1).
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let block = bytes.get(12).map_or(0, |size| 4 * usize::from(*size));
    for header in [6..8, 12..12 + block] {
        let Some((contents, sum)) =
            bytes.get_mut(header.start..header.end + 4).and_then(|all| all.split_last_chunk_mut())
        else {
            return bytes;
        };
        let mut crc = Crc::new();
        crc.update(contents);
        *sum = crc.sum().to_le_bytes();
    }
    bytes
}
