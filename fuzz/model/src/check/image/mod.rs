//! Memory images of any bytes: opening one gives an error of one line or an image that keeps its word, in
//! memory in proportion to what there is to read.

mod reader;
mod stack;
mod wrapped;

pub use stack::check_stack;
pub use wrapped::check_compressed;

use crate::heap::peak;
use iopt::PhysAddr;
use iopt::memory::{Page, ReadErrorKind, ranges};
use iopt_backends::{Image, OpenError, OpenOptions};
use reader::{check_reader, probe};
use std::fmt;

/// What images are allowed to decompress to: room for some pages and their headers.
const LIMIT: u64 = 256 << 10;

const XZ: &[u8] = b"\xfd7zXZ\0";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// How many of the ranges, and of what is missing, are looked at.
const LOOKED_AT: usize = 48;

/// As an ELF file, of either kind.
///
/// # Panics
/// If an invariant does not hold, as all checks.
pub fn check_elf(bytes: &[u8]) {
    check_any(&starting(bytes, &[b"\x7fELF", b"makedumpfile\0\0\0\0"]));
}

/// As a kdump-compressed file, plain or flattened.
pub fn check_kdump(bytes: &[u8]) {
    check_any(&starting(bytes, &[b"KDUMP   ", b"DISKDUMP", b"makedumpfile\0\0\0\0"]));
}

/// As a LiME image.
pub fn check_lime(bytes: &[u8]) {
    check_any(&starting(bytes, &[b"EMiL"]));
}

/// As an AVML image.
pub fn check_avml(bytes: &[u8]) {
    check_any(&starting(bytes, &[b"AVML"]));
}

/// As whatever it looks like.
pub fn check_any(bytes: &[u8]) {
    if let Ok(image) = open(bytes, None) {
        let ((), taken) = peak(|| check_image(&image));
        assert!(taken <= READING, "{taken} bytes to read an image of {} bytes", bytes.len());
    }
}

/// The most that reading takes, in bytes: the cache of decompressed pages, with its index and a page at work, and what
/// the check itself takes.
const READING: u64 = 5 << 20;

/// The most that opening a file takes, in bytes: 512 KiB, and 12 times what there is to read, be it in the file or
/// decompressed.
fn most(bytes: &[u8]) -> u64 {
    let zlib = bytes.first().is_some_and(|first| first & 0xf == 8);
    let compressed = zlib || [XZ, ZSTD, b"\x1f\x8b", b"AVML"].iter().any(|magic| bytes.starts_with(magic));
    // A stream, and AVML in it.
    let decompressed = if compressed { 2 * LIMIT } else { 0 };
    (512 << 10) + 12 * (bytes.len() as u64 + decompressed)
}

/// With the first of `magics` at the start, unless there is one of them.
fn starting(bytes: &[u8], magics: &[&[u8]]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if !magics.iter().any(|magic| bytes.starts_with(magic)) {
        bytes.resize(bytes.len().max(magics[0].len()), 0);
        bytes[..magics[0].len()].copy_from_slice(magics[0]);
    }
    bytes
}

/// Opens `bytes` in bounded memory.
fn open(bytes: &[u8], base: Option<PhysAddr>) -> Result<Image, OpenError> {
    let options = OpenOptions::new().decompressed_limit(LIMIT);
    let options = base.map_or(options, |base| options.raw_base(base));
    let (opened, taken) = peak(|| options.from_bytes(bytes.to_vec()));
    assert!(taken <= most(bytes), "{taken} bytes to open a file of {} bytes", bytes.len());
    opened.inspect_err(|error| one_line(error))
}

/// What must hold of any image.
fn check_image(image: &Image) {
    let plain = image.kdump().is_none();
    check_reader(image, plain);
    check_missing(image);

    let bytes = image.as_bytes().len();
    let notes = image.notes().inspect(|note| {
        note.as_ref().inspect_err(|error| one_line(error)).ok();
    });
    // The smallest has a header of 12 bytes, and of one that is malformed there is one for each segment.
    assert!(notes.count() <= bytes / 12 + bytes / 32);
    if let Some(info) = image.vmcoreinfo() {
        let text: usize = info.iter().map(|(key, value)| key.len() + 1 + value.len()).sum();
        assert!(text <= info.as_bytes().len() && info.as_bytes().len() <= bytes);
        assert_eq!(info.get("A").is_some(), info.iter().any(|(key, _)| key == b"A"));
    }
    if let Some(dump) = image.kdump() {
        dump.vmcoreinfo().inspect_err(|error| one_line(error)).ok();
        for range in ranges(dump).take(LOOKED_AT) {
            let (mut long, mut short) = (Page::ZERO, Page::ZERO);
            let told = dump.read(range.first(), &mut long).inspect_err(|error| one_line(error));
            let read = iopt::memory::PhysReader::read_page(image, range.first(), &mut short);
            assert_eq!(told.map_err(|error| ReadErrorKind::from(error.kind)), read.map_err(|error| error.kind));
        }
    }
}

/// What is missing comes in order, and reads as it says.
fn check_missing(image: &Image) {
    let missing: Vec<_> = image.missing().take(LOOKED_AT).collect();
    for pair in missing.windows(2) {
        let (gap, same) =
            (pair[1].range.first().0.checked_sub(pair[0].range.last().0), pair[0].reason == pair[1].reason);
        assert!(gap.is_some_and(|gap| gap > u64::from(same)), "{pair:?}");
    }
    for part in &missing {
        for addr in [part.range.first(), part.range.last()] {
            // The first part that a page lacks says why it is not there.
            let first = missing.iter().find(|part| addr.page() <= part.range.last()).map(|part| part.reason);
            assert_eq!(probe(image, addr, image.kdump().is_none()), first.map(ReadErrorKind::from), "{part:?} {addr}");
        }
    }
}

fn one_line(error: &dyn fmt::Display) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains(['\n', '\r']), "{text:?}");
}
