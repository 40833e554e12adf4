//! A walk of the copy finds what one of the old tables finds, and requests end up where they did.

use super::{Made, Old, reader};
use crate::check::collect::{Collector, OnTheWay, Seen};
use crate::check::translate::addresses;
use iopt::memory::{Page, PhysReader, SparseMemory};
use iopt::radix::{Run, Table};
use iopt::vtd::{AddressSpace, Cause, Device, Fault, FaultReason, Rtaddr, Structure, Unit};
use iopt::walk::{Flow, Scratch, Visitor};
use iopt::{Access, Iova, Pasid, PhysAddr, Requester, SourceId};
use std::collections::BTreeSet;

/// What a device is, without where its tables are.
type Who = (SourceId, Option<Pasid>);

/// Walks a copy, but for what lies below loops of the old tables: those are finite there.
struct Loopless {
    collector: Collector,
    /// Whose they are, the level of the table that the entry points to, and the first address.
    loops: BTreeSet<(Who, u8, Iova)>,
    /// Whose loops are in the second of two stages, where one entry is met at many addresses.
    looped: BTreeSet<Who>,
    who: Who,
}

impl Visitor for Loopless {
    fn device(&mut self, device: &Device) -> Flow {
        self.who = (device.source_id, device.pasid);
        self.collector.device(device);
        if self.looped.contains(&self.who) { Flow::Skip } else { Flow::Enter }
    }
    fn table(&mut self, table: &Table) -> Flow {
        if self.loops.contains(&(self.who, table.level, table.iova)) {
            return Flow::Skip;
        }
        self.collector.table(table)
    }
    fn run(&mut self, run: &Run<'_>) -> Flow {
        self.collector.run(run)
    }
    fn fault(&mut self, fault: &Fault) -> Flow {
        self.collector.fault(fault)
    }
}

fn is_loop(fault: &Fault) -> bool {
    matches!(fault.cause, Cause::Loop { .. })
}

/// Whether a first stage leads to loops of the second. Those of the first stay where they are, and stay loops.
fn has_nested_loop(seen: &Seen) -> bool {
    let in_second = |fault: &Fault| matches!(fault.place.structure, Structure::SecondStage(_));
    matches!(seen.device.space, AddressSpace::Nested(..)) && seen.faults.iter().any(|f| is_loop(f) && in_second(f))
}

/// A fault, without where it is: its level or structure, entry number and address stay what they are.
type About = (Option<FaultReason>, Structure, u16, Option<Iova>, Option<SourceId>, Option<Pasid>, bool);

fn about(fault: &Fault) -> About {
    let place = fault.place;
    (fault.reason, place.structure, place.index, place.iova, place.source_id, place.pasid, fault.suppressed)
}

/// The unit that the new kernel programs.
fn new_unit(old: &Old<'_>, root: Rtaddr) -> Unit {
    Unit::new(root)
        .expect("as before")
        .with_capabilities(old.unit.cap(), old.unit.ecap())
        .with_host_address_width(old.built.haw)
}

pub fn check(old: &Old<'_>, root: Rtaddr, memory: &SparseMemory<'_>, made: &Made) {
    let (unit, reader) = (new_unit(old, root), reader(old, memory, made));
    let (mut loops, mut looped) = (BTreeSet::new(), BTreeSet::new());
    for seen in &old.found.seen {
        let who = (seen.device.source_id, seen.device.pasid);
        if has_nested_loop(seen) {
            looped.insert(who);
        }
        if matches!(seen.device.space, AddressSpace::Nested(..)) {
            continue;
        }
        for fault in seen.faults.iter().filter(|fault| is_loop(fault)) {
            let (Structure::FirstStage(level) | Structure::SecondStage(level)) = fault.place.structure else {
                continue;
            };
            loops.insert((who, level - 1, fault.place.iova.expect("it has one")));
        }
    }
    let mut found = Loopless { collector: Collector::default(), loops, looped, who: (SourceId(0), None) };
    unit.walk(&reader, &mut Box::new(Scratch::new())).visit(&mut found);
    found.collector.close();
    let (was, is) = (old.found, &found.collector);

    check_way(was, is, memory);
    let mut copies = is.seen.iter().peekable();
    for seen in &was.seen {
        let who = |seen: &Seen| (seen.device.source_id, seen.device.pasid);
        // A device without tables may be left, or one may be there whose directory was lost.
        while copies.next_if(|copy| who(copy) < who(seen)).is_some() {}
        match copies.next_if(|copy| who(copy) == who(seen)) {
            Some(copy) => check_device(seen, copy, memory),
            // One that is refused for want of PASIDE may have lost its tables like any other.
            None => {
                let blocked = matches!(seen.device.space, AddressSpace::Blocked(_));
                assert!(blocked || is_top_lost(seen, memory), "{} is missing", seen.device.source_id);
            }
        }
        check_translations(old, &unit, memory, &reader, seen);
    }
}

