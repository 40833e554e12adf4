//! Single requests and interrupts: each entry is fetched once, and leads to the next one.

use super::memory::{Change, Changing, Pages};
use super::{World, words};
use crate::check::collect::collect;
use crate::check::copy::memory::Pages as NewPages;
use crate::check::translate::addresses;
use crate::twin::bits::{self, ADDRESS, POINTER};
use iopt::copy::{self, InterruptsError};
use iopt::memory::Page;
use iopt::vtd::{AddressSpace, Irta, PathEntry, Structure};
use iopt::{Access, Iova, PhysAddr, Requester};

/// Translates addresses of each device in a memory that changes in this way.
pub fn check(world: &World<'_>, change: Change) {
    let (found, _) = collect(world.unit, &world.changing(Change::Swap(u64::MAX)));
    for seen in found.seen.iter().take(8) {
        let pasid = seen.device.pasid.filter(|_| seen.device.with_pasid);
        let who = Requester { source_id: seen.device.source_id, pasid };
        let addresses = addresses(seen);
        for iova in addresses.iter().step_by(addresses.len() / 12 + 1) {
            let (reader, mut copy, mut path) = (world.changing(change), Page::ZERO, Vec::<PathEntry>::new());
            let iova = Iova(*iova);
            let found = world.unit.translate(&reader, who, iova, Access::Read, &mut copy, |entry| path.push(entry));
            let read = reader.delivered(0);
            assert_eq!(read.len(), path.len(), "each entry is fetched once");
            for ((addr, page), entry) in read.iter().zip(&path) {
                assert!(holds(*addr, page, entry, world.unit.is_scalable()), "{entry:?} was read");
            }
            // The path of a nested translation goes back and forth between the stages.
            let first = path.iter().any(|entry| matches!(entry.structure, Structure::FirstStage(_)));
            let second = path.iter().any(|entry| matches!(entry.structure, Structure::SecondStage(_)));
            let nested = matches!(seen.device.space, AddressSpace::Nested(..)) || first && second;
            if !nested {
                path.windows(2).for_each(|pair| check_pair(&pair[0], &pair[1]));
            }
            if let (Ok(found), Some(last), false) = (&found, path.last(), nested) {
                let size = 1u64 << found.page_size_log2;
                let leaf = last.entry.words()[0] & ADDRESS & !(size - 1);
                let passes = matches!(last.structure, Structure::Context | Structure::PasidTable);
                let phys = if passes { iova.0 } else { leaf | iova.0 & (size - 1) };
                assert_eq!(found.phys, PhysAddr(phys), "{who} {iova}: where the leaf leads that was read");
            }
        }
    }
}

/// Whether an entry is in this page.
fn holds(addr: u64, page: &Page, entry: &PathEntry, scalable: bool) -> bool {
    let (all, words) = (entry.entry.words(), words(entry.structure, scalable));
    let at = usize::from(entry.index) * words;
    addr == entry.table.page().0.wrapping_add(at as u64 / 512 * 4096)
        && (0..words).all(|word| page.word(at % 512 + word) == all[word])
}

/// An entry leads to the table of the next one, which is one level below.
fn check_pair(above: &PathEntry, below: &PathEntry) {
    let words = above.entry.words();
    let leads = match (above.structure, below.structure) {
        (Structure::Root, Structure::Context) => words[..2].iter().any(|word| word & POINTER == below.table.0),
        (Structure::Context, Structure::PasidDirectory)
        | (Structure::PasidDirectory, Structure::PasidTable)
        | (Structure::Context, Structure::SecondStage(_))
        | (Structure::PasidTable, Structure::SecondStage(_)) => words[0] & POINTER == below.table.0,
        (Structure::PasidTable, Structure::FirstStage(_)) => words[2] & POINTER == below.table.0,
        (Structure::FirstStage(level), Structure::FirstStage(next))
        | (Structure::SecondStage(level), Structure::SecondStage(next)) => {
            next + 1 == level && words[0] & ADDRESS == below.table.0 && !bits::is_leaf(words[0], level)
        }
        _ => false,
    };
    assert!(leads, "{above:x?} leads to {below:x?}");
}

/// A listing has the entries that were read; a copy has all of them, and a proof tells of what changed later.
pub fn check_interrupts<'o>(irta: Irta, changing: impl Fn() -> Changing<'o>, still: impl Fn(Pages) -> Changing<'o>) {
    let page_at = |index: u32| PhysAddr(irta.table().0.wrapping_add(u64::from(index) * 16)).page();
    let (reader, mut copy) = (changing(), Page::ZERO);
    let mut next = 0;
    for found in irta.entries(&reader, &mut copy) {
        let (index, raw) = match found {
            Ok(found) => (found.index, Some(found.entry.raw())),
            Err(fault) => fault.place.map(|place| (place.index, place.entry)).expect("it is about an entry"),
        };
        assert!(index >= next, "{index} comes in order");
        next = index + 1;
        let at = index as usize % 256 * 2;
        let is = |page: &Page| {
            raw.is_some_and(|raw| [0, 1].map(|word| page.word(at + word)) == [raw as u64, (raw >> 64) as u64])
        };
        assert!(raw.is_none() || reader.brought(page_at(index), is), "entry {index} was read");
    }
    let pages = irta.entry_count().div_ceil(256) as usize;
    assert!(reader.reads() <= pages, "each page is read once");

    let (reader, mut new, mut told) = (changing(), NewPages::new(1 << 40), Vec::new());
    let copied = match copy::interrupts(&reader, irta, &mut new, |index, entry| told.push((index, entry.raw()))) {
        Ok(copied) => copied,
        Err(_) => return assert!(new.pages.is_empty(), "all pages are given back"),
    };
    let read = reader.delivered(0);
    assert!(new.pages.values().map(|(page, _)| page.words()).eq(read.iter().map(|(_, page)| page.words())));
    for (index, raw) in told {
        let page = &read[index as usize / 256].1;
        let at = index as usize % 256 * 2;
        assert_eq!(u128::from(page.word(at + 1)) << 64 | u128::from(page.word(at)), raw, "{index} was read");
    }
    let now = reader.pages();
    let same = read.iter().all(|(addr, page)| now.get(addr).is_some_and(|now| now.words() == page.words()));
    match copy::verify_interrupts(&still(now), irta, &new, copied, &mut copy) {
        Ok(()) => assert!(same || irta.entry_count() < 256, "what changed is told"),
        Err(InterruptsError::Differs { .. }) => assert!(!same, "nothing has changed"),
        Err(error) => panic!("{error}"),
    }
}
