//! Copies of real tables, and what a Linux capture kernel made of the same ones.

use crate::ranges::expected_ranges;
use crate::{Capture, Way, number, words};
use iopt::copy::{self, MemoSlot, Mode, Options, Partial, Plan, Room, Workspace};
use iopt::memory::{Reservations, Slot, SparseMemory};
use iopt::vtd::{Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt::{IovaRange, PhysAddr, SourceId};
use std::collections::{BTreeMap, BTreeSet};

/// Where new pages are: no capture has memory there.
const FIRST: u64 = 0x40_0000_0000;

/// A copy, and what was told on the way to it.
struct Made<'p> {
    plan: Plan,
    pages: SparseMemory<'p>,
    iovas: Box<Reservations<32, 4096>>,
    root: Rtaddr,
}

fn execute<'p>(way: &Way<'_>, mode: Mode, slots: &'p mut [Slot]) -> Made<'p> {
    let (mut memo, mut room) = (vec![MemoSlot::EMPTY; 4096], Box::new(Room::new()));
    let mut work = Workspace::new(&mut memo, &mut room);
    let mut pages = SparseMemory::new(slots);
    pages.allocate_from(PhysAddr(FIRST));
    let mut iovas = Box::new(Reservations::new());
    // The tables of these captures are whole, so nothing is told and all or nothing is all.
    let options = Options { mode, partial: Partial::Refuse, ..Options::default() };
    let plan =
        copy::plan(&way.reader, &[way.unit], &options, &mut work, |_, problem| panic!("{}: {problem}", way.name));
    let plan = plan.unwrap_or_else(|error| panic!("{}: {error}", way.name));
    let mut roots = [Rtaddr(0)];
    let done = plan.execute(&way.reader, &[way.unit], &mut pages, &mut *iovas, &mut work, &mut roots);
    assert_eq!(done, Ok(plan), "{}: it is done as planned", way.name);
    let verified = copy::verify(&way.reader, &[way.unit], &roots, &pages, &options, &mut work);
    let verified = verified.unwrap_or_else(|difference| panic!("{} {mode:?}: {difference}", way.name));
    assert_eq!((verified.tables, verified.missing), (plan.pages, 0), "{}", way.name);
    Made { plan, pages, iovas, root: roots[0] }
}

/// The unit that the new kernel programs.
fn unit(way: &Way<'_>, made: &Made<'_>) -> Unit {
    let unit = Unit::new(made.root).unwrap().with_capabilities(way.unit.cap(), way.unit.ecap());
    unit.with_host_address_width(way.known.then_some(48))
}

#[test]
fn copies_have_a_page_for_each_table_page_and_the_ranges_of_each_device() {
    Capture::each(|way| {
        let mut slots = vec![Slot::EMPTY; 2048];
        let made = execute(way, Mode::Copy, &mut slots);
        let kinds = way.expected["table_pages"].as_object().unwrap().iter();
        // The interrupt remapping table is no part of this.
        let pages = kinds.filter(|(kind, _)| *kind != "interrupt-remap").map(|(_, pages)| pages.as_array().unwrap());
        assert_eq!(made.plan.pages, pages.map(|pages| pages.len() as u64).sum::<u64>(), "{}", way.name);

        // The copy alone has all that is needed to find every range where it was.
        let (unit, mut scratch) = (unit(way, &made), Scratch::new());
        let mut found = BTreeMap::<String, Vec<_>>::new();
        for range in unit.ranges(&made.pages, &mut scratch) {
            let range = range.unwrap_or_else(|fault| panic!("{}: {fault}", way.name));
            let bytes = u64::try_from(range.iova.size()).unwrap();
            let permissions = range.permissions.to_string().replace('-', "");
            let row = (range.iova.first().0, range.phys.unwrap().0, bytes, permissions);
            found.entry(range.source_id.to_string()).or_default().push(row);
        }
        for device in way.devices() {
            let Some(table) = way.page_table(device) else { continue };
            let bdf = device["bdf"].as_str().unwrap();
            assert_eq!(found.remove(bdf).unwrap_or_default(), expected_ranges(table), "{}: {bdf}", way.name);
        }
    });
}

/// What is reserved is what the expectations have as mapped, by domain.
#[test]
fn copies_and_adoptions_reserve_what_is_mapped() {
    Capture::each(|way| {
        let mut mapped = BTreeMap::<u16, Vec<(u64, u64)>>::new();
        for device in way.devices() {
            let domain = u16::try_from(device["domain_id"].as_u64().unwrap()).unwrap();
            let ranges = mapped.entry(domain).or_default();
            let table = way.page_table(device).map(expected_ranges).unwrap_or_default();
            ranges.extend(table.into_iter().map(|(iova, _, bytes, _)| (iova, iova + (bytes - 1))));
        }
        for mode in [Mode::Copy, Mode::Adopt] {
            let mut slots = vec![Slot::EMPTY; 2048];
            let made = execute(way, mode, &mut slots);
            let domains: BTreeSet<u16> = made.iovas.domains().map(|(_, domain, _)| domain.0).collect();
            assert!(domains.iter().eq(mapped.keys()), "{}: {domains:?}", way.name);
            for (domain, mapped) in &mapped {
                let own = made.iovas.ranges().filter(|(_, other, _)| other.0 == *domain);
                let mut reserved: Vec<IovaRange> = own.map(|(_, _, range)| range).collect();
                reserved.sort_by_key(|range| range.first());
                let reserved: Vec<_> = reserved.iter().map(|range| (range.first().0, range.last().0)).collect();
                assert_eq!(reserved, union(mapped.clone()), "{}: domain {domain}", way.name);
            }
            for device in way.devices() {
                assert!(made.iovas.in_use(source_id(device["bdf"].as_str().unwrap())), "{}", way.name);
            }
        }
    });
}

