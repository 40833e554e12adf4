//! Several images of the same memory, read as one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod common;
#[path = "kdump/builder.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod kdump;

use common::{lime, memory};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt_backends::{Image, OpenOptions, Stack, StackError, StackErrorKind, open};
use kdump::Builder;
use std::path::Path;
use zerocopy::IntoBytes;

fn raw(first: u64, last: u64) -> Image {
    OpenOptions::new().raw_base(PhysAddr(first)).from_bytes(memory(first, last)).unwrap()
}

fn stack(images: Vec<Image>) -> Stack {
    Stack::new(images).unwrap()
}

fn extent(stack: &Stack) -> Vec<(u64, u64)> {
    ranges(stack).map(|range| (range.first().0, range.last().0)).collect()
}

/// The contents of a page, however it is had; or why not.
fn read(stack: &Stack, addr: u64) -> Result<Page, ReadErrorKind> {
    let mut page = Page::ZERO;
    stack.prefetch(PhysAddr(addr), 64);
    let done = stack.read_page(PhysAddr(addr), &mut page);
    let lent = stack.lend_page(PhysAddr(addr));
    match done {
        Ok(()) => {
            assert!(lent.is_none_or(|lent| lent.as_bytes() == page.as_bytes()), "{addr:#x}");
            Ok(page)
        }
        Err(error) => {
            assert!(lent.is_none());
            assert_eq!(error.addr, PhysAddr(addr).page());
            Err(error.kind)
        }
    }
}

fn assert_right(stack: &Stack, addr: u64) {
    assert!(read(stack, addr).unwrap().as_bytes() == memory(addr, addr + 0xfff), "{addr:#x}");
}

#[test]
fn low_and_high_memory_are_one() {
    let low = Image::from_bytes(lime(&[(0x1000, 0x2fff)])).unwrap();
    let memory = stack(vec![raw(0x1_0000_0000, 0x1_0000_2fff), low, raw(0x3000, 0x4fff)]);
    assert_eq!(extent(&memory), [(0x1000, 0x4fff), (0x1_0000_0000, 0x1_0000_2fff)]);
    for addr in [0x1000, 0x2000, 0x3000, 0x4000, 0x1_0000_0000, 0x1_0000_2000] {
        assert_right(&memory, addr);
        assert!(memory.lend_page(PhysAddr(addr)).is_some(), "{addr:#x}");
    }
    for addr in [0, 0x5000, 0xffff_f000, 0x1_0000_3000, u64::MAX] {
        assert!(matches!(read(&memory, addr), Err(ReadErrorKind::Hole)));
    }
    assert_eq!(memory.images().len(), 3);
    assert!(memory.missing_parts().is_empty());
}

#[test]
fn no_image_is_no_memory() {
    let memory = stack(Vec::new());
    assert!(extent(&memory).is_empty() && matches!(read(&memory, 0), Err(ReadErrorKind::Hole)));
}

#[test]
fn ranges_are_the_same_wherever_one_asks() {
    let memory = stack(vec![
        raw(0x2000, 0x3fff),
        raw(0x1800, 0x27ff),
        raw(0x4000, 0x4fff),
        raw(0x6000, 0x6fff),
        raw(0x2400, 0x24ff),
        raw(0xffff_ffff_ffff_f000, u64::MAX),
    ]);
    let all = [(0x1800, 0x4fff), (0x6000, 0x6fff), (0xffff_ffff_ffff_f000, u64::MAX)];
    assert_eq!(extent(&memory), all);
    for from in (0..0x8000).step_by(0x100) {
        let range = memory.next_range(PhysAddr(from)).map(|range| (range.first().0, range.last().0));
        assert_eq!(range, all.into_iter().find(|(_, last)| *last >= from), "{from:#x}");
    }
}

#[test]
fn a_page_is_put_together_from_parts() {
    let memory = stack(vec![raw(0x1000, 0x17ff), raw(0x1700, 0x1dff), raw(0x1e00, 0x1fff)]);
    assert_right(&memory, 0x1000);
    let gap = stack(vec![raw(0x1000, 0x17ff), raw(0x1801, 0x1fff)]);
    assert!(matches!(read(&gap, 0x1000), Err(ReadErrorKind::Hole)));
}

