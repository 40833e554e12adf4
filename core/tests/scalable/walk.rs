//! What a walk comes to, and in which order.

use crate::builder::{Builder, PASS_THROUGH, ROOT, first_stage, second_stage};
use crate::common::Copying;
use crate::request::Kind;
use crate::{CAP, ECAP, FPD, HOST_WIDTH, PASIDE, RW, USER};
use iopt::memory::{Page, PhysReader, SparseMemory};
use iopt::radix::{Bound, Budget, Run, Statistics};
use iopt::vtd::{AddressSpace, Cap, Cause, Device, Ecap, Fault, FaultReason, Rtaddr, Unit};
use iopt::walk::{Flow, Scratch, Step, UnitWalk, Visitor};
use iopt::{Access, Iova, Pasid, Requester, SourceId};

pub fn unit() -> Unit {
    let unit = Unit::new(Rtaddr(ROOT | 1 << 10)).unwrap();
    unit.with_capabilities(Some(Cap(CAP)), Some(Ecap(ECAP))).with_host_address_width(Some(HOST_WIDTH))
}

/// Whose a leaf is, its address and its memory.
pub type Leaf = (SourceId, Option<Pasid>, u64, u64);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Walked {
    pub devices: Vec<Device>,
    pub leaves: Vec<Leaf>,
    pub faults: Vec<Fault>,
    /// How many page tables were told of.
    pub page_tables: u64,
}

impl Visitor for Walked {
    fn device(&mut self, device: &Device) -> Flow {
        self.devices.push(*device);
        Flow::Enter
    }

    fn table(&mut self, _: &iopt::radix::Table) -> Flow {
        self.page_tables += 1;
        Flow::Enter
    }

    fn run(&mut self, run: &Run<'_>) -> Flow {
        let device = self.devices.last().unwrap();
        self.leaves.extend(run.leaves().map(|leaf| (device.source_id, device.pasid, leaf.iova.0, leaf.phys.0)));
        Flow::Enter
    }

    fn fault(&mut self, fault: &Fault) -> Flow {
        self.faults.push(*fault);
        Flow::Enter
    }
}

/// Everything that the walk comes to, be it pulled or pushed.
fn all(unit: &Unit, reader: &dyn PhysReader, limit: &Limit<'_>) -> (Walked, Statistics) {
    let (mut scratch, mut pushed) = (Scratch::new(), Walked::default());
    let mut walk = limit(unit.walk(reader, &mut scratch));
    walk.visit(&mut pushed);
    let statistics = walk.statistics();
    let (mut scratch, mut pulled) = (Scratch::new(), Walked::default());
    let mut walk = limit(unit.walk(reader, &mut scratch));
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => pulled.device(device),
            Step::Table(table) => pulled.table(&table),
            Step::Shared(shared) => pulled.shared(&shared),
            Step::Run(run) => pulled.run(&run),
            Step::Fault(fault) => pulled.fault(&fault),
        };
    }
    assert_eq!((&pulled, walk.statistics()), (&pushed, statistics), "pulled and pushed");
    (pushed, statistics)
}

type Limit<'l> = dyn for<'w> Fn(UnitWalk<'w, dyn PhysReader + 'w>) -> UnitWalk<'w, dyn PhysReader + 'w> + 'l;

/// The same from a reader that can't lend, and with the numbers that belong to it.
pub fn walk(unit: &Unit, memory: &SparseMemory<'_>, limit: &Limit<'_>) -> (Walked, Statistics) {
    let copying = Copying(memory);
    let (lent, lending) = all(unit, memory, limit);
    let (copied, copying) = all(unit, &copying, limit);
    assert_eq!(lent, copied, "lent and copied");
    assert_eq!((lending.bytes_lent, lending.pages_read), (4096 * lending.tables, 0));
    assert_eq!((copying.bytes_lent, copying.pages_read), (0, lending.tables));
    assert_eq!((copying.tables, copying.leaves, copying.faults), (lending.tables, lending.leaves, lending.faults));
    assert_eq!((lent.leaves.len() as u64, lent.faults.len() as u64), (lending.leaves, lending.faults));
    (lent, lending)
}

