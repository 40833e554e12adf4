//! The memory of a crashed kernel, behind a function like that of a capture kernel.

use crate::common::{SOURCE, Tables, unit};
use crate::first_word;
use iopt::memory::{OldMemory, Page, PhysReader, ReadErrorKind, SparseMemory, ranges};
use iopt::walk::Scratch;
use iopt::{PhysAddr, PhysRange};
use std::cell::{Cell, RefCell};

const EFAULT: i32 = 14;

/// `copy_oldmem_page` over these pages: never beyond a frame, `-EFAULT` where there is none.
fn copy_oldmem_page(memory: &SparseMemory<'_>, frame: u64, offset: usize, into: &mut [u8]) -> Result<usize, i32> {
    assert!(offset + into.len() <= 4096, "beyond the frame");
    let page = memory.lend_page(PhysAddr(frame << 12)).ok_or(-EFAULT)?;
    let bytes: Vec<u8> = page.words().iter().flat_map(|word| word.get().to_le_bytes()).collect();
    into.copy_from_slice(&bytes[offset..offset + into.len()]);
    Ok(into.len())
}

#[test]
fn a_walk_of_the_old_memory_is_that_of_the_memory_itself() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7003).map(2, 0x20_0000, 0x80_0083);
    tables.with(|memory| {
        let old = OldMemory::new(|frame, offset, into: &mut [u8]| copy_oldmem_page(memory, frame, offset, into));
        let walk = |reader: &dyn PhysReader| -> Vec<_> { unit().ranges(reader, &mut Scratch::new()).collect() };
        let found = walk(&old);
        assert_eq!(found, walk(memory));
        assert_eq!(found.iter().flatten().filter(|range| range.source_id == SOURCE).count(), 2);
        assert!(old.lend_page(PhysAddr(0x1000)).is_none());
    });
}

#[test]
fn each_error_keeps_its_number_and_a_short_copy_has_none() {
    let answer = Cell::new(Ok(4096));
    let old = OldMemory::new(|_, _, _: &mut [u8]| answer.get());
    let io = |errno| Err(ReadErrorKind::Io(errno));
    let answers = [
        (Ok(4096), Ok(0)),
        (Ok(4095), io(0)),
        (Ok(0), io(0)),
        (Ok(4097), io(0)),
        (Err(-EFAULT), io(14)),
        (Err(EFAULT), io(14)),
        (Err(-12), io(12)),
        (Err(i32::MIN), io(i32::MAX)),
    ];
    for (given, expected) in answers {
        answer.set(given);
        assert_eq!(first_word(&old, 0x1234), expected, "{given:?}");
    }
}

#[test]
fn frames_outside_the_memory_map_are_holes_that_nobody_touches() {
    let asked = RefCell::new(vec![]);
    let range = |first, last| PhysRange::new(PhysAddr(first), PhysAddr(last)).unwrap();
    // Neither in order nor in whole pages, as firmware tells them.
    let map = [range(0x10_0000, 0x1f_ffff), range(0x1000, 0x9_fbff), range(u64::MAX - 4095, u64::MAX)];
    let copy = |frame, offset, into: &mut [u8]| {
        asked.borrow_mut().push((frame, offset, into.len()));
        Ok(into.len())
    };
    let old = OldMemory::new(copy).with_ranges(&map);
    for (addr, there) in [
        (0xfff, false),
        (0x1000, true),
        (0x9_f000, true),
        (0xa_0000, false),
        (0xf_ffff, false),
        (0x1f_f008, true),
        (0x20_0000, false),
        (u64::MAX - 4096, false),
        (u64::MAX, true),
    ] {
        assert_eq!(first_word(&old, addr), if there { Ok(0) } else { Err(ReadErrorKind::Hole) }, "{addr:#x}");
        let frames = asked.take();
        assert_eq!(frames, if there { vec![(addr >> 12, 0, 4096)] } else { vec![] });
    }
    let told: Vec<_> = ranges(&old).map(|range| (range.first().0, range.last().0)).collect();
    assert_eq!(told, [(0x1000, 0x9_fbff), (0x10_0000, 0x1f_ffff), (u64::MAX - 4095, u64::MAX)]);
    assert_eq!(old.next_range(PhysAddr(0x9_fbff)), Some(map[1]));
    assert_eq!(old.next_range(PhysAddr(0x9_fc00)), Some(map[0]));
    // Without a map every frame is asked for, and no range is known.
    let old = OldMemory::new(copy);
    assert!(old.read_page(PhysAddr(u64::MAX), &mut Page::ZERO.clone()).is_ok());
    assert_eq!((ranges(&old).count(), asked.take()), (0, vec![(u64::MAX >> 12, 0, 4096)]));
}