/// Whether the top table that would be copied is not in memory: that of the second stage, if there is one.
fn is_top_lost(seen: &Seen, memory: &SparseMemory<'_>) -> bool {
    let space = &seen.device.space;
    let second = space.second_stage().map(|second| second.root);
    let top = second.or(space.first_stage().map(|first| first.root));
    top.is_some_and(|top| memory.lend_page(top).is_none())
}

/// Whether the copy has nothing where the old tables have this fault.
fn is_lost(fault: &Fault, seen: &Seen) -> bool {
    // The tables of a nested first stage are where they were.
    let first_of_nested = matches!(seen.device.space, AddressSpace::Nested(..))
        && (matches!(fault.place.structure, Structure::FirstStage(_))
            || fault.reason == Some(FaultReason::FirstStageTopUnreadable));
    matches!(fault.cause, Cause::Unreadable(_)) && !first_of_nested
}

/// Whether a PASID table entry is refused to a supervisor, and its top table is lost: for want of that, the entry is
/// not present in the copy.
fn is_refused_and_lost(fault: &Fault, memory: &SparseMemory<'_>) -> bool {
    let Some(words) = fault.place.entry.map(|entry| *entry.words()) else { return false };
    // The table of the first stage is copied where there is no second.
    let top = if words[0] >> 6 & 7 == 1 { words[2] } else { words[0] };
    fault.reason == Some(FaultReason::SupervisorDisabled) && memory.lend_page(PhysAddr(top)).is_none()
}

fn check_way(was: &Collector, is: &Collector, memory: &SparseMemory<'_>) {
    let all_but_lost = |fault: &Fault| !matches!(fault.cause, Cause::Unreadable(_));
    let kept = |fault: &Fault| all_but_lost(fault) && !is_refused_and_lost(fault, memory);
    let faults = |found: &Collector, kept: &dyn Fn(&Fault) -> bool| -> Vec<About> {
        let faults = found.way.iter().filter_map(|item| match item {
            OnTheWay::Fault(fault) if kept(fault) => Some(about(fault)),
            _ => None,
        });
        faults.collect()
    };
    assert_eq!(faults(is, &all_but_lost), faults(was, &kept), "what is refused is refused in the copy");
    let lost = is.faults().find(|fault| matches!(fault.cause, Cause::Unreadable(_)));
    let nested = was.seen.iter().any(|seen| matches!(seen.device.space, AddressSpace::Nested(..)));
    assert!(nested || lost.is_none(), "the copy leads to nowhere: {}", lost.expect("there is one"));
}

fn check_device(was: &Seen, is: &Seen, memory: &SparseMemory<'_>) {
    let who = was.device.source_id;
    if is_top_lost(was, memory) {
        // Requests without PASID find an entry that is not present.
        let blocked = AddressSpace::Blocked(FaultReason::PasidEntryNotPresent);
        return assert!(is.device.space == blocked && is.leaves.is_empty(), "{who}: {:?}", is.device.space);
    }
    let facts = |device: &Device| (device.with_pasid, device.domain(), device.fault_disabled(), device.space.input());
    assert_eq!(facts(&is.device), facts(&was.device), "{who} {:?}", was.faults);
    assert_eq!(space(&is.device.space), space(&was.device.space), "{who}");
    if has_nested_loop(was) {
        return;
    }
    assert!(is.leaves == was.leaves, "{who}: leaves differ");
    assert!(is.by_both == was.by_both && is.by_iova == was.by_iova, "{who}: ranges differ");
    let nested = matches!(was.device.space, AddressSpace::Nested(..));
    if !nested {
        // What lies first beyond the unit's reach may be an entry of which the table is lost. Then something else is
        // first in the copy, or nothing.
        let beyond = |fault: &Fault| matches!(fault.cause, Cause::TooWide { .. });
        let excused = was.faults.iter().any(|fault| beyond(fault) && !is_leaf(fault));
        let told = |fault: &&Fault| !(excused && beyond(fault));
        let kept = |fault: &&Fault| !is_lost(fault, was) && !is_loop(fault);
        let faults: Vec<About> = was.faults.iter().filter(kept).filter(told).map(about).collect();
        assert_eq!(is.faults.iter().filter(told).map(about).collect::<Vec<_>>(), faults, "{who}");
    }
}

