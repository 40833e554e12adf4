//! Which memory segments are.

use crate::builder::{KINDS, Kind, Segment, load};
use crate::common::{Had, extent, had, images};
use iopt_backends::{ByteOrder, ElfClass, Format, Image, MissingReason};

/// The image that each kind of file makes of `segments`.
fn each(segments: &[Segment], look: impl Fn(Image)) {
    KINDS.iter().flat_map(|kind| images(&kind.core(segments))).for_each(look);
}

/// What is missing, first and last byte.
pub fn missing(image: &Image) -> Vec<(u64, u64, MissingReason)> {
    image.missing().map(|part| (part.range.first().0, part.range.last().0, part.reason)).collect()
}

#[test]
fn both_classes_and_byte_orders_are_read_and_lent() {
    let segments = [load(0x1000, 0x2fff), load(0x8000, 0x8fff)];
    for kind @ Kind { wide, big } in KINDS {
        for image in images(&kind.core(&segments)) {
            assert_eq!(image.format(), Format::Elf);
            let elf = image.elf().unwrap();
            assert_eq!(elf.class, if wide { ElfClass::Elf64 } else { ElfClass::Elf32 });
            assert_eq!(elf.byte_order, if big { ByteOrder::Big } else { ByteOrder::Little });
            assert_eq!((elf.machine, elf.incomplete, elf.expected_size), (62, false, image.size()));
            assert_eq!(extent(&image), [(0x1000, 0x2fff), (0x8000, 0x8fff)]);
            for addr in [0x1000, 0x1fff, 0x2000, 0x2fff, 0x8000] {
                assert_eq!(had(&image, addr), Had::Lent, "{addr:#x}");
            }
            for addr in [0, 0x3000, 0x7fff, 0x9000, u64::MAX] {
                assert_eq!(had(&image, addr), Had::Hole, "{addr:#x}");
            }
            assert!(image.missing().next().is_none());
        }
    }
}

#[test]
fn segments_may_come_in_any_order_and_share_a_page() {
    each(&[load(0x8000, 0x8fff), load(0x1800, 0x2fff), load(0x1000, 0x17ff)], |image| {
        assert_eq!(extent(&image), [(0x1000, 0x2fff), (0x8000, 0x8fff)]);
        assert_eq!([0x1000, 0x2000, 0x8000].map(|addr| had(&image, addr)), [Had::Copied, Had::Lent, Had::Lent]);
    });
}

#[test]
fn the_first_segment_wins_where_two_overlap() {
    // Inside the first, around it, over its start and its end, and twice the same.
    let first = load(0x3000, 0x5fff);
    let others = [(0x4000, 0x4fff), (0x2000, 0x7fff), (0x2800, 0x3fff), (0x5000, 0x6fff), (0x3000, 0x5fff)];
    for (start, last) in others {
        let mut other = load(start, last);
        for addr in start.max(0x3000)..=last.min(0x5fff) {
            other.stored[(addr - start) as usize] ^= 0xff;
        }
        each(&[first.clone(), other], |image| {
            assert_eq!(extent(&image), [(start.min(0x3000), last.max(0x5fff))]);
            for page in (start.min(0x3000) & !0xfff..last.max(0x5fff)).step_by(4096) {
                let had_as = if page < start.min(0x3000) { Had::Hole } else { Had::Lent };
                assert_eq!(had(&image, page), had_as, "{start:#x} {page:#x}");
            }
        });
    }
}

#[test]
fn overlaps_and_gaps_may_be_of_one_byte() {
    let mut other = load(0x1800, 0x1fff);
    other.stored[0] ^= 0xff;
    each(&[load(0x1000, 0x1800), other], |image| {
        assert_eq!((extent(&image), had(&image, 0x1000)), (vec![(0x1000, 0x1fff)], Had::Copied));
    });
    let ends = [load(0x1000, 0x17ff), load(0x1801, 0x1fff)];
    each(&[&ends[..], &[load(0x1000, 0x1fff)]].concat(), |image| {
        assert_eq!((extent(&image), had(&image, 0x1000)), (vec![(0x1000, 0x1fff)], Had::Copied));
    });
    each(&ends, |image| {
        assert_eq!((extent(&image), had(&image, 0x1000)), (vec![(0x1000, 0x17ff), (0x1801, 0x1fff)], Had::Hole));
    });
}

#[test]
fn invalid_order_of_overlapping_segments_gives_the_other_contents() {
    for image in images(&KINDS[2].core(&[load(0x4000, 0x4fff).garbled(), load(0x3000, 0x5fff)])) {
        assert_eq!([0x3000, 0x5000].map(|addr| had(&image, addr)), [Had::Lent, Had::Lent]);
        let page = iopt::memory::PhysReader::lend_page(&image, iopt::PhysAddr(0x4000)).unwrap();
        assert_eq!(zerocopy::IntoBytes::as_bytes(page)[0], !crate::common::byte(0x4000));
    }
}

