//! Many translations at once are what each of them is alone.

use crate::common::{Copying, R, RW, SOURCE, TOP, Tables, failing};
use crate::several::{PAGES, several};
use crate::{PHYS, Request};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::vtd::{FaultReason, Unit};
use iopt::{Access, Iova, PhysAddr};

/// Every kind of outcome, in an order in which neighbours differ.
fn addresses() -> Vec<u64> {
    let mut addresses = vec![];
    for number in 0..40u64 {
        let page = PAGES[usize::try_from(number % 4).unwrap()];
        addresses.extend([
            page + number,
            // Absent at each level.
            page + 0x1000 * (number + 1),
            page + (16 << 21),
            page + (16 << 30),
            page + (16 << 39),
            // A malformed entry, a table in a hole, no write permission, output in the interrupt range.
            page ^ (1 << 20),
            0x77 << 39,
            0x78 << 39 | number,
            0x79 << 39 | 0x123,
            number << 12,
        ]);
    }
    addresses
}

/// Tables in which [`addresses`] have every kind of outcome.
fn mixed() -> Tables {
    let mut tables = several();
    for page in PAGES {
        tables.map(1, page ^ (1 << 20), PHYS | RW | 1 << 62);
    }
    tables.map(4, 0x77 << 39, 0xdead_0003).map(1, 0x78 << 39, PHYS | R).map(1, 0x79 << 39, 0xfee0_0003);
    tables
}

/// That many at once give what one by one gives; returns how many kinds of outcome there were.
fn all_at_once<R: PhysReader>(unit: Unit, reader: &R, iovas: &[u64], access: Access) -> usize {
    let mut copy = Page::ZERO;
    let device = unit.device(reader, SOURCE, &mut copy, |_| ()).unwrap();
    let iovas: Vec<Iova> = iovas.iter().copied().map(Iova).collect();
    let alone: Vec<_> =
        iovas.iter().map(|iova| Some(device.translate(reader, *iova, access, &mut copy, |_| ()))).collect();
    let mut together = vec![None; iovas.len()];
    device.translate_all(reader, &iovas, access, &mut copy, |at, found| {
        assert_eq!(together[at].replace(found), None, "address {at} is done twice");
    });
    assert_eq!(together, alone);
    let mut outcomes: Vec<_> = alone
        .iter()
        .flatten()
        .map(|found| match found {
            Ok(_) => None,
            Err(fault) => Some((fault.reason.map(FaultReason::code), fault.place.structure.to_string())),
        })
        .collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    outcomes.len()
}

#[test]
fn many_translations_at_once_are_those_one_by_one() {
    let within = addresses();
    let mut any = within.clone();
    for (number, iova) in any.iter_mut().enumerate() {
        match number % 7 {
            2 => *iova = 0xfee0_0000 + u64::try_from(number).unwrap(),
            4 => *iova |= 1 << 48,
            6 => *iova |= 1 << 63,
            _ => {}
        }
    }
    assert!(within.len() > 64 && any.len() > 64);
    let tables = mixed();
    let unit = Request::new().unit();
    tables.with(|memory| {
        let errors = [0x4000, 0x6000, TOP].map(|page| ReadError::new(PhysAddr(page), ReadErrorKind::Excluded));
        for broken in [None].into_iter().chain(errors.map(Some)) {
            for access in [Access::Read, Access::Write] {
                for (iovas, extra) in [(&within, 0), (&any, 2)] {
                    let lent = all_at_once(unit, &failing(memory, broken), iovas, access);
                    let copied = all_at_once(unit, &Copying(failing(memory, broken)), iovas, access);
                    assert_eq!(lent, copied);
                    if broken.is_none() {
                        // Let through; denied at each of four levels; malformed; unreadable; output; and by address.
                        assert_eq!(lent, 8 + extra);
                    }
                }
            }
        }
        for length in [0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, within.len()] {
            for iovas in [&within[..length], &any[..length]] {
                all_at_once(unit, memory, iovas, Access::Read);
                all_at_once(unit, &Copying(memory), iovas, Access::Read);
            }
        }
    });
    Request::pass_through().tables.with(|memory| {
        assert_eq!(all_at_once(unit, memory, &any, Access::Read), 3, "let through, interrupts, too wide");
    });
}
