//! Interrupt remapping tables: listed, looked up, copied and proved.

use super::KINDS;
use crate::new_kernel::NewPages;
use crate::{CAPTURES, number};
use iopt::SourceId;
use iopt::copy::{self, InterruptsError};
use iopt::memory::{Counted, Failing, Page, ReadError, ReadErrorKind};
use iopt::vtd::{InterruptCause, InterruptFault, InterruptPlace, Irta};

/// The entries of a page.
const PER_PAGE: u32 = 256;

#[test]
fn a_page_that_is_missing_is_told_with_its_first_entry_and_all_other_entries_are_there() {
    let mut reads = 0;
    for capture in &CAPTURES {
        let irta = Irta(number(&capture.json(capture.registers)["IRTA"]));
        if irta.0 == 0 {
            continue;
        }
        let (image, mut copy, mut spare) = (capture.image(), Page::ZERO, Page::ZERO);
        let whole: Vec<_> = irta.entries(&image, &mut copy).map(Result::unwrap).collect();
        let mut healthy = NewPages::default();
        let copied = copy::interrupts(&image, irta, &mut healthy, |_, _| ()).unwrap();
        for (page, kind) in (0..irta.entry_count() / PER_PAGE).flat_map(|page| KINDS.map(|kind| (page, kind))) {
            let (first, last) = (page * PER_PAGE, page * PER_PAGE + (PER_PAGE - 1));
            let name = format!("{} {}, page {page} {kind}", capture.case, capture.image);
            let addr = irta.table().checked_add(u64::from(page) * 4096).unwrap();
            let broken = || Failing::new(&image, |number, _| (number == u64::from(page)).then_some(kind));
            let reason = (kind == ReadErrorKind::Hole).then_some(0x23);
            let is_told = |fault: InterruptFault, index, source_id| {
                let place = InterruptPlace { table: irta.table(), index, entry: None };
                assert_eq!(fault.reason.map(|reason| reason.code()), reason, "{name}");
                assert_eq!(fault.cause, InterruptCause::Unreadable(ReadError::new(addr, kind)), "{name}");
                assert_eq!((fault.place, fault.source_id), (Some(place), source_id), "{name}");
            };

            let mut left = whole.iter().filter(|found| !(first..=last).contains(&found.index)).peekable();
            let (mut told, asked) = (0, Counted::new(&image));
            let torn = Failing::new(&asked, |number, _| (number == u64::from(page)).then_some(kind));
            for found in irta.entries(&torn, &mut copy) {
                match found {
                    Ok(found) => assert_eq!(Some(&found), left.next(), "{name}"),
                    Err(fault) => {
                        assert!(left.peek().is_none_or(|next| next.index > last), "{name}: it is in its place");
                        is_told(fault, first, None);
                        told += 1;
                    }
                }
            }
            assert_eq!((left.next(), told), (None, 1), "{name}");
            let asked = asked.counts().pages_lent;
            assert_eq!(asked, u64::from(irta.entry_count() / PER_PAGE), "{name}: the page, and all others");

            let missing = Failing::new(&image, |_, _| Some(kind));
            let refused = irta.lookup(&missing, SourceId(8), last, &mut copy);
            is_told(refused.unwrap_err(), last, Some(SourceId(8)));

            let error = InterruptsError::Unreadable { index: first, error: ReadError::new(addr, kind) };
            let mut pages = NewPages::default();
            assert_eq!(copy::interrupts(&broken(), irta, &mut pages, |_, _| ()), Err(error), "{name}");
            assert_eq!(pages.count(), 0, "{name}: all of them are given back");
            let proved = copy::verify_interrupts(&broken(), irta, &healthy, copied, &mut spare);
            assert_eq!(proved, Err(error), "{name}");
            reads += 1;
        }
        let mut again = NewPages::default();
        assert!(copy::interrupts(&image, irta, &mut again, |_, _| ()).is_ok());
        assert_eq!(copy::verify_interrupts(&image, irta, &healthy, copied, &mut spare), Ok(()));
    }
    assert_eq!(reads, 7 * 256 * 2, "the tables of seven captures, twice");
}
