use crate::{capture, page, parts, same_as_image};
use iopt::PhysAddr;
use iopt::memory::{PhysReader, ReadErrorKind, ranges};
use iopt_backends::VmMemory;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

fn guest(ranges: &[(u64, usize)]) -> GuestMemoryMmap {
    let ranges: Vec<_> = ranges.iter().map(|(first, length)| (GuestAddress(*first), *length)).collect();
    GuestMemoryMmap::from_ranges(&ranges).unwrap()
}

#[test]
fn a_walk_of_guest_memory_is_that_of_the_image() {
    let (image, unit) = capture();
    let parts = parts(&image);
    let guest = guest(&parts.iter().map(|(first, bytes)| (*first, bytes.len())).collect::<Vec<_>>());
    for (first, bytes) in &parts {
        guest.write_slice(bytes, GuestAddress(*first)).unwrap();
    }
    let reader = VmMemory::new(&guest);
    same_as_image(&image, &unit, &reader);
    assert!(ranges(&reader).eq(ranges(&image)));
}

#[test]
fn a_page_may_lie_in_two_regions_but_not_in_one_and_a_hole() {
    let guest = guest(&[(0x1800, 0x1000), (0x2800, 0x1900), (0x6000, 0x1000)]);
    let bytes: Vec<u8> = (0..0x2900_u32).map(|at| (at % 251) as u8).collect();
    guest.write_slice(&bytes, GuestAddress(0x1800)).unwrap();
    let reader = VmMemory::new(&guest);
    assert_eq!(page(&reader, 0x2abc).unwrap(), bytes[0x800..0x1800]);
    assert_eq!(page(&reader, 0x3000).unwrap(), bytes[0x1800..0x2800]);
    assert_eq!(page(&reader, 0x6fff).unwrap(), [0; 4096]);
    for partial in [0x1000, 0x4000, 0x5000, 0x7000, u64::MAX] {
        assert_eq!(page(&reader, partial), Err(ReadErrorKind::Hole), "{partial:#x}");
    }
    let told: Vec<_> = ranges(&reader).map(|range| (range.first().0, range.last().0)).collect();
    assert_eq!(told, [(0x1800, 0x40ff), (0x6000, 0x6fff)]);
    // From the middle of the second region on, the range is still the one that has both.
    for (from, expected) in [(0x3000, Some(0x1800)), (0x40ff, Some(0x1800)), (0x4100, Some(0x6000)), (0x7000, None)] {
        let next = reader.next_range(PhysAddr(from));
        assert_eq!(next.map(|range| range.first().0), expected, "{from:#x}");
    }
}
