//! FPD keeps hardware from recording a fault, never from refusing the request.

use crate::judge::UNQUALIFIED;
use crate::request::{AT_CONTEXT, AT_DIRECTORY, AT_PASID, Request};
use crate::{FPD, defects};
use iopt::memory::Page;

const ENTRIES: [usize; 3] = [AT_CONTEXT, AT_DIRECTORY, AT_PASID];

/// Each alone, and all at once.
fn choices() -> impl Iterator<Item = Vec<usize>> {
    ENTRIES.map(|at| vec![at]).into_iter().chain([vec![], ENTRIES.to_vec()])
}

fn disabled(base: &Request, entries: &[usize]) -> Request {
    entries.iter().fold(base.clone(), |request, &at| request.flip(base.addr(at), FPD))
}

/// It counts from the entry on that has it, even if that is not present or has a reserved bit set.
#[test]
fn a_fault_goes_unrecorded_once_an_entry_with_fpd_was_fetched() {
    let mut suppressed = 0;
    for base in defects::requests() {
        for entries in choices() {
            let quiet = disabled(&base, &entries);
            quiet.passes("with FPD");
            for defect in defects::of(&base) {
                let (found, path) = (defect.apply)(quiet.clone()).ask();
                let fault = found.unwrap_err();
                let expected = !UNQUALIFIED.contains(&defect.code) && entries.iter().any(|&at| at < path.len());
                assert_eq!(fault.suppressed, expected, "{} with FPD in {entries:?}", defect.name);
                assert_eq!(fault.reason.unwrap().code(), defect.code, "{}: it is refused all the same", defect.name);
                suppressed += usize::from(fault.suppressed);
            }
        }
    }
    assert!(suppressed > 1000, "{suppressed}");
}

#[test]
fn an_entry_that_is_not_present_has_its_fpd_all_the_same() {
    let absent = [(AT_CONTEXT, 0x41), (AT_DIRECTORY, 0x51), (AT_PASID, 0x59)];
    for base in Request::all() {
        for (at, code) in absent {
            for fpd in [0, FPD] {
                let fault = base.clone().set(base.addr(at), fpd).ask().0.unwrap_err();
                assert_eq!((fault.reason.unwrap().code(), fault.suppressed), (code, fpd != 0));
            }
        }
    }
}

#[test]
fn a_device_has_its_faults_disabled_by_any_of_its_entries() {
    for base in Request::all() {
        for entries in choices() {
            let request = disabled(&base, &entries);
            request.words().with(|memory| {
                let device = request.unit().device(memory, request.requester(), &mut Page::ZERO.clone(), |_| ());
                assert_eq!(device.unwrap().fault_disabled(), !entries.is_empty(), "{entries:?}");
            });
        }
    }
}

/// What is no fault of hardware's goes by no such bit.
#[test]
fn an_interrupt_is_never_unrecorded() {
    for base in Request::all().into_iter().filter(|base| base.pasid.is_none()) {
        let fault = Request { iova: 0xfee0_0000, ..disabled(&base, &ENTRIES) }.ask().0.unwrap_err();
        assert_eq!((fault.reason, fault.suppressed), (None, false));
    }
}
