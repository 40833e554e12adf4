//! What a kernel does with the tables of the kernel before it, each with the answer that it must give.

use crate::builds::builds;
use crate::frames;
use crate::tables::{BROKEN, CAP, DISK, DMAR, ECAP, PASSES, RTADDR, WORDS};
use crate::{copies, scalable};
use core::cell::Cell;
use core::hint::black_box;
use iopt::coalesce::{Coalescer, DeviceRange, DeviceRanges, Join, MappedRange};
use iopt::format::{FirstStage, FirstStageRules, SecondStage, SecondStageRules};
use iopt::memory::{
    CacheSlot, Cached, Counted, Counts, Failing, OldMemory, Page, PageAllocator, PhysReader, ReadErrorKind, Slot,
    SparseMemory, Traced, Window, ranges,
};
use iopt::radix::{Budget, Cursor, Defect, Inner, Item, MAX_LEVELS, Nested, NestedItem, Run, Table, translate_nested};
use iopt::vtd::dmar::{Dmar, Doubt, Structure, Unresolved};
use iopt::vtd::{Bits, Cause, Device, Fault, FaultReason, Irta, Msi, Remapped, Unit};
use iopt::walk::{Flow, MemoSlot, Scratch, Step, Visitor};
use iopt::{Access, Iova, IovaRange, Permissions, PhysAddr, PhysRange, SourceId};

/// The number of the first check that fails, or 0.
pub fn first_failure() -> u8 {
    let mut slots = [const { Slot::EMPTY }; 16];
    let mut lent = SparseMemory::new(&mut slots);
    for (addr, value) in black_box(&WORDS).iter().chain(black_box(&scalable::WORDS)) {
        frames::write(*addr, *value);
        if lent.write_u64(*addr, *value).is_err() {
            return 1;
        }
    }
    let map = [PhysRange::block(PhysAddr(0), 16)];
    let copied = OldMemory::new(frames::copy_oldmem_page).with_ranges(black_box(&map));
    let Ok(unit) = Unit::new(black_box(RTADDR)) else { return 2 };
    let unit = unit.with_capabilities(Some(black_box(CAP)), Some(black_box(ECAP))).with_host_address_width(Some(46));
    if !nests(&copied) || !nests(black_box(&lent as &dyn PhysReader)) {
        return 12;
    }
    match first_of(&unit, &copied) | first_of(&unit, &lent) {
        0 if !allocates(&mut lent) => 9,
        0 if !finds_units(black_box(&DMAR)) => 11,
        0 if !wraps(&unit, &copied) => 14,
        0 if !builds() => 15,
        number => number,
    }
}

/// The checks that every reader must pass, behind a reference to its type and to any type.
fn first_of<R: PhysReader>(unit: &Unit, memory: &R) -> u8 {
    let any: &dyn PhysReader = black_box(memory);
    let checks = [walks(unit, any), pushes(unit, memory), pushes(unit, any), translates(unit, any), seeks(any)];
    let failed = (3..).zip(checks).find_map(|(number, passed)| (!passed).then_some(number));
    failed
        .or((!reports(unit, any)).then_some(8))
        .or((!remembers(unit, memory) || !remembers(unit, any)).then_some(14))
        .or((!interrupts(any)).then_some(10))
        .or((!scalable::walks(any)).then_some(12))
        .or((!copies::copies(any)).then_some(13))
        .unwrap_or(0)
}

/// The disk's ranges, as first address, last address and memory.
const DISK_RANGES: [(u64, u64, u64); 4] = [
    (0, 0xfff, 0x7000),
    (0x1000, 0x1fff, 0x6000),
    (0x1f_e000, 0x3f_ffff, 0x1f_e000),
    (0x4000_0000, 0x7fff_ffff, 0x8000_0000),
];

/// The ranges again, behind every reader that goes around another one: moved by 8 bytes, and back again.
fn wraps(unit: &Unit, memory: &dyn PhysReader) -> bool {
    let mut slots = [const { CacheSlot::EMPTY }; 8];
    let told = Cell::new(0_u64);
    let counted =
        Counted::new(Failing::new(memory, |_, addr| (addr == PhysAddr(0)).then_some(ReadErrorKind::Excluded)));
    let cached = Cached::new(Traced::new(&counted, |_| told.set(told.get().wrapping_add(1))), &mut slots);
    let [there, back] = [8, 0xff8].map(|first| PhysRange::new(PhysAddr(black_box(first)), PhysAddr(1 << 40)));
    let (Some(there), Some(back)) = (there, back) else { return false };
    let Some(moved) = Window::new(black_box(&cached as &dyn PhysReader), there, PhysAddr(0)) else { return false };
    let Some(moved_back) = Window::new(&moved, back, PhysAddr(black_box(0x1000))) else { return false };
    let counts = |counts: Counts| counts.pages_read.wrapping_add(counts.failures);
    walks(unit, &moved_back) && counts(counted.counts()) == told.get() && ranges(&moved_back).count() == 1
}

