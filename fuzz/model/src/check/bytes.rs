//! Raw bytes as memory: nothing can be expected of them, so only what must always hold is checked.

use super::Copying;
use iopt::coalesce::{DeviceRange, DeviceRanges, Join};
use iopt::memory::{Page, Slot, SparseMemory, Word};
use iopt::radix::Budget;
use iopt::vtd::{Cause, Device, Rtaddr, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, PhysAddr, Requester};

/// More tables than this are not walked, whatever the bytes say.
const BUDGET: Budget = Budget { tables: 2000, ..Budget::UNLIMITED };

/// More faults than this are not printed: hostile tables have a million, all much alike.
const PRINTED: usize = 500;

/// More ranges than this are not looked at.
const LOOKED_AT: usize = 20_000;

/// Walks `bytes` as if they were the memory of a machine, with the root table of a unit in its first page: in legacy
/// mode, and in scalable mode.
///
/// Bytes are folded into few pages: an address keeps only the bits that lead into them, so that pointers
/// mostly hit.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_bytes(bytes: &[u8]) {
    let pages = bytes.len().div_ceil(Page::SIZE).clamp(1, 32);
    for (mode, shape) in [(0, fold as fn(u64, u64, usize, u64) -> u64), (1 << 10, fold_scalable)] {
        let mut slots = vec![Slot::EMPTY; pages];
        let mut memory = SparseMemory::new(&mut slots);
        for (number, chunk) in (0u64..).zip(bytes.chunks(Page::SIZE)).take(pages) {
            let mut page = Page::ZERO;
            for (at, (word, bytes)) in page.words_mut().iter_mut().zip(chunk.chunks(8)).enumerate() {
                let mut raw = [0; 8];
                raw[..bytes.len()].copy_from_slice(bytes);
                *word = Word::new(shape(u64::from_le_bytes(raw), number, at, pages as u64));
            }
            memory.write_page(PhysAddr(number * 4096), &page).expect("there is a slot for each page");
        }
        check_unit(&Unit::new(Rtaddr(mode)).expect("a mode that is walked"), &memory);
    }
}

fn check_unit(unit: &Unit, memory: &SparseMemory<'_>) {
    let mut scratch = Box::new(Scratch::new());
    let mut walk = unit.walk(memory, &mut scratch).budget(BUDGET);
    let mut devices = Vec::new();
    let (mut leaves, mut faults, mut used_up) = (0, 0, false);
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => devices.push(*device),
            Step::Run(run) => leaves += run.len() as u64,
            Step::Fault(fault) => {
                faults += 1;
                used_up |= matches!(fault.cause, Cause::Budget(_));
                assert!(faults > PRINTED || !fault.to_string().is_empty());
            }
            Step::Table(_) | Step::Shared(_) => {}
        }
    }
    let statistics = walk.statistics();
    assert!(statistics.tables <= BUDGET.tables);
    assert_eq!(statistics.leaves, leaves);
    assert_eq!((statistics.pages_read, statistics.bytes_lent), (0, statistics.tables * 4096));

    let copying = Copying::new(memory);
    let mut scratch_two = Box::new(Scratch::new());
    let lent = DeviceRanges::new(unit.walk(memory, &mut scratch).budget(BUDGET), Join::Both);
    let copied = DeviceRanges::new(unit.walk(&copying, &mut scratch_two).budget(BUDGET), Join::Both);
    let (mut last, mut copy) = (None, Page::ZERO);
    let (mut looked_at, mut told) = (0, false);
    for (lent, copied) in lent.zip(copied).take(LOOKED_AT) {
        looked_at += 1;
        assert_eq!(lent, copied);
        match lent {
            Ok(range) => {
                let key = |iova| (range.source_id, range.pasid, iova);
                let follows = last.is_none_or(|last| last < key(range.iova.first()));
                assert!(follows, "ranges come in order and don't overlap");
                last = Some(key(range.iova.last()));
                let access = if range.permissions.read() { Access::Read } else { Access::Write };
                let is_its = |device: &&Device| (device.source_id, device.pasid) == (range.source_id, range.pasid);
                let device = devices.iter().find(is_its).expect("it was there before");
                for iova in [range.iova.first(), range.iova.last()] {
                    check_translation(unit, memory, (device, &range), iova, access, &mut copy);
                }
            }
            Err(fault) => told |= matches!(fault.cause, Cause::Budget(_)),
        }
    }
    assert!(looked_at == LOOKED_AT || told == used_up, "ranges end where their walk does, and say so");
}

fn check_translation(
    unit: &Unit,
    memory: &SparseMemory<'_>,
    (device, range): (&Device, &DeviceRange),
    iova: Iova,
    access: Access,
    copy: &mut Page,
) {
    let who = Requester { source_id: device.source_id, pasid: device.pasid.filter(|_| device.with_pasid) };
    let found = unit.translate(memory, who, iova, access, copy, |_| ());
    assert_eq!(device.translate(memory, iova, access, copy, |_| ()), found);
    match found {
        Ok(found) => {
            let offset = iova.0 - range.iova.first().0;
            assert_eq!(Some(found.phys.0), range.phys.map(|phys| phys.0 + offset));
            assert_eq!(found.permissions, range.permissions);
        }
        Err(fault) => {
            let interrupt = matches!(fault.cause, Cause::InterruptRequest | Cause::InterruptRangeOutput(_));
            // Ranges do not know what hardware may mark.
            assert!(interrupt || fault.cause == Cause::UpdateDenied, "{iova} is in a range: {fault}");
        }
    }
}

/// Keeps the low 12 bits and the flags of an entry, and brings its address into the first pages.
fn fold(raw: u64, _: u64, _: usize, pages: u64) -> u64 {
    // One word in eight keeps its address: holes and high addresses are wanted too.
    if raw >> 53 & 7 == 0 { raw } else { raw & 0xfff | ((raw >> 12) % (pages + 1)) << 12 }
}

/// The same, and what scalable mode reserves is mostly zero: of four pages one has the shape of a context table, and
/// one that of a PASID table.
fn fold_scalable(raw: u64, page: u64, at: usize, pages: u64) -> u64 {
    let word = fold(raw, page, at, pages);
    let reserved = raw >> 56 & 0x1f == 0;
    match (page % 4, at % 8) {
        _ if reserved => word,
        // Directories are small, and RID_PASID is one of the first.
        (1, 0 | 4) => word & !0xde0,
        (1, 1 | 5) => word & 0x47,
        (1, _) => 0,
        (2, 0) => word & !0xe00 & if raw >> 61 == 0 { !0 } else { !0x100 },
        (2, 1) => word & 0xffff,
        (2, 2) => word & !0xf08,
        (2, _) => 0,
        // Root and directory entries.
        (0, _) => word & !0xffc,
        _ => word,
    }
}
