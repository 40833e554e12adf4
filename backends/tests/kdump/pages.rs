//! What a page's descriptor and its bytes may say.

use crate::builder::{Builder, LZO, SNAPPY, ZLIB, ZSTD, absent};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind};
use iopt_backends::{Kdump, KdumpPageErrorKind, PageCompression};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;
use zerocopy::IntoBytes;

pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Literals, and a match for the run of equal bytes at the end.
pub fn lzo(bytes: &[u8]) -> Vec<u8> {
    let run = bytes.iter().rev().take_while(|byte| **byte == bytes[bytes.len() - 1]).count() - 1;
    let run = run.min(bytes.len() - 20);
    let mut stream = vec![0];
    length(&mut stream, bytes.len() - run - 18);
    stream.extend(&bytes[..bytes.len() - run]);
    if run > 33 {
        stream.push(32);
        length(&mut stream, run - 33);
        stream.extend([0, 0]);
    } else {
        stream.extend(&bytes[bytes.len() - run..]);
    }
    [stream, vec![17, 0, 0]].concat()
}

fn length(stream: &mut Vec<u8>, mut left: usize) {
    while left > 255 {
        stream.push(0);
        left -= 255;
    }
    stream.push(left as u8);
}

pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    compress_to_vec(bytes, CompressionLevel::Fastest)
}

pub type Compress = fn(&[u8]) -> Vec<u8>;
pub const ALL: [(u32, Compress, PageCompression); 4] = [
    (ZLIB, zlib, PageCompression::Zlib),
    (LZO, lzo, PageCompression::Lzo),
    (SNAPPY, snappy, PageCompression::Snappy),
    (ZSTD, zstd, PageCompression::Zstd),
];

fn half_equal(builder: &Builder, pfn: u64) -> Vec<u8> {
    let mut bytes = builder.content(pfn);
    let half = bytes.len() / 2;
    bytes[half..].fill(pfn as u8);
    bytes
}

fn damaged(builder: &Builder, flags: u32, stored: Vec<u8>) -> bool {
    let dump = builder.clone().stored(5, flags, stored).open();
    let (long, short) = absent(&dump, 5 * u64::from(builder.block_size));
    assert_eq!((short, dump.decompressions()), (ReadErrorKind::Io(0), 0));
    matches!(long, KdumpPageErrorKind::Damaged { .. })
}

/// A zstd frame of `block_size` bytes, in runs of one byte each and without their number.
fn zstd_runs(runs: &[(u8, u32)]) -> Vec<u8> {
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x30".to_vec();
    for (index, (byte, length)) in runs.iter().enumerate() {
        let last = u32::from(index + 1 == runs.len());
        frame.extend(&(length << 3 | 2 | last).to_le_bytes()[..3]);
        frame.push(*byte);
    }
    frame
}

#[test]
fn zstd_frames_may_have_several_blocks_and_no_size() {
    let dump = Builder::new().stored(5, ZSTD, zstd_runs(&[(7, 100), (0, 0), (9, 3996)])).open();
    let mut page = Page::ZERO;
    dump.read_page(PhysAddr(0x5000), &mut page).unwrap();
    assert_eq!(page.as_bytes(), [vec![7; 100], vec![9; 3996]].concat());
}

#[test]
fn invalid_zstd_frames() {
    let builder = Builder::new();
    for runs in [&[(7, 4097)][..], &[(7, 4095)], &[(7, 1 << 20)], &[(7, 4000), (8, 97)]] {
        assert!(damaged(&builder, ZSTD, zstd_runs(runs)), "{runs:?}");
    }
    let valid = zstd_runs(&[(7, 4096)]);
    // Another window, a dictionary, a reserved block, something behind.
    for (at, value) in [(5, 0xff), (4, 1), (6, 7)] {
        let mut frame = valid.clone();
        frame[at] = value;
        assert!(damaged(&builder, ZSTD, frame), "{at}");
    }
    assert!(damaged(&builder, ZSTD, [valid, vec![0]].concat()));
    // 0x7f00 sequences, each of which could be a match of 128 KiB.
    let block = [0, 255, 0, 0, 0x54, 0, 0, 52];
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x30".to_vec();
    frame.extend(&(8u32 << 3 | 4 | 1).to_le_bytes()[..3]);
    frame.extend(block);
    assert!(damaged(&builder, ZSTD, frame));
}

/// As many matches of 131074 bytes as a page has room for, each behind a literal. The first gives more than the page.
#[test]
fn invalid_zstd_frames_of_gigabytes() {
    for (block_size, count) in [(4096, 2000u32), (65536, 32000)] {
        let sequences = [(count >> 8) as u8 | 128, count as u8, 0x54, 1, 0, 52];
        let literals = [&(count << 4 | 0xd).to_le_bytes()[..3], b"x"].concat();
        let block = [&literals, &sequences[..], &vec![0xff; 2 * count as usize], &[1]].concat();
        let header = ((block.len() as u32) << 3 | 4 | 1).to_le_bytes();
        let frame = [b"\x28\xb5\x2f\xfd\x00\x38", &header[..3], &block].concat();
        assert!(damaged(&Builder { block_size, ..Builder::new() }, ZSTD, frame), "{block_size}");
    }
}

