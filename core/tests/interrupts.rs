//! Interrupt remapping tables built for a test: their walk, their ends, and every fault reason.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, Slot, SparseMemory, Word};
use iopt::vtd::{FaultReason, InterruptCause, InterruptFault, Irta, Msi, Remapped, SourceValidation};
use iopt::{PhysAddr, PhysRange, SourceId};
use std::cell::RefCell;
use std::collections::BTreeMap;

const TABLE: u64 = 0x10_0000;
/// Present, vector 0x30, fixed, edge, for 00:1f.2 alone.
const GOOD: (u64, u64) = (0x30_0009, 0x4_00fa);
const DEVICE: SourceId = SourceId(0xfa);
const EIME: u64 = 1 << 11;

/// Pages that are lent or copied, some of which can't be read.
struct Memory {
    pages: BTreeMap<u64, Page>,
    bad: BTreeMap<u64, ReadErrorKind>,
    lends: bool,
    read: RefCell<Vec<u64>>,
}

impl Memory {
    /// The whole of the largest table, with these entries.
    fn new(entries: &[(u64, (u64, u64))]) -> Self {
        let mut pages: BTreeMap<u64, Page> = (0..256).map(|page| (TABLE + (page << 12), Page::ZERO.clone())).collect();
        for &(index, (low, high)) in entries {
            let page = pages.get_mut(&(TABLE + (index >> 8 << 12))).unwrap().words_mut();
            let slot = (index as usize & 0xff) * 2;
            (page[slot], page[slot + 1]) = (Word::new(low), Word::new(high));
        }
        Self { pages, bad: BTreeMap::new(), lends: false, read: RefCell::default() }
    }

    /// The same with these words of a posted-interrupt descriptor at `address`.
    fn with_descriptor(mut self, address: u64, words: [u64; 8]) -> Self {
        let page = self.pages.entry(address & !0xfff).or_insert(Page::ZERO);
        let slot = (address as usize & 0xfff) / 8;
        page.words_mut()[slot..slot + 8].copy_from_slice(&words.map(Word::new));
        self
    }

    fn without(mut self, page: u64, kind: ReadErrorKind) -> Self {
        self.bad.insert(page, kind);
        self
    }
}

impl PhysReader for Memory {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let at = addr.page().0;
        self.read.borrow_mut().push(at);
        if let Some(&kind) = self.bad.get(&at) {
            return Err(ReadError::new(addr, kind));
        }
        *page = self.pages.get(&at).ok_or(ReadError::new(addr, ReadErrorKind::Hole))?.clone();
        Ok(())
    }
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let at = addr.page().0;
        self.pages.get(&at).filter(|_| self.lends && !self.bad.contains_key(&at))
    }
    fn next_range(&self, _: PhysAddr) -> Option<PhysRange> {
        None
    }
}

/// The indices of entries, and the faults, in order.
fn walk<R: PhysReader + ?Sized>(irta: Irta, memory: &R) -> Vec<Result<u32, InterruptFault>> {
    irta.entries(memory, &mut Page::ZERO.clone()).map(|found| found.map(|found| found.index)).collect()
}

fn lookup(irta: u64, memory: &Memory, source_id: SourceId, index: u32) -> Result<u32, InterruptFault> {
    Irta(irta).lookup(memory, source_id, index, &mut Page::ZERO.clone()).map(|found| found.index)
}

fn code<T>(result: Result<T, InterruptFault>) -> Option<u8> {
    result.err().unwrap().reason.map(FaultReason::code)
}

/// A table ends where its size says, whatever follows in its last page.
#[test]
fn tables_of_every_size_have_a_last_entry() {
    for size in 0..16 {
        let count = 2u64 << size;
        let beyond = (count < 65_536).then_some((count, GOOD));
        let entries: Vec<_> = [(0, GOOD), (count - 1, GOOD)].into_iter().chain(beyond).collect();
        for lends in [false, true] {
            let memory = Memory { lends, ..Memory::new(&entries) };
            let last = (count - 1) as u32;
            assert_eq!(walk(Irta(TABLE | size), &memory), [Ok(0), Ok(last)], "size {size}");
            let pages = count.div_ceil(256);
            assert_eq!(memory.read.borrow().len() as u64, if lends { 0 } else { pages });
            assert_eq!(lookup(TABLE | size, &memory, DEVICE, last), Ok(last));
            assert_eq!(code(lookup(TABLE | size, &memory, DEVICE, last + 1)), Some(0x21));
        }
    }
}

