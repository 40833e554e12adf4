//! LiME images, and an invalid twin for each thing that a valid one may do.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a panic is a red test")]

mod common;

use common::{Had, extent, had, header, images, lime, memory, refusal};
use iopt::{PhysAddr, PhysRange};
use iopt_backends::{Format, LimeError, LimeErrorKind, OpenErrorKind};

fn malformed(bytes: &[u8]) -> (LimeError, String) {
    match refusal(bytes) {
        OpenErrorKind::Lime(error) => (error, error.to_string()),
        other => panic!("expected a LiME error, found {other:?}"),
    }
}

fn range(first: u64, last: u64) -> PhysRange {
    PhysRange::new(PhysAddr(first), PhysAddr(last)).unwrap()
}

#[test]
fn each_page_comes_back_from_its_range() {
    for image in images(&lime(&[(0x1000, 0x2fff), (0x10_0000, 0x10_0fff)])) {
        assert_eq!(image.format(), Format::Lime);
        assert_eq!(image.size(), 2 * 32 + 3 * 4096);
        assert_eq!(extent(&image), [(0x1000, 0x2fff), (0x10_0000, 0x10_0fff)]);
        for addr in [0x1000, 0x1fff, 0x2000, 0x2fff, 0x10_0000, 0x10_0fff] {
            assert_eq!(had(&image, addr), Had::Lent, "{addr:#x}");
        }
        for addr in [0, 0xfff, 0x3000, 0xf_ffff, 0x10_1000, u64::MAX] {
            assert_eq!(had(&image, addr), Had::Hole, "{addr:#x}");
        }
    }
}

#[test]
fn ranges_may_come_in_any_order() {
    for image in images(&lime(&[(0x8000, 0x8fff), (0x1000, 0x1fff), (0x4000, 0x4fff)])) {
        assert_eq!(extent(&image), [(0x1000, 0x1fff), (0x4000, 0x4fff), (0x8000, 0x8fff)]);
        for addr in [0x1000, 0x4000, 0x8000] {
            assert_eq!(had(&image, addr), Had::Lent);
        }
    }
}

#[test]
fn a_page_of_several_ranges_is_copied_and_its_ranges_are_one() {
    for image in images(&lime(&[(0x1801, 0x2fff), (0x0, 0x17fe), (0x17ff, 0x1800)])) {
        assert_eq!(extent(&image), [(0, 0x2fff)]);
        assert_eq!(had(&image, 0), Had::Lent);
        assert_eq!(had(&image, 0x1000), Had::Copied);
        assert_eq!(had(&image, 0x2000), Had::Lent);
        assert_eq!(had(&image, 0x3000), Had::Hole);
    }
}

#[test]
fn invalid_page_with_one_byte_missing_is_a_hole() {
    for image in images(&lime(&[(0x0, 0x17fe), (0x1800, 0x2ffe), (0x5001, 0x5fff)])) {
        assert_eq!(extent(&image), [(0, 0x17fe), (0x1800, 0x2ffe), (0x5001, 0x5fff)]);
        assert_eq!(had(&image, 0), Had::Lent);
        for addr in [0x1000, 0x17ff, 0x1800, 0x2000, 0x5fff] {
            assert_eq!(had(&image, addr), Had::Hole, "{addr:#x}");
        }
    }
}

#[test]
fn the_last_page_of_the_space_is_like_any_other() {
    let last = u64::MAX;
    for image in images(&lime(&[(last - 4095, last), (last - 8191, last - 6000), (last - 5999, last - 4096)])) {
        assert_eq!(extent(&image), [(last - 8191, last)]);
        assert_eq!(had(&image, last), Had::Lent);
        assert_eq!(had(&image, last - 4096), Had::Copied);
        assert_eq!(had(&image, last - 8192), Had::Hole);
    }
}

#[test]
fn invalid_last_page_of_the_space_without_its_last_byte() {
    for image in images(&lime(&[(u64::MAX - 4095, u64::MAX - 1)])) {
        assert_eq!(extent(&image), [(u64::MAX - 4095, u64::MAX - 1)]);
        assert_eq!(had(&image, u64::MAX), Had::Hole);
    }
}

#[test]
fn invalid_header_cut_short_at_the_start() {
    let mut bytes = lime(&[(0x1000, 0x1fff)]);
    bytes.truncate(31);
    let (error, text) = malformed(&bytes);
    assert_eq!(error, LimeError { offset: 0, kind: LimeErrorKind::TruncatedHeader { found: 31 } });
    assert_eq!(text, "LiME header at offset 0x0: expected a header of 32 bytes, found the last 31 bytes of the file");
}

