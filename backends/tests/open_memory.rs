//! How much is allocated to open an image: not what its headers say, but what it holds.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a panic is a red test")]

#[path = "common/heap.rs"]
mod heap;

use heap::{Counting, peak};
use iopt_backends::{Image, OpenOptions};
use snap::write::FrameEncoder;
use std::io::{self, Read, Write};

#[global_allocator]
static COUNTING: Counting = Counting;

fn avml(first: u64, last: u64, contents: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(Vec::new());
    encoder.write_all(contents).unwrap();
    let stream = encoder.into_inner().unwrap();
    let numbers = [first.to_le_bytes(), last.to_le_bytes(), [0; 8]].concat();
    let length = (stream.len() as u64).to_le_bytes();
    [&b"AVML\x02\0\0\0"[..], &numbers, &stream, &length].concat()
}

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

fn flattened(records: &[(i64, i64, &[u8])]) -> Vec<u8> {
    let mut stream = b"makedumpfile\0\0\0\0".to_vec();
    stream.extend([1i64.to_be_bytes(), 1i64.to_be_bytes()].concat());
    stream.resize(4096, 0);
    for (offset, size, bytes) in records {
        stream.extend([offset.to_be_bytes(), size.to_be_bytes()].concat());
        stream.extend_from_slice(bytes);
    }
    stream
}

#[test]
fn no_more_is_allocated_than_the_image_holds() {
    let elf =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/kdump-on/vmcore.elf-flattened.xz")).unwrap();
    let elf = Image::from_bytes(elf).unwrap().as_bytes().to_vec();
    let far = flattened(&[(0, 4096, &elf[..4096]), (i64::MAX - 8, 8, &[7; 8]), (1 << 40, i64::MAX >> 2, &[1; 100])]);
    for (name, bytes) in [
        ("a block of 2^63 bytes", avml(0, i64::MAX as u64, &[1; 5000])),
        ("a block of all addresses", avml(0, u64::MAX, &[1; 5000])),
        ("records far apart", far),
        (
            "a gzip header without end",
            [&[0x1f, 0x8b, 8, 0x1c, 0, 0, 0, 0, 0, 3, 0xff, 0xff][..], &[1; 1 << 20]].concat(),
        ),
    ] {
        let held = bytes.len() as u64;
        let (_, found) = peak(|| drop(Image::from_bytes(bytes)));
        assert!(found < held + (1 << 20), "{name}: {found}");
    }
    // A limit is kept while memory grows, which is by doubling.
    let limit = 1 << 20;
    let options = OpenOptions::new().decompressed_limit(limit);
    let zeros = vec![0; 64 << 20];
    for bytes in [gzip(&zeros), avml(0, (64 << 20) - 1, &zeros)] {
        let (_, found) = peak(|| assert!(options.from_bytes(bytes).is_err()));
        assert!(found < 4 << 20, "{found}");
    }
    let (_, found) = peak(|| assert!(options.from_reader(io::repeat(0).take(64 << 20)).is_err()));
    assert!(found < 4 << 20, "{found}");
}
