//! What a wrapper has no business with goes through it unchanged.

use crate::common::{Copying, SOURCE, Tables, unit};
use iopt::memory::{
    CacheSlot, Cached, Counted, Counts, Failing, PageEvent, PhysReader, ReadError, ReadErrorKind, SparseMemory, Traced,
    Window, ranges,
};
use iopt::walk::Scratch;
use iopt::{PhysAddr, PhysRange};
use std::cell::RefCell;

/// All that can be seen of a reader by asking it.
fn seen(reader: &dyn PhysReader) -> (Vec<String>, Vec<String>, bool) {
    let mut scratch = Scratch::new();
    let told = unit().ranges(reader, &mut scratch);
    let told = told.map(|range| range.map_or_else(|fault| fault.to_string(), |range| range.to_string())).collect();
    (told, ranges(reader).map(|range| range.to_string()).collect(), reader.lend_page(PhysAddr(0x1000)).is_some())
}

fn tables() -> Tables {
    let mut tables = Tables::new(4);
    tables.map(1, 0x5000, 0x7003).map(2, 0x20_0000, 0x80_0083).map(1, 0x8000_0000, 0x9001).map(2, 1 << 31, 0x5_0003);
    tables
}

#[test]
fn a_walk_through_a_wrapper_is_the_same_walk() {
    tables().with(|memory| {
        let copying = Copying(memory);
        for inner in [memory as &dyn PhysReader, &copying] {
            let plain = seen(inner);
            assert!(plain.0.iter().any(|told| told.contains("a hole")), "{plain:?}");
            assert!(plain.0.iter().any(|told| told.starts_with(&SOURCE.to_string())), "{plain:?}");
            let mut slots = [CacheSlot::EMPTY; 3];
            assert_eq!(seen(&Cached::new(inner, &mut slots)), plain);
            assert_eq!(seen(&Counted::new(inner)), plain);
            assert_eq!(seen(&Traced::new(inner, |_| ())), plain);
            assert_eq!(seen(&Failing::new(inner, |_, _| None)), plain);
            assert_eq!(seen(&Window::new(inner, PhysRange::all(), PhysAddr(0)).unwrap()), plain);
        }
    });
}

#[test]
fn a_count_is_what_was_done() {
    tables().with(|memory| {
        for (reader, lends) in [(memory as &dyn PhysReader, true), (&Copying(memory), false)] {
            let counted = Counted::new(reader);
            let mut scratch = Scratch::new();
            let mut walk = unit().walk(&counted, &mut scratch);
            while walk.next().is_some() {}
            let told = walk.statistics();
            let counts = counted.counts();
            let pages = if lends { counts.pages_lent } else { counts.pages_read };
            assert_eq!((pages, counts.pages_lent != 0), (told.tables, lends));
            assert_eq!((counts.pages_read, counts.bytes_lent()), (told.pages_read, told.bytes_lent));
            assert_eq!((counts.failures, counts.bytes_read()), (1, counts.pages_read * 4096));
        }
    });
}

#[test]
fn a_trace_has_each_access_with_its_result() {
    let tables = tables();
    let all = |memory: &SparseMemory<'_>, reader: &dyn Fn(&SparseMemory<'_>, &RefCell<Vec<PageEvent>>)| {
        let log = RefCell::default();
        reader(memory, &log);
        log.into_inner()
    };
    tables.with(|memory| {
        let lent = all(memory, &|memory, log| {
            let traced = Traced::new(memory, |event| log.borrow_mut().push(event));
            traced.prefetch(PhysAddr(0x1010), 64);
            traced.lend_page(PhysAddr(0x1018));
            traced.lend_page(PhysAddr(0x5_0000));
            assert!(crate::first_word(&traced, 0x5_0008).is_err());
        });
        let hole = ReadError::new(PhysAddr(0x5_0000), ReadErrorKind::Hole);
        let expected = [
            PageEvent::Prefetched(PhysAddr(0x1010), 64),
            PageEvent::Lent(PhysAddr(0x1018)),
            PageEvent::Failed(PhysAddr(0x5_0008), hole),
        ];
        assert_eq!(lent, expected);
        let copied = all(memory, &|memory, log| {
            let traced = Traced::new(Copying(memory), |event| log.borrow_mut().push(event));
            assert!(traced.lend_page(PhysAddr(0x1018)).is_none());
            assert!(crate::first_word(&traced, 0x1018).is_ok());
        });
        assert_eq!(copied, [PageEvent::Read(PhysAddr(0x1018))]);
        assert_eq!(PageEvent::Read(PhysAddr(0x1018)).to_string(), "read 0x1018");
        assert_eq!(expected[0].to_string(), "prefetched 0x1010 (64 bytes)");
    });
}

/// A hint that gets lost makes a walk slower, and nothing else shows it.
#[test]
fn hints_are_passed_on() {
    tables().with(|memory| {
        let counted = Counted::new(memory);
        let mut slots = [CacheSlot::EMPTY; 3];
        let window = Window::new(&counted, PhysRange::all(), PhysAddr(0)).unwrap();
        let cached = Cached::new(&counted, &mut slots);
        let (traced, failing) = (Traced::new(&counted, |_| ()), Failing::new(&counted, |_, _| None));
        let readers: [&dyn PhysReader; 4] = [&window, &cached, &traced, &failing];
        for (number, reader) in (1..).zip(readers) {
            reader.prefetch(PhysAddr(0x1000), 8);
            assert_eq!(counted.counts(), Counts { prefetches: number, ..Counts::default() });
        }
    });
}