#[test]
fn what_can_not_be_read_is_told_in_its_place_and_the_rest_is_walked() {
    let entries = [(5, GOOD), (256, GOOD), (600, GOOD), (800, GOOD), (1100, GOOD)];
    let kinds = [ReadErrorKind::Hole, ReadErrorKind::Excluded, ReadErrorKind::Io(5)];
    let mut memory = Memory::new(&entries);
    for (page, kind) in (1..).zip(kinds) {
        memory = memory.without(TABLE + (page << 12), kind);
    }
    let found = walk(Irta(TABLE | 15), &memory);
    assert_eq!((found[0], found[4], found.len()), (Ok(5), Ok(1100), 5));
    for ((page, kind), reason) in (1u32..).zip(kinds).zip([Some(FaultReason::InterruptUnreadable), None, None]) {
        let fault = found[page as usize].unwrap_err();
        let addr = PhysAddr(TABLE + u64::from(page << 12));
        assert_eq!(fault.cause, InterruptCause::Unreadable(ReadError { addr, kind }));
        let place = fault.place.unwrap();
        assert_eq!((fault.reason, place.index, place.entry), (reason, page << 8, None));
        assert_eq!((place.table, place.page()), (PhysAddr(TABLE), Some(addr)));
        assert_eq!(code(lookup(TABLE | 15, &memory, DEVICE, (page << 8) + 3)), reason.map(FaultReason::code));
    }
}

#[test]
fn a_table_that_runs_past_memory_is_read_as_far_as_it_goes() {
    let mut slots = [const { Slot::EMPTY }; 1];
    let mut memory = SparseMemory::new(&mut slots);
    memory.write_u64(PhysAddr(TABLE + 255 * 16), GOOD.0).unwrap();
    let found = walk(Irta(TABLE | 9), &memory);
    assert_eq!((found[0], found.len()), (Ok(255), 4));
    assert!(found[1..].iter().all(|fault| code(*fault) == Some(0x23)));

    let mut slots = [const { Slot::EMPTY }; 1];
    let mut memory = SparseMemory::new(&mut slots);
    let last_page = PhysAddr(!0xfff);
    memory.write_u64(last_page, GOOD.0).unwrap();
    let irta = Irta(last_page.0 | 15);
    let found = walk(irta, &memory);
    assert_eq!((found[0], found.len()), (Ok(0), 2));
    let fault = found[1].unwrap_err();
    assert_eq!((fault.cause, fault.reason.map(FaultReason::code)), (InterruptCause::BeyondMemory, Some(0x21)));
    assert_eq!(fault.place.map(|place| (place.index, place.page())), Some((256, None)));
    let copy = &mut Page::ZERO.clone();
    assert_eq!(irta.lookup(&memory, DEVICE, 300, copy).unwrap_err().cause, InterruptCause::BeyondMemory);
}

#[test]
fn malformed_entries_are_told_in_their_place() {
    let entries =
        [(1, GOOD), (2, (0x1001, 0)), (3, (0x61, 0)), (4, (1, 0xc_0000)), (5, (!1, !0)), (6, GOOD), (7, (0x8005, 0))];
    let memory = Memory::new(&entries);
    let found = walk(Irta(TABLE | 15), &memory);
    let causes = [
        InterruptCause::ReservedBits(0x1000),
        InterruptCause::DeliveryMode(3),
        InterruptCause::ValidationReserved,
        InterruptCause::ReservedBits(4),
    ];
    let faults: Vec<_> = found.iter().filter_map(|found| found.err()).collect();
    assert_eq!(faults.iter().map(|fault| fault.cause).collect::<Vec<_>>(), causes);
    assert_eq!(faults.iter().map(|fault| fault.place.unwrap().index).collect::<Vec<_>>(), [2, 3, 4, 7]);
    assert_eq!(faults[1].place.unwrap().entry, Some(0x61));
    assert_eq!((found[0], found[4], found.len()), (Ok(1), Ok(6), 6));
    assert_eq!(
        faults[1].to_string(),
        "interrupt fault 0x24 at table 0x100000 entry 3 = 0x61: DLM is 011b, which is reserved"
    );
}

