//! Files cut at every length, and every field of every header at its extremes: an error or what is left, and what is
//! left is right.

use crate::builder::{KINDS, Kind, load, notes};
use crate::common::{Had, byte, extent, had, refusal};
use crate::segments::missing;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt_backends::{Image, MissingReason, OpenErrorKind};
use zerocopy::IntoBytes;

#[test]
fn a_file_cut_at_any_length_gives_an_error_or_what_is_left() {
    for kind in KINDS {
        let whole =
            kind.core(&[notes(kind.note(b"VMCOREINFO\0", 0, b"A=1\n")), load(0x3000, 0x3fff), load(0x1000, 0x2000)]);
        let table = kind.header_size() + 3 * kind.segment_size();
        // All that begins the way an ELF file does.
        for length in 4..table {
            assert!(matches!(refusal(&whole[..length]), OpenErrorKind::Elf(_)), "{length}");
        }
        for length in table..whole.len() {
            let image = Image::from_bytes(whole[..length].to_vec()).unwrap();
            assert_eq!(image.elf().unwrap().expected_size, whole.len() as u64);
            assert_eq!(image.vmcoreinfo().is_some(), length >= table + 28);
            let (first, second) = (table + 28, table + 28 + 0x1000);
            let mut expected = Vec::new();
            let mut left_out = Vec::new();
            let mut part = |addr: u64, size: usize, start: usize| {
                let stored = length.saturating_sub(start).min(size) as u64;
                expected.extend((stored > 0).then(|| (addr, addr + stored - 1)));
                let rest = (addr + stored, addr + size as u64 - 1, MissingReason::Truncated);
                left_out.extend((rest.0 <= rest.1).then_some(rest));
            };
            part(0x1000, 0x1001, second);
            part(0x3000, 0x1000, first);
            assert_eq!(extent(&image), expected);
            assert_eq!(missing(&image), left_out);
            assert_eq!(had(&image, 0x3000), if length < second { Had::Truncated } else { Had::Lent });
            assert_eq!(had(&image, 0x1000), if length < second + 0x1000 { Had::Truncated } else { Had::Lent });
            // The byte behind 0x2000 was never there.
            assert_eq!(had(&image, 0x2000), if length < whole.len() { Had::Truncated } else { Had::Hole });
        }
    }
}

#[test]
fn a_cut_before_what_was_excluded_is_told_apart() {
    for kind in KINDS {
        let mut bytes = kind.core(&[load(0x1000, 0x2fff).of(0x4000)]);
        bytes.truncate(bytes.len() - 0x1000);
        let image = Image::from_bytes(bytes).unwrap();
        let reasons = [(0x2000, 0x2fff, MissingReason::Truncated), (0x3000, 0x4fff, MissingReason::Excluded)];
        assert_eq!(missing(&image), reasons);
        let all = [Had::Lent, Had::Truncated, Had::Excluded, Had::Excluded, Had::Hole];
        assert_eq!([0x1000, 0x2000, 0x3000, 0x4000, 0x5000].map(|addr| had(&image, addr)), all);
    }
}

/// What a file is when its header is believed and each byte is looked for in each segment in turn.
struct Twin<'f> {
    kind: Kind,
    bytes: &'f [u8],
    start: usize,
    segments: usize,
}

#[derive(Debug, PartialEq)]
enum Byte {
    There(u8),
    Missing,
    Hole,
}

