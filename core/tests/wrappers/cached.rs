//! The cache: what it keeps, what it asks for, and what it is good for.

use crate::common::{CONTEXT, Copying, ROOT, TOP, Tables, Words, unit};
use crate::first_word;
use crate::numbers::Random;
use iopt::memory::{CacheSlot, Cached, Counted, Failing, Page, PhysReader, ReadErrorKind};
use iopt::{Access, Iova, PhysAddr, SourceId};
use std::cell::Cell;

/// Pages with numbers below 32, each with its address in it.
fn numbered() -> Words {
    let mut words = Words::default();
    (0..32u64).for_each(|page| {
        words.set(page << 12, page << 12);
    });
    words
}

#[test]
fn four_slots_keep_the_four_pages_asked_for_last() {
    numbered().with(|memory| {
        let counted = Counted::new(Copying(memory));
        let mut slots = [CacheSlot::EMPTY; 4];
        let cached = Cached::new(&counted, &mut slots);
        let (mut random, mut last, mut hits) = (Random(7), Vec::new(), 0);
        for _ in 0..5000 {
            let page = random.below(6) << 12;
            let before = counted.counts().pages_read;
            assert_eq!(first_word(&cached, page | random.below(4096)), Ok(page));
            let hit = last.contains(&page);
            assert_eq!(counted.counts().pages_read - before, u64::from(!hit));
            last.retain(|other| *other != page);
            last.push(page);
            last.drain(..last.len().saturating_sub(4));
            hits += u32::from(hit);
        }
        assert!((2000..4500).contains(&hits), "{hits}");
    });
}

#[test]
fn any_number_of_slots_gives_the_right_page() {
    numbered().with(|memory| {
        for count in 0..40 {
            let counted = Counted::new(Copying(memory));
            let mut slots = vec![CacheSlot::EMPTY; count];
            let cached = Cached::new(&counted, &mut slots);
            let mut random = Random(count as u64);
            for _ in 0..1000 {
                let page = random.below(32) << 12;
                assert_eq!(first_word(&cached, page), Ok(page));
            }
            let read = counted.counts().pages_read;
            assert!(if count == 0 { read == 1000 } else { (32..1000).contains(&read) }, "{count} slots: {read}");
            assert!(cached.lend_page(PhysAddr(0)).is_none());
        }
    });
}

#[test]
fn an_error_is_not_kept_and_takes_no_page_away() {
    numbered().with(|memory| {
        let broken = Cell::new(false);
        let failing = Failing::new(Copying(memory), |_, _| broken.get().then_some(ReadErrorKind::Io(5)));
        let mut slots = [CacheSlot::EMPTY; 1];
        let cached = Cached::new(&failing, &mut slots);
        assert_eq!(first_word(&cached, 0x3000), Ok(0x3000));
        broken.set(true);
        assert_eq!(first_word(&cached, 0x4000), Err(ReadErrorKind::Io(5)));
        assert_eq!(first_word(&cached, 0x3000), Ok(0x3000));
        broken.set(false);
        assert_eq!(first_word(&cached, 0x4000), Ok(0x4000));
        assert_eq!(first_word(&cached, 0x10_0000), Err(ReadErrorKind::Hole));
    });
}

#[test]
fn what_changes_is_seen_when_the_cache_has_forgotten() {
    let version = Cell::new(1);
    let live = iopt::memory::OldMemory::new(|_, _, into: &mut [u8]| {
        into.fill(version.get());
        Ok::<_, i32>(into.len())
    });
    let mut slots = vec![CacheSlot::EMPTY; 9];
    let mut cached = Cached::new(&live, &mut slots);
    let word = |cached: &Cached<'_, _>, page: u64| first_word(cached, page << 12).unwrap() & 0xff;
    (0..4).for_each(|page| assert_eq!(word(&cached, page), 1));
    version.set(2);
    assert!((0..4).any(|page| word(&cached, page) == 1));
    cached.invalidate();
    (0..4).for_each(|page| assert_eq!(word(&cached, page), 2));
    version.set(3);
    // What an earlier cache left in the slots is not taken for memory.
    let cached = Cached::new(&live, &mut slots);
    (0..4).for_each(|page| assert_eq!(word(&cached, page), 3));
}

#[test]
fn what_is_lent_is_not_kept() {
    numbered().with(|memory| {
        let counted = Counted::new(memory);
        let mut slots = [CacheSlot::EMPTY; 4];
        let cached = Cached::new(&counted, &mut slots);
        assert_eq!(cached.lend_page(PhysAddr(0x3008)).map(|page| page.word(0)), Some(0x3000));
        assert_eq!(first_word(&cached, 0x3000), Ok(0x3000));
        assert_eq!((counted.counts().pages_lent, counted.counts().pages_read), (1, 1));
    });
}

/// What it is good for: each table of a unit is read once for all requests of all its devices.
#[test]
fn requests_of_256_devices_read_each_table_once() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7003);
    tables.set(ROOT, CONTEXT | 1);
    for devfn in 0..256 {
        tables.set(CONTEXT + 16 * devfn, TOP | 1).set(CONTEXT + 16 * devfn + 8, 7 << 8 | 1);
    }
    tables.with(|memory| {
        let ask = |reader: &dyn PhysReader| {
            for devfn in 0..=255 {
                let source = SourceId::new(0, devfn);
                let mut copy = Page::ZERO;
                let found = unit().translate(reader, source, Iova(0x5000), Access::Read, &mut copy, |_| ());
                assert_eq!(found.unwrap().phys, PhysAddr(0x7000));
            }
        };
        let (plain, below) = (Counted::new(Copying(memory)), Counted::new(Copying(memory)));
        ask(&plain);
        let mut slots = [CacheSlot::EMPTY; 8];
        ask(&Cached::new(&below, &mut slots));
        // Root, context, and three levels.
        assert_eq!((plain.counts().pages_read, below.counts().pages_read), (256 * 5, 5));
    });
}