#[test]
fn invalid_header_cut_short_behind_a_range() {
    for found in 1..32 {
        let mut bytes = lime(&[(0x1000, 0x1fff), (0x3000, 0x3fff)]);
        bytes.truncate(0x1020 + found);
        let kind = LimeErrorKind::TruncatedHeader { found: found as u64 };
        assert_eq!(malformed(&bytes).0, LimeError { offset: 0x1020, kind });
    }
}

#[test]
fn invalid_payload_cut_short() {
    let mut bytes = lime(&[(0x1000, 0x1fff), (0x3000, 0x3fff)]);
    bytes.truncate(bytes.len() - 100);
    let (error, text) = malformed(&bytes);
    let kind = LimeErrorKind::TruncatedPayload { range: range(0x3000, 0x3fff), missing: 100 };
    assert_eq!(error, LimeError { offset: 0x1020, kind });
    assert_eq!(
        text,
        "LiME header at offset 0x1020: expected 4096 bytes for the range 0x3000-0x3fff, but 100 of them are \
         missing at the end"
    );
}

#[test]
fn invalid_range_of_the_whole_space() {
    let mut bytes = header(*b"EMiL", 1, 0, u64::MAX);
    bytes.push(7);
    let kind = LimeErrorKind::TruncatedPayload { range: PhysRange::all(), missing: (1 << 64) - 1 };
    assert_eq!(malformed(&bytes).0, LimeError { offset: 0, kind });
}

#[test]
fn invalid_magic_of_a_later_header() {
    let bytes = [lime(&[(0x1000, 0x1fff)]), header(*b"EMiX", 1, 0x3000, 0x3fff), memory(0x3000, 0x3fff)].concat();
    let (error, text) = malformed(&bytes);
    assert_eq!(error, LimeError { offset: 0x1020, kind: LimeErrorKind::BadMagic { found: *b"EMiX" } });
    assert_eq!(
        text,
        "LiME header at offset 0x1020: expected the magic \"EMiL\" (45 4d 69 4c), found \"EMiX\" (45 4d 69 58)"
    );
    let zeros = [lime(&[(0x1000, 0x1fff)]), vec![0; 64]].concat();
    let (_, text) = malformed(&zeros);
    assert!(text.ends_with(", found (00 00 00 00)"), "{text}");
}

#[test]
fn invalid_big_endian_is_refused_by_name() {
    let (error, text) = malformed(&[header(*b"LiME", 1 << 24, 0, 0), vec![0]].concat());
    assert_eq!(error, LimeError { offset: 0, kind: LimeErrorKind::BigEndian });
    assert_eq!(
        text,
        "LiME header at offset 0x0: expected the little-endian magic \"EMiL\" (45 4d 69 4c), found the big-endian \
         \"LiME\" (4c 69 4d 45): images of big-endian machines are not read"
    );
}

#[test]
fn invalid_version() {
    for found in [0, 2, u32::MAX] {
        let (error, text) = malformed(&[header(*b"EMiL", found, 0x1000, 0x1fff), memory(0x1000, 0x1fff)].concat());
        assert_eq!(error, LimeError { offset: 0, kind: LimeErrorKind::Version { found } });
        assert_eq!(text, format!("LiME header at offset 0x0: expected version 1, found version {found}"));
    }
}

#[test]
fn invalid_range_that_runs_backwards() {
    let (error, text) = malformed(&header(*b"EMiL", 1, 0x2000, 0x1fff));
    let kind = LimeErrorKind::Backwards { start: PhysAddr(0x2000), end: PhysAddr(0x1fff) };
    assert_eq!(error, LimeError { offset: 0, kind });
    assert_eq!(
        text,
        "LiME header at offset 0x0: expected a range that ends at or after its start 0x2000, found the last \
         address 0x1fff"
    );
}

#[test]
fn invalid_overlap_is_told_at_the_later_header() {
    let (error, text) = malformed(&lime(&[(0x5000, 0x5fff), (0x8000, 0x8fff), (0x4000, 0x5000)]));
    let other = range(0x5000, 0x5fff);
    let kind = LimeErrorKind::Overlap { range: range(0x4000, 0x5000), other, other_offset: 0 };
    assert_eq!(error, LimeError { offset: 0x2040, kind });
    assert_eq!(
        text,
        "LiME header at offset 0x2040: expected ranges without overlap, found 0x4000-0x5000 and, with its header \
         at offset 0x0, 0x5000-0x5fff"
    );
    let (twice, _) = malformed(&lime(&[(0x5000, 0x5fff), (0x5000, 0x5fff)]));
    assert_eq!(twice.kind, LimeErrorKind::Overlap { range: other, other, other_offset: 0 });
    let (inside, _) = malformed(&lime(&[(0, 0x5fff), (0x2000, 0x2fff)]));
    assert_eq!(inside.offset, 0x6020);
}