fn msi(irta: u64, memory: &Memory, source_id: SourceId, address: u64, data: u32) -> Result<Remapped, InterruptFault> {
    Irta(irta).lookup_msi(memory, source_id, Msi { address, data }, &mut Page::ZERO.clone())
}

/// The address of a remappable request for `handle`, below 2^15, with a valid subhandle.
fn address(handle: u64) -> u64 {
    0xfee0_0018 | handle << 5
}

#[test]
fn a_good_request_finds_its_entry() {
    let memory = Memory::new(&[(7, GOOD), (0x8007, GOOD)]);
    let index = |remapped| match remapped {
        Ok(Remapped::Entry(found)) => found.index,
        other => panic!("{other:?}"),
    };
    assert_eq!(index(msi(TABLE | 15, &memory, DEVICE, address(5), 2)), 7);
    assert_eq!(index(msi(TABLE | 15, &memory, DEVICE, address(7) | 4, 0)), 0x8007);
    // Without SHV the data has no subhandle.
    assert_eq!(index(msi(TABLE | 15, &memory, DEVICE, address(7) & !8, 0xffff)), 7);
}

#[test]
fn a_write_elsewhere_is_no_interrupt() {
    let fault = msi(TABLE | 15, &Memory::new(&[]), DEVICE, 0x1_fee0_0018, 0).unwrap_err();
    let cause = InterruptCause::NotAnInterrupt(0x1_fee0_0018);
    assert_eq!((fault.reason, fault.cause, fault.place), (None, cause, None));
}

/// 0x25, and that nothing else counts for a request in compatibility format.
#[test]
fn compatibility_format_is_blocked_in_extended_mode_alone() {
    let memory = Memory::new(&[]);
    for data in [0, 0xffff_0000] {
        let passed = msi(TABLE, &memory, DEVICE, 0xfee0_1000, data);
        assert_eq!(passed, Ok(Remapped::Compatibility));
        let fault = msi(TABLE | EIME, &memory, DEVICE, 0xfee0_1000, data).unwrap_err();
        assert_eq!((fault.cause, fault.place), (InterruptCause::CompatibilityBlocked, None));
        assert_eq!(fault.reason, Some(FaultReason::CompatibilityInterruptBlocked));
    }
    let text = msi(TABLE | EIME, &memory, DEVICE, 0xfee0_1000, 0).unwrap_err().to_string();
    assert!(text.starts_with("00:1f.2 interrupt fault 0x25: "), "{text}");
}

/// For each fault reason of the table a request with that defect alone.
#[test]
fn each_defect_alone_has_its_reason() {
    let reserved = |low, high| Memory::new(&[(7, (GOOD.0 | low, GOOD.1 | high))]);
    let good = || reserved(0, 0);
    let hole = good().without(TABLE, ReadErrorKind::Hole);
    let absent = reserved(0, 0);
    let other = SourceId(0xfb);
    for (expected, memory, source_id, handle, data) in [
        (0x20, good(), DEVICE, 7, 1 << 16),
        (0x20, good(), DEVICE, 7, 1 << 31),
        (0x21, good(), DEVICE, 0x200, 0),
        (0x21, good(), DEVICE, 0x1ff, 1),
        (0x22, absent, DEVICE, 8, 0),
        (0x23, hole, DEVICE, 7, 0),
        (0x24, reserved(0x1000, 0), DEVICE, 7, 0),
        (0x24, reserved(1 << 32, 0), DEVICE, 7, 0),
        (0x24, reserved(0, 1 << 63), DEVICE, 7, 0),
        (0x24, reserved(0xc0, 0), DEVICE, 7, 0),
        (0x24, reserved(0, 0xc_0000), DEVICE, 7, 0),
        (0x26, good(), other, 7, 0),
    ] {
        let found = msi(TABLE | 8, &memory, source_id, address(handle), data);
        assert_eq!(code(found), Some(expected), "{source_id} handle {handle:#x} data {data:#x}");
    }
    let cause = msi(TABLE | 8, &good(), other, address(7), 0).unwrap_err().cause;
    assert_eq!(cause, InterruptCause::Source(SourceValidation::SourceId { source_id: DEVICE, mask: 0xffff }));
    // With 32 bits of destination, bit 32 is one of them.
    assert!(msi(TABLE | 8 | EIME, &reserved(1 << 32, 0), DEVICE, address(7), 0).is_ok());
}

