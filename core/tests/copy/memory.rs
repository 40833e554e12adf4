//! The reserver and the allocator that core has for tests and examples.

use iopt::memory::{
    AllocErrorKind, IovaReserver, PageAllocator, PhysReader, Reservations, ReserveErrorKind, Slot, SparseMemory,
};
use iopt::{DomainId, Iova, IovaRange, Permissions, PhysAddr, SourceId};

const RW: Permissions = Permissions::READ_WRITE;
const DOMAIN: DomainId = DomainId(7);

fn range(first: u64, last: u64) -> IovaRange {
    IovaRange::new(Iova(first), Iova(last)).unwrap()
}

/// What is kept of these ranges of one domain of 64 bits, in order.
fn kept(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut reservations = Reservations::<1, 4>::new();
    reservations.open_domain(0, DOMAIN, 64).unwrap();
    for (first, last) in ranges {
        reservations.reserve(0, DOMAIN, range(*first, *last), RW).unwrap();
    }
    let mut kept: Vec<_> = reservations.ranges().map(|(.., range)| (range.first().0, range.last().0)).collect();
    kept.sort_unstable();
    kept
}

#[test]
fn ranges_that_overlap_or_touch_are_one() {
    assert_eq!(kept(&[(0x1000, 0x1fff), (0x3000, 0x3fff)]), [(0x1000, 0x1fff), (0x3000, 0x3fff)]);
    assert_eq!(kept(&[(0x1000, 0x1fff), (0x2000, 0x2fff)]), [(0x1000, 0x2fff)]);
    assert_eq!(kept(&[(0x2000, 0x2fff), (0x1000, 0x1fff)]), [(0x1000, 0x2fff)]);
    assert_eq!(kept(&[(0x1000, 0x4fff), (0x2000, 0x2fff)]), [(0x1000, 0x4fff)]);
    assert_eq!(kept(&[(0x2000, 0x2fff), (0x1000, 0x4fff)]), [(0x1000, 0x4fff)]);
    // The last closes the gaps between all others.
    assert_eq!(kept(&[(0, 0xfff), (0x2000, 0x2fff), (0x4000, 0x4fff), (0x800, 0x47ff)]), [(0, 0x4fff)]);
    // At the end of the space nothing wraps around to its start.
    assert_eq!(kept(&[(0, 0xfff), (u64::MAX - 0xfff, u64::MAX)]), [(0, 0xfff), (u64::MAX - 0xfff, u64::MAX)]);
}

#[test]
fn units_and_domains_are_kept_apart_and_forgotten_apart() {
    let mut reservations = Reservations::<3, 4>::default();
    let (one, other) = (SourceId::new(1, 0), SourceId::new(2, 0));
    for (unit, domain) in [(0, 7), (0, 8), (1, 7)] {
        reservations.open_domain(unit, DomainId(domain), 48).unwrap();
        reservations.reserve(unit, DomainId(domain), range(0x1000, 0x1fff), RW).unwrap();
    }
    reservations.note_in_use(0, one, DOMAIN).unwrap();
    assert_eq!((reservations.ranges().count(), reservations.in_use(one), reservations.in_use(other)), (3, true, false));
    reservations.forget_domain(0, DOMAIN);
    let left: Vec<_> = reservations.domains().map(|(unit, domain, _)| (unit, domain.0)).collect();
    assert_eq!((left, reservations.ranges().count()), (vec![(0, 8), (1, 7)], 2));
    reservations.forget_domain(0, DomainId(8));
    reservations.forget_domain(1, DOMAIN);
    assert_eq!((reservations.ranges().count(), reservations.in_use(one)), (0, false));
}

#[test]
fn what_has_no_room_or_no_domain_is_refused_by_name() {
    let mut reservations = Reservations::<1, 1>::new();
    let kind = |result: Result<(), iopt::memory::ReserveError>| result.unwrap_err().kind;
    assert_eq!(kind(reservations.reserve(0, DOMAIN, range(0, 0xfff), RW)), ReserveErrorKind::Domain);
    assert_eq!(kind(reservations.note_in_use(0, SourceId(0), DOMAIN)), ReserveErrorKind::Domain);
    reservations.open_domain(0, DOMAIN, 39).unwrap();
    assert_eq!(kind(reservations.open_domain(0, DomainId(8), 39)), ReserveErrorKind::Domain);
    let outside = range(0x7f_ffff_f000, 0x80_0000_0fff);
    assert_eq!(kind(reservations.reserve(0, DOMAIN, outside, RW)), ReserveErrorKind::Outside(outside));
    reservations.reserve(0, DOMAIN, range(0x7f_ffff_f000, 0x7f_ffff_ffff), RW).unwrap();
    assert_eq!(kind(reservations.reserve(0, DOMAIN, range(0, 0xfff), RW)), ReserveErrorKind::Full);
}

#[test]
fn a_sparse_memory_shows_the_pages_that_it_has() {
    let mut slots = vec![Slot::EMPTY; 3];
    let mut memory = SparseMemory::new(&mut slots);
    let page = memory.allocate(1).unwrap();
    memory.page_mut(page).unwrap().words_mut()[511] = 5.into();
    assert_eq!(memory.page(PhysAddr(page.0 + 0xfff)).unwrap().word(511), 5, "any address of the page");
    assert_eq!(memory.lend_page(page).map(|page| page.word(511)), Some(5));
    memory.free(page, 1);
    let error = memory.page(PhysAddr(page.0 + 8)).unwrap_err();
    assert_eq!((error.addr, error.kind), (Some(page), AllocErrorKind::NotAllocated));
    assert_eq!(memory.flush(page).unwrap_err().kind, AllocErrorKind::NotAllocated);
    assert_eq!(memory.allocate(0).unwrap_err().kind, AllocErrorKind::OutOfPages);
}
