//! Small valid files of every format, which fuzzers and tests start from.
#![allow(clippy::single_range_in_vec_init, reason = "a file may have one header")]

#[path = "../../../../backends/tests/common/mod.rs"]
pub mod common;
#[path = "../../../../backends/tests/elf/builder.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "not all of it is needed here")]
pub mod elf;
#[path = "../../../../backends/tests/kdump/builder.rs"]
#[allow(dead_code, clippy::duplicate_mod, reason = "not all of it is needed here")]
pub mod kdump;

use common::{header, lime, lime_image, memory};
use elf::{KINDS, load, notes};
use flate2::write::{GzEncoder, ZlibEncoder};
use iopt_backends::{Format, open_as};
use kdump::{Builder, LZO, SNAPPY, ZLIB, ZSTD};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::io::Write;
use std::ops::Range;
use std::path::Path;

/// A file.
pub struct Seed {
    /// The fuzz target that it is for.
    pub target: &'static str,
    /// What it is of that.
    pub name: &'static str,
    /// The input of the target.
    pub bytes: Vec<u8>,
    /// Where its headers and the like are, as opposed to memory.
    pub headers: Vec<Range<usize>>,
}

/// All of them.
pub fn seeds() -> Vec<Seed> {
    let mut all = [elfs(), kdumps(), limes(), avmls(), compressed(), stacks()].concat();
    let plain = |seed: &&Seed| !matches!(seed.target, "image_compressed" | "image_stack");
    let any: Vec<Seed> = all.iter().filter(plain).map(|seed| Seed { target: "image_any", ..seed.clone() }).collect();
    all.extend(any);
    all.push(seed("image_any", "raw", memory(0, 0x1063), vec![0..8]));
    all
}

impl Clone for Seed {
    fn clone(&self) -> Self {
        let Self { target, name, bytes, headers } = self;
        Self { target, name, bytes: bytes.clone(), headers: headers.clone() }
    }
}

fn seed(target: &'static str, name: &'static str, bytes: Vec<u8>, headers: Vec<Range<usize>>) -> Seed {
    Seed { target, name, bytes, headers }
}

fn elfs() -> Vec<Seed> {
    let segments = |index: usize| {
        let info = notes(KINDS[index].note(b"VMCOREINFO\0", 0, b"A=1\n"));
        [info, load(0x1000, 0x17ff).of(0x1800), load(0x1800, 0x27ff)]
    };
    let flat = flattened(&KINDS[2].core(&segments(2)));
    vec![
        seed("image_elf", "elf-flattened", flat, vec![0..32, 4096..4112 + 64 + 3 * 56]),
        seed("image_elf", "elf-64", KINDS[2].core(&segments(2)), vec![0..64 + 3 * 56 + 28]),
        seed("image_elf", "elf-32-many", KINDS[1].core_of_many(&segments(1)), vec![0..52 + 3 * 32 + 40 + 28]),
    ]
}

fn dump() -> Builder {
    let zeros = [0; 4096];
    let mut zlib = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    zlib.write_all(&zeros).unwrap();
    // Four literals, and a match of the rest at distance 1.
    let lzo = [&[21, 0, 0, 0, 0, 32][..], &[0; 15], &[234, 0, 0, 17, 0, 0]].concat();
    Builder { memory: vec![9], vmcoreinfo: b"A=1\n".into(), ..Builder::new() }
        .stored(1, ZLIB, zlib.finish().unwrap())
        .stored(2, LZO, lzo)
        .stored(3, SNAPPY, snap::raw::Encoder::new().compress_vec(&zeros).unwrap())
        .stored(70, ZSTD, compress_to_vec(&zeros[..], CompressionLevel::Fastest))
}

fn kdump_headers(builder: &Builder, at: usize) -> Vec<Range<usize>> {
    let block = builder.block_size as usize;
    let places = [0..12, 400..464, block..block + 104, 2 * block..2 * block + 8, 3 * block..3 * block + 8];
    let descriptors = builder.descriptors();
    let all = places.into_iter().chain([descriptors..descriptors + 48]);
    all.map(|place| place.start + at..place.end + at).collect()
}

pub fn flattened_header() -> Vec<u8> {
    let mut stream = b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01".to_vec();
    stream.resize(4096, 0);
    stream
}

