//! Raw bytes as memory: nothing can be expected of them, so only what must always hold is checked.

use super::Copying;
use iopt::coalesce::{DeviceRanges, Join};
use iopt::memory::{Page, Slot, SparseMemory, Word};
use iopt::vtd::{Cause, Rtaddr, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, PhysAddr};

/// More tables than this are not walked, whatever the bytes say.
const BUDGET: u64 = 2000;

/// More faults than this are not printed: hostile tables have a million, all much alike.
const PRINTED: usize = 500;

/// Walks `bytes` as if they were the memory of a machine, with the root table in its first page.
///
/// Bytes are folded into few pages: an address keeps only the bits that lead into them, so that pointers
/// mostly hit.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_bytes(bytes: &[u8]) {
    let pages = bytes.len().div_ceil(Page::SIZE).clamp(1, 32);
    let mut slots = vec![Slot::EMPTY; pages];
    let mut memory = SparseMemory::new(&mut slots);
    for (number, chunk) in bytes.chunks(Page::SIZE).take(pages).enumerate() {
        let mut page = Page::ZERO;
        for (word, bytes) in page.words_mut().iter_mut().zip(chunk.chunks(8)) {
            let mut raw = [0; 8];
            raw[..bytes.len()].copy_from_slice(bytes);
            *word = Word::new(fold(u64::from_le_bytes(raw), pages as u64));
        }
        memory.write_page(PhysAddr(number as u64 * 4096), &page).expect("there is a slot for each page");
    }
    let unit = Unit::new(Rtaddr(0)).expect("legacy mode");
    let mut scratch = Box::new(Scratch::new());
    let mut walk = unit.walk(&memory, &mut scratch).max_tables(BUDGET);
    let mut devices = Vec::new();
    let (mut leaves, mut faults) = (0, 0);
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => devices.push(*device),
            Step::Run(run) => leaves += run.len() as u64,
            Step::Fault(fault) => {
                faults += 1;
                assert!(faults > PRINTED || !fault.to_string().is_empty());
            }
            Step::Table(_) => {}
        }
    }
    let statistics = walk.statistics();
    assert!(statistics.tables <= BUDGET);
    assert_eq!(statistics.leaves, leaves);
    assert_eq!((statistics.pages_read, statistics.bytes_lent), (0, statistics.tables * 4096));

    let copying = Copying::new(&memory);
    let mut scratch_two = Box::new(Scratch::new());
    let lent = DeviceRanges::new(unit.walk(&memory, &mut scratch).max_tables(BUDGET), Join::Both);
    let copied = DeviceRanges::new(unit.walk(&copying, &mut scratch_two).max_tables(BUDGET), Join::Both);
    let (mut last, mut copy) = (None, Page::ZERO);
    let mut exhausted = false;
    for (lent, copied) in lent.zip(copied).take(20_000) {
        assert_eq!(lent, copied);
        match lent {
            Ok(range) => {
                let key = (range.source_id, range.iova.first());
                assert!(last.is_none_or(|last| last < key), "ranges come in order and don't overlap");
                last = Some((range.source_id, range.iova.last()));
                let access = if range.permissions.read() { Access::Read } else { Access::Write };
                for iova in [range.iova.first(), range.iova.last()] {
                    check_translation(&unit, &memory, &range, iova, access, &mut copy);
                }
            }
            Err(fault) => exhausted |= matches!(fault.cause, Cause::Budget { .. }),
        }
    }
    assert!(exhausted || statistics.tables < BUDGET || leaves > 0 || devices.len() < 65536);
}

fn check_translation(
    unit: &Unit,
    memory: &SparseMemory<'_>,
    range: &iopt::coalesce::DeviceRange,
    iova: Iova,
    access: Access,
    copy: &mut Page,
) {
    match unit.translate(memory, range.source_id, iova, access, copy, |_| ()) {
        Ok(found) => {
            let offset = iova.0 - range.iova.first().0;
            assert_eq!(Some(found.phys.0), range.phys.map(|phys| phys.0 + offset));
            assert_eq!(found.permissions, range.permissions);
        }
        Err(fault) => {
            let interrupt = matches!(fault.cause, Cause::InterruptRequest | Cause::InterruptRangeOutput(_));
            assert!(interrupt, "{iova} is in a range: {fault}");
        }
    }
}

/// Keeps the low 12 bits and the flags of an entry, and brings its address into the first pages.
fn fold(raw: u64, pages: u64) -> u64 {
    // One word in eight keeps its address: holes and high addresses are wanted too.
    if raw >> 53 & 7 == 0 { raw } else { raw & 0xfff | ((raw >> 12) % (pages + 1)) << 12 }
}