#[test]
fn the_first_image_wins() {
    let filled = |base, byte, size| OpenOptions::new().raw_base(PhysAddr(base)).from_bytes(vec![byte; size]).unwrap();
    let of = |memory: &Stack, addr| read(memory, addr).unwrap().as_bytes().to_vec();
    let memory = stack(vec![filled(0x1000, 1, 0x1000), filled(0x1000, 2, 0x2000)]);
    assert_eq!((of(&memory, 0x1000), of(&memory, 0x2000)), (vec![1; 4096], vec![2; 4096]));
    // Byte for byte, too, where none has the whole page; one that has it comes before all parts.
    let parts = || vec![filled(0x1000, 1, 0x800), filled(0x1400, 2, 0xc00)];
    assert_eq!(of(&stack(parts()), 0x1000), [vec![1; 0x800], vec![2; 0x800]].concat());
    let whole = parts().into_iter().chain([filled(0x1000, 3, 0x1000)]).collect();
    assert_eq!(of(&stack(whole), 0x1000), vec![3; 4096]);
    // A page that the first image has but can't lend is not lent by another one.
    let halves = [
        common::header(*b"EMiL", 1, 0, 0x7ff),
        vec![7; 0x800],
        common::header(*b"EMiL", 1, 0x800, 0xfff),
        vec![7; 0x800],
    ];
    let memory = stack(vec![Image::from_bytes(halves.concat()).unwrap(), filled(0, 8, 0x1000)]);
    assert_eq!(of(&memory, 0), vec![7; 4096]);
}

#[test]
fn the_reason_that_tells_most_is_told() {
    let builder = Builder { memory: vec![4], ..Builder::new() }.plain([1, 2]);
    let image = |cut: usize| {
        let bytes = builder.build();
        Image::from_bytes(bytes[..bytes.len() - cut].to_vec()).unwrap()
    };
    let hole = || raw(0x10_0000, 0x10_0fff);
    for images in [vec![image(1), hole(), image(4096)], vec![hole(), image(4096), image(1)]] {
        let memory = stack(images);
        assert!(matches!(read(&memory, 2 << 12), Err(ReadErrorKind::Io(0))));
        assert!(matches!(read(&memory, 4 << 12), Err(ReadErrorKind::Excluded)));
        assert!(matches!(read(&memory, 5 << 12), Err(ReadErrorKind::Hole)));
    }
    let excluded = Image::from_bytes(Builder { memory: vec![2], ..Builder::new() }.build()).unwrap();
    assert!(matches!(read(&stack(vec![image(1), excluded]), 2 << 12), Err(ReadErrorKind::Io(0))));
    assert!(read(&stack(vec![image(1), image(0)]), 2 << 12).is_ok());
}

const PAGES: [u64; 6] = [3, 64, 65, 400, 401, 999];

fn whole() -> Builder {
    Builder { memory: vec![70], ..Builder::new() }.plain(PAGES)
}

fn part(start: u64, end: u64) -> Image {
    Image::from_bytes(Builder { part: Some((start, end)), ..whole() }.build()).unwrap()
}

#[test]
fn the_files_of_a_split_dump_are_one_dump() {
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let parts = order.map(|index| [(0, 65), (65, 401), (401, 1000)][index]);
        let memory = stack(parts.map(|(start, end)| part(start, end)).into());
        assert!(memory.missing_parts().is_empty());
        for pfn in PAGES {
            assert!(read(&memory, pfn << 12).unwrap().as_bytes() == whole().content(pfn), "{pfn}");
        }
        assert!(matches!(read(&memory, 70 << 12), Err(ReadErrorKind::Excluded)));
        assert!(matches!(read(&memory, 71 << 12), Err(ReadErrorKind::Hole)));
        assert_eq!(
            extent(&memory),
            [(3, 3), (64, 65), (400, 401), (999, 999)].map(|(a, b)| (a << 12, b << 12 | 0xfff))
        );
    }
}

#[test]
fn missing_parts_are_told() {
    let memory = stack(vec![part(65, 401)]);
    assert_eq!(memory.missing_parts(), [0..65, 401..1000]);
    assert!(matches!(read(&memory, 3 << 12), Err(ReadErrorKind::Excluded)));
    let missing =
        |images| stack(images).missing_parts().into_iter().map(|part| (part.start, part.end)).collect::<Vec<_>>();
    assert_eq!(missing(vec![part(0, 65), part(401, 5000)]), [(65, 401)]);
    assert_eq!(missing(vec![part(0, 65), part(65, 65), part(65, 999)]), [(999, 1000)]);
    assert!(stack(vec![raw(0, 0xfff)]).missing_parts().is_empty());
}