#[test]
fn all_compressions_of_all_sizes_of_pages() {
    for block_size in [4096, 8192, 16384, 65536] {
        let mut builder = Builder { block_size, ..Builder::new() };
        for (pfn, (flags, compress, _)) in (10..).zip(ALL) {
            let stored = compress(&half_equal(&builder, pfn));
            assert!(stored.len() < block_size as usize, "{flags:#x}");
            builder = builder.stored(pfn, flags, stored);
        }
        let dump = builder.open();
        for (pfn, (flags, ..)) in (10..).zip(ALL) {
            for (index, expected) in half_equal(&builder, pfn).chunks(4096).enumerate() {
                let mut page = Page::ZERO;
                let addr = PhysAddr(pfn * u64::from(block_size) + index as u64 * 4096);
                dump.read(addr, &mut page).unwrap_or_else(|error| panic!("{error}"));
                assert!(page.as_bytes() == expected, "{flags:#x} {addr}");
            }
            assert_eq!(dump.decompressions(), pfn - 9);
        }
    }
}

#[test]
fn invalid_pages_of_another_length_or_cut_short() {
    let builder = Builder { block_size: 8192, ..Builder::new() };
    let content = half_equal(&builder, 5);
    for (flags, compress, _) in ALL {
        for wrong in [content[..8191].to_vec(), [&content[..], &content[8191..]].concat(), content[..100].to_vec()] {
            assert!(damaged(&builder, flags, compress(&wrong)), "{flags:#x} {}", wrong.len());
        }
        let valid = compress(&content);
        for length in 0..valid.len() {
            assert!(damaged(&builder, flags, valid[..length].to_vec()), "{flags:#x} {length}");
        }
    }
}

#[test]
fn invalid_checksums() {
    let builder = Builder::new();
    let content = half_equal(&builder, 5);
    for (flags, mut stored, back) in [(ZLIB, zlib(&content), 1), (ZSTD, zstd(&content), 1)] {
        let at = stored.len() - back;
        stored[at] ^= 1;
        assert!(damaged(&builder, flags, stored), "{flags:#x}");
    }
}

#[test]
fn invalid_descriptors() {
    let builder = Builder { status: 8, ..Builder::new() }.plain([5, 6]);
    let valid = builder.build();
    let at = builder.descriptors();
    let end = valid.len() as u64;
    let cases: [(usize, Vec<u8>, KdumpPageErrorKind); 9] = [
        (0, vec![0; 8], KdumpPageErrorKind::Lost),
        (0, vec![0xff; 8], KdumpPageErrorKind::DataMissing { offset: u64::MAX, size: 4096, end }),
        (0, (end - 4095).to_le_bytes().into(), KdumpPageErrorKind::DataMissing { offset: end - 4095, size: 4096, end }),
        (8, vec![0; 4], KdumpPageErrorKind::Size { size: 0, block_size: 4096, plain: true }),
        (8, 4095u32.to_le_bytes().into(), KdumpPageErrorKind::Size { size: 4095, block_size: 4096, plain: true }),
        (8, vec![0xff; 8], KdumpPageErrorKind::Compression { flags: u32::MAX }),
        (12, vec![3, 0, 0, 0], KdumpPageErrorKind::Compression { flags: 3 }),
        (12, vec![0x40, 0, 0, 0], KdumpPageErrorKind::Compression { flags: 0x40 }),
        (8, vec![1, 16, 0, 0, 1], KdumpPageErrorKind::Size { size: 4097, block_size: 4096, plain: false }),
    ];
    for (offset, value, kind) in cases {
        let mut bytes = valid.clone();
        bytes[at + offset..at + offset + value.len()].copy_from_slice(&value);
        let dump = Kdump::from_bytes(bytes).unwrap();
        assert_eq!(absent(&dump, 0x5123), (kind, ReadErrorKind::Io(0)));
        builder.check(&dump, 6);
    }
}

#[test]
fn invalid_page_tells_its_frame_and_place() {
    let dump = Builder::new().stored(5, LZO, vec![1, 2, 3]).open();
    let offset = (Builder::new().descriptors() + 24) as u64;
    let error = dump.read(PhysAddr(0x5008), &mut Page::ZERO.clone()).unwrap_err();
    let compression = PageCompression::Lzo;
    assert_eq!(error.kind, KdumpPageErrorKind::Damaged { compression, offset, block_size: 4096 });
    assert_eq!(
        error.to_string(),
        "page frame 0x5: expected 4096 bytes of LZO at offset 0x4018, found a damaged stream"
    );
}

#[test]
fn absent_pages_tell_why() {
    let dump = Builder { memory: vec![4], ..Builder::new() }.plain([5]).open();
    for (addr, long, short) in [
        (0x3000, KdumpPageErrorKind::NotMemory, ReadErrorKind::Hole),
        (0x4fff, KdumpPageErrorKind::Excluded, ReadErrorKind::Excluded),
        (1000 << 12, KdumpPageErrorKind::NotMemory, ReadErrorKind::Hole),
        (u64::MAX, KdumpPageErrorKind::NotMemory, ReadErrorKind::Hole),
    ] {
        assert_eq!(absent(&dump, addr), (long, short));
    }
}
