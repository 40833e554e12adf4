//! What is said to people: one line, what was expected, what was found, and where.

use iopt::coalesce::DeviceRange;
use iopt::copy::Problem;
use iopt::memory::{CacheSlot, Cached, Failing, OldMemory, Page, PageEvent, ReadError, ReadErrorKind, Traced};
use iopt::radix::{Bound, Defect, NestedRefusal, Refusal, Visit};
use iopt::vtd::{Cause, DeliveryMode, Fault, FaultReason, InterruptCause, Place, SourceValidation, Structure};
use iopt::{DomainId, Iova, IovaRange, Permissions, PhysAddr, PhysRange, SourceId};
use std::fmt::Display;

const VISIT: Visit = Visit { level: 2, table: PhysAddr(0x5000), index: 7, raw: 0x9003 };
const HOLE: ReadError = ReadError::new(PhysAddr(0x9000), ReadErrorKind::Hole);
const ENTRY: &str = "entry 7 = 0x9003 of table 0x5000 at level 2";
const NO_MEMORY: &str = "page 0x9000 is not in the memory image (a hole)";

#[track_caller]
fn says(expected: &str, of: impl Display) {
    let said = of.to_string();
    assert_eq!(said, expected);
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_translation_is_refused_by_an_entry() {
    says(ENTRY, VISIT);
    says(&format!("the top table can't be read: {NO_MEMORY}"), Refusal::Unreadable(HOLE, None));
    says(&format!("the table of {ENTRY} can't be read: {NO_MEMORY}"), Refusal::Unreadable(HOLE, Some(VISIT)));
    says(&format!("{ENTRY} does not let it through"), Refusal::Denied(VISIT));
    says(&format!("reserved bits 0x80 are set in {ENTRY}"), Refusal::ReservedBits(VISIT, 0x80));
}

#[test]
fn a_nested_translation_is_refused_by_either_stage() {
    let (refusal, addr) = (Refusal::Denied(VISIT), PhysAddr(1 << 40));
    let denied = format!("{ENTRY} does not let it through");
    says(&denied, NestedRefusal::Outer(refusal));
    let beyond = "the second stage does not take 0x10000000000";
    says(&format!("{beyond}, the top table"), NestedRefusal::TableBeyond(addr, None));
    says(&format!("{beyond}, the table of {ENTRY}"), NestedRefusal::TableBeyond(addr, Some(VISIT)));
    says(&format!("{beyond}, which {ENTRY} leads to"), NestedRefusal::OutputBeyond(addr, VISIT));
    says(&format!("the second stage refuses the top table: {denied}"), NestedRefusal::Table(refusal, None));
    let table = NestedRefusal::Table(refusal, Some(VISIT));
    says(&format!("the second stage refuses the table of {ENTRY}: {denied}"), table);
    says(&format!("the second stage does not let {ENTRY} be marked"), NestedRefusal::Update(VISIT));
    let output = NestedRefusal::Output(refusal, VISIT);
    says(&format!("the second stage refuses what {ENTRY} leads to: {denied}"), output);
}

#[test]
fn a_walk_can_not_follow_an_entry() {
    let table = PhysAddr(0x9000);
    says("reserved bits 0x80 are set", Defect::ReservedBits(0x80));
    says(&format!("its table can't be read: {NO_MEMORY}"), Defect::Unreadable(HOLE));
    says("loop: table 0x9000 is on its own path already, at level 3", Defect::Loop { table, level: 3 });
    let refusal = Refusal::Denied(VISIT);
    let not_located = format!("its table 0x9000 is not in memory: {ENTRY} does not let it through");
    says(&not_located, Defect::NotLocated { table, refusal });
    says("it leads to 0x9000, and the stage below takes 12 bits", Defect::BeyondInner { addr: table, bits: 12 });
    says("the format has no level 7", Defect::NoSuchLevel { level: 7 });
    for (bound, name) in [
        (Bound::Tables(5), "5 tables"),
        (Bound::Runs(5), "5 runs"),
        (Bound::Reads(5), "5 reads"),
        (Bound::Faults(5), "5 faults"),
    ] {
        says(&format!("the work budget of {name} is used up"), bound);
        says(&format!("the work budget of {name} is used up; the walk ends here"), Defect::Budget(bound));
    }
}

#[test]
fn a_defect_of_an_engine_is_the_cause_of_a_fault() {
    let table = PhysAddr(0x9000);
    for (refusal, cause, said) in [
        (Refusal::Denied(VISIT), Cause::TableDenied, "the entry does not let the first-stage table be read"),
        (Refusal::ReservedBits(VISIT, 0x80), Cause::ReservedBits(0x80_u64.into()), "reserved bits 0x80 are set"),
        (Refusal::Unreadable(HOLE, None), Cause::Unreadable(HOLE), &format!("its table can't be read: {NO_MEMORY}")),
    ] {
        assert_eq!(Cause::from(Defect::NotLocated { table, refusal }), cause);
        says(said, cause);
    }
    says("the format has no level 7", Cause::from(Defect::NoSuchLevel { level: 7 }));
    says(
        "the accessed or dirty bit would have to be set, but the second stage does not let the table be written",
        Cause::UpdateDenied,
    );
}

#[test]
fn an_interrupt_request_is_refused() {
    use InterruptCause::{BeyondMemory, IndexTooLarge, NotAnInterrupt, RequestReserved};
    says("address 0x1000 is not in the interrupt range 0xfee00000-0xfeefffff", NotAnInterrupt(0x1000));
    says("reserved bits 0xffff0000 of the request's data are set", RequestReserved(0xffff_0000));
    says("the table has only 256 entries", IndexTooLarge { entries: 256 });
    says("the table runs past the end of the 64-bit address space", BeyondMemory);
    says("reserved", DeliveryMode::Reserved(3));
    says("no source-id, for SVT is 11b", SourceValidation::Reserved);
    let unknown = FaultReason::Unknown(0xee);
    assert_eq!((unknown.condition(), unknown.qualified()), ("not a reason that is known here", false));
}

#[test]
fn what_a_copy_can_not_know_is_said() {
    let place = Place {
        structure: Structure::SecondStage(2),
        table: PhysAddr(0x5000),
        index: 7,
        entry: Some(0x9003_u64.into()),
        source_id: Some(SourceId::new(0, 8)),
        pasid: None,
        iova: Some(Iova(0xe0_0000)),
    };
    let error = ReadError::new(PhysAddr(0x9000), ReadErrorKind::Io(5));
    let fault = Fault { reason: None, cause: Cause::Unreadable(error), place, suppressed: false };
    says(
        "not reserved, since unknown: 00:01.0 iova 0xe00000 at level 2 table 0x5000 entry 7 = 0x9003: \
         its table can't be read: page 0x9000 could not be read (I/O error, os error 5)",
        Problem::Unreserved(fault),
    );
}

#[test]
fn memory_that_is_not_consecutive_is_scattered() {
    let range = DeviceRange {
        source_id: SourceId::new(0, 8),
        pasid: None,
        domain: DomainId(1),
        iova: IovaRange::block(Iova(0x4000), 14),
        phys: None,
        permissions: Permissions::READ_WRITE,
        page_size_log2: Some(12),
    };
    says("00:01.0 0x4000-0x7fff -> scattered rw", range);
}

#[test]
fn readers_say_what_they_are_and_not_what_they_hold() {
    says("lent 0x1000", PageEvent::Lent(PhysAddr(0x1000)));
    says(&format!("failed 0x9000: {NO_MEMORY}"), PageEvent::Failed(PhysAddr(0x9000), HOLE));
    let mut page = Page::ZERO;
    page.words_mut()[5] = 1.into();
    assert_eq!(format!("{page:?}"), "Page(1 of 512 words are not 0)");

    let ranges = [PhysRange::block(PhysAddr(0), 12)];
    let old = OldMemory::new(|_, _, _: &mut [u8]| Ok(0)).with_ranges(&ranges);
    assert_eq!(format!("{old:?}"), "OldMemory { ranges: Some([0x0-0xfff]), .. }");
    let mut slots = [CacheSlot::EMPTY; 2];
    assert_eq!(format!("{:?}", Cached::new((), &mut slots)), "Cached { reader: (), .. }");
    assert_eq!(format!("{:?}", Failing::new((), |_, _| None)), "Failing { reader: (), accesses: 0, .. }");
    assert_eq!(format!("{:?}", Traced::new((), |_| ())), "Traced { reader: (), .. }");
}
