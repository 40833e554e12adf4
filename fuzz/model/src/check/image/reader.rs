//! What must hold of the memory of any image, and of several as one.

use super::{LOOKED_AT, one_line};
use iopt::coalesce::{DeviceRanges, Join};
use iopt::memory::{Page, PhysReader, ReadErrorKind};
use iopt::radix::Budget;
use iopt::vtd::{Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt::{PhysAddr, PhysRange};

/// More tables than this are not walked.
const BUDGET: Budget = Budget { tables: 24, ..Budget::UNLIMITED };

/// Ranges come in order, and have the pages that can be read: all of them if `every` is true, as it is where pages are
/// not stored one by one.
pub(super) fn check_reader<R: PhysReader>(reader: &R, every: bool) {
    let mut from = Some(PhysAddr(0));
    let mut ends = vec![PhysAddr(0), PhysAddr(u64::MAX)];
    while let Some(range) = from.filter(|_| ends.len() < 8 * LOOKED_AT).and_then(|from| reader.next_range(from)) {
        assert!(from.is_some_and(|from| from.0 == 0 || from < range.first()), "{range} is behind its neighbour");
        let (first, last) = (range.first().0, range.last().0);
        let inside = [first, first.saturating_add(4096).min(last), first + (last - first) / 2, last];
        for addr in inside.map(PhysAddr) {
            assert_eq!(reader.next_range(addr), Some(range), "{addr}");
        }
        ends.extend(inside.into_iter().chain([first.saturating_sub(1), last.saturating_add(1)]).map(PhysAddr));
        from = range.last().checked_add(1);
    }
    for addr in ends {
        probe(reader, addr, every);
    }
    check_walk(reader);
}

/// Why there is no page at `addr`, if there is none. A page that can be read lies in a range, and is the one that is
/// lent.
pub(super) fn probe<R: PhysReader>(reader: &R, addr: PhysAddr, every: bool) -> Option<ReadErrorKind> {
    let page = PhysRange::block(addr.page(), 12);
    let range = reader.next_range(page.first());
    let whole = range.is_some_and(|range| range.first() <= page.first() && page.last() <= range.last());
    reader.prefetch(addr, Page::SIZE);
    let lent = reader.lend_page(addr);
    let mut copy = Page::ZERO;
    match reader.read_page(addr, &mut copy) {
        Ok(()) => {
            assert!(whole, "{addr} is in no range");
            assert!(lent.is_none_or(|lent| lent.words() == copy.words()), "{addr}");
            None
        }
        Err(error) => {
            one_line(&error);
            assert_eq!(error.addr, page.first());
            assert!(lent.is_none(), "{error}");
            assert!(!whole || !every && matches!(error.kind, ReadErrorKind::Io(_)), "{error}");
            Some(error.kind)
        }
    }
}

/// A walk over it ends, wherever it starts.
fn check_walk<R: PhysReader>(reader: &R) {
    let Some(first) = reader.next_range(PhysAddr(0)) else { return };
    let second = first.last().checked_add(1).and_then(|from| reader.next_range(from));
    let mut scratch = Box::new(Scratch::new());
    for (root, mode) in [Some(first), second].into_iter().flatten().zip([0, 1 << 10]) {
        let root = Rtaddr(root.first().0 & !0xfff | mode);
        let unit = Unit::new(root).expect("a mode that is walked");
        let walk = unit.walk(reader, &mut scratch).budget(BUDGET);
        let found = DeviceRanges::new(walk, Join::Both).inspect(|range| {
            range.as_ref().inspect_err(|fault| one_line(fault)).ok();
        });
        // An entry of a table gives one range or fault; one of a context table, a device with a table of its own.
        assert!(found.count() as u64 <= (BUDGET.tables + 2) * 1024);
    }
}
