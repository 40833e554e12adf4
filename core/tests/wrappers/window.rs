//! A range of memory at another address, against the same bytes one by one.

use crate::common::{Copying, Words};
use crate::first_word;
use crate::numbers::Random;
use iopt::memory::{Counted, Page, PhysReader, ReadErrorKind, Traced, Window, ranges};
use iopt::memory::{PageEvent, SparseMemory};
use iopt::{PhysAddr, PhysRange};
use std::cell::RefCell;

/// Sixteen pages from `first` on, every third of them a hole, with words that tell one place from another.
fn host(first: u64) -> Words {
    let mut words = Words::default();
    for page in (0..16).filter(|page| page % 3 != 2) {
        for word in 0..512 {
            let addr = first + (page << 12 | word << 3);
            words.set(addr, addr.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }
    words
}

fn byte(words: &Words, addr: u64) -> Option<u8> {
    words.holds(addr).then(|| words.get(addr & !7).to_le_bytes()[addr as usize % 8])
}

fn range(first: u64, last: u64) -> PhysRange {
    PhysRange::new(PhysAddr(first), PhysAddr(last)).unwrap()
}

/// What the page at `addr` should be, byte by byte.
fn expected(words: &Words, inner: PhysRange, first: u64, addr: u64) -> Option<Vec<u8>> {
    let byte_at = |addr: u64| {
        let inside = addr.checked_sub(first)?;
        let host = inner.first().0.checked_add(inside).filter(|host| *host <= inner.last().0)?;
        byte(words, host)
    };
    (addr..=addr | 0xfff).map(byte_at).collect()
}

fn compare(words: &Words, memory: &SparseMemory<'_>, inner: PhysRange, first: u64, lends: bool) -> (usize, usize) {
    let copying = Copying(memory);
    let reader: &dyn PhysReader = if lends { memory } else { &copying };
    let window = Window::new(reader, inner, PhysAddr(first)).unwrap();
    let last = first + (inner.last().0 - inner.first().0);
    let (mut whole, mut holes) = (0, 0);
    let mut addr = first.saturating_sub(0x2000) & !0xfff;
    loop {
        let expected = expected(words, inner, first, addr);
        let mut page = Page::ZERO;
        match (window.read_page(PhysAddr(addr | 0x123), &mut page), &expected) {
            (Ok(()), Some(expected)) => {
                let bytes: Vec<u8> = page.words().iter().flat_map(|word| word.get().to_le_bytes()).collect();
                assert!(bytes == *expected, "{inner} at {first:#x}: page {addr:#x}");
                whole += 1;
            }
            (Err(error), None) => {
                assert_eq!((error.addr.0, error.kind), (addr, ReadErrorKind::Hole));
                holes += 1;
            }
            (read, expected) => panic!("{inner} at {first:#x}: page {addr:#x}: {read:?} {}", expected.is_some()),
        }
        let aligned = first % 4096 == inner.first().0 % 4096;
        let lent = window.lend_page(PhysAddr(addr)).map(|page| page.word(3));
        assert_eq!(lent, expected.filter(|_| lends && aligned).map(|_| page.word(3)));
        addr = match addr.checked_add(0x1000) {
            Some(next) if next <= last.saturating_add(0x2000) => next,
            _ => break,
        };
    }
    // The ranges are the bytes of the window that the host has.
    let told: Vec<_> = ranges(&window).collect();
    assert!(told.windows(2).all(|pair| pair[0].last() < pair[1].first()));
    let has = |addr: u64| told.iter().any(|range| range.contains(PhysAddr(addr)));
    for at in [0, 1, 0x7ff, 0x800, 0xffe, 0xfff] {
        for page in 0..20 {
            let host = (inner.first().0 & !0xfff).wrapping_sub(0x2000).wrapping_add(page << 12 | at);
            if inner.contains(PhysAddr(host)) {
                assert_eq!(has(host - inner.first().0 + first), words.holds(host), "{host:#x}");
            }
        }
    }
    assert!(told.iter().all(|told| told.first().0 >= first && told.last().0 <= last));
    // Asked for by its last byte, a range is found; by the byte behind it, the next one.
    for (told, next) in told.iter().zip(told.iter().skip(1).map(Some).chain([None])) {
        let last_of = |from| window.next_range(from).map(|found| found.last());
        assert_eq!(last_of(told.last()), Some(told.last()));
        let behind = told.last().checked_add(1).and_then(last_of);
        assert_eq!(behind, next.map(|next| next.last()));
    }
    (whole, holes)
}

#[test]
fn a_window_has_the_bytes_of_its_range_and_no_other() {
    let mut random = Random(5);
    let (mut whole, mut holes) = (0, 0);
    // The memory lies low, and at the end of the 64-bit space.
    for host_first in [0, 0x4_0000, 0u64.wrapping_sub(0x1_0000)] {
        let words = host(host_first);
        words.with(|memory| {
            for round in 0..200 {
                let mask = if round % 2 == 0 { !0xfff } else { u64::MAX };
                let [one, other] = [random.below(0x1_0000), random.below(0x1_0000)];
                let inner = range(host_first + one.min(other), host_first + one.max(other));
                let length = inner.last().0 - inner.first().0;
                let lowest = inner.first().0 % 4096;
                let first = match round % 5 {
                    0 => lowest,
                    1 => u64::MAX - length,
                    _ => (random.below(1 << 40) & mask) + if round % 2 == 0 { lowest } else { 0 },
                };
                for lends in [false, true] {
                    let found = compare(&words, memory, inner, first, lends);
                    (whole, holes) = (whole + found.0, holes + found.1);
                }
            }
        });
    }
    assert!(whole > 1000 && holes > 1000, "{whole} {holes}");
}

#[test]
fn a_window_that_would_end_past_the_address_space_is_none() {
    let new = |inner, first| Window::new(&(), inner, PhysAddr(first)).is_some();
    assert!(new(PhysRange::all(), 0));
    assert!(!new(PhysRange::all(), 1));
    assert!(new(range(5, 5), u64::MAX));
    assert!(!new(range(5, 6), u64::MAX));
    assert!(new(range(u64::MAX, u64::MAX), 0));
}

#[test]
fn a_page_of_two_is_lost_with_either_and_for_its_reason() {
    let words = host(0);
    words.with(|memory| {
        let failing = iopt::memory::Failing::new(memory, |_, addr| match addr.0 >> 12 {
            0 => Some(ReadErrorKind::Excluded),
            4 => Some(ReadErrorKind::Io(5)),
            _ => None,
        });
        let window = Window::new(&failing, PhysRange::all(), PhysAddr(0)).unwrap();
        assert_eq!(first_word(&window, 0x4000), Err(ReadErrorKind::Io(5)));
        let window = Window::new(&failing, range(8, 0xffff), PhysAddr(0)).unwrap();
        let found: Vec<_> = (0..5).map(|page| first_word(&window, page << 12).err()).collect();
        let [excluded, hole, io] = [ReadErrorKind::Excluded, ReadErrorKind::Hole, ReadErrorKind::Io(5)].map(Some);
        // Pages 1, 3 and 4 are there, of which the last can't be read.
        assert_eq!(found, [excluded, hole, hole, io, io]);
    });
}

#[test]
fn a_hint_goes_to_the_pages_that_will_be_read() {
    host(0).with(|memory| {
        let hints = |inner: PhysRange, addr, bytes| {
            let hints = RefCell::new(vec![]);
            let counted = Counted::new(memory);
            let traced = Traced::new(&counted, |event| match event {
                PageEvent::Prefetched(addr, bytes) => hints.borrow_mut().push((addr.0, bytes)),
                event => panic!("{event}"),
            });
            Window::new(&traced, inner, PhysAddr(0)).unwrap().prefetch(PhysAddr(addr), bytes);
            hints.into_inner()
        };
        assert_eq!(hints(range(0x3000, 0xffff), 0x1010, 64), [(0x4010, 64)]);
        assert_eq!(hints(range(0x3ff0, 0xffff), 0x1000, 16), [(0x4ff0, 16)]);
        assert_eq!(hints(range(0x3ff0, 0xffff), 0x1000, 64), [(0x4ff0, 64), (0x5000, 48)]);
        // What lies in the window's next page is not meant.
        assert_eq!(hints(range(0x3ff0, 0xffff), 0x1fe0, 99), [(0x5fd0, 99)]);
        assert_eq!(hints(range(0x3ff0, 0x4fff), 0x1000, 16), []);
        assert_eq!(hints(range(0x3ff0, 0x4fff), 0x9000, 16), []);
    });
}
