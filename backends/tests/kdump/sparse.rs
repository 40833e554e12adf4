//! Ranks and ranges over a bitmap, beside the slow way to them.

use crate::builder::{Builder, absent};
use crate::damage::Random;
use iopt::PhysAddr;
use iopt::memory::{PhysReader, ranges};
use iopt_backends::KdumpPageErrorKind;
use std::collections::BTreeSet;

const FRAMES: u64 = 30000;

/// Runs of up to `longest` frames.
fn runs(random: &mut Random, longest: usize) -> BTreeSet<u64> {
    let mut frames = BTreeSet::new();
    for _ in 0..60 {
        let first = random.below(FRAMES as usize) as u64;
        frames.extend((first..FRAMES).take(1 + random.below(longest)));
    }
    frames
}

#[test]
fn ranges_and_pages_are_those_of_the_slow_way() {
    let mut random = Random(5);
    for longest in [1, 3, 70, 300] {
        for part in [None, Some((4096, 12345)), Some((64, 20032))] {
            let frames = runs(&mut random, longest);
            // The pages share the bytes of frame 0: only descriptors differ.
            let mut builder = Builder { max_mapnr: FRAMES, part, ..Builder::new() };
            for pfn in &frames {
                builder = builder.stored(*pfn, 0x4, vec![*pfn as u8, (*pfn >> 8) as u8, 0x7f]);
            }
            let dump = builder.open();
            let (start, end) = part.unwrap_or((0, FRAMES));
            let here: Vec<u64> = frames.range(start..end).copied().collect();
            let found = ranges(&dump).flat_map(|range| range.first().0 >> 12..=range.last().0 >> 12);
            assert_eq!(found.collect::<Vec<_>>(), here);
            for (rank, pfn) in here.iter().enumerate() {
                let offset = (builder.descriptors() + 24 * here.len() + 3 * rank) as u64;
                let (long, _) = absent(&dump, pfn << 12);
                assert!(
                    matches!(long, KdumpPageErrorKind::Damaged { offset: found, .. } if found == offset),
                    "{pfn}: {long}"
                );
            }
            for pfn in (0..FRAMES).step_by(7) {
                let next = here.iter().find(|there| **there >= pfn).copied();
                let range = dump.next_range(PhysAddr((pfn << 12) + 0xabc));
                assert_eq!(range.is_some(), next.is_some());
                let (Some(range), Some(next)) = (range, next) else { continue };
                let (first, last) = (range.first().0 >> 12, range.last().0 >> 12);
                assert!(first <= next && next <= last && (first == next || first < pfn), "{pfn} {range}");
                assert!((first..=last).all(|pfn| here.binary_search(&pfn).is_ok()), "{range}");
                assert!(first == start || here.binary_search(&(first.wrapping_sub(1))).is_err(), "{range}");
                assert!(here.binary_search(&(last + 1)).is_err(), "{range}");
            }
        }
    }
}
