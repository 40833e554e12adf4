//! Compressed images equal the plain ones; torn, damaged and overfull streams do not open.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is a red test")]

mod common;

use common::{Had, extent, had, images, lime_image, raw_image, refusal, save};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ranges};
use iopt_backends::{Compression, Format, Image, OpenErrorKind, OpenOptions, open_as};
use zerocopy::IntoBytes;

const RAW_XZ: &[u8] = include_bytes!("fixtures/image.raw.xz");
const RAW_ZSTD: &[u8] = include_bytes!("fixtures/image.raw.zst");
const LIME_XZ: &[u8] = include_bytes!("fixtures/image.lime.xz");
const LIME_ZSTD: &[u8] = include_bytes!("fixtures/image.lime.zst");

const RAW_GZIP: &[u8] = include_bytes!("fixtures/image.raw.gz");
const LIME_GZIP: &[u8] = include_bytes!("fixtures/image.lime.gz");
const LIME_ZLIB: &[u8] = include_bytes!("fixtures/image.lime.zlib");

/// The header and the code table of the stream, and sixteen bytes.
const ZLIB_START: usize = 95;

const ALL: [(&[u8], Compression); 7] = [
    (RAW_XZ, Compression::Xz),
    (LIME_XZ, Compression::Xz),
    (RAW_ZSTD, Compression::Zstd),
    (LIME_ZSTD, Compression::Zstd),
    (RAW_GZIP, Compression::Gzip),
    (LIME_GZIP, Compression::Gzip),
    (LIME_ZLIB, Compression::Zlib),
];

/// How many bytes it takes to know the compression: a zlib stream must hold the start of an image.
fn known(compression: Compression) -> usize {
    if compression == Compression::Zlib { ZLIB_START } else { 6 }
}

/// The image that `bytes` are the compressed form of.
fn plain(bytes: &[u8]) -> Image {
    Image::from_bytes(if [RAW_XZ, RAW_ZSTD, RAW_GZIP].contains(&bytes) { raw_image() } else { lime_image() }).unwrap()
}

fn assert_equal(image: &Image, plain: &Image) {
    assert_eq!(image.format(), plain.format());
    assert_eq!(extent(image), extent(plain));
    for addr in (0..0xb000).step_by(4096) {
        assert_eq!(had(image, addr), had(plain, addr), "{addr:#x}");
    }
}

#[test]
fn a_compressed_image_equals_the_plain_one() {
    for (bytes, compression) in ALL {
        for image in images(bytes) {
            assert_eq!(image.compression(), Some(compression));
            assert_eq!(image.size(), bytes.len() as u64);
            assert_equal(&image, &plain(bytes));
        }
    }
    assert_eq!(Compression::Xz.to_string(), "xz");
    assert_eq!(Compression::Zstd.to_string(), "zstd");
}

#[test]
fn a_forced_format_is_that_of_the_image_inside() {
    let image = open_as(save(LIME_ZSTD).path(), Format::Raw).unwrap();
    assert_eq!(extent(&image), [(0, lime_image().len() as u64 - 1)]);
    let part_of_a_magic = Image::from_bytes(b"\xfd7z").unwrap();
    assert_eq!(part_of_a_magic.compression(), None);
}

#[test]
fn several_streams_or_frames_are_one_image() {
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    let xz = [RAW_XZ, &[0; 8], RAW_XZ].concat();
    let zstd = [RAW_ZSTD, &skippable, RAW_ZSTD, &skippable].concat();
    let gzip = RAW_GZIP.repeat(2);
    for bytes in [xz, zstd, gzip] {
        for image in images(&bytes) {
            assert_eq!(extent(&image), [(0, 2 * raw_image().len() as u64 - 1)]);
            assert_eq!(had(&image, 0x2000), Had::Lent);
        }
    }
}

#[test]
fn invalid_stream_cut_short_anywhere() {
    for (bytes, compression) in ALL {
        for length in known(compression)..bytes.len() {
            let error = Image::from_bytes(&bytes[..length]).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error.kind, OpenErrorKind::Damaged { compression: c, .. } if c == compression), "{text}");
            assert!(
                text.starts_with(&format!("the {compression} stream is damaged or cut short: at offset 0x")),
                "{text}"
            );
            assert_eq!(text.lines().count(), 1, "{text}");
        }
        refusal(&bytes[..bytes.len() - 1]);
    }
}

#[test]
fn a_zlib_stream_cut_short_before_its_image_is_known_is_raw() {
    for length in 1..ZLIB_START {
        assert_eq!(Image::from_bytes(&LIME_ZLIB[..length]).unwrap().format(), Format::Raw, "{length}");
    }
}