#[test]
fn many_overlaps_leave_no_gap() {
    // Each page twice, and all of it once more.
    let mut segments: Vec<Segment> =
        (1..200).rev().step_by(2).map(|page| load(page << 12, (page << 12) + 0x17ff)).collect();
    segments.push(load(0x1000, 0xc_8fff));
    each(&segments, |image| {
        assert_eq!(extent(&image), [(0x1000, 0xc_8fff)]);
        for page in (0x1000..0xc_8000).step_by(4096) {
            let odd = page >> 12 & 1 == 1;
            assert_eq!(had(&image, page), if odd { Had::Lent } else { Had::Copied }, "{page:#x}");
        }
    });
}

#[test]
fn memory_that_is_not_stored_was_excluded() {
    each(&[load(0x1000, 0x27ff).of(0x3000), load(0x8000, 0x8fff).of(0x1001)], |image| {
        assert_eq!(extent(&image), [(0x1000, 0x27ff), (0x8000, 0x8fff)]);
        let excluded = MissingReason::Excluded;
        assert_eq!(missing(&image), [(0x2800, 0x3fff, excluded), (0x9000, 0x9000, excluded)]);
        assert_eq!(had(&image, 0x1000), Had::Lent);
        assert_eq!(
            [0x2000, 0x2fff, 0x3000, 0x9000, 0x9fff].map(|addr| had(&image, addr)),
            [const { Had::Excluded }; 5]
        );
        assert_eq!([0x4000, 0xa000, 0].map(|addr| had(&image, addr)), [const { Had::Hole }; 3]);
    });
}

#[test]
fn what_is_stored_anywhere_is_not_missing() {
    each(&[load(0x1000, 0x1fff).of(0x4000), load(0x3000, 0x3fff), load(0x4000, 0x4fff)], |image| {
        assert_eq!(extent(&image), [(0x1000, 0x1fff), (0x3000, 0x4fff)]);
        assert_eq!(missing(&image), [(0x2000, 0x2fff, MissingReason::Excluded)]);
    });
    // Nothing at all is stored of the first two, which overlap.
    each(&[load(0x8000, 0x7fff).of(0x2000), load(0x9000, 0x8fff).of(0x2000), load(0x1000, 0x1fff)], |image| {
        assert_eq!(missing(&image), [(0x8000, 0xafff, MissingReason::Excluded)]);
        assert_eq!(had(&image, 0xa000), Had::Excluded);
    });
}

#[test]
fn segments_without_physical_address_are_left_out() {
    for kind in KINDS {
        let none = if kind.wide { u64::MAX } else { 0xffff_ffff };
        let segments = [Segment { addr: none, ..load(0x4000, 0x4fff) }, load(0x1000, 0x1fff)];
        for image in images(&kind.core(&segments)) {
            assert_eq!(extent(&image), [(0x1000, 0x1fff)]);
            assert!(image.missing().next().is_none());
        }
    }
    // In 64 bits, that of 32 bits is an address.
    let segments = [Segment { addr: 0xffff_ffff, ..load(0x4000, 0x4fff) }];
    assert_eq!(extent(&images(&KINDS[2].core(&segments))[0]), [(0xffff_ffff, 0x1_0000_0ffe)]);
}

#[test]
fn the_last_page_of_the_space_is_like_any_other() {
    for kind in [KINDS[2], KINDS[3]] {
        for image in images(&kind.core(&[load(u64::MAX - 0x1fff, u64::MAX - 0x1000).of(0x2000)])) {
            assert_eq!(extent(&image), [(u64::MAX - 0x1fff, u64::MAX - 0x1000)]);
            assert_eq!([u64::MAX - 0x1fff, u64::MAX].map(|addr| had(&image, addr)), [Had::Lent, Had::Excluded]);
        }
    }
}

#[test]
fn makedumpfile_tells_that_it_could_not_write_all() {
    for kind in KINDS {
        // It leaves headers of zeros behind the segment that it could write last.
        let unwritten = Segment { kind: 0, addr: 0, stored: Vec::new(), memory_size: 0 };
        let mut bytes = kind.core(&[load(0x1000, 0x1fff).of(0x2000), unwritten]);
        for (flags, incomplete) in [(0, false), (1, true), (0xffff_fffe, false), (0xffff_ffff, true)] {
            kind.put(&mut bytes, kind.at("e_flags", 0), flags);
            for image in images(&bytes) {
                assert_eq!(image.elf().unwrap().incomplete, incomplete);
                assert_eq!(missing(&image), [(0x2000, 0x2fff, MissingReason::Excluded)]);
            }
        }
    }
}

#[test]
fn more_segments_than_a_header_can_count() {
    let mut segments = vec![Segment { kind: 0, ..load(1, 0) }; 0xffff];
    segments.push(load(0x1000, 0x1fff));
    segments.push(load(0x4000, 0x4fff));
    for kind in KINDS {
        for image in images(&kind.core_of_many(&segments)) {
            assert_eq!(extent(&image), [(0x1000, 0x1fff), (0x4000, 0x4fff)]);
        }
        // Few may be counted there as well.
        for image in images(&kind.core_of_many(&segments[0xffff..])) {
            assert_eq!(extent(&image), [(0x1000, 0x1fff), (0x4000, 0x4fff)]);
        }
    }
}
