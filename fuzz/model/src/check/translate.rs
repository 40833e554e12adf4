//! Single translations against the twin, at the addresses where something changes.

use super::Copying;
use super::walk::Seen;
use crate::program::{Built, random_bytes};
use crate::twin::{CONTEXT, ROOT, Step};
use iopt::memory::{Page, PhysReader, SparseMemory};
use iopt::vtd::{Cause, INTERRUPT_RANGE, PathEntry, Structure, Unit};
use iopt::{Access, Iova, SourceId};

pub fn check(built: &Built, unit: &Unit, memory: &SparseMemory<'_>, seen: &[Seen]) {
    let copying = Copying::new(memory);
    for seen in seen {
        for iova in addresses(seen) {
            for access in [Access::Read, Access::Write] {
                let lent = one(built, unit, memory, memory, seen.device.source_id, iova, access);
                let copied = one(built, unit, memory, &copying, seen.device.source_id, iova, access);
                assert_eq!(lent, copied);
                let direct = seen.device.translate(memory, Iova(iova), access, &mut Page::ZERO.clone(), |_| ());
                assert_eq!(direct, lent);
            }
        }
    }
    for seen in seen {
        many(seen, memory);
    }
    // Devices that are absent or invalid, and buses too.
    let present = seen.iter().map(|seen| seen.device.source_id.0);
    let near = present.flat_map(|source| [source ^ 1, source ^ 0x80, source ^ 0x100]).chain([0, 0xffff]);
    let faulty = built.twin(memory).devices().into_iter().filter(|device| device.code.is_some());
    for source in near.chain(faulty.map(|device| device.source)) {
        one(built, unit, memory, memory, SourceId(source), 0x1000, Access::Read).ok();
    }
}

/// Many at once are what they are one by one; those that page tables decide about take a way of their own.
fn many(seen: &Seen, memory: &SparseMemory<'_>) {
    let (device, mut copy) = (&seen.device, Page::ZERO);
    let all: Vec<Iova> = addresses(seen).into_iter().map(Iova).collect();
    let decided = |iova: &Iova| {
        let interrupt = (INTERRUPT_RANGE.0..=INTERRUPT_RANGE.1).contains(&iova.0);
        !interrupt && device.space.input().is_some_and(|input| input.contains(*iova))
    };
    let inside: Vec<Iova> = all.iter().copied().filter(decided).collect();
    for iovas in [all, inside] {
        let mut found = vec![None; iovas.len()];
        device.translate_all(memory, &iovas, Access::Read, &mut copy, |at, translated| {
            assert!(found[at].replace(translated).is_none(), "{} is told twice", iovas[at]);
        });
        for (iova, found) in iovas.iter().zip(found) {
            let alone = device.translate(memory, *iova, Access::Read, &mut Page::ZERO.clone(), |_| ());
            assert_eq!(found, Some(alone), "{iova}");
        }
    }
}

/// Edges of leaves and of what can't be followed, edges of the address space, and some anywhere.
fn addresses(seen: &Seen) -> Vec<u64> {
    let mut addresses = vec![0, u64::MAX, 1 << 30, (1 << 39) - 1, 1 << 39, (1 << 48) - 1, 1 << 48, 1 << 57];
    addresses.extend([INTERRUPT_RANGE.0 - 1, INTERRUPT_RANGE.0, INTERRUPT_RANGE.1, INTERRUPT_RANGE.1 + 1]);
    let step = seen.leaves.len() / 60 + 1;
    for leaf in seen.leaves.iter().step_by(step).chain(seen.leaves.last()) {
        let last = leaf.iova + (leaf.size - 1);
        addresses.extend([leaf.iova, last, leaf.iova.wrapping_sub(1), last.wrapping_add(1), leaf.iova | 0xabc]);
    }
    for fault in seen.faults.iter().take(60) {
        addresses.extend(fault.place.iova.map(|iova| iova.0));
    }
    let bytes = random_bytes(seen.leaves.len() as u64, 64);
    let reach = seen.device.space.input().unwrap().last().0;
    addresses.extend(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()) & reach));
    addresses
}

fn one<R: PhysReader>(
    built: &Built,
    unit: &Unit,
    memory: &SparseMemory<'_>,
    reader: &R,
    source: SourceId,
    iova: u64,
    access: Access,
) -> Result<iopt::radix::Translation, iopt::vtd::Fault> {
    let mut path = Vec::new();
    let mut copy = Page::ZERO;
    let found = unit.translate(reader, source, Iova(iova), access, &mut copy, |entry| path.push(step(&entry)));
    let expected = built.twin(memory).translate(source.0, iova, access == Access::Write);
    let what = format!("{source} {iova:#x} {access}");
    match (&found, &expected) {
        (Err(fault), _) if fault.cause == Cause::InterruptRequest => {
            assert!((INTERRUPT_RANGE.0..=INTERRUPT_RANGE.1).contains(&iova), "{what}");
            assert_eq!((fault.reason, path.len()), (None, 0), "{what}");
        }
        (Ok(found), Ok(expected)) => {
            let permissions = (found.permissions.read(), found.permissions.write());
            let found = (found.phys.0, 1 << found.page_size_log2, permissions);
            assert_eq!(found, (expected.phys, expected.page_size, (expected.read, expected.write)), "{what}");
            assert_eq!(path, expected.path, "{what}");
        }
        (Err(fault), Err(expected)) => {
            assert_eq!(fault.reason.map(|reason| reason.code()), Some(expected.code), "{what}: {fault}");
            assert_eq!(path, expected.path, "{what}: {fault}");
            // The place is the last entry on the path, or for a table that is not there the entry before it.
            if let (Some(entry), Some(last)) = (fault.place.entry, path.last()) {
                assert_eq!(
                    (fault.place.table.0, u64::from(fault.place.index), entry),
                    (last.table, last.index, last.entry.into()),
                    "{what}"
                );
            }
        }
        _ => panic!("{what}: found {found:?}, expected {expected:x?}"),
    }
    found
}

fn step(entry: &PathEntry) -> Step {
    let level = match entry.structure {
        Structure::Root => ROOT,
        Structure::Context => CONTEXT,
        Structure::SecondStage(level) => level,
        other => panic!("{other} in legacy mode"),
    };
    Step { level, table: entry.table.0, index: entry.index.into(), entry: entry.entry.low_u128() }
}