/// A page that a part lacks is in the whole dump, or was left out of both.
#[test]
fn nothing_is_missing_beside_the_whole_dump() {
    let open = |builder: Builder| Image::from_bytes(builder.build()).unwrap();
    assert!(stack(vec![part(65, 401), open(whole())]).missing_parts().is_empty());
    assert!(stack(vec![open(whole()), part(65, 401)]).missing_parts().is_empty());
    // That of another machine is none of this one.
    let other = open(Builder { max_mapnr: 1001, ..whole() });
    assert_eq!(stack(vec![part(65, 401), other]).missing_parts(), [0..65, 401..1000]);
}

#[test]
fn parts_without_page_frames_change_nothing() {
    // The dump has 1000.
    let behind = stack(vec![part(0, 2000), part(3000, 4000), part(5000, 5000)]);
    assert!(behind.missing_parts().is_empty());
    let empty = stack(vec![part(0, 65), part(70, 70), part(401, 1000)]);
    assert!(empty.missing_parts().into_iter().eq(std::iter::once(65..401)));
}

#[test]
fn invalid_parts_that_overlap() {
    let error = Stack::new(vec![part(0, 65), raw(0, 0xfff), part(64, 401)]).unwrap_err();
    let kind = StackErrorKind::PartOverlaps { other: 0, theirs: 0..65, found: 64..401 };
    assert_eq!(error, StackError { index: 2, kind });
    let text = "image 2: expected page frames outside the part 0x0 up to 0x41 of image 0, found 0x40 up to 0x191";
    assert_eq!(error.to_string(), text);
    assert!(Stack::new(vec![part(0, 65), part(0, 65)]).is_err());
}

#[test]
fn invalid_parts_of_different_dumps() {
    let builder = Builder { part: Some((65, 401)), ..whole() };
    let changed = |at: usize| {
        let mut bytes = builder.build();
        bytes[at] ^= 1;
        Image::from_bytes(bytes).unwrap()
    };
    let open = |builder: Builder| Image::from_bytes(builder.build()).unwrap();
    for (image, field) in [
        (changed(12), "utsname"),
        (changed(401), "utsname"),
        (changed(408), "timestamp"),
        (changed(416), "timestamp"),
        (open(Builder { version: 5, ..builder.clone() }), "header_version"),
        (open(Builder { max_mapnr: 1001, ..builder.clone() }), "max_mapnr"),
        (open(Builder { block_size: 8192, ..builder.clone() }), "block_size or layout of the header"),
    ] {
        let error = Stack::new(vec![part(0, 65), image]).unwrap_err();
        assert_eq!(error, StackError { index: 1, kind: StackErrorKind::OtherDump { other: 0, field } });
    }
    // A whole dump belongs to any.
    assert!(Stack::new(vec![part(0, 65), open(Builder { max_mapnr: 1001, ..whole() })]).is_ok());
    assert!(Stack::new(vec![part(0, 65), changed(450)]).is_ok(), "another field");
}

/// By makedumpfile: three files of one dump.
#[test]
fn a_real_split_dump_equals_the_lime_image() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/kdump-on");
    let file = |index: usize| open(corpus.join(format!("vmcore.split-{index}.kdump-zlib.xz"))).unwrap();
    let lime = open(corpus.join("vmcore.lime.xz")).unwrap();
    let memory = stack([3, 1, 2].map(file).into());
    assert!(memory.missing_parts().is_empty());
    let mut pages = 0;
    for addr in ranges(&lime).flat_map(|range| (range.first().0..=range.last().0).step_by(4096)) {
        let found = read(&memory, addr).unwrap();
        assert!(found.as_bytes() == lime.lend_page(PhysAddr(addr)).unwrap().as_bytes(), "{addr:#x}");
        pages += 1;
    }
    assert_eq!(pages, 419);
    let two = stack([1, 3].map(file).into());
    let part = file(2).kdump().unwrap().header().part.clone().unwrap();
    assert_eq!(two.missing_parts(), [part]);
}
