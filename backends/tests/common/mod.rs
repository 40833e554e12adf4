//! Images built for a test, in a file and in memory.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, ranges};
use iopt_backends::{Image, OpenErrorKind, open};
use std::io::Write;
use tempfile::NamedTempFile;
use zerocopy::IntoBytes;

/// What every test image holds at `addr`.
pub fn byte(addr: u64) -> u8 {
    ((addr >> 12).wrapping_mul(37).wrapping_add(addr.wrapping_mul(3)).wrapping_add(addr >> 4) & 0xff) as u8
}

/// The memory from `first` to `last`, inclusive.
pub fn memory(first: u64, last: u64) -> Vec<u8> {
    (first..=last).map(byte).collect()
}

pub fn header(magic: [u8; 4], version: u32, first: u64, last: u64) -> Vec<u8> {
    let mut header = magic.to_vec();
    header.extend(version.to_le_bytes());
    header.extend(first.to_le_bytes());
    header.extend(last.to_le_bytes());
    header.extend([0; 8]);
    header
}

/// A LiME image of `ranges`, in this order.
pub fn lime(ranges: &[(u64, u64)]) -> Vec<u8> {
    let range = |&(first, last)| [header(*b"EMiL", 1, first, last), memory(first, last)].concat();
    ranges.iter().flat_map(range).collect()
}

/// Three pages and 100 bytes; the plain twin of `fixtures/image.raw.*`.
pub fn raw_image() -> Vec<u8> {
    memory(0, 0x3063)
}

/// Two ranges that share a page, and another one; the plain twin of `fixtures/image.lime.*`.
pub fn lime_image() -> Vec<u8> {
    lime(&[(0x1000, 0x2fff), (0x8000, 0x87ff), (0x8800, 0x9fff)])
}

pub fn save(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The image twice: out of a file, and out of memory.
pub fn images(bytes: &[u8]) -> [Image; 2] {
    [open(save(bytes).path()).unwrap(), Image::from_bytes(bytes.to_vec()).unwrap()]
}

/// Why the image does not open, which is the same for a file and for memory.
pub fn refusal(bytes: &[u8]) -> OpenErrorKind {
    let file = save(bytes);
    let from_file = open(file.path()).unwrap_err();
    assert_eq!(from_file.path.as_deref(), Some(file.path()));
    assert!(from_file.to_string().starts_with(&format!("{}: ", file.path().display())));
    let from_memory = Image::from_bytes(bytes.to_vec()).unwrap_err();
    assert_eq!(from_memory.path, None);
    assert_eq!(from_memory.to_string(), from_memory.kind.to_string());
    assert_eq!(from_memory.kind.to_string(), from_file.kind.to_string());
    assert_eq!(from_memory.to_string().lines().count(), 1);
    from_file.kind
}

/// How a page is had.
#[derive(Debug, PartialEq, Eq)]
pub enum Had {
    Lent,
    Copied,
    Hole,
    Excluded,
    /// The file ends before it.
    Truncated,
}

/// How the page that holds `addr` is had; panics unless its contents are right.
pub fn had(image: &Image, addr: u64) -> Had {
    let first = PhysAddr(addr).page();
    image.prefetch(PhysAddr(addr), 4096);
    let mut copy = Page::ZERO.clone();
    let lent = image.lend_page(PhysAddr(addr));
    match image.read_page(PhysAddr(addr), &mut copy) {
        Err(error) => {
            assert_eq!(error, ReadError { addr: first, kind: error.kind });
            assert!(lent.is_none());
            return match error.kind {
                ReadErrorKind::Hole => Had::Hole,
                ReadErrorKind::Excluded => Had::Excluded,
                ReadErrorKind::Io(0) => Had::Truncated,
                other => panic!("page {first} {other}"),
            };
        }
        Ok(()) => assert_eq!(copy.as_bytes(), memory(first.0, first.0 | 0xfff), "page {first}"),
    }
    match lent {
        Some(page) => {
            assert_eq!(page.as_bytes(), copy.as_bytes());
            Had::Lent
        }
        None => Had::Copied,
    }
}

/// All ranges, first and last byte.
pub fn extent(image: &Image) -> Vec<(u64, u64)> {
    ranges(image).map(|range| (range.first().0, range.last().0)).collect()
}
