//! Each read of everything that is done with the captures fails once: it is told with its place, and all else is as it
//! was.

mod copies;
mod interrupts;
mod memo;
mod ranges;
mod stream;
mod translations;
mod upper;
mod walks;

use crate::Way;
use iopt::PhysAddr;
use iopt::memory::{Failing, Page, PhysReader, ReadError, ReadErrorKind};
use iopt::vtd::{Cause, Fault, FaultReason, Place, Structure};
use std::cell::RefCell;

/// How a read fails: the tables lead to no memory, or the image is at fault, of which the hardware knows nothing.
const KINDS: [ReadErrorKind; 2] = [ReadErrorKind::Hole, ReadErrorKind::Io(5)];

/// How many pages the walks of all captures read.
const READS: usize = 912;

/// The fault of a page that can't be read, for which the hardware would give the reason `code` if it is a hole.
fn unreadable(code: u8, addr: PhysAddr, kind: ReadErrorKind, place: Place) -> Fault {
    let reason = (kind == ReadErrorKind::Hole).then(|| FaultReason::from_code(code));
    Fault { reason, cause: Cause::Unreadable(ReadError::new(addr, kind)), place, suppressed: false }
}

/// A reader of which one read fails, and what it is asked for.
struct Broken<'w> {
    way: &'w Way<'w>,
    asked: RefCell<Vec<PhysAddr>>,
    fails: Option<(usize, ReadErrorKind)>,
}

impl<'w> Broken<'w> {
    /// Nothing fails.
    fn whole(way: &'w Way<'w>) -> Self {
        Self { way, asked: RefCell::default(), fails: None }
    }

    /// The read of this number fails.
    fn at(way: &'w Way<'w>, number: usize, kind: ReadErrorKind) -> Self {
        Self { fails: Some((number, kind)), ..Self::whole(way) }
    }

    fn reader(&self) -> impl PhysReader {
        self.way.reader.asked.take();
        Failing::new(&self.way.reader, |number, addr: PhysAddr| {
            self.asked.borrow_mut().push(addr.page());
            self.fails.filter(|(fails, _)| *fails as u64 == number).map(|(_, kind)| kind)
        })
    }

    /// What was asked for since the last time.
    fn asked(&self) -> Vec<PhysAddr> {
        self.asked.take()
    }
}

/// Whether it is told that the page `lost` can't be read, with the place of an entry that leads to it.
pub fn is_told(way: &Way<'_>, fault: &Fault, lost: Option<PhysAddr>, kind: ReadErrorKind) -> bool {
    lost.is_some_and(|addr| {
        fault.cause == Cause::Unreadable(ReadError::new(addr, kind)) && leads_to(way, &fault.place, addr.page())
    })
}

/// Whether the entry at `place` leads to the page at `addr`, by the words in memory.
fn leads_to(way: &Way<'_>, place: &Place, addr: PhysAddr) -> bool {
    if place.structure == Structure::Root && place.entry.is_none() {
        return (place.table, addr) == (way.unit.rtaddr().root_table(), place.table);
    }
    let scalable = way.unit.is_scalable();
    let words = match place.structure {
        Structure::Root => 2,
        Structure::Context => 2 << u8::from(scalable),
        Structure::PasidTable => 8,
        Structure::PasidDirectory | Structure::FirstStage(_) | Structure::SecondStage(_) => 1,
    };
    let at = place.table.0 + u64::from(place.index) * words * 8;
    let all = way.reader.words(at & !0xfff);
    let entry = &all[at as usize % Page::SIZE / 8..][..words as usize];
    let pointers = match place.structure {
        Structure::Root if scalable => &[0, 1][..],
        Structure::PasidTable => &[0, 2],
        _ => &[0],
    };
    place.entry.is_some_and(|told| told.words()[..entry.len()] == *entry)
        && pointers.iter().any(|word| entry[*word] & 0x000f_ffff_ffff_f000 == addr.0)
}