impl Twin<'_> {
    fn field(&self, name: &str, segment: usize) -> u64 {
        let (offset, size) = self.kind.at(name, segment);
        self.kind.get(self.bytes, (offset - self.kind.header_size() + self.start, size))
    }

    fn at(&self, addr: u64) -> Byte {
        let none = if self.kind.wide { u64::MAX } else { 0xffff_ffff };
        let mut found = Byte::Hole;
        for segment in (0..self.segments).filter(|segment| self.field("p_type", *segment) == 1) {
            let first = self.field("p_paddr", segment);
            let Some(inside) = addr.checked_sub(first).filter(|_| first != none) else { continue };
            if inside < self.field("p_filesz", segment) {
                let offset = u128::from(self.field("p_offset", segment)) + u128::from(inside);
                match usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset)) {
                    Some(byte) => return Byte::There(*byte),
                    None => found = Byte::Missing,
                }
            } else if inside < self.field("p_memsz", segment) {
                found = Byte::Missing;
            }
        }
        found
    }

    /// Compares the page that holds `addr` byte for byte.
    fn compare(&self, image: &Image, addr: u64) {
        let first = addr & !0xfff;
        let expected: Vec<Byte> = (first..=first | 0xfff).map(|addr| self.at(addr)).collect();
        let mut page = Page::ZERO.clone();
        match image.read_page(PhysAddr(addr), &mut page) {
            Ok(()) => {
                assert!(expected.iter().eq(&page.as_bytes().iter().copied().map(Byte::There).collect::<Vec<_>>()))
            }
            Err(error) if error.kind == ReadErrorKind::Hole => {
                assert!(expected.contains(&Byte::Hole) && !expected.contains(&Byte::Missing), "{error}");
            }
            Err(error) => assert!(expected.contains(&Byte::Missing), "{error}"),
        }
    }
}

#[test]
fn every_field_at_its_extremes_is_an_error_or_is_believed() {
    let mut opened = 0;
    for kind in KINDS {
        let info = notes(kind.note(b"VMCOREINFO\0", 0, b"A=1\n"));
        let good = kind.core_of_many(&[info, load(0x1000, 0x2fff).of(0x3000), load(0x2800, 0x3fff).garbled()]);
        let segment_size = kind.segment_size();
        let table = (0..3).flat_map(|index| {
            let start = kind.header_size() + index * segment_size;
            kind.segment().iter().map(move |field| (field.0, start + field.1, field.2))
        });
        for (name, offset, size) in kind.header().iter().copied().chain(table) {
            let max = u64::MAX >> (64 - 8 * size);
            let (value, end) = (kind.get(&good, (offset, size)), good.len() as u64);
            let near = [value.wrapping_sub(1), value + 1, value ^ (max / 2 + 1), end - 1, end, end + 1];
            for value in
                [0, 1, 2, 3, max - 1, max, max / 2, max / 2 + 1, max.saturating_sub(0xfff)].into_iter().chain(near)
            {
                let mut bytes = good.clone();
                kind.put(&mut bytes, (offset, size), value);
                match Image::from_bytes(bytes.clone()) {
                    Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{name}: {error}"),
                    Ok(image) => {
                        opened += 1;
                        check(kind, &bytes, &image);
                    }
                }
            }
        }
    }
    assert!(opened > 1000, "{opened}");
}

fn check(kind: Kind, bytes: &[u8], image: &Image) {
    if kind.get(bytes, kind.at("EI_CLASS", 0)) != 1 + u64::from(kind.wide)
        || kind.get(bytes, kind.at("EI_DATA", 0)) != 1 + u64::from(kind.big)
    {
        return;
    }
    let start = kind.get(bytes, kind.at("e_phoff", 0)) as usize;
    let number = kind.get(bytes, kind.at("e_phnum", 0)) as usize;
    let twin = Twin { kind, bytes, start, segments: if number == 0xffff { 3 } else { number } };
    let ends = ranges(image).chain(image.missing().map(|part| part.range));
    let ends: Vec<u64> = ends.flat_map(|range| [range.first().0, range.last().0]).collect();
    for end in ends {
        for addr in [end.saturating_sub(4096), end, end.saturating_add(4096)] {
            twin.compare(image, addr);
        }
    }
    image.notes().for_each(drop);
    image.vmcoreinfo().map(|info| info.iter().count());
    // What is there and what is missing have nothing in common.
    for part in image.missing() {
        assert!(ranges(image).all(|range| range.last() < part.range.first() || part.range.last() < range.first()));
    }
}

#[test]
fn the_twin_knows_what_a_page_holds() {
    let kind = KINDS[3];
    let bytes = kind.core(&[load(0x1000, 0x1fff), load(0x1800, 0x27ff).garbled()]);
    let twin = Twin { kind, bytes: &bytes, start: kind.header_size(), segments: 2 };
    assert_eq!(twin.at(0x1fff), Byte::There(byte(0x1fff)));
    assert_eq!(twin.at(0x2000), Byte::There(!byte(0x2000)));
    assert_eq!(twin.at(0x2800), Byte::Hole);
}