/// In records of half a block each.
fn flattened(file: &[u8]) -> Vec<u8> {
    let mut stream = flattened_header();
    for (index, bytes) in file.chunks(2048).enumerate() {
        stream.extend((index as i64 * 2048).to_be_bytes());
        stream.extend((bytes.len() as i64).to_be_bytes());
        stream.extend(bytes);
    }
    stream.extend([0xff; 16]);
    stream
}

fn kdumps() -> Vec<Seed> {
    let old = Builder { wide: false, machine: "i686", version: 2, part: Some((0, 64)), ..dump() }.plain([5]);
    let flat = flattened(&dump().build());
    vec![
        seed("image_kdump", "kdump-6", dump().build(), kdump_headers(&dump(), 0)),
        seed("image_kdump", "kdump-2-32", old.build(), kdump_headers(&old, 0)),
        seed("image_kdump", "kdump-flattened", flat, vec![0..32, 4096..4112 + 12, 4112 + 400..4112 + 464, 6160..6176]),
    ]
}

fn limes() -> Vec<Seed> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../backends/tests/corpus/legacy-pt/mem.lime.xz");
    let captured = open_as(corpus, Format::Raw).unwrap().as_bytes().to_vec();
    vec![
        seed("image_lime", "lime-small", lime_image(), vec![0..32, 0x2020..0x2040, 0x2840..0x2860]),
        seed("image_lime", "lime-captured", captured, vec![0..32]),
    ]
}

pub fn block(first: u64, last: u64) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(&vec![7; usize::try_from(last - first + 1).unwrap()]).unwrap();
    let stream = encoder.into_inner().unwrap();
    [header(*b"AVML", 2, first, last), stream.clone(), (stream.len() as u64).to_le_bytes().to_vec()].concat()
}

fn avmls() -> Vec<Seed> {
    let first = block(0x8000, 0x87ff);
    let bytes = [first.clone(), block(0x1000, 0x2fff), block(0x8800, 0x8fff)].concat();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../backends/tests/corpus/legacy-pt/mem.avml.xz");
    let compressed = std::fs::read(corpus).unwrap();
    let mut captured = Vec::new();
    std::io::copy(&mut lzma_rust2::XzReader::new(&compressed[..], false), &mut captured).unwrap();
    let headers = vec![0..64, first.len() - 8..first.len() + 64];
    vec![seed("image_avml", "avml-small", bytes, headers), seed("image_avml", "avml-captured", captured, vec![0..64])]
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn compressed() -> Vec<Seed> {
    let fixture = |name, how: u8, file: &[u8]| {
        let bytes = [&[how], file].concat();
        let all = 0..bytes.len().min(160);
        seed("image_compressed", name, bytes, vec![all])
    };
    vec![
        fixture("lime.xz", 0, include_bytes!("../../../../backends/tests/fixtures/image.lime.xz")),
        fixture("raw.xz", 0, include_bytes!("../../../../backends/tests/fixtures/image.raw.xz")),
        fixture("dictionary.xz", 0, include_bytes!("../../../../backends/tests/fixtures/dictionary-1gib.xz")),
        fixture("lime.gz", 1, include_bytes!("../../../../backends/tests/fixtures/image.lime.gz")),
        fixture("kdump.gz", 1, &gzip(&dump().build())),
        fixture("lime.zlib", 2, include_bytes!("../../../../backends/tests/fixtures/image.lime.zlib")),
        fixture("lime.zst", 3, include_bytes!("../../../../backends/tests/fixtures/image.lime.zst")),
        fixture("to-gzip", 4, &lime(&[(0x1000, 0x13ff)])),
        fixture("to-zlib", 5, &elfs()[0].bytes),
    ]
}

fn stacks() -> Vec<Seed> {
    let of = |name, files: &[Vec<u8>]| {
        let mut bytes = vec![files.len() as u8 - 1];
        files.iter().for_each(|file| bytes.extend((file.len() as u16).to_le_bytes()));
        let headers = vec![0..bytes.len(), bytes.len()..bytes.len() + 32];
        bytes.extend(files.concat());
        seed("image_stack", name, bytes, headers)
    };
    let part = |start, end| Builder { part: Some((start, end)), ..dump() }.build();
    vec![
        of("split", &[part(0, 3), part(3, 64), part(64, 1000)]),
        of("mixed", &[lime(&[(0x800, 0x17ff), (0x3000, 0x37ff)]), memory(0, 0xfff), elfs()[0].bytes.clone()]),
        of("parts-and-raw", &[part(0, 3), memory(0, 0x1fff)]),
    ]
}