/// Everything, without a limit.
pub fn whole(tables: &Builder) -> Walked {
    tables.words.with(|memory| walk(&unit(), memory, &|walk| walk).0)
}

/// Gives a PASID of `source` an address space with pages of its own, and tells their addresses and memory.
pub fn add(tables: &mut Builder, source: SourceId, pasid: u32, kind: Kind, levels: u8) -> Vec<Leaf> {
    let top = tables.table(1);
    let (entry, flags) = match kind {
        Kind::First => (first_stage(top, levels), USER),
        Kind::Second => (second_stage(top, levels), RW),
        Kind::PassThrough => (PASS_THROUGH, 0),
    };
    tables.pasid(source, Pasid(pasid), entry);
    let upper = if kind == Kind::First { vec![u64::MAX - 0xfff] } else { vec![] };
    let pages = [0x1000, 0x20_3000, 5 << 30].into_iter().chain(upper).filter(|_| kind != Kind::PassThrough);
    pages
        .enumerate()
        .map(|(number, iova)| {
            let phys =
                0x10_0000_0000 | u64::from(source.0) << 20 | u64::from(pasid) << 8 & 0xf_f000 | (number as u64) << 12;
            tables.map((top, levels), 1, iova, phys | flags, flags);
            (source, Some(Pasid(pasid)), iova, phys)
        })
        .collect()
}

/// Who is in [`several`]: PASIDs, and which of them is RID_PASID.
const FIRST: SourceId = SourceId::new(0, 8);
const UPPER: SourceId = SourceId::new(0, 0x88);
const BLOCKED: SourceId = SourceId::new(5, 0x80);
const LAST: SourceId = SourceId::new(0xff, 0xff);

/// Four devices of one half and the other, with several PASIDs in directories of one page and of two.
fn several() -> (Builder, Vec<Leaf>) {
    let mut tables = Builder::new();
    // Not in the order in which they are to be found.
    tables.context(LAST, 0, PASIDE | 1, 0x1fff);
    tables.context(BLOCKED, 0, 1, 3);
    tables.context(UPPER, 3, PASIDE | 1, 0x41);
    tables.context(FIRST, 2, PASIDE | 1, 0);
    let mut leaves = vec![];
    for (source, pasid, kind, levels) in [
        (LAST, 0x1fff, Kind::First, 4),
        (UPPER, 0xffff, Kind::First, 5),
        (UPPER, 0x8000, Kind::Second, 3),
        (UPPER, 0x41, Kind::First, 4),
        (FIRST, 0x7fff, Kind::Second, 5),
        (FIRST, 0x40, Kind::PassThrough, 4),
        (FIRST, 0x3f, Kind::First, 4),
        (FIRST, 0, Kind::Second, 4),
        (BLOCKED, 3, Kind::Second, 4),
    ] {
        leaves.extend(add(&mut tables, source, pasid, kind, levels));
    }
    add(&mut tables, BLOCKED, 2, Kind::First, 4);
    add(&mut tables, BLOCKED, 0x44, Kind::PassThrough, 4);
    leaves.sort_unstable();
    (tables, leaves)
}

fn names(walked: &Walked) -> Vec<(SourceId, u32, bool)> {
    walked.devices.iter().map(|device| (device.source_id, device.pasid.unwrap().0, device.with_pasid)).collect()
}

const NAMES: [(SourceId, u32, bool); 11] = [
    (FIRST, 0, false),
    (FIRST, 0x3f, true),
    (FIRST, 0x40, true),
    (FIRST, 0x7fff, true),
    (UPPER, 0x41, false),
    (UPPER, 0x8000, true),
    (UPPER, 0xffff, true),
    (BLOCKED, 2, true),
    (BLOCKED, 3, false),
    (BLOCKED, 0x44, true),
    (LAST, 0x1fff, false),
];

#[test]
fn devices_come_in_the_order_of_source_id_and_pasid() {
    let (tables, leaves) = several();
    let (walked, statistics) = tables.words.with(|memory| walk(&unit(), memory, &|walk| walk));
    assert_eq!(walked.faults, []);
    assert_eq!(names(&walked), NAMES);
    assert_eq!(walked.leaves, leaves);
    // The root table, four context tables, five pages of directories, and the PASID tables of their entries.
    let way = 1 + 4 + (1 + 2 + 1 + 1) + (3 + 3 + 2 + 1);
    assert_eq!(statistics.tables, way + walked.page_tables);
    assert_eq!(statistics.leaves, 3 * 3 + 4 * 4 + 3);
}

