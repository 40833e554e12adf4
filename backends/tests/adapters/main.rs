//! Memory that other libraries read: the walk of a capture through them is the walk of its image.
#![cfg(any(feature = "memflow", feature = "vm-memory"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

#[cfg(feature = "memflow")]
mod memflow;
#[cfg(feature = "vm-memory")]
mod vm_memory;

use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt::vtd::{Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt_backends::Image;
use std::path::Path;

/// A capture of real tables, and its unit.
fn capture() -> (Image, Unit) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/vfio-48");
    let registers = std::fs::read_to_string(folder.join("regs.json")).unwrap();
    let registers: serde_json::Value = serde_json::from_str(&registers).unwrap();
    let rtaddr = registers["RTADDR"].as_str().unwrap().trim_start_matches("0x");
    let rtaddr = Rtaddr(u64::from_str_radix(rtaddr, 16).unwrap());
    (iopt_backends::open(folder.join("mem.lime.xz")).unwrap(), Unit::new(rtaddr).unwrap())
}

/// The ranges of an image, each with its bytes.
fn parts(image: &Image) -> Vec<(u64, Vec<u8>)> {
    let part = |range: iopt::PhysRange| {
        let (first, last) = (range.first().0, range.last().0);
        assert_eq!((first % 4096, last % 4096), (0, 4095));
        let bytes = (first..=last).step_by(4096).flat_map(|addr| page(image, addr).unwrap()).collect();
        (first, bytes)
    };
    ranges(image).map(part).collect()
}

/// The bytes of a page, or why there are none.
fn page<R: PhysReader>(reader: &R, addr: u64) -> Result<Vec<u8>, ReadErrorKind> {
    let mut page = Page::ZERO;
    let read = reader.read_page(PhysAddr(addr), &mut page).map_err(|error| {
        assert_eq!(error.addr, PhysAddr(addr).page());
        error.kind
    });
    read.map(|()| page.words().iter().flat_map(|word| word.get().to_le_bytes()).collect())
}

/// What a walk finds and what it tells.
fn walk<R: PhysReader>(unit: &Unit, reader: &R) -> Vec<String> {
    let mut scratch = Scratch::new();
    let told = unit.ranges(reader, &mut scratch);
    told.map(|range| range.map_or_else(|fault| fault.to_string(), |range| range.to_string())).collect()
}

/// The walk and all pages of `reader` are those of the image, and what the image has not is a hole.
fn same_as_image<R: PhysReader>(image: &Image, unit: &Unit, reader: &R) {
    let found = walk(unit, reader);
    assert!(found.len() > 10, "{found:?}");
    assert_eq!(found, walk(unit, image));
    for range in ranges(image) {
        for addr in [range.first().0, range.last().0] {
            assert!(page(reader, addr) == page(image, addr), "{addr:#x}");
        }
        for outside in [range.first().0.checked_sub(1), range.last().0.checked_add(1)].into_iter().flatten() {
            assert_eq!(page(reader, outside).err(), page(image, outside).err(), "{outside:#x}");
        }
    }
    assert!(reader.lend_page(ranges(image).next().unwrap().first()).is_none());
}