/// Two defects at once: the earlier check wins, for every neighbouring pair.
#[test]
fn the_earlier_of_two_defects_wins() {
    let entry = |low| Memory::new(&[(7, (low, GOOD.1))]);
    let hole = |memory: Memory| memory.without(TABLE, ReadErrorKind::Hole).without(TABLE + 0x2000, ReadErrorKind::Hole);
    let other = SourceId(0xfb);
    let compatibility = 0xfee0_0000;
    for (expected, memory, irta, source_id, address, data) in [
        // Reserved bits of the request before an index beyond the table.
        (0x20, entry(GOOD.0), 8, DEVICE, address(0x200), 1 << 16),
        // The index before the fetch.
        (0x21, hole(entry(GOOD.0)), 8, DEVICE, address(0x200), 0),
        // The fetch before everything in the entry.
        (0x23, hole(entry(0x1000)), 8, other, address(7), 0),
        // Present before reserved bits.
        (0x22, entry(0x1000), 8, other, address(7), 0),
        // Reserved bits before the source-id.
        (0x24, entry(0x1001), 8, other, address(7), 0),
        // The format before reserved bits of the data.
        (0x25, hole(entry(0x1000)), 8 | EIME, other, compatibility, 1 << 16),
    ] {
        assert_eq!(code(msi(TABLE | irta, &memory, source_id, address, data)), Some(expected));
    }
    // The source-id is the last check, so nothing but a good entry lets it be told.
    assert_eq!(code(msi(TABLE | 8, &entry(GOOD.0), other, address(7), 0)), Some(0x26));
}

/// Each qualifier and a bus range, through a lookup.
#[test]
fn sources_are_validated_as_the_entry_says() {
    let allowed = |high: u64, source_id| lookup(TABLE, &Memory::new(&[(1, (1, high))]), SourceId(source_id), 1).is_ok();
    assert!(allowed(0x0_00fa, 0x1234));
    for (qualifier, ignored) in [(0u64, 0), (1, 4), (2, 6), (3, 7)] {
        for change in 0..16 {
            let high = 0x4_00fa | qualifier << 16;
            assert_eq!(allowed(high, 0xfa ^ change), change & !ignored == 0, "SQ {qualifier}, {change}");
        }
    }
    for (source_id, inside) in [(0x04ff, false), (0x0500, true), (0x09ff, true), (0x0a00, false)] {
        assert_eq!(allowed(0x8_0509, source_id), inside, "{source_id:#x}");
    }
}

/// Posted, for 00:1f.2 alone, with its descriptor at `DESCRIPTOR`.
const POSTED: (u64, u64) = (0x8765_43c0_0042_8001, 0xabcd_ef01_0004_00fa);
const DESCRIPTOR: u64 = 0xabcd_ef01_8765_43c0;
/// Every field of a descriptor has all its bits.
const GOOD_DESCRIPTOR: [u64; 8] = [!0, !0, !0, !0, 0xffff_ffff_00ff_0003, 0, 0, 0];

fn posted(entry: (u64, u64), descriptor: [u64; 8]) -> Memory {
    // The neighbours in the page are no descriptors, and nobody minds what is in them.
    let page = Memory::new(&[(1, entry)]);
    [DESCRIPTOR - 64, DESCRIPTOR + 64]
        .into_iter()
        .fold(page, |memory, other| memory.with_descriptor(other, [!0; 8]))
        .with_descriptor(DESCRIPTOR, descriptor)
}