/// Who would send the requests of a device.
fn requester(device: &Device) -> Requester {
    Requester { source_id: device.source_id, pasid: device.pasid.filter(|_| device.with_pasid) }
}

/// Pages, what is next to them, interrupts, and what no kind of table takes.
fn addresses(leaves: &[Leaf]) -> Vec<Iova> {
    let pages = leaves.iter().flat_map(|&(_, _, iova, _)| [iova, iova ^ 0x1000, iova ^ 1 << 30, iova ^ 1 << 39]);
    let others = [0xfee0_0000, 0xfee8_1234, 1 << 47, 1 << 50, 1 << 63, u64::MAX, 0];
    pages.chain(others).map(Iova).collect()
}

#[test]
fn a_device_that_a_walk_finds_translates_as_the_unit_does() {
    let (tables, leaves) = several();
    let iovas = addresses(&leaves);
    tables.words.with(|memory| {
        let walked = walk(&unit(), memory, &|walk| walk).0;
        for device in &walked.devices {
            let mut copy = Page::ZERO;
            let found = unit().device(memory, requester(device), &mut copy, |_| ());
            match device.space {
                AddressSpace::Blocked(reason) => assert_eq!(found.unwrap_err().reason, Some(reason)),
                _ => assert_eq!(found, Ok(*device)),
            }
            for access in [Access::Read, Access::Write] {
                let unit_says: Vec<_> = iovas
                    .iter()
                    .map(|&iova| unit().translate(memory, requester(device), iova, access, &mut copy, |_| ()))
                    .collect();
                let device_says: Vec<_> =
                    iovas.iter().map(|&iova| device.translate(memory, iova, access, &mut copy, |_| ())).collect();
                assert_eq!(device_says, unit_says, "{device:?}");
                // Many at once, with some among them that no table is asked about, and without.
                let usual: Vec<_> =
                    iovas.iter().copied().filter(|iova| iova.0 < 1 << 38 && iova.0 >> 20 != 0xfee).collect();
                assert!(usual.len() > 20);
                for iovas in [&iovas, &usual] {
                    let mut together = vec![None; iovas.len()];
                    device.translate_all(memory, iovas, access, &mut copy, |at, found| {
                        assert_eq!(together[at].replace(found), None, "address {at} is done twice");
                    });
                    let alone =
                        iovas.iter().map(|&iova| Some(device.translate(memory, iova, access, &mut copy, |_| ())));
                    assert_eq!(together, alone.collect::<Vec<_>>(), "{device:?}");
                }
            }
        }
    });
}

/// The other PASIDs of such a device are told of, and lead nowhere; requests without one do.
#[test]
fn without_paside_all_pasids_but_rid_pasid_are_blocked() {
    let (tables, _) = several();
    let walked = whole(&tables);
    let spaces: Vec<_> =
        walked.devices.iter().filter(|device| device.source_id == BLOCKED).map(|device| device.space).collect();
    assert_eq!(spaces[0], AddressSpace::Blocked(FaultReason::ScalablePasidDisabled));
    assert!(matches!(spaces[1], AddressSpace::SecondStage(_)));
    assert_eq!(spaces[2], AddressSpace::Blocked(FaultReason::ScalablePasidDisabled));
    assert_eq!(spaces[0].input(), None);
}

