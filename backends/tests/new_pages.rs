//! Pages of new tables, written as an image and read back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::{extent, header, save};
use iopt::builder::{Leaves, Target, UnitBuilder};
use iopt::memory::{AllocErrorKind, Page, PageAllocator, PhysReader, Word};
use iopt::vtd::TranslationMode;
use iopt::walk::Scratch;
use iopt::{Iova, PhysAddr, SourceId};
use iopt_backends::{Format, Image, NewPages, open};
use std::io::{self, Write};
use zerocopy::IntoBytes;

const BASE: u64 = 0x4000_0000;

/// New pages, of which each holds its own address.
fn filled(count: usize) -> NewPages {
    let mut pages = NewPages::new(PhysAddr(BASE | 0x123));
    for _ in 0..count {
        let addr = pages.allocate(1).unwrap();
        pages.page_mut(addr).unwrap().words_mut()[511] = Word::new(addr.0);
        pages.flush(addr).unwrap();
    }
    pages
}

fn lime(pages: &NewPages) -> Vec<u8> {
    let mut bytes = Vec::new();
    pages.write_lime(&mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_written_is_read_again() {
    let pages = filled(3);
    assert_eq!(pages.flushes(), 3);
    let bytes = lime(&pages);
    assert!(bytes.starts_with(&header(*b"EMiL", 1, BASE, BASE + 0x2fff)));
    assert_eq!(bytes.len(), 32 + 3 * Page::SIZE);
    let image = open(save(&bytes).path()).unwrap();
    assert_eq!((image.format(), extent(&image)), (Format::Lime, vec![(BASE, BASE + 0x2fff)]));
    for addr in [BASE, BASE + 0x1000, BASE + 0x2000].map(PhysAddr) {
        let page = image.lend_page(addr).unwrap();
        assert_eq!(page.word(511), addr.0);
        assert_eq!(page.as_bytes(), pages.page(addr).unwrap().as_bytes());
    }
}

#[test]
fn tables_that_are_built_in_them_are_walked_in_the_image() {
    let mut pages = NewPages::new(PhysAddr(BASE));
    let mut tables = UnitBuilder::new(&mut pages, TranslationMode::Scalable).unwrap();
    let table = tables.first_stage(4).unwrap();
    tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000)).times(2)).unwrap();
    tables.device(SourceId::new(0, 8), Target::first_stage(table)).unwrap();
    let unit = tables.unit();
    let image = Image::from_bytes(lime(&pages)).unwrap();
    let ranges: Vec<_> = unit.ranges(&image, &mut Scratch::new()).map(|range| range.unwrap().to_string()).collect();
    assert_eq!(ranges, ["00:01.0@0 0x200000-0x5fffff -> 0x80200000 rw"]);
}

#[test]
fn pages_that_were_given_back_are_not_written() {
    let mut pages = filled(6);
    pages.free(PhysAddr(BASE + 0x1000), 1);
    pages.free(PhysAddr(BASE + 0x3000), 2);
    let image = Image::from_bytes(lime(&pages)).unwrap();
    let left = vec![(BASE, BASE + 0xfff), (BASE + 0x2000, BASE + 0x2fff), (BASE + 0x5000, BASE + 0x5fff)];
    assert_eq!(extent(&image), left);
    assert_eq!(pages.ranges().map(|range| (range.first().0, range.last().0)).collect::<Vec<_>>(), left);
    assert_eq!(image.lend_page(PhysAddr(BASE + 0x2000)).unwrap().word(511), BASE + 0x2000);

    // A hole is not filled again, but what lies behind the last page is.
    assert_eq!(pages.allocate(2).unwrap(), PhysAddr(BASE + 0x6000));
    pages.free(PhysAddr(BASE + 0x5000), 3);
    assert_eq!(pages.allocate(1).unwrap(), PhysAddr(BASE + 0x3000));
    pages.free(PhysAddr(0), 1);
    pages.free(PhysAddr(BASE), 100);
    assert_eq!((pages.ranges().count(), lime(&pages)), (0, Vec::new()));
    assert_eq!(pages.allocate(1).unwrap(), PhysAddr(BASE));
}

#[test]
fn a_page_is_zero_and_those_of_one_allocation_follow_each_other() {
    let mut pages = filled(1);
    let addr = pages.allocate(128).unwrap();
    assert_eq!(addr, PhysAddr(BASE + 0x1000));
    assert_eq!(pages.page(PhysAddr(BASE + 0x8_0fff)).unwrap().as_bytes(), Page::ZERO.as_bytes());
    pages.free(addr, 128);
    assert_eq!(pages.allocate(1).unwrap(), addr);
    assert_eq!(pages.page(addr).unwrap().word(511), 0);
}

#[test]
fn foreign_pages_are_not_allocated() {
    let mut pages = filled(3);
    pages.free(PhysAddr(BASE + 0x1000), 1);
    for addr in [0, BASE - 1, BASE + 0x1000, BASE + 0x3000, u64::MAX].map(PhysAddr) {
        let found = pages.page(addr).err().unwrap();
        assert_eq!((found.addr, found.kind), (Some(addr.page()), AllocErrorKind::NotAllocated));
        assert_eq!(pages.page_mut(addr).err(), Some(found));
        assert_eq!(pages.flush(addr), Err(found));
    }
    assert_eq!(pages.flushes(), 3);
}

#[test]
fn memory_ends_at_its_last_page() {
    let mut pages = NewPages::new(PhysAddr(u64::MAX - 0x1fff));
    for impossible in [0, 3, usize::MAX] {
        assert_eq!(pages.allocate(impossible).unwrap_err().kind, AllocErrorKind::OutOfPages);
    }
    assert_eq!(pages.allocate(2).unwrap(), PhysAddr(u64::MAX - 0x1fff));
    assert_eq!(pages.allocate(1).unwrap_err().kind, AllocErrorKind::OutOfPages);
    assert_eq!(extent(&Image::from_bytes(lime(&pages)).unwrap()), [(u64::MAX - 0x1fff, u64::MAX)]);
}

#[test]
fn an_error_of_the_writer_is_passed_on() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let some = bytes.len().min(self.0);
            self.0 -= some;
            if some == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(some) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for room in [0, 31, 32, 5000] {
        let error = filled(2).write_lime(&mut Full(room)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
