//! A table that the machine had and the image has not is no fault of hardware's.

use crate::FPD;
use crate::common::{Copying, failing};
use crate::request::{AT_CONTEXT, AT_DIRECTORY, AT_PASID, AT_ROOT, Kind, Request};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::vtd::{Cause, Fault, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, PhysAddr};

/// How many leaves a walk finds, and what it can't follow.
fn walk(unit: &Unit, reader: &dyn PhysReader) -> (u64, Vec<Fault>) {
    let (mut scratch, mut faults) = (Scratch::new(), vec![]);
    let mut walk = unit.walk(reader, &mut scratch);
    while let Some(step) = walk.next() {
        if let Step::Fault(fault) = step {
            faults.push(fault);
        }
    }
    (walk.statistics().leaves, faults)
}

/// Each table on the way, by each kind of reader and of error: there is no reason, so no FPD counts either.
#[test]
fn a_page_that_only_the_reader_refuses_gives_no_hardware_reason() {
    let kinds = [ReadErrorKind::Hole, ReadErrorKind::Excluded, ReadErrorKind::Io(5), ReadErrorKind::Io(0)];
    for base in [Request::first(), Request::new(Kind::Second, 5)].into_iter().flat_map(Request::both) {
        let quiet = [AT_CONTEXT, AT_DIRECTORY, AT_PASID];
        let request = quiet.into_iter().fold(base.clone(), |request, at| request.flip(base.addr(at), FPD));
        for (at, kind) in (AT_ROOT..request.length()).flat_map(|at| kinds.map(|kind| (at, kind))) {
            let error = ReadError::new(PhysAddr(request.table(at)), kind);
            request.words().with(|memory| {
                let (lending, copying) = (failing(memory, Some(error)), Copying(failing(memory, Some(error))));
                let found = [&lending as &dyn PhysReader, &copying].map(|reader| {
                    let (mut path, mut copy) = (vec![], Page::ZERO);
                    let visit = |entry| path.push(entry);
                    let iova = Iova(request.iova);
                    let found =
                        request.unit().translate(reader, request.requester(), iova, Access::Read, &mut copy, visit);
                    assert_eq!(path, request.path(at), "all that comes before is seen");
                    found.unwrap_err()
                });
                let fault = found[0];
                assert_eq!(fault, found[1], "lent and copied");
                let hole = kind == ReadErrorKind::Hole;
                assert_eq!((fault.cause, fault.reason.is_some()), (Cause::Unreadable(error), hole));
                // Nothing suppresses what keeps a PASID directory or table from being read.
                assert_eq!(fault.suppressed, hole && at > AT_PASID);
                assert_eq!(fault.place, request.place(at.saturating_sub(1), at));
                assert_eq!(fault.to_string().contains("fault 0x"), hole, "{fault}");
                assert!(fault.to_string().ends_with(&error.to_string()), "{fault}");

                let (leaves, faults) = walk(&request.unit(), &lending);
                assert_eq!((leaves, &faults), (walk(&request.unit(), &copying).0, &walk(&request.unit(), &copying).1));
                // The two PASIDs have a PASID table each, and the page tables between them.
                let told = if at > AT_PASID { 2 } else { 1 };
                assert_eq!((leaves, faults.len()), (u64::from(at == AT_PASID), told));
                for walked in faults {
                    assert_eq!((walked.reason, walked.cause), (fault.reason, fault.cause));
                    assert_eq!(walked.place.structure, fault.place.structure);
                }
            });
        }
    }
}
