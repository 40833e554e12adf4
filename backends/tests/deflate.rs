//! What is told about gzip and zlib streams that are not whole, and what is taken for a zlib stream.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::{extent, images, lime_image, refusal};
use flate2::write::ZlibEncoder;
use iopt_backends::{Compression, Format, Image, OpenErrorKind, UnsupportedFormat};
use std::io::Write;

const RAW_GZIP: &[u8] = include_bytes!("fixtures/image.raw.gz");
const LIME_ZLIB: &[u8] = include_bytes!("fixtures/image.lime.zlib");

fn zlib(bytes: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn damage(bytes: &[u8]) -> String {
    let kind = refusal(bytes);
    let OpenErrorKind::Damaged { error, .. } = &kind else { panic!("{kind}") };
    error.to_string()
}

#[test]
fn the_place_of_damage_is_told() {
    let length = RAW_GZIP.len();
    assert_eq!(
        damage(&[RAW_GZIP, b"more"].concat()),
        format!("at offset {length:#x}: expected another member or the end")
    );
    assert_eq!(
        damage(&[LIME_ZLIB, b"more"].concat()),
        format!("at offset {:#x}: expected the end behind the stream", LIME_ZLIB.len())
    );
    let second = damage(&[RAW_GZIP, &RAW_GZIP[..length - 9]].concat());
    assert!(second.starts_with(&format!("at offset {:#x}: ", 2 * length - 9)), "{second}");
    // The checksum, then the size: the last eight bytes.
    for at in [length - 8, length - 4] {
        let mut bytes = RAW_GZIP.to_vec();
        bytes[at] ^= 1;
        assert!(damage(&bytes).starts_with("at offset 0x"), "{}", damage(&bytes));
    }
}

#[test]
fn a_gzip_header_may_have_all_of_its_fields() {
    // Extra, name, comment; the body is that of the plain file behind its ten bytes.
    let fields = [&[0x1f, 0x8b, 8, 0x1c, 0, 0, 0, 0, 0, 3, 2, 0, 7, 7][..], b"name\0", b"comment\0"].concat();
    for image in images(&[&fields, &RAW_GZIP[10..]].concat()) {
        assert_eq!((image.compression(), extent(&image)), (Some(Compression::Gzip), vec![(0, 0x3063)]));
    }
}

#[test]
fn a_gzip_name_without_end_takes_no_memory() {
    let mut bytes = vec![0x1f, 0x8b, 8, 0x08, 0, 0, 0, 0, 0, 3];
    bytes.resize(1 << 20, b'x');
    assert!(damage(&bytes).starts_with("at offset 0x"));
}

#[test]
fn every_level_of_zlib_is_recognised() {
    for level in 0..=9 {
        let bytes = zlib(&lime_image(), level);
        let image = Image::from_bytes(bytes).unwrap();
        assert_eq!((image.format(), image.compression()), (Format::Lime, Some(Compression::Zlib)), "{level}");
    }
}

#[test]
fn what_is_no_stream_of_an_image_is_raw() {
    let of_zeros = zlib(&[0; 9000], 6);
    let twice = zlib(LIME_ZLIB, 6);
    let xz = zlib(include_bytes!("fixtures/image.lime.xz"), 6);
    let header_only = [&[0x78, 0x9c][..], &[0xff; 4094]].concat();
    let short = zlib(b"EMiL", 6);
    for bytes in [of_zeros, twice, xz, header_only, short] {
        for image in images(&bytes) {
            assert_eq!((image.format(), image.compression()), (Format::Raw, None));
            assert_eq!(image.as_bytes(), bytes);
        }
    }
    // The check bits, the method, the window and a dictionary: each makes it something else.
    for start in [[0x78, 0x9d], [0x77, 0x9c], [0x88, 0x1c], [0x78, 0xbb]] {
        let bytes = [&start[..], &LIME_ZLIB[2..]].concat();
        assert_eq!(Image::from_bytes(bytes).unwrap().format(), Format::Raw, "{start:x?}");
    }
}

#[test]
fn invalid_contents_of_a_zlib_stream_are_refused_by_name() {
    let windows = zlib(&[&b"PAGEDU64"[..], &[0; 100]].concat(), 6);
    assert!(matches!(refusal(&windows), OpenErrorKind::Unsupported(UnsupportedFormat::Windows)));
    let big_endian = zlib(&[&b"LiME"[..], &[0; 100]].concat(), 6);
    assert!(matches!(refusal(&big_endian), OpenErrorKind::Lime(_)));
}