/// The ranges of every device, pulled.
fn walks(unit: &Unit, memory: &dyn PhysReader) -> bool {
    let mut scratch = Scratch::new();
    let mut disk = DISK_RANGES.iter();
    let (mut faults, mut passes) = (0, 0);
    for range in unit.ranges(memory, &mut scratch) {
        match range {
            Ok(range) if range.source_id == DISK => {
                let expected = disk.next().copied();
                if expected != Some(told(&range)) {
                    return false;
                }
            }
            Ok(range) => passes += u32::from(range.source_id == PASSES && range.page_size_log2.is_none()),
            Err(_) => faults += 1,
        }
    }
    let whole = IovaRange::new(Iova(0), Iova(0x1fff));
    let walk = unit.walk(memory, &mut scratch).only_device(DISK).only_range(IovaRange::block(Iova(0), 13));
    let by_iova = DeviceRanges::new(walk.budget(Budget { tables: 100, ..Budget::default() }), Join::Iova).next();
    (disk.len(), faults, passes) == (0, 2, 1)
        && matches!(by_iova, Some(Ok(range)) if Some(range.iova) == whole && range.phys.is_none())
}

fn told(range: &DeviceRange) -> (u64, u64, u64) {
    (range.iova.first().0, range.iova.last().0, range.phys.map_or(0, |phys| phys.0))
}

/// Counts what is pushed to it, and coalesces the runs.
struct Count {
    coalescer: Coalescer,
    devices: u32,
    tables: u32,
    leaves: u64,
    linear: usize,
    span: u64,
    ranges: u32,
    bytes: u128,
    faults: u32,
}

impl Count {
    fn add(&mut self, range: MappedRange) {
        self.ranges += 1;
        self.bytes = self.bytes.wrapping_add(range.iova.size());
    }
}

impl Visitor for Count {
    fn device(&mut self, device: &Device) -> Flow {
        self.devices += 1;
        if device.source_id == BROKEN { Flow::Skip } else { Flow::Enter }
    }

    fn table(&mut self, table: &Table) -> Flow {
        self.tables += u32::from(table.level > 0);
        Flow::Enter
    }

    fn run(&mut self, run: &Run<'_>) -> Flow {
        let run = black_box(run);
        self.linear = self.linear.wrapping_add(run.linear_from(black_box(1)));
        self.span = self.span.max(run.iova_range().last().0);
        self.leaves = self.leaves.wrapping_add(run.leaves().count() as u64);
        let mut coalescer = self.coalescer;
        coalescer.push(run, |range| self.add(range));
        self.coalescer = coalescer;
        Flow::Enter
    }

    fn fault(&mut self, _: &Fault) -> Flow {
        self.faults += 1;
        Flow::Enter
    }
}

/// Everything pushed through a visitor.
fn pushes<R: PhysReader + ?Sized>(unit: &Unit, memory: &R) -> bool {
    let mut scratch = Scratch::new();
    let coalescer = Coalescer::new(Join::Both);
    let mut count =
        Count { coalescer, devices: 0, tables: 0, leaves: 0, linear: 0, span: 0, ranges: 0, bytes: 0, faults: 0 };
    let mut walk = unit.walk(memory, &mut scratch);
    walk.visit(&mut count);
    if let Some(range) = count.coalescer.finish() {
        count.add(range);
    }
    (count.devices, count.tables, count.leaves, count.ranges, count.faults) == (3, 3, 6, 4, 1)
        && (count.bytes, count.linear, count.span) == (0x4020_4000, 2, 0x7fff_ffff)
        && walk.statistics().tables == 5
}

/// The same with a memo, which finds nothing that is shared.
fn remembers<R: PhysReader + ?Sized>(unit: &Unit, memory: &R) -> bool {
    let (mut scratch, mut memo) = (Scratch::new(), [MemoSlot::EMPTY; 8]);
    let mut walk = unit.walk(memory, &mut scratch).memo(&mut memo);
    let (mut tables, mut shared, mut repeats) = (0_u32, 0_u32, 0_usize);
    while let Some(step) = walk.next() {
        match step {
            Step::Table(table) => tables += 1 + u32::from(table.repeats),
            Step::Shared(_) => shared += 1,
            Step::Run(run) => repeats = repeats.wrapping_add(run.repeats()),
            Step::Device(_) | Step::Fault(_) => {}
        }
    }
    (tables, shared, repeats, walk.is_memo_full()) == (3, 0, 0, false)
}

