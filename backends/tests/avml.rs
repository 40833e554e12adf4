//! AVML images, also by the tool itself, and an invalid twin for each thing that a valid one may do.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod common;

use common::{Had, extent, had, header, images, memory, refusal};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt_backends::{AvmlError, AvmlErrorKind, Compression, Format, Image, OpenErrorKind, OpenOptions, open};
use snap::write::FrameEncoder;
use std::io::Write;
use std::path::Path;
use zerocopy::IntoBytes;

/// In framed snappy, with the length behind it.
fn stream(contents: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(Vec::new());
    encoder.write_all(contents).unwrap();
    let mut stream = encoder.into_inner().unwrap();
    stream.extend((stream.len() as u64).to_le_bytes());
    stream
}

fn block(first: u64, last: u64) -> Vec<u8> {
    [header(*b"AVML", 2, first, last), stream(&memory(first, last))].concat()
}

fn small() -> Vec<u8> {
    [block(0x8000, 0x8fff), block(0x1000, 0x2fff), block(0x9000, 0x97ff), block(0x9800, 0x9fff)].concat()
}

fn malformed(bytes: &[u8]) -> AvmlError {
    match refusal(bytes) {
        OpenErrorKind::Avml(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn blocks_come_in_any_order_and_share_pages() {
    for image in images(&small()) {
        assert_eq!((image.format(), image.format().name(), image.compression()), (Format::Avml, "avml", None));
        assert_eq!(image.size(), small().len() as u64);
        assert_eq!(extent(&image), [(0x1000, 0x2fff), (0x8000, 0x9fff)]);
        for (addr, as_what) in [
            (0, Had::Hole),
            (0x1000, Had::Lent),
            (0x2fff, Had::Lent),
            (0x3000, Had::Hole),
            (0x8000, Had::Lent),
            (0x9000, Had::Copied),
            (0xa000, Had::Hole),
        ] {
            assert_eq!(had(&image, addr), as_what, "{addr:#x}");
        }
    }
}

#[test]
fn a_block_may_have_many_chunks_and_end_the_address_space() {
    let bytes = [block(0x10_0000, 0x13_4567), block(u64::MAX - 0x1fff, u64::MAX)].concat();
    for image in images(&bytes) {
        assert_eq!(extent(&image), [(0x10_0000, 0x13_4567), (u64::MAX - 0x1fff, u64::MAX)]);
        assert_eq!(had(&image, 0x13_3000), Had::Lent);
        assert_eq!(had(&image, u64::MAX), Had::Lent);
    }
}

/// Written by Microsoft's tool out of the LiME images beside them.
#[test]
fn images_by_the_tool_itself_equal_their_lime_images() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for name in ["legacy-pt/mem", "kdump-on/vmcore"] {
        let [avml, lime] = ["avml", "lime"].map(|kind| open(corpus.join(format!("{name}.{kind}.xz"))).unwrap());
        assert_eq!((avml.format(), avml.compression()), (Format::Avml, Some(Compression::Xz)));
        let mut written = Vec::new();
        for range in ranges(&lime) {
            let pages = (range.first().0..=range.last().0).step_by(4096).map(PhysAddr);
            let is_zero = |addr| lime.lend_page(addr).unwrap().words().iter().all(|word| word.get() == 0);
            // The tool leaves out whole ranges of zeros.
            if pages.clone().all(is_zero) {
                let mut page = Page::ZERO;
                pages.for_each(|addr| {
                    assert_eq!(avml.read_page(addr, &mut page).unwrap_err().kind, ReadErrorKind::Hole)
                });
                continue;
            }
            written.push(range);
            for addr in pages {
                let (expected, found) = (lime.lend_page(addr).unwrap(), avml.lend_page(addr).unwrap());
                assert_eq!(found.as_bytes(), expected.as_bytes(), "{name} {addr}");
            }
        }
        assert_eq!(ranges(&avml).collect::<Vec<_>>(), written, "{name}");
    }
}

#[test]
fn invalid_length_of_file() {
    let bytes = small();
    let blocks = [block(0x8000, 0x8fff), block(0x1000, 0x2fff), block(0x9000, 0x97ff)];
    let ends: Vec<usize> = (1..=blocks.len()).map(|count| blocks[..count].concat().len()).collect();
    for length in 4..bytes.len() {
        let opened = Image::from_bytes(bytes[..length].to_vec());
        assert_eq!(opened.is_ok(), ends.contains(&length), "{length}");
        if let Err(error) = opened {
            assert!(matches!(error.kind, OpenErrorKind::Avml(_)) && error.to_string().lines().count() == 1, "{error}");
        }
    }
}

#[test]
fn invalid_byte_anywhere_never_gives_other_memory() {
    let whole = small();
    let mut bytes = whole.clone();
    for at in 4..whole.len() {
        bytes[at] ^= 0x20;
        if let Ok(image) = Image::from_bytes(bytes.clone()) {
            // An address can be wrong without anyone seeing it, and what is reserved means nothing.
            assert_eq!(image.as_bytes(), Image::from_bytes(whole.clone()).unwrap().as_bytes(), "{at}");
        }
        bytes[at] ^= 0x20;
    }
}

#[test]
fn invalid_headers() {
    let good = block(0x1000, 0x1fff);
    let at = good.len() as u64;
    for (bytes, text) in [
        (header(*b"AVML", 1, 0, 0xfff), "expected version 2, found version 1"),
        (header(*b"AVML", u32::MAX, 0, 0xfff), "expected version 2, found version 4294967295"),
        (header(*b"EMiL", 1, 0, 0xfff), "expected the magic \"AVML\", found \"EMiL\""),
        (header(*b"AVML", 2, 0x2000, 0x1fff), "that ends at or after its start 0x2000, found the last address 0x1fff"),
        (header(*b"AVML", 2, u64::MAX, 0), "found the last address 0x0"),
        (b"AVML\x02".to_vec(), "expected a header of 32 bytes, found the last 5 bytes of the file"),
        (block(0x1fff, 0x2fff), "found 0x1fff-0x2fff and, earlier in the file, 0x1000-0x1fff"),
        (
            header(*b"AVML", 2, 0x2000, 0x2fff),
            "expected 4096 bytes in framed snappy for the block 0x2000-0x2fff, found 0",
        ),
    ] {
        let error = malformed(&[good.clone(), bytes].concat());
        assert!(error.offset == at && error.to_string().contains(text), "{error}");
    }
}

#[test]
fn invalid_sizes() {
    let whole = |last, contents: &[u8]| [header(*b"AVML", 2, 0, last), stream(contents)].concat();
    let kind = |last, contents: &[u8]| malformed(&whole(last, contents)).kind;
    // Too few bytes: what is behind them is no chunk. Too many, in one chunk and in another one.
    assert!(matches!(kind(0x1fff, &[1; 0x1000]), AvmlErrorKind::Stream { found: 0x1000, .. }));
    assert!(matches!(kind(0xfff, &[1; 0x1001]), AvmlErrorKind::Stream { found: 0x1000, .. }));
    assert!(matches!(kind(0xffff, &[1; 0x1_0001]), AvmlErrorKind::Length { .. }));
    // A whole address space.
    assert!(matches!(kind(u64::MAX, &[1; 0x1000]), AvmlErrorKind::Stream { found: 0x1000, .. }));
    let mut bytes = whole(0xfff, &[1; 0x1000]);
    let length = bytes.len() as u64;
    bytes[length as usize - 8] ^= 1;
    let error = malformed(&bytes);
    let (at, expected) = (length - 8, length - 40);
    assert!(
        matches!(error.kind, AvmlErrorKind::Length { at: a, expected: e, found: Some(f) }
            if (a, e, f) == (at, expected, expected ^ 1)),
        "{error}"
    );
}

#[test]
fn the_limit_is_the_largest_image_that_opens() {
    let options = OpenOptions::new();
    assert!(options.decompressed_limit(0x4000).from_bytes(small()).is_ok());
    let error = options.decompressed_limit(0x3fff).from_bytes(small()).unwrap_err();
    let OpenErrorKind::Avml(AvmlError { kind: AvmlErrorKind::TooLarge { limit: 0x3fff }, offset }) = error.kind else {
        panic!("{error}")
    };
    let last = block(0x9800, 0x9fff).len();
    assert_eq!(offset, (small().len() - last) as u64);
}

#[test]
fn every_field_at_its_extremes() {
    let whole = small();
    let second = block(0x8000, 0x8fff).len();
    for start in [0, second] {
        for (at, size) in [(4, 4), (8, 8), (16, 8), (24, 8)] {
            for value in [0, 1, 0x7fff, 0x8fff, 1 << 31, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX] {
                let mut bytes = whole.clone();
                bytes[start + at..start + at + size].copy_from_slice(&value.to_le_bytes()[..size]);
                match Image::from_bytes(bytes) {
                    Ok(image) => {
                        let mut page = Page::ZERO;
                        assert!(ranges(&image).all(|range| image.read_page(range.first(), &mut page).is_ok()));
                    }
                    Err(error) => assert!(matches!(error.kind, OpenErrorKind::Avml(_)), "{error}"),
                }
            }
        }
    }
}
