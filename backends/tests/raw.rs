//! Raw images: the offset in the file is the address.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a panic is a red test")]

mod common;

use common::{Had, extent, had, images, lime_image, memory};
use iopt::PhysAddr;
use iopt::memory::PhysReader;
use iopt_backends::{Format, Image, OpenError, OpenErrorKind, OpenOptions};

fn at(base: u64, bytes: Vec<u8>) -> Result<Image, OpenError> {
    OpenOptions::new().raw_base(PhysAddr(base)).from_bytes(bytes)
}

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

#[test]
fn the_base_is_the_address_of_the_first_byte() {
    for base in [0, 0x1000, 0x1_0000_0000, 0xffff_ffff_ffff_d000] {
        let image = at(base, memory(base, base + 0x2fff)).unwrap();
        assert_eq!(extent(&image), [(base, base + 0x2fff)]);
        assert_eq!((had(&image, base), had(&image, base + 0x2fff)), (Had::Lent, Had::Lent));
        assert_eq!(had(&image, base.wrapping_sub(1)), Had::Hole);
    }
    let inside_a_page = at(0x1800, memory(0x1800, 0x3000)).unwrap();
    assert_eq!([0x1800, 0x2000, 0x3000].map(|addr| had(&inside_a_page, addr)), [Had::Hole, Had::Lent, Had::Hole]);
}

#[test]
fn invalid_base_with_an_end_behind_all_addresses() {
    assert!(at(0xffff_ffff_ffff_f000, vec![0; 0x1000]).is_ok() && at(u64::MAX, vec![0]).is_ok());
    for (base, size) in [(0xffff_ffff_ffff_f000, 0x1001), (u64::MAX, 2), (0xffff_ffff_ffff_e001, 0x2000)] {
        let error = at(base, vec![0; size]).unwrap_err();
        let text = format!("expected an image that ends in 64 bits, found {size} bytes from the address {base:#x} on");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn invalid_base_of_an_image_with_addresses() {
    let error = at(0, lime_image()).unwrap_err();
    assert!(matches!(error.kind, OpenErrorKind::NotRaw { base: PhysAddr(0), format: Format::Lime }), "{error}");
    let forced = OpenOptions::new().raw_base(PhysAddr(0x5000)).format(Format::Raw).from_bytes(lime_image()).unwrap();
    assert_eq!(extent(&forced), [(0x5000, 0x5000 + lime_image().len() as u64 - 1)]);
}