/// A posted entry goes through the same checks, and then its descriptor is read, by lookups alone.
#[test]
fn posted_entries_are_validated_too() {
    for lends in [false, true] {
        let memory = Memory { lends, ..posted(POSTED, GOOD_DESCRIPTOR) };
        assert_eq!(lookup(TABLE, &memory, DEVICE, 1), Ok(1));
        assert_eq!(code(lookup(TABLE, &memory, SourceId(0), 1)), Some(0x26));
        assert_eq!(walk(Irta(TABLE), &memory), [Ok(1)]);
        let pages: &[u64] = if lends { &[] } else { &[TABLE, DESCRIPTOR & !0xfff, TABLE, TABLE] };
        assert_eq!(*memory.read.borrow(), pages);
    }
    let listed = posted(POSTED, [!0; 8]).without(DESCRIPTOR & !0xfff, ReadErrorKind::Hole);
    assert_eq!(walk(Irta(TABLE), &listed), [Ok(1)]);
}

/// 0x27 for memory that is not there; what only the image lacks has no reason.
#[test]
fn a_descriptor_that_can_not_be_read_is_told() {
    for (kind, reason) in [
        (ReadErrorKind::Hole, Some(FaultReason::PostedDescriptorUnreadable)),
        (ReadErrorKind::Excluded, None),
        (ReadErrorKind::Io(5), None),
    ] {
        let memory = posted(POSTED, GOOD_DESCRIPTOR);
        assert_eq!(lookup(TABLE, &memory, DEVICE, 1), Ok(1));
        let fault = lookup(TABLE, &memory.without(DESCRIPTOR & !0xfff, kind), DEVICE, 1).unwrap_err();
        let error = ReadError::new(PhysAddr(DESCRIPTOR), kind);
        assert_eq!((fault.reason, fault.cause), (reason, InterruptCause::DescriptorUnreadable(error)));
        let entry = u128::from(POSTED.1) << 64 | u128::from(POSTED.0);
        assert_eq!(fault.place.map(|place| (place.index, place.entry)), Some((1, Some(entry))));
    }
    // A remapped entry of the same bits has no descriptor.
    let remapped = Memory::new(&[(1, (POSTED.0 & !0x8000, GOOD.1))]);
    assert_eq!(lookup(TABLE | EIME, &remapped, DEVICE, 1), Ok(1));
}

/// 0x28 for each reserved bit of the descriptor alone, and for no other bit.
#[test]
fn a_reserved_bit_of_the_descriptor_is_told() {
    for bit in 0..512 {
        let mut words = [0; 8];
        words[bit / 64] = 1 << (bit % 64);
        let found = lookup(TABLE, &posted(POSTED, words), DEVICE, 1);
        if matches!(bit, 258..=271 | 280..=287 | 320..) {
            let [.., a, b, c, d] = words;
            let fault = found.unwrap_err();
            assert_eq!(fault.reason, Some(FaultReason::PostedDescriptorReserved), "bit {bit}");
            assert_eq!(fault.cause, InterruptCause::DescriptorReserved([a, b, c, d]), "bit {bit}");
        } else {
            assert_eq!(found, Ok(1), "bit {bit}");
        }
    }
    let [a, b, c, d, control, ..] = GOOD_DESCRIPTOR;
    let fault = lookup(TABLE, &posted(POSTED, [a, b, c, d, control | 4, 1, 0, 0]), DEVICE, 1).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "00:1f.2 interrupt fault 0x28 at table 0x100000 entry 1 = 0xabcdef01000400fa876543c000428001: \
         reserved bits 0x4 << 256 | 0x1 << 320 of the posted-interrupt descriptor are set"
    );
}

/// Two defects at once: whatever is wrong with the entry comes before its descriptor, and its fetch before its bits.
#[test]
fn the_descriptor_comes_last() {
    let hole = |memory: Memory| memory.without(DESCRIPTOR & !0xfff, ReadErrorKind::Hole);
    let absent = (POSTED.0 & !1, POSTED.1);
    let reserved = (POSTED.0 | 1 << 12, POSTED.1);
    for (expected, memory, source_id) in [
        (0x22, hole(posted(absent, [!0; 8])), DEVICE),
        (0x24, hole(posted(reserved, [!0; 8])), DEVICE),
        (0x26, hole(posted(POSTED, [!0; 8])), SourceId(0xfb)),
        (0x26, posted(POSTED, [!0; 8]), SourceId(0xfb)),
        (0x27, hole(posted(POSTED, [!0; 8])), DEVICE),
        (0x28, posted(POSTED, [!0; 8]), DEVICE),
    ] {
        assert_eq!(code(lookup(TABLE, &memory, source_id, 1)), Some(expected));
    }
}
