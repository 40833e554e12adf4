//! A dump of a real kernel's memory, as its capture kernel saw it.

use iopt::PhysAddr;
use iopt::memory::{PhysReader, ranges};
use iopt::vtd::{Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt_backends::{ByteOrder, ElfClass, Format, Image, open};
use serde_json::Value;
use std::fs;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/kdump-on/");

fn capture(name: &str) -> Image {
    open(format!("{FOLDER}{name}")).unwrap()
}

#[test]
fn the_headers_are_those_of_a_vmcore() {
    let image = capture("vmcore.elf.xz");
    assert_eq!((image.format(), image.format().name()), (Format::Elf, "elf"));
    let elf = image.elf().unwrap();
    assert_eq!((elf.class, elf.byte_order, elf.machine), (ElfClass::Elf64, ByteOrder::Little, 62));
    assert!(!elf.incomplete && image.missing().next().is_none());
    assert_eq!(elf.expected_size, image.as_bytes().len() as u64);
}

#[test]
fn the_kernel_tells_about_itself() {
    let image = capture("vmcore.elf.xz");
    let info = image.vmcoreinfo().unwrap();
    assert_eq!(info.get("OSRELEASE"), Some(&b"6.12.117-iommucorpus"[..]));
    assert_eq!(info.get("SIZE(page)"), Some(&b"64"[..]));
    assert_eq!(info.get("osrelease"), None);
    assert_eq!(info.iter().next().unwrap().0, b"OSRELEASE");
    assert_eq!(info.iter().count(), info.as_bytes().split(|byte| *byte == b'\n').count() - 1);
    let notes: Vec<_> = image.notes().map(Result::unwrap).map(|note| (note.name, note.kind)).collect();
    assert_eq!(notes, [(&b"CORE"[..], 1), (b"VMCOREINFO", 0)]);
}

#[test]
fn memory_and_ranges_are_those_of_the_lime_image() {
    let [elf, lime] = ["vmcore.elf.xz", "vmcore.lime.xz"].map(capture);
    assert!(ranges(&elf).eq(ranges(&lime)));
    for range in ranges(&elf) {
        for addr in (range.first().0..=range.last().0).step_by(4096).map(PhysAddr) {
            assert_eq!(elf.lend_page(addr).unwrap().words(), lime.lend_page(addr).unwrap().words(), "{addr}");
        }
    }
    let registers: Value =
        serde_json::from_str(&fs::read_to_string(format!("{FOLDER}regs.first.json")).unwrap()).unwrap();
    let root = u64::from_str_radix(registers["RTADDR"].as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
    let unit = Unit::new(Rtaddr(root)).unwrap();
    let walk = |image: &Image| {
        let mut scratch = Scratch::new();
        unit.ranges(image, &mut scratch).map(|range| range.unwrap().to_string()).collect::<Vec<_>>()
    };
    let walked = walk(&elf);
    assert!(walked.len() > 100, "{}", walked.len());
    assert_eq!(walked, walk(&lime));
}

#[test]
fn a_lime_image_has_nothing_of_an_elf_file() {
    let image = capture("vmcore.lime.xz");
    assert!(image.elf().is_none() && image.vmcoreinfo().is_none() && image.missing().next().is_none());
    assert_eq!(image.notes().count(), 0);
}
