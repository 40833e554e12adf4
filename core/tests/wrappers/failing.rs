//! Fault injection: what fails, as what, and what it counts.

use crate::common::{Copying, Words};
use crate::first_word;
use iopt::PhysAddr;
use iopt::memory::{Failing, Page, PhysReader, ReadErrorKind};
use std::cell::RefCell;

fn pages() -> Words {
    let mut words = Words::default();
    words.set(0x1000, 1).set(0x2000, 2).set(0x3000, 3);
    words
}

#[test]
fn the_access_of_that_number_fails_and_no_other() {
    pages().with(|memory| {
        for at in 0..3 {
            for lends in [false, true] {
                let failing = Failing::new(memory, |number, _| (number == at).then_some(ReadErrorKind::Excluded));
                let copying = Failing::new(Copying(memory), |number, _| (number == at).then_some(ReadErrorKind::Io(4)));
                let reader: &dyn PhysReader = if lends { &failing } else { &copying };
                let kind = if lends { ReadErrorKind::Excluded } else { ReadErrorKind::Io(4) };
                for number in 0..6 {
                    let addr = (number % 3 + 1) << 12;
                    let lent = reader.lend_page(PhysAddr(addr)).map(|page| page.word(0));
                    assert_eq!(lent.is_some(), lends && number != at, "{number}");
                    if lent.is_none() {
                        let expected = if number == at { Err(kind) } else { Ok(addr >> 12) };
                        assert_eq!(first_word(reader, addr), expected, "{number}");
                    }
                }
            }
        }
    });
}

#[test]
fn pages_fail_by_their_address_however_often_they_are_asked_for() {
    pages().with(|memory| {
        let asked = RefCell::new(vec![]);
        let failing = Failing::new(memory, |number, addr| {
            asked.borrow_mut().push((number, addr.0));
            (addr.page() == PhysAddr(0x2000)).then_some(ReadErrorKind::Hole)
        });
        assert!(failing.lend_page(PhysAddr(0x2008)).is_none());
        // Another page is none of its business.
        assert_eq!(first_word(&failing, 0x1008), Ok(1));
        assert_eq!(first_word(&failing, 0x2010), Err(ReadErrorKind::Hole));
        assert!(failing.lend_page(PhysAddr(0x3000)).is_some());
        // This can't be lent anyway, which is no access.
        assert!(failing.lend_page(PhysAddr(0x9000)).is_none());
        assert_eq!(first_word(&failing, 0x9000), Err(ReadErrorKind::Hole));
        assert_eq!(asked.into_inner(), [(0, 0x2008), (1, 0x1008), (2, 0x2010), (3, 0x3000), (4, 0x9000)]);
    });
}

#[test]
fn a_failed_read_spoils_the_page() {
    pages().with(|memory| {
        let mut page = Page::ZERO;
        let failing = Failing::new(memory, |_, _| Some(ReadErrorKind::Io(5)));
        assert!(failing.read_page(PhysAddr(0x1000), &mut page).is_err());
        assert!(page.words().iter().all(|word| word.get() == u64::MAX));
    });
}