/// Single requests, as the hardware would answer them.
fn translates(unit: &Unit, memory: &dyn PhysReader) -> bool {
    let mut copy = Page::ZERO;
    let mut one = |device, iova, access| {
        let mut path = 0;
        let found = unit.translate(memory, device, Iova(black_box(iova)), access, &mut copy, |_| path += 1);
        (found.map(|found| found.phys.0).map_err(|fault| fault.reason), path)
    };
    one(DISK, 0x20_1234, Access::Write) == (Ok(0x20_1234), 4)
        && one(DISK, 0x1008, Access::Read) == (Ok(0x6008), 5)
        && one(DISK, 0x1008, Access::Write) == (Err(Some(FaultReason::WriteDenied)), 5)
        && one(DISK, 0x8000_0000, Access::Read) == (Err(Some(FaultReason::PageTableReserved)), 3)
        && one(DISK, 1 << 40, Access::Read) == (Err(Some(FaultReason::AddressTooWide)), 2)
        && one(BROKEN, 0, Access::Read) == (Err(Some(FaultReason::ContextInvalid)), 2)
        && one(PASSES, 0x1234_5678, Access::Read) == (Ok(0x1234_5678), 2)
}

/// What is wrong with the tables.
fn reports(unit: &Unit, memory: &dyn PhysReader) -> bool {
    let mut scratch = Scratch::new();
    #[cfg(feature = "messages")]
    if !crate::log::prints(unit, memory) {
        return false;
    }
    let mut causes = unit.ranges(memory, &mut scratch).filter_map(|range| range.err()).map(|fault| fault.cause);
    causes.next() == Some(Cause::ReservedBits(Bits::from(1_u64 << 62)))
        && matches!(causes.next(), Some(Cause::Unreadable(error)) if error.addr == PhysAddr(0xffff_f000))
        && causes.next().is_none()
}

/// The interrupt remapping table, listed and asked for single interrupts.
fn interrupts(memory: &dyn PhysReader) -> bool {
    let irta = Irta(black_box(0x6007));
    let mut copy = Page::ZERO;
    let (mut found, mut faults) = (0, 0);
    for entry in irta.entries(memory, &mut copy) {
        match entry {
            Ok(entry) => found += entry.index,
            #[cfg(feature = "messages")]
            Err(fault) if !crate::log::prints_interrupt(&fault) => return false,
            Err(fault) => faults += u32::from(fault.reason == Some(FaultReason::InterruptReserved)),
        }
    }
    let mut one = |device, address, data| {
        let asked =
            irta.lookup_msi(memory, device, Msi { address: black_box(address), data: black_box(data) }, &mut copy);
        match asked {
            Ok(Remapped::Entry(found)) => Ok(Some(found.index)),
            Ok(Remapped::Compatibility) => Ok(None),
            Err(fault) => Err(fault.reason),
        }
    };
    (found, faults) == (1, 1)
        && one(DISK, 0xfee0_0018, 1) == Ok(Some(1))
        && one(DISK, 0xfee0_0000, 1) == Ok(None)
        && one(PASSES, 0xfee0_0030, 0) == Err(Some(FaultReason::InterruptSourceInvalid))
        && one(DISK, 0xfeef_fffc, 0xffff) == Err(Some(FaultReason::InterruptIndexTooLarge))
}

/// A cursor in one tree of tables, without a unit around it.
fn seeks(memory: &dyn PhysReader) -> bool {
    let rules = SecondStageRules { host_address_width: Some(46), ..Default::default() };
    let Some(format) = SecondStage::new(black_box(3), &rules) else { return false };
    let mut copies = [const { Page::ZERO }; MAX_LEVELS];
    let mut cursor = Cursor::new(memory, &mut copies);
    if cursor.start(format, black_box(PhysAddr(0x3000)), IovaRange::all()).is_err() {
        return false;
    }
    cursor.seek(Iova(black_box(0x1f_f000)));
    let mut first = None;
    while let Some(item) = cursor.next() {
        match item {
            Item::Run(run) => {
                first = run.leaves().next().map(|leaf| (leaf.phys, leaf.permissions));
                break;
            }
            Item::Table(_) | Item::Malformed(_) => {}
        }
    }
    let behind = cursor.position();
    cursor.seek(Iova(black_box(0x4000_1000)));
    let second = matches!(cursor.next(), Some(Item::Run(run)) if run.page_size_log2 == 30);
    cursor.set_window(IovaRange::block(Iova(0), 12));
    cursor.skip_table();
    first == Some((PhysAddr(0x1f_f000), Permissions::READ_WRITE))
        && behind == Some(Iova(0x20_0000))
        && second
        && cursor.next().is_none()
}