/// Where a device has PASIDs at all, it is told that its requests without one are refused.
#[test]
fn an_absent_entry_of_rid_pasid_is_a_blocked_device() {
    let (plain, leaves) = several();
    for fpd in [0, FPD] {
        for (code, absent) in [(0x51, true), (0x59, false)] {
            let mut tables = plain.clone();
            let entry = tables.directory_at(UPPER, Pasid(0x41));
            let entry = if absent { entry } else { (tables.words.get(entry) & !0xfff) + 64 };
            tables.words.set(entry, fpd);
            let walked = whole(&tables);
            assert_eq!((names(&walked), walked.faults), (NAMES.to_vec(), vec![]));
            let rest: Vec<_> =
                leaves.iter().copied().filter(|leaf| (leaf.0, leaf.1) != (UPPER, Some(Pasid(0x41)))).collect();
            assert_eq!(walked.leaves, rest);
            let device = walked.devices[4];
            assert_eq!(device.space, AddressSpace::Blocked(FaultReason::from_code(code)));
            assert_eq!((device.fault_disabled(), device.domain()), (fpd != 0, None));
            tables.words.with(|memory| {
                for iova in addresses(&leaves) {
                    let mut copy = Page::ZERO;
                    let found = device.translate(memory, iova, Access::Read, &mut copy, |_| ());
                    assert_eq!(found, unit().translate(memory, UPPER, iova, Access::Read, &mut copy, |_| ()));
                    let fault = found.unwrap_err();
                    if fault.cause != Cause::InterruptRequest {
                        assert_eq!((fault.reason.unwrap().code(), fault.suppressed), (code, fpd != 0));
                    }
                }
            });
        }
    }
}

#[test]
fn one_device_or_one_pasid_is_walked_alone() {
    let (tables, leaves) = several();
    tables.words.with(|memory| {
        for source in [FIRST, UPPER, BLOCKED, LAST, SourceId::new(0, 9), SourceId::new(5, 0), SourceId::new(6, 0x80)] {
            let (walked, _) = walk(&unit(), memory, &|walk| walk.only_device(source));
            let own = |&(other, ..): &(SourceId, u32, bool)| other == source;
            assert_eq!(names(&walked), NAMES.iter().copied().filter(own).collect::<Vec<_>>());
            assert_eq!(walked.leaves, leaves.iter().copied().filter(|leaf| leaf.0 == source).collect::<Vec<_>>());
            assert_eq!(walked.faults, []);
        }
        for pasid in [0, 2, 3, 0x3f, 0x40, 0x41, 0x44, 0x1fff, 0x7fff, 0x8000, 0xffff, 0x10000, 0xf_ffff, u32::MAX] {
            for source in [None, Some(UPPER), Some(FIRST)] {
                let (walked, _) = walk(&unit(), memory, &|walk| {
                    let walk = walk.only_pasid(Pasid(pasid));
                    if let Some(source) = source { walk.only_device(source) } else { walk }
                });
                let own = |found: SourceId, number: u32| number == pasid && source.is_none_or(|source| source == found);
                let expected = NAMES.iter().copied().filter(|name| own(name.0, name.1));
                assert_eq!(names(&walked), expected.collect::<Vec<_>>(), "{pasid:#x}");
                let expected = leaves.iter().copied().filter(|leaf| own(leaf.0, leaf.1.unwrap().0));
                assert_eq!(walked.leaves, expected.collect::<Vec<_>>(), "{pasid:#x}");
                assert_eq!(walked.faults, []);
            }
        }
    });
}

/// Every budget that is too small ends the walk where it is used up, with one fault, and nothing before is lost.
#[test]
fn a_budget_ends_the_walk() {
    let (tables, leaves) = several();
    tables.words.with(|memory| {
        let (everything, all) = walk(&unit(), memory, &|walk| walk);
        for budget in 0..all.tables {
            let (walked, statistics) =
                walk(&unit(), memory, &|walk| walk.budget(Budget { tables: budget, ..Budget::UNLIMITED }));
            let [fault] = walked.faults[..] else { panic!("{budget}: {:?}", walked.faults) };
            assert_eq!((fault.reason, fault.cause), (None, Cause::Budget(Bound::Tables(budget))));
            assert_eq!((statistics.tables, fault.suppressed), (budget, false));
            assert_eq!(walked.leaves, leaves[..walked.leaves.len()]);
            assert_eq!(walked.devices, everything.devices[..walked.devices.len()]);
        }
        for budget in [all.tables, u64::MAX] {
            assert_eq!(
                walk(&unit(), memory, &|walk| walk.budget(Budget { tables: budget, ..Budget::UNLIMITED })),
                (everything.clone(), all)
            );
        }
    });
}
