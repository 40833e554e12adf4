//! How much is allocated for a kdump-compressed file: not what its headers say, but what it holds.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

#[path = "common/heap.rs"]
mod heap;

use heap::{Counting, peak};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ranges};
use iopt_backends::{Format, Kdump, OpenOptions};

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many bytes are allocated on top, at most, while a dump is opened and read whole.
fn most(bytes: &[u8]) -> u64 {
    let bytes: &'static [u8] = bytes.to_vec().leak();
    let read = || {
        let Ok(dump) = Kdump::from_bytes(bytes) else { return };
        let mut page = Page::ZERO;
        let _ = dump.vmcoreinfo();
        for range in ranges(&dump).take(1000) {
            for pfn in (range.first().0 >> 12..=range.last().0 >> 12).take(1000) {
                let _ = dump.read_page(PhysAddr(pfn << 12), &mut page);
            }
        }
    };
    peak(read).1
}

fn capture(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/corpus/kdump-on/vmcore.d31.kdump-{name}.xz", env!("CARGO_MANIFEST_DIR"));
    OpenOptions::new().format(Format::Raw).open(path).unwrap().as_bytes().to_vec()
}

/// A frame of 1000 sequences, each of a literal and the longest match, in which nothing looks too large for a page.
fn bomb() -> Vec<u8> {
    let literals = [0x05 | (1000u16 << 4).to_le_bytes()[0], (1000u16 << 4).to_le_bytes()[1], 7];
    // RLE for all: a literal, the last offset, and matches of 65539 + 16 bits.
    let sequences = [128 + 3, 232, 0x54, 1, 0, 52];
    let block = [&literals[..], &sequences, &[0xff; 2000], &[1]].concat();
    let header = (u32::try_from(block.len()).unwrap() << 3 | 4 | 1).to_le_bytes();
    [b"\x28\xb5\x2f\xfd\x00\x30", &header[..3], &block].concat()
}

#[test]
fn no_more_is_allocated_than_the_file_holds() {
    for name in ["zlib", "lzo", "snappy", "zstd", "flattened"] {
        let file = capture(name);
        // The pages are kept, all of them: 126 compressed ones at most, or 397 of snappy.
        let kept = if name == "snappy" { 397 << 12 } else { 126 << 12 };
        let bound = kept + 100_000;
        let valid = most(&file);
        assert!(valid < bound, "{name}: {valid}");
        // Numbers that promise a lot: in the main header, in the sub header, in descriptors, in records.
        for at in (8..12).chain(408..464).chain(4096..4200).chain(0x8000..0x8100).step_by(3) {
            for value in [0xff, 0x10] {
                let mut bytes = file.clone();
                bytes[at] = value;
                bytes[at + 1] = value;
                let found = most(&bytes);
                assert!(found < bound, "{name} {at:#x}: {found}");
            }
        }
    }
    // A page of matches far longer than it, alone and as a stream around an image.
    let mut file = capture("zstd");
    let at = file.len();
    file.extend(bomb());
    // The descriptor of the first page that is compressed.
    let descriptors = 8 * 4096;
    let first = (descriptors..).step_by(24).find(|at| file[at + 12] == 0x20).unwrap();
    file[first..first + 8].copy_from_slice(&u64::try_from(at).unwrap().to_le_bytes());
    let size = u32::try_from(file.len() - at).unwrap();
    file[first + 8..first + 12].copy_from_slice(&size.to_le_bytes());
    let found = most(&file);
    assert!(found < (126 << 12) + 100_000, "{found}");
    let (opened, found) = peak(|| OpenOptions::new().from_bytes(bomb()));
    assert!(opened.is_err());
    assert!(found < 512 << 10, "{found}");
}