/// The disk's tables as a second stage: behind it, the interrupt table is taken for a table of a first stage.
fn nests<R: PhysReader + ?Sized>(memory: &R) -> bool {
    let rules = SecondStageRules { host_address_width: Some(46), ..Default::default() };
    let Some(format) = SecondStage::new(black_box(3), &rules) else { return false };
    let inner = Inner { format, root: black_box(PhysAddr(0x3000)), input_bits: black_box(39) };
    let mut copies = [const { [const { Page::ZERO }; MAX_LEVELS] }; 2];
    let [outer_copies, inner_copies] = &mut copies;
    let mut walk: Nested<'_, R, FirstStage, SecondStage> = Nested::new(memory, outer_copies, inner_copies);
    let Some(first) = FirstStage::new(black_box(4), &FirstStageRules::default()) else { return false };
    if !matches!(
        walk.start(first, black_box(PhysAddr(1 << 40)), IovaRange::all(), inner),
        Err(Defect::BeyondInner { .. })
    ) || walk.start(first, black_box(PhysAddr(0x1000)), IovaRange::all(), inner).is_err()
    {
        return false;
    }
    let mut coalescer = Coalescer::new(Join::Both);
    let (mut ranges, mut malformed) = (0, 0);
    while let Some(item) = walk.next() {
        match item {
            NestedItem::Run(run) => coalescer.push(black_box(&run), |_| ranges += 1),
            NestedItem::Malformed(..) => malformed += 1,
            NestedItem::Table(_) => {}
        }
    }
    walk.set_window(IovaRange::block(Iova(black_box(4 << 39)), 39));
    walk.skip_table();
    let iova = black_box(Iova(4 << 30 | 4 << 21 | 4 << 12 | 0x123));
    let root = black_box(PhysAddr(0x1000));
    let mut copy = Page::ZERO;
    let found = translate_nested(memory, &format, root, &inner, iova, Access::Read, &mut copy, |_, _| ());
    (ranges, malformed) == (0, 2) && matches!(found, Ok(found) if found.phys == PhysAddr(0x6123))
}

/// Which unit a device is behind, as firmware told it.
fn finds_units(table: &[u8]) -> bool {
    let Ok(dmar) = Dmar::parse(table) else { return false };
    let malformed = dmar.structures().filter(Result::is_err).count();
    let objections = dmar.structures().flatten().filter_map(|structure| structure.objection()).count();
    let named = dmar.structures().flatten().find_map(|structure| match structure {
        Structure::Andd(device) => Some(device.name()),
        _ => None,
    });
    let region = dmar.reserved_memory().find_map(|region| region.region());
    let disk = dmar.unit_of(0, DISK, |_| black_box(None));
    let behind = dmar.unit_of(0, SourceId::new(2, 0), |_| black_box(Some(1..=3)));
    let unknown = dmar.unit_of(0, SourceId::new(2, 0), |_| black_box(None));
    dmar.checksum_valid()
        && dmar.host_address_width() == 46
        && (malformed, objections) == (1, 1)
        && named == Some(b"\\_SB")
        && region.is_some_and(|region| region.size() == 0x2000)
        && disk.unit.is_some_and(|unit| unit.base == PhysAddr(0xfed9_0000))
        && behind.unit.is_some_and(|unit| !unit.include_all() && unit.scopes().count() == 2)
        && unknown.unit.is_some_and(|unit| unit.include_all())
        && matches!(unknown.doubt, Some(Doubt::Scope(_, _, Unresolved::Bridge(bridge))) if bridge == PASSES)
}

/// Pages for tables of our own, and where memory is.
fn allocates(memory: &mut SparseMemory<'_>) -> bool {
    let before = ranges(&*memory).count();
    let Ok(addr) = memory.allocate(black_box(2)) else { return false };
    let written = match memory.page_mut(addr) {
        Ok(page) => {
            page.words_mut()[0].set(black_box(7));
            memory.flush(addr).is_ok() && memory.read_u64(addr) == Some(7)
        }
        Err(_) => false,
    };
    memory.free(addr, 2);
    written && ranges(&*memory).count() == before && memory.read_u64(addr).is_none()
}
