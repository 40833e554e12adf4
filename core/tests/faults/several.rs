//! Several devices and pages: what one of them lacks is no loss to the others.

use crate::common::{CONTEXT, Copying, ROOT, RW, SOURCE, TOP, Tables, failing, unit};
use crate::{AT, IOVA, LCT_1, LCT_4, LRT_1, LSL_1, PHYS, Request};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::vtd::{Cause, Fault, FaultReason};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, PhysAddr, SourceId};

/// Another device with a page, on another bus; another page of the first device behind each level.
const OTHER: SourceId = SourceId::new(2, 8);
pub const PAGES: [u64; 4] = [IOVA, IOVA + (1 << 21), IOVA + (1 << 30), IOVA + (1 << 39)];
const OTHER_PAGE: u64 = 0x9000;

pub fn several() -> Tables {
    let mut tables = Request::new().tables;
    for page in PAGES {
        tables.map(1, page, PHYS | RW);
    }
    tables
        .set(ROOT + 32, 0x10_0001)
        .set(0x10_0000 + 16 * 8, 0x10_1001)
        .set(0x10_0000 + 16 * 8 + 8, 9 << 8 | 1)
        .set(0x10_1000, 0x10_2003)
        .set(0x10_2000, 0x10_3003)
        .set(0x10_3000 + 8 * 9, PHYS | RW);
    tables
}

/// The pages that a walk finds, and what it can't follow.
fn walk<R: PhysReader>(reader: &R) -> (Vec<(SourceId, u64)>, Vec<Fault>) {
    let (mut pages, mut faults) = (vec![], vec![]);
    let mut scratch = Scratch::new();
    let mut walk = unit().walk(reader, &mut scratch);
    let mut device = SourceId(0);
    while let Some(step) = walk.next() {
        match step {
            Step::Device(next) => device = next.source_id,
            Step::Run(run) => pages.extend(run.leaves().map(|leaf| (device, leaf.iova.0))),
            Step::Fault(fault) => faults.push(fault),
            Step::Table(_) | Step::Shared(_) => {}
        }
    }
    (pages, faults)
}

#[test]
fn a_page_that_only_the_reader_refuses_gives_no_hardware_reason_and_the_rest_is_walked() {
    let tables = several();
    // The page that can't be read, the reason if it were a hole, the entry that points to it, and how many of the
    // pages are left.
    let cases = [
        (ROOT, LRT_1, 0, 0, 4),
        (CONTEXT, LCT_1, 0, 1, 4),
        (TOP, LCT_4, 1, 2, 4),
        (0x4000, LSL_1, 2, 3, 3),
        (0x5000, LSL_1, 3, 4, 2),
        (0x6000, LSL_1, 4, 5, 1),
    ];
    let kinds = [ReadErrorKind::Hole, ReadErrorKind::Excluded, ReadErrorKind::Io(5), ReadErrorKind::Io(0)];
    for ((page, (code, _), at, seen, lost), kind) in cases.into_iter().flat_map(|case| kinds.map(|kind| (case, kind))) {
        let error = ReadError::new(PhysAddr(page), kind);
        let reason = (kind == ReadErrorKind::Hole).then_some(FaultReason::from_code(code));
        let request = Request { tables: tables.clone(), ..Request::new() };
        tables.with(|memory| {
            let (lending, copying) = (failing(memory, Some(error)), Copying(failing(memory, Some(error))));
            let mut path = vec![];
            let (mut copy, unit) = (Page::ZERO, request.unit());
            let fault = unit
                .translate(&lending, SOURCE, Iova(IOVA), Access::Read, &mut copy, |entry| path.push(entry))
                .unwrap_err();
            assert_eq!((fault.reason, fault.cause), (reason, Cause::Unreadable(error)));
            let (structure, table, index) = AT[at];
            let place = (structure, PhysAddr(table), index, (seen > 0).then(|| request.entry(at)));
            let found = fault.place;
            assert_eq!((found.structure, found.table, found.index, found.entry), place);
            assert_eq!(path, request.path(seen));
            let copied = unit.translate(&copying, SOURCE, Iova(IOVA), Access::Read, &mut copy, |_| ());
            assert_eq!(copied, Err(fault));
            assert_eq!(fault.to_string().contains("fault 0x"), reason.is_some(), "{fault}");
            assert!(fault.to_string().ends_with(&format!("page {page:#x} {kind}")), "{fault}");

            let (pages, faults) = walk(&lending);
            assert_eq!(walk(&copying), (pages.clone(), faults.clone()));
            let [walked] = faults[..] else { panic!("{faults:?}") };
            assert_eq!((walked.reason, walked.cause), (reason, Cause::Unreadable(error)));
            let found = walked.place;
            // A walk is not about one bus: without a root table it stops before the first.
            if page == ROOT {
                assert_eq!(pages, []);
                return;
            }
            assert_eq!((found.structure, found.table, found.index, found.entry), place);
            let left = PAGES.iter().skip(lost).map(|page| (SOURCE, *page));
            assert_eq!(pages, left.chain([(OTHER, OTHER_PAGE)]).collect::<Vec<_>>(), "{walked}");
        });
    }
}
