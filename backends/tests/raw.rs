//! Raw images: the offset in the file is the address.

mod common;

use common::{Had, extent, had, images, memory};
use iopt::PhysAddr;
use iopt::memory::PhysReader;
use iopt_backends::Format;

#[test]
fn the_offset_is_the_address() {
    for image in images(&memory(0, 0x2fff)) {
        assert_eq!(image.format(), Format::Raw);
        assert_eq!(image.compression(), None);
        assert_eq!(image.size(), 0x3000);
        assert_eq!(extent(&image), [(0, 0x2fff)]);
        for addr in [0, 0xfff, 0x1000, 0x1fff, 0x2000, 0x2abc, 0x2fff] {
            assert_eq!(had(&image, addr), Had::Lent, "{addr:#x}");
        }
        for addr in [0x3000, 0x1_0000_0000, u64::MAX] {
            assert_eq!(had(&image, addr), Had::Hole, "{addr:#x}");
        }
    }
}

#[test]
fn invalid_last_partial_page_is_a_hole_that_the_range_still_counts() {
    for image in images(&memory(0, 0x1063)) {
        assert_eq!(image.size(), 0x1064);
        assert_eq!(extent(&image), [(0, 0x1063)]);
        assert_eq!(had(&image, 0xfff), Had::Lent);
        assert_eq!(had(&image, 0x1000), Had::Hole);
        assert_eq!(image.next_range(PhysAddr(0x1063)).map(|range| range.first()), Some(PhysAddr(0)));
        assert_eq!(image.next_range(PhysAddr(0x1064)), None);
    }
}

#[test]
fn garbage_is_raw() {
    for bytes in [b"E".to_vec(), b"EMi".to_vec(), b"not an image at all".to_vec(), vec![0xff; 4095]] {
        for image in images(&bytes) {
            assert_eq!(image.format(), Format::Raw);
            assert_eq!(extent(&image), [(0, bytes.len() as u64 - 1)]);
            assert_eq!(had(&image, 0), Had::Hole);
        }
    }
}
