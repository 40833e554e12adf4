//! A PASID directory that goes on behind the end of the address space, which is as good as memory that is not there.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is a red test")]

use iopt::builder::{At, Leaves, Target, UnitBuilder};
use iopt::copy::{self, Error, MemoSlot, Options, Partial, Problem, Room, Workspace};
use iopt::memory::{Page, PageAllocator, ReadError, ReadErrorKind, Reservations, Slot, SparseMemory};
use iopt::vtd::{Cause, Fault, FaultReason, Rtaddr, Structure, TranslationMode, Unit};
use iopt::walk::Scratch;
use iopt::{Access, Iova, Pasid, PhysAddr, Requester, SourceId};

const DEVICE: SourceId = SourceId::new(0, 8);
/// The last page of all.
const DIRECTORY: PhysAddr = PhysAddr(!0xfff);
/// The first PASID of the directory's second page.
const BEHIND: Pasid = Pasid(1 << 15);

/// A device with one page mapped for PASID 5. Its directory has two pages, and no host address width limits where.
fn with(look: impl FnOnce(&SparseMemory<'_>, Unit)) {
    let mut slots = [Slot::EMPTY; 16];
    let mut memory = SparseMemory::new(&mut slots);
    let mut tables = UnitBuilder::new(&mut memory, TranslationMode::Scalable).unwrap();
    let table = tables.second_stage(3).unwrap();
    tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000))).unwrap();
    tables.pasid(DEVICE, Pasid(5), Target::second_stage(table)).unwrap();
    let directory = tables.table(At::Context(DEVICE)).unwrap();
    tables.point(At::Context(DEVICE), DIRECTORY).unwrap();
    // PDTS: 2^10 entries.
    tables.clear(At::Context(DEVICE), 7_u64 << 9).unwrap();
    tables.set(At::Context(DEVICE), 3_u64 << 9).unwrap();
    let unit = tables.unit().with_host_address_width(None);
    let page = memory.page(directory).unwrap().clone();
    memory.write_page(DIRECTORY, &page).unwrap();
    look(&memory, unit);
}

fn is_told(fault: &Fault) -> bool {
    let hole = Cause::Unreadable(ReadError::new(DIRECTORY, ReadErrorKind::Hole));
    fault.cause == hole && fault.place.structure == Structure::Context && fault.place.source_id == Some(DEVICE)
}

#[test]
fn what_is_in_memory_is_walked_and_the_rest_is_told() {
    with(|memory, unit| {
        let (mut scratch, mut copy) = (Scratch::new(), Page::ZERO);
        let (found, faults): (Vec<_>, Vec<_>) = unit.ranges(memory, &mut scratch).partition(Result::is_ok);
        assert_eq!(found.len(), 1);
        let faults: Vec<Fault> = faults.into_iter().filter_map(Result::err).collect();
        assert!(faults.len() == 1 && faults.iter().all(is_told), "{faults:?}");
        let mut ask = |pasid| {
            let requester = Requester { source_id: DEVICE, pasid: Some(pasid) };
            unit.translate(memory, requester, Iova(0x20_0123), Access::Read, &mut copy, |_| ())
        };
        assert_eq!(ask(Pasid(5)).unwrap().phys, PhysAddr(0x8020_0123));
        let fault = ask(BEHIND).unwrap_err();
        assert_eq!(fault.reason, Some(FaultReason::PasidDirectoryUnreadable));
        assert!(is_told(&fault), "{fault}");
    });
}

#[test]
fn a_copy_has_what_is_in_memory_or_nothing() {
    with(|memory, unit| {
        for partial in [Partial::Refuse, Partial::Keep] {
            let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 32], Box::new(Room::new()));
            let mut work = Workspace::new(&mut memo, &mut room);
            let options = Options { partial, ..Options::default() };
            let mut told = vec![];
            let plan = copy::plan(memory, &[unit], &options, &mut work, |_, problem| told.push(*problem)).unwrap();
            assert!(matches!(told.as_slice(), [Problem::Lost(fault)] if is_told(fault)), "{told:?}");
            let mut slots = [Slot::EMPTY; 16];
            let (mut pages, mut iovas, mut roots) =
                (SparseMemory::new(&mut slots), Reservations::<4, 4>::new(), [Rtaddr(0)]);
            pages.allocate_from(PhysAddr(0x10_0000));
            let done = plan.execute(memory, &[unit], &mut pages, &mut iovas, &mut work, &mut roots);
            if partial == Partial::Refuse {
                assert!(matches!(done, Err(Error::Incomplete { fault, .. }) if is_told(&fault)), "{done:?}");
                continue;
            }
            assert_eq!(done.unwrap().pages, plan.pages);
            let verified = copy::verify(memory, &[unit], &roots, &pages, &options, &mut work).unwrap();
            assert_eq!(verified.missing, 1);
            let copy = Unit::new(roots[0]).unwrap();
            assert_eq!(copy.ranges(&pages, &mut Scratch::new()).filter(Result::is_ok).count(), 1);
        }
    });
}
