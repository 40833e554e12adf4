//! Single translations against the twin, at the addresses where something changes.

use super::collect::Seen;
use super::{Copying, step};
use crate::program::{Built, random_bytes};
use crate::twin::Who;
use iopt::memory::{Page, PhysReader, SparseMemory};
use iopt::radix::Format;
use iopt::vtd::{AddressSpace, Cause, DeviceEntries, INTERRUPT_RANGE, Unit};
use iopt::{Access, Iova, Pasid, Requester, SourceId};

pub fn check(built: &Built, unit: &Unit, memory: &SparseMemory<'_>, seen: &[Seen]) {
    let copying = Copying::new(memory);
    for seen in seen {
        let pasid = seen.device.pasid.filter(|_| seen.device.with_pasid);
        let who = Requester { source_id: seen.device.source_id, pasid };
        for iova in addresses(seen) {
            for access in [Access::Read, Access::Write] {
                let lent = one(built, unit, memory, memory, who, iova, access);
                let copied = one(built, unit, memory, &copying, who, iova, access);
                assert_eq!(lent, copied);
                let direct = seen.device.translate(memory, Iova(iova), access, &mut Page::ZERO.clone(), |_| ());
                assert_eq!(direct, lent);
            }
        }
        many(seen, memory);
    }
    // Devices that are absent or invalid, and buses too.
    let present = seen.iter().map(|seen| seen.device.source_id.0);
    let near = present.flat_map(|source| [source ^ 1, source ^ 0x80, source ^ 0x100]).chain([0, 0xffff]);
    let devices = built.twin(memory).devices().into_iter();
    let faulty = devices.filter(|device| device.code().is_some()).map(|device| device.who());
    for who in near.map(Who::from).chain(faulty).chain(pasids(seen)) {
        let who = Requester { source_id: SourceId(who.source), pasid: who.pasid.map(Pasid) };
        for iova in [0x1000, INTERRUPT_RANGE.0] {
            one(built, unit, memory, memory, who, iova, Access::Read).ok();
        }
    }
}

/// PASIDs that devices may have or not: next to those that they have, and about the end of the directory. In legacy
/// mode no request may have any.
fn pasids(seen: &[Seen]) -> impl Iterator<Item = Who> {
    seen.iter().flat_map(|seen| {
        let end = match &seen.device.entries {
            DeviceEntries::Scalable { context, .. } => context.pasids(),
            DeviceEntries::Legacy { .. } => 1,
        };
        let own = seen.device.pasid.map_or(0, |pasid| pasid.0);
        let pasids = [own, own ^ 1, own ^ 64, own ^ 1 << 15, end - 1, end, 0xf_ffff, 1 << 20, u32::MAX];
        let source = seen.device.source_id.0;
        pasids.into_iter().map(move |pasid| Who { source, pasid: Some(pasid) }).chain([source.into()])
    })
}

/// Many at once are what they are one by one; those that page tables decide about take a way of their own.
fn many(seen: &Seen, memory: &SparseMemory<'_>) {
    let (device, mut copy) = (&seen.device, Page::ZERO);
    let all: Vec<Iova> = addresses(seen).into_iter().map(Iova).collect();
    let decided = |iova: &Iova| {
        let interrupt = !device.with_pasid && (INTERRUPT_RANGE.0..=INTERRUPT_RANGE.1).contains(&iova.0);
        let inside = match &device.space {
            AddressSpace::FirstStage(space) => space.format.accepts(*iova),
            space => space.input().is_some_and(|input| input.contains(*iova)),
        };
        !interrupt && inside
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
pub fn addresses(seen: &Seen) -> Vec<u64> {
    let mut addresses = vec![0, u64::MAX, INTERRUPT_RANGE.0 - 1, INTERRUPT_RANGE.0];
    let Some(input) = seen.device.space.input() else { return addresses };
    addresses.extend([INTERRUPT_RANGE.1, INTERRUPT_RANGE.1 + 1]);
    addresses.extend([1 << 30, (1 << 39) - 1, 1 << 39, (1 << 48) - 1, 1 << 48, 1 << 57]);
    if seen.device.space.first_stage().is_some() {
        // About what is not canonical.
        addresses
            .extend([47, 56].map(|bits| 1 << bits).into_iter().flat_map(|end: u64| [end - 1, end, !end, !(end - 1)]));
    }
    let step = seen.leaves.len() / 60 + 1;
    for leaf in seen.leaves.iter().step_by(step).chain(seen.leaves.last()) {
        let last = leaf.iova + (leaf.size - 1);
        addresses.extend([leaf.iova, last, leaf.iova.wrapping_sub(1), last.wrapping_add(1), leaf.iova | 0xabc]);
    }
    for fault in seen.faults.iter().take(60) {
        addresses.extend(fault.place.iova.map(|iova| iova.0));
    }
    let bytes = random_bytes(seen.leaves.len() as u64, 64);
    let anywhere = bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    // In a signed space, those that are canonical.
    let signed = |iova: u64| if seen.device.space.first_stage().is_some() { (iova as i64 >> 17) as u64 } else { iova };
    addresses.extend(anywhere.map(|iova| signed(iova & input.last().0)));
    addresses
}

fn one<R: PhysReader>(
    built: &Built,
    unit: &Unit,
    memory: &SparseMemory<'_>,
    reader: &R,
    who: Requester,
    iova: u64,
    access: Access,
) -> Result<iopt::radix::Translation, iopt::vtd::Fault> {
    let mut path = Vec::new();
    let mut copy = Page::ZERO;
    let visit = |seen: iopt::vtd::PathEntry| path.push(step(seen.structure, seen.table, seen.index, seen.entry));
    let found = unit.translate(reader, who, Iova(iova), access, &mut copy, visit);
    let twin_who = Who { source: who.source_id.0, pasid: who.pasid.map(|pasid| pasid.0) };
    let expected = built.twin(memory).translate(twin_who, iova, access == Access::Write);
    let what = format!("{who} {iova:#x} {access}");
    match (&found, &expected) {
        (Err(fault), _) if fault.cause == Cause::InterruptRequest => {
            assert!((INTERRUPT_RANGE.0..=INTERRUPT_RANGE.1).contains(&iova), "{what}");
            assert_eq!((fault.reason, path.len(), who.pasid, fault.suppressed), (None, 0, None, false), "{what}");
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
            assert_eq!(fault.suppressed, expected.suppressed, "{what}: {fault}");
            assert_eq!((fault.place.source_id, fault.place.iova), (Some(who.source_id), Some(Iova(iova))), "{what}");
            // The place is the last entry on the path, or for a table that is not there the entry before it. From
            // that to a table of a first stage the path may lead through a second.
            if let (Some(entry), Some(last)) = (fault.place.entry, path.last()) {
                let place = step(fault.place.structure, fault.place.table, fault.place.index, entry);
                if matches!(expected.code, 0x70 | 0x73) {
                    assert!(path.contains(&place), "{what}: {place:x?}");
                } else {
                    assert_eq!(place, *last, "{what}");
                }
            }
        }
        _ => panic!("{what}: found {found:?}, expected {expected:x?}"),
    }
    found
}