#[test]
fn invalid_byte_anywhere_never_gives_another_image() {
    for (whole, compression) in ALL {
        let (mut refused, mut bytes) = (0, whole.to_vec());
        for at in 6..whole.len() {
            bytes[at] ^= 0x10;
            match OpenOptions::new().from_bytes(bytes.clone()) {
                // What no longer starts like a LiME image is no zlib stream either.
                Ok(image) if compression == Compression::Zlib && at < known(compression) => {
                    assert_eq!(image.format(), Format::Raw)
                }
                // Not every bit of a zstd frame or of a gzip header has a meaning.
                Ok(image) => assert_equal(&image, &plain(whole)),
                Err(error) => {
                    let is_placed = matches!(error.kind, OpenErrorKind::TooLarge { .. })
                        || error.to_string().contains("at offset 0x");
                    assert!(is_placed, "{at:#x}: {error}");
                    refused += 1;
                }
            }
            bytes[at] ^= 0x10;
        }
        assert!(refused > whole.len() * 9 / 10, "{compression}: {refused} of {}", whole.len());
    }
}

#[test]
fn invalid_data_behind_a_stream() {
    for (bytes, compression) in ALL {
        let kind = refusal(&[bytes, b"more"].concat());
        assert!(matches!(kind, OpenErrorKind::Damaged { compression: c, .. } if c == compression), "{kind}");
    }
}

#[test]
fn the_limit_is_the_largest_image_that_opens() {
    for (bytes, compression) in ALL {
        let size = plain(bytes).size();
        assert!(OpenOptions::new().decompressed_limit(size).from_bytes(bytes).is_ok());
        let error = OpenOptions::new().decompressed_limit(size - 1).from_bytes(bytes).unwrap_err();
        assert!(matches!(error.kind, OpenErrorKind::TooLarge { limit, .. } if limit == size - 1), "{error}");
        let text = format!("the {compression} stream decompresses to more than the limit of {} bytes", size - 1);
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn invalid_header_that_asks_for_a_terabyte() {
    // Window descriptor 0xf0: 2^40 bytes; then a frame of one segment that claims 2^40 bytes of content.
    let window: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf0, 0x01, 0, 0];
    let content: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 0x01, 0, 0];
    for bytes in [window, content] {
        let kind = refusal(bytes);
        let OpenErrorKind::WindowTooLarge { compression, limit } = kind else { panic!("{kind}") };
        assert_eq!((compression, limit), (Compression::Zstd, 128 << 20));
        assert_eq!(kind.to_string(), "the zstd stream needs a window of more than 134217728 bytes to decompress");
    }
}

#[test]
fn invalid_dictionary_of_a_gigabyte() {
    // `xz --lzma2=dict=1GiB` of nothing much.
    let kind = refusal(include_bytes!("fixtures/dictionary-1gib.xz"));
    assert!(
        matches!(kind, OpenErrorKind::WindowTooLarge { compression: Compression::Xz, limit } if limit == 256 << 20)
    );
}

#[test]
fn invalid_stream_that_holds_nothing() {
    // One raw block of no bytes, the last.
    let kind = refusal(&[0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x00, 0x01, 0, 0]);
    assert!(matches!(kind, OpenErrorKind::Empty), "{kind:?}");
}

#[test]
fn invalid_stream_inside_a_stream() {
    // A frame with one raw block that holds the xz file.
    let size = u32::try_from(RAW_XZ.len()).unwrap();
    let mut bytes = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    bytes.extend(size.to_le_bytes());
    bytes.extend(&(size << 3 | 1).to_le_bytes()[..3]);
    bytes.extend(RAW_XZ);
    let kind = refusal(&bytes);
    assert!(
        matches!(kind, OpenErrorKind::CompressedTwice { outer: Compression::Zstd, inner: Compression::Xz }),
        "{kind}"
    );
    let text =
        "expected a raw, LiME, AVML, ELF or kdump image in the zstd stream, found xz: only one compression is undone";
    assert_eq!(kind.to_string(), text);
}

#[test]
fn a_raw_capture_with_long_holes_equals_the_lime_one() {
    let raw = iopt_backends::open("tests/corpus/legacy-48/mem.raw.xz").unwrap();
    let lime = iopt_backends::open("tests/corpus/legacy-48/mem.lime.xz").unwrap();
    assert_eq!(extent(&raw), [(0, (192 << 20) - 1)]);
    let (mut a, mut b) = (Page::ZERO.clone(), Page::ZERO.clone());
    for range in ranges(&lime) {
        for addr in (range.first().0..=range.last().0).step_by(4096).map(PhysAddr) {
            raw.read_page(addr, &mut a).unwrap();
            lime.read_page(addr, &mut b).unwrap();
            assert_eq!(a.as_bytes(), b.as_bytes(), "{addr}");
        }
    }
}