/// Whether the entry of a second-stage table that a fault is about is a leaf.
fn is_leaf(fault: &Fault) -> bool {
    let large = fault.place.entry.is_some_and(|entry| entry.words()[0] & 1 << 7 != 0);
    fault.place.structure == Structure::SecondStage(1) || large
}

/// What an address space is, without where its tables are.
fn space(space: &AddressSpace) -> String {
    let mut space = *space;
    match &mut space {
        AddressSpace::SecondStage(second) | AddressSpace::Nested(_, second) => second.root.0 = 0,
        AddressSpace::FirstStage(first) => first.root.0 = 0,
        AddressSpace::PassThrough { .. } | AddressSpace::Blocked(_) => {}
    }
    format!("{space:?}")
}

/// Hardware doesn't mind loops, and neither do single requests.
fn check_translations<R: PhysReader>(old: &Old<'_>, unit: &Unit, memory: &SparseMemory<'_>, new: &R, seen: &Seen) {
    let pasid = seen.device.pasid.filter(|_| seen.device.with_pasid);
    let who = Requester { source_id: seen.device.source_id, pasid };
    let has_lost = is_top_lost(seen, memory) || seen.faults.iter().any(|fault| is_lost(fault, seen));
    let mut copy = Page::ZERO;
    for iova in addresses(seen).into_iter().map(Iova) {
        for access in [Access::Read, Access::Write] {
            let was = old.unit.translate(memory, who, iova, access, &mut copy, |_| ());
            let is = unit.translate(new, who, iova, access, &mut copy, |_| ());
            match (&was, &is) {
                (Ok(was), Ok(is)) => assert_eq!(
                    (was.phys, was.page_size_log2, was.permissions),
                    (is.phys, is.page_size_log2, is.permissions),
                    "{who} {iova}"
                ),
                (Err(fault), Err(is)) if is_lost(fault, seen) => {
                    assert!(!matches!(is.cause, Cause::Unreadable(_)), "{who} {iova}: {is}");
                }
                // Before the entry whose table is lost was found to refuse the request, it is not present.
                (Err(_), Err(is)) if has_lost && is.cause == Cause::NotPresent => {}
                (Err(was), Err(is)) => {
                    let why = |fault: &Fault| (fault.reason, fault.suppressed);
                    assert_eq!(why(is), why(was), "{who} {iova} {access}: was {was}, is {is}");
                }
                _ => panic!("{who} {iova} {access}: was {was:?}, is {is:?}"),
            }
        }
    }
}

/// Root and context tables are new, and lead to the page tables that there are.
pub fn check_adopted(old: &Old<'_>, root: Rtaddr, memory: &SparseMemory<'_>, made: &Made) {
    let unit = new_unit(old, root);
    let reader = super::New { pages: &made.pages, old: Some(memory) };
    let (found, _) = crate::check::collect::collect(&unit, &reader);
    let (was, is) = (&old.found.seen, &found.seen);
    assert_eq!(is.len(), was.len());
    for (was, is) in was.iter().zip(is) {
        assert_eq!((is.device.source_id, is.device.pasid), (was.device.source_id, was.device.pasid));
        assert_eq!(is.device.space, was.device.space);
        assert_eq!(is.device.entries.context(), was.device.entries.context());
        assert!(is.tables == was.tables && is.leaves == was.leaves, "{}", was.device.source_id);
    }
}