fn source_id(bdf: &str) -> SourceId {
    let mut parts = bdf.split([':', '.']).map(|part| u8::from_str_radix(part, 16).unwrap());
    let [bus, device, function] = std::array::from_fn(|_| parts.next().unwrap());
    SourceId::new(bus, device << 3 | function)
}

/// The fewest ranges that cover the same.
fn union(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    let mut joined = Vec::<(u64, u64)>::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

#[test]
fn adoptions_have_new_root_and_context_tables_only() {
    Capture::each(|way| {
        let mut slots = vec![Slot::EMPTY; 64];
        let made = execute(way, Mode::Adopt, &mut slots);
        let tables = way.expected["table_pages"].as_object().unwrap();
        let pages = tables.iter().filter(|(kind, _)| *kind == "root" || kind.starts_with("context"));
        let pages: usize = pages.map(|(_, pages)| pages.as_array().unwrap().len()).sum();
        assert_eq!(made.plan.pages, pages as u64, "{}", way.name);
    });
}

/// Devices whose driver was started by the capture kernel when its memory was saved: each was given a new domain and
/// new page tables, and so a new context entry.
const RESTARTED: [&str; 5] = ["00:04.0", "00:05.0", "00:06.0", "00:1c.0", "00:1f.2"];

/// Linux adopts. What its capture kernel made of the first kernel's tables is what an adoption of the vmcore makes of
/// them, but for where the tables are, and for the devices that it has started to use since.
#[test]
fn an_adoption_is_what_a_capture_kernel_made() {
    let vmcore = crate::first_kernel("vmcore.lime.xz", "vmcore.json");
    let capture_kernel = crate::CAPTURE_KERNEL.expected();
    let linux = |bdf: &str| {
        let devices = capture_kernel["devices"].as_array().unwrap();
        let device = devices.iter().find(|device| device["bdf"] == bdf).unwrap();
        (words(&device["root_entry"]), words(&device["context_entry"]))
    };
    vmcore.ways(|way| {
        let mut slots = vec![Slot::EMPTY; 16];
        let made = execute(way, Mode::Adopt, &mut slots);
        let context_table = PhysAddr(FIRST);
        assert_eq!(made.root.root_table(), PhysAddr(FIRST + 0x1000), "children come before parents");
        let word = |table: PhysAddr, at: u64| made.pages.read_u64(PhysAddr(table.0 + at)).unwrap();
        let mut restarted = Vec::new();
        let mut present = BTreeSet::new();
        for device in way.devices() {
            let bdf = device["bdf"].as_str().unwrap();
            let (root, context) = linux(bdf);
            let at = u64::from(source_id(bdf).0 & 0xff) * 16;
            let adopted = [0, 8].map(|half| word(context_table, at + half));
            assert_eq!(adopted, [0, 1].map(|half| number(&device["context_entry"][half])), "{bdf}: as it was");
            // The entry of the bus differs by where the context table is.
            assert_eq!([0, 8].map(|half| word(made.root.root_table(), half)), [context_table.0 | 1, 0]);
            assert_eq!((root.words()[0] & 0xfff, root.words()[1]), (1, 0));
            if adopted != context.words()[..2] {
                restarted.push(bdf.to_owned());
                // New page tables and another domain-id; type, width and the rest stay.
                let changed = [adopted[0] ^ context.words()[0], adopted[1] ^ context.words()[1]];
                assert!(changed[0] & !0xfff != 0 && changed[0] & 0xfff == 0, "{bdf}: {changed:x?}");
                assert!(changed[1] & 0xff_ff00 != 0 && changed[1] & !0xff_ff00 == 0, "{bdf}: {changed:x?}");
                let old = way.devices().iter().map(|device| &device["domain_id"]);
                let new = context.words()[1] >> 8 & 0xffff;
                assert!(old.into_iter().all(|old| *old != new), "{bdf}: {new} was in use, and reserved");
            }
            present.insert(at);
        }
        assert_eq!(restarted, RESTARTED);
        // Neither has any other device.
        assert_eq!(capture_kernel["devices"].as_array().unwrap().len(), present.len());
        let others = (0..256).map(|devfn| devfn * 16).filter(|at| !present.contains(at));
        assert!(others.into_iter().all(|at| word(context_table, at) == 0 && word(context_table, at + 8) == 0));
        let buses = (1..256).flat_map(|bus| [bus * 16, bus * 16 + 8]);
        assert!(buses.into_iter().all(|at| word(made.root.root_table(), at) == 0));
    });
}
