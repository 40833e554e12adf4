//! Split dumps, whose files have a part of the page frames each.

use crate::builder::{Builder, absent, refused};
use iopt::memory::{ReadErrorKind, ranges};
use iopt_backends::{KdumpErrorKind, KdumpPageErrorKind};

const PAGES: [u64; 6] = [3, 64, 65, 400, 401, 999];

#[test]
fn a_part_has_its_pages() {
    for version in 2..=6 {
        for (wide, machine) in [(true, "x86_64"), (false, "i686"), (false, "armv7l")] {
            for (start, end) in [(0, 65), (65, 401), (401, 1000), (500, 500), (0, 5000)] {
                let part = Some((start, end));
                let builder = Builder { version, wide, machine, part, memory: vec![70], ..Builder::new() };
                let builder = builder.plain(PAGES);
                let dump = builder.open();
                assert_eq!(dump.header().part, Some(start..end));
                let (here, elsewhere): (Vec<u64>, Vec<u64>) = PAGES.iter().partition(|pfn| (start..end).contains(pfn));
                here.iter().for_each(|pfn| builder.check(&dump, *pfn));
                let there = ranges(&dump).flat_map(|range| range.first().0 >> 12..=range.last().0 >> 12);
                assert_eq!(there.collect::<Vec<_>>(), here);
                for pfn in elsewhere {
                    let kind = KdumpPageErrorKind::OtherPart { start, end };
                    assert_eq!(absent(&dump, pfn << 12), (kind, ReadErrorKind::Excluded));
                }
                assert_eq!(absent(&dump, 4 << 12), (KdumpPageErrorKind::NotMemory, ReadErrorKind::Hole));
            }
        }
    }
}

#[test]
fn a_dump_that_is_not_split_has_all_pages_whatever_its_part_says() {
    let builder = Builder { part: Some((65, 401)), ..Builder::new() }.plain(PAGES);
    let whole = Builder { part: None, ..builder.clone() };
    let mut bytes = whole.build();
    bytes[4096 + 80..4096 + 96].copy_from_slice(&builder.build()[4096 + 80..4096 + 96]);
    let dump = iopt_backends::Kdump::from_bytes(bytes).unwrap();
    PAGES.into_iter().for_each(|pfn| builder.check(&dump, pfn));
}

#[test]
fn invalid_part_that_runs_backwards() {
    for (version, offset) in [(2, 16), (5, 16), (6, 80)] {
        let builder = Builder { version, part: Some((500, 500)), ..Builder::new() };
        let mut bytes = builder.build();
        bytes[4096 + offset..4096 + offset + 8].copy_from_slice(&501u64.to_le_bytes());
        let error = refused(bytes);
        let kind = KdumpErrorKind::Part { start: 501, end: 500 };
        assert_eq!((error.offset, error.kind), (4096 + offset as u64, kind));
    }
}
