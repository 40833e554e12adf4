//! Which pages are decompressed again, and from which thread.

use crate::builder::{Builder, SNAPPY};
use crate::pages::snappy;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader};
use iopt_backends::Kdump;
use zerocopy::IntoBytes;

fn compressed(frames: u64) -> Builder {
    let builder = Builder { max_mapnr: 20000, ..Builder::new() };
    (0..frames).fold(builder, |builder, pfn| builder.stored(pfn, SNAPPY, snappy(&[pfn.to_le_bytes(); 512].concat())))
}

fn read(dump: &Kdump, pfn: u64) {
    let mut page = Page::ZERO;
    dump.read_page(PhysAddr(pfn << 12), &mut page).unwrap();
    assert_eq!(page.word(511), pfn);
}

#[test]
fn four_mebibytes_of_pages_are_kept() {
    let dump = compressed(1024).open();
    for _ in 0..3 {
        (0..1024).for_each(|pfn| read(&dump, pfn));
        assert_eq!(dump.decompressions(), 1024);
    }
}

#[test]
fn invalid_hope_for_more_but_what_is_used_stays() {
    let dump = compressed(3000).open();
    for pfn in 0..3000 {
        read(&dump, pfn);
        // A table high up in the tree.
        read(&dump, 0);
    }
    assert_eq!(dump.decompressions(), 3000);
    (0..3000).for_each(|pfn| read(&dump, pfn));
    assert!((5000..6000).contains(&dump.decompressions()), "{}", dump.decompressions());
}

#[test]
fn pages_with_the_same_bytes_are_decompressed_once() {
    let mut bytes = compressed(2).open().as_bytes().to_vec();
    let at = Builder { max_mapnr: 20000, ..Builder::new() }.descriptors();
    bytes.copy_within(at..at + 24, at + 24);
    let dump = Kdump::from_bytes(bytes).unwrap();
    let mut pages = [Page::ZERO, Page::ZERO];
    (0..).zip(&mut pages).for_each(|(pfn, page)| dump.read_page(PhysAddr(pfn << 12), page).unwrap());
    assert_eq!(pages[0].as_bytes(), pages[1].as_bytes());
    assert_eq!(dump.decompressions(), 1);
}

#[test]
fn threads_share_a_dump() {
    let dump = compressed(64).open();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..64).for_each(|pfn| read(&dump, pfn)));
        }
    });
    assert!((64..=256).contains(&dump.decompressions()));
    // And may be handed from one to another.
    std::thread::spawn(move || read(&dump, 3)).join().unwrap();
}
