//! Every fault reason of legacy mode that tables can produce: a request that succeeds, and its twin that one change
//! makes fail.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::{
    CONTEXT, CONTEXT_ENTRY, Copying, LARGE, R, ROOT, ROOT_ENTRY, RW, SNOOP, SOURCE, TOP, Tables, W, failing, unit,
};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::radix::Translation;
use iopt::vtd::{
    Bits, Cap, Cause, Ecap, Fault, FaultReason, INTERRUPT_RANGE, PathEntry, Place, Rtaddr, Structure, Unit, WidthLimit,
};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, Permissions, PhysAddr, SourceId};

/// Every address width, 64 bits of MGAW, 64 Ki domains, both large page sizes.
const CAP: u64 = 6 | 0x1f << 8 | 63 << 16 | 3 << 34;
/// DT, PT and SC.
const ECAP: u64 = 1 << 2 | 1 << 6 | 1 << 7;
const HOST_WIDTH: u8 = 46;

const IOVA: u64 = 5 << 39 | 6 << 30 | 7 << 21 | 8 << 12;
const PHYS: u64 = 0x1234_5000;
/// Where each entry on the path of [`IOVA`] is, in the tables of [`Request::new`].
const AT: [(Structure, u64, u16); 6] = [
    (Structure::Root, ROOT, 1),
    (Structure::Context, CONTEXT, 0x13),
    (Structure::SecondStage(4), TOP, 5),
    (Structure::SecondStage(3), 0x4000, 6),
    (Structure::SecondStage(2), 0x5000, 7),
    (Structure::SecondStage(1), 0x6000, 8),
];

/// Where in [`AT`] the entry at this level is.
fn level(level: u8) -> usize {
    usize::from(6 - level)
}

/// The address of an entry in [`AT`].
fn addr(at: usize) -> u64 {
    let (_, table, index) = AT[at];
    table + u64::from(index) * if at < 2 { 16 } else { 8 }
}

/// What is asked, of which tables.
#[derive(Clone)]
struct Request {
    tables: Tables,
    cap: Option<u64>,
    ecap: Option<u64>,
    host_width: Option<u8>,
    iova: u64,
    access: Access,
}

impl Request {
    /// A read of a page in a four-level table, of a unit that can do everything and about which all is known.
    fn new() -> Self {
        let mut tables = Tables::new(4);
        tables.map(1, IOVA, PHYS | RW);
        Self {
            tables,
            cap: Some(CAP),
            ecap: Some(ECAP),
            host_width: Some(HOST_WIDTH),
            iova: IOVA + 0x123,
            access: Access::Read,
        }
    }

    fn unknown() -> Self {
        Self { cap: None, ecap: None, host_width: None, ..Self::new() }
    }

    /// The same with a large page, at level 2 or 3.
    fn large(at: u8, phys: u64) -> Self {
        Self::new().with(addr(level(at)), phys | LARGE | RW)
    }

    /// The same for a device whose requests pass through.
    fn pass_through() -> Self {
        Self::new().with(CONTEXT_ENTRY, TOP | 1 | 2 << 2)
    }

    fn write(self) -> Self {
        Self { access: Access::Write, ..self }
    }

    fn with(mut self, addr: u64, word: u64) -> Self {
        self.tables.set(addr, word);
        self
    }

    /// The same with these bits of a word changed.
    fn flip(self, addr: u64, bits: u64) -> Self {
        let word = self.tables.get(addr);
        self.with(addr, word ^ bits)
    }

    fn hole(mut self, addr: u64) -> Self {
        self.tables.hole(addr);
        self
    }

    fn unit(&self) -> Unit {
        unit().with_capabilities(self.cap.map(Cap), self.ecap.map(Ecap)).with_host_address_width(self.host_width)
    }

    /// Asks, and tells the entries that were seen. It is the same from a reader that can't lend, and from the device
    /// if that is found first.
    fn ask(&self) -> (Result<Translation, Fault>, Vec<PathEntry>) {
        self.tables.with(|memory| {
            let (mut path, mut copy) = (vec![], Page::ZERO);
            let iova = Iova(self.iova);
            let lent = self.unit().translate(memory, SOURCE, iova, self.access, &mut copy, |entry| path.push(entry));
            let (mut copied_path, copying) = (vec![], Copying(memory));
            let copied =
                self.unit().translate(&copying, SOURCE, iova, self.access, &mut copy, |entry| copied_path.push(entry));
            assert_eq!((&lent, &path), (&copied, &copied_path), "lent and copied");
            if let Ok(device) = self.unit().device(memory, SOURCE, &mut copy, |_| ()) {
                assert_eq!(device.translate(memory, iova, self.access, &mut copy, |_| ()), lent);
            }
            (lent, path)
        })
    }

    /// The entry in [`AT`], as it stands in the tables.
    fn entry(&self, at: usize) -> Bits {
        let low = u128::from(self.tables.get(addr(at)));
        let high = if at < 2 { u128::from(self.tables.get(addr(at) + 8)) } else { 0 };
        Bits::from(high << 64 | low)
    }

    fn path(&self, seen: usize) -> Vec<PathEntry> {
        let entry = |at: usize| {
            let (structure, table, index) = AT[at];
            PathEntry { structure, table: PhysAddr(table), index, entry: self.entry(at) }
        };
        (0..seen).map(entry).collect()
    }

    /// It is let through, by a path of this many entries.
    fn succeeds(&self, name: &str, seen: usize) {
        let (found, path) = self.ask();
        let found = found.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(path, self.path(seen), "{name}");
        let granted = path[2..].iter().fold(RW, |granted, entry| granted & entry.entry.words()[0]);
        let granted = Permissions::new(granted & R != 0, granted & W != 0);
        assert_eq!(found.permissions, granted, "{name}");
        match found.leaf {
            Some(leaf) => {
                let inside = (1 << found.page_size_log2) - 1;
                let base = leaf.raw & 0x000f_ffff_ffff_f000 & !inside;
                assert_eq!(found.phys.0, base | self.iova & inside, "{name}");
                assert_eq!(path[seen - 1], PathEntry { entry: leaf.raw.into(), ..self.path(seen)[seen - 1] }, "{name}");
            }
            None => assert_eq!(found.phys.0, self.iova, "{name}"),
        }
    }

    /// It is refused with this reason at the entry `at`, after `seen` entries were fetched.
    fn fails(&self, name: &str, code: u8, short: &str, cause: Cause, at: usize, seen: usize) {
        let (found, path) = self.ask();
        let fault = found.map_or_else(|fault| fault, |found| panic!("{name}: {found:?}"));
        let line = fault.to_string();
        assert_eq!(fault.reason.map(FaultReason::code), Some(code), "{name}: {line}");
        assert_eq!(fault.reason.map(FaultReason::name), Some(short), "{name}: {line}");
        assert_eq!(fault.cause, cause, "{name}: {line}");
        let (structure, table, index) = AT[at];
        let place = Place {
            structure,
            table: PhysAddr(table),
            index,
            entry: (seen > 0).then(|| self.entry(at)),
            source_id: Some(SOURCE),
            pasid: None,
            iova: Some(Iova(self.iova)),
        };
        assert_eq!(fault.place, place, "{name}: {line}");
        assert_eq!(path, self.path(seen), "{name}: {line}");
        assert_eq!(line.lines().count(), 1, "{name}: {line}");
        let start = format!("{SOURCE} iova {:#x} fault {code:#04x} {short} at {place}: ", self.iova);
        assert_eq!(line, format!("{start}{cause}"), "{name}");
    }
}

fn hole(page: u64) -> Cause {
    Cause::Unreadable(ReadError::new(PhysAddr(page), ReadErrorKind::Hole))
}

fn reserved(bits: u128) -> Cause {
    Cause::ReservedBits(bits.into())
}

const LRT_2: (u8, &str) = (0x01, "LRT.2");
const LCT_2: (u8, &str) = (0x02, "LCT.2");
const LCT_4: (u8, &str) = (0x03, "LCT.4.x");
const LGN_1: (u8, &str) = (0x04, "LGN.1.x");
const LGN_2: (u8, &str) = (0x05, "LGN.2");
const LGN_3: (u8, &str) = (0x06, "LGN.3");
const LSL_1: (u8, &str) = (0x07, "LSL.1");
const LRT_1: (u8, &str) = (0x08, "LRT.1");
const LCT_1: (u8, &str) = (0x09, "LCT.1");
const LRT_3: (u8, &str) = (0x0a, "LRT.3");
const LCT_3: (u8, &str) = (0x0b, "LCT.3");
const LSL_2: (u8, &str) = (0x0c, "LSL.2");
const LGN_4: (u8, &str) = (0x0e, "LGN.4");

/// A request that succeeds, and one that differs in one thing and does not.
fn twins(
    name: &str,
    valid: &Request,
    valid_seen: usize,
    invalid: &Request,
    (code, short): (u8, &str),
    cause: Cause,
    (at, seen): (usize, usize),
) {
    valid.succeeds(name, valid_seen);
    invalid.fails(&format!("invalid-{name}"), code, short, cause, at, seen);
}

#[test]
fn a_root_entry_that_is_not_present_is_0x01() {
    let valid = Request::new();
    let invalid = valid.clone().flip(ROOT_ENTRY, 1);
    twins("root-present", &valid, 6, &invalid, LRT_2, Cause::NotPresent, (0, 1));
}

#[test]
fn a_context_entry_that_is_not_present_is_0x02() {
    for fault_disable in [0, 2] {
        let valid = Request::new().with(CONTEXT_ENTRY, TOP | fault_disable | 1);
        let invalid = valid.clone().flip(CONTEXT_ENTRY, 1);
        twins("context-present", &valid, 6, &invalid, LCT_2, Cause::NotPresent, (1, 2));
    }
}

#[test]
fn an_address_width_without_meaning_or_support_is_0x03() {
    for aw in 5..8 {
        let valid = Request::unknown();
        let invalid = valid.clone().with(CONTEXT_ENTRY + 8, 7 << 8 | aw);
        let aw = u8::try_from(aw).unwrap();
        twins("aw", &valid, 6, &invalid, LCT_4, Cause::AddressWidth { aw, sagaw: None }, (1, 2));
    }
    for aw in [0, 1, 3, 4, 5, 6, 7] {
        let valid = Request { cap: Some(CAP & !(0x1f << 8) | 1 << 10), ..Request::new() };
        let invalid = valid.clone().with(CONTEXT_ENTRY + 8, 7 << 8 | aw);
        let cause = Cause::AddressWidth { aw: u8::try_from(aw).unwrap(), sagaw: Some(0b00100) };
        twins("sagaw", &valid, 6, &invalid, LCT_4, cause, (1, 2));
    }
    let valid = Request::new();
    let invalid = Request { cap: Some(CAP & !(1 << 10)), ..Request::new() };
    let cause = Cause::AddressWidth { aw: 2, sagaw: Some(0b11011) };
    twins("sagaw-of-the-unit", &valid, 6, &invalid, LCT_4, cause, (1, 2));
    // Requests that pass through need an address width that the unit supports all the same.
    let cause = Cause::AddressWidth { aw: 7, sagaw: Some(0x1f) };
    let invalid = Request::pass_through().with(CONTEXT_ENTRY + 8, 7 << 8 | 7);
    twins("pass-through-aw", &Request::pass_through(), 2, &invalid, LCT_4, cause, (1, 2));
}

#[test]
fn a_translation_type_without_meaning_or_support_is_0x03() {
    for valid in [Request::new(), Request::unknown()] {
        let invalid = valid.clone().flip(CONTEXT_ENTRY, 3 << 2);
        twins("tt", &valid, 6, &invalid, LCT_4, Cause::TranslationTypeReserved, (1, 2));
    }

    let with_tlb = |request: Request| request.flip(CONTEXT_ENTRY, 1 << 2);
    let no_tlb = Request { ecap: Some(ECAP & !(1 << 2)), ..Request::new() };
    twins("type", &no_tlb, 6, &with_tlb(no_tlb.clone()), LCT_4, Cause::NoDeviceTlb, (1, 2));
    let invalid = with_tlb(no_tlb);
    twins("device-tlb", &with_tlb(Request::new()), 6, &invalid, LCT_4, Cause::NoDeviceTlb, (1, 2));

    let invalid = Request { ecap: Some(ECAP & !(1 << 6)), ..Request::pass_through() };
    twins("pass-through", &Request::pass_through(), 2, &invalid, LCT_4, Cause::NoPassThrough, (1, 2));
    let unknown = Request { ecap: None, ..Request::pass_through() };
    twins("pass-through-unknown", &unknown, 2, &invalid, LCT_4, Cause::NoPassThrough, (1, 2));
}

#[test]
fn a_top_table_that_is_not_there_is_0x03() {
    let invalid = Request::new().hole(TOP);
    twins("top-table", &Request::new(), 6, &invalid, LCT_4, hole(TOP), (1, 2));
}

#[test]
fn an_address_beyond_the_page_table_is_0x04() {
    for bit in 48..64 {
        for valid in [Request::new(), Request::unknown()] {
            let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
            let cause = Cause::TooWide { bits: 48, limit: WidthLimit::PageTable };
            twins("agaw", &valid, 6, &invalid, LGN_1, cause, (1, 2));
        }
    }
}

#[test]
fn an_address_beyond_the_unit_is_0x04() {
    let cap = |bits: u64| Some(CAP & !(0x3f << 16) | (bits - 1) << 16);
    let cause = |bits| Cause::TooWide { bits, limit: WidthLimit::Unit };
    for bit in 42..64 {
        let valid = Request { cap: cap(42), ..Request::new() };
        let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
        twins("mgaw", &valid, 6, &invalid, LGN_1, cause(42), (1, 2));
    }
    // The highest bit of the address is bit 41.
    let [valid, invalid] = [42, 41].map(|bits| Request { cap: cap(bits), ..Request::new() });
    twins("mgaw-of-the-unit", &valid, 6, &invalid, LGN_1, cause(41), (1, 2));
}

#[test]
fn an_address_beyond_the_host_is_0x04_where_requests_pass_through() {
    for bit in u32::from(HOST_WIDTH)..64 {
        let valid = Request { iova: (1 << HOST_WIDTH) - 1, ..Request::pass_through() };
        let invalid = Request { iova: valid.iova | 1 << bit, ..valid.clone() };
        let cause = Cause::TooWide { bits: HOST_WIDTH, limit: WidthLimit::Host };
        twins("host", &valid, 2, &invalid, LGN_1, cause, (1, 2));
    }
}

#[test]
fn a_write_without_w_at_any_level_is_0x05() {
    for number in 1..=4 {
        let valid = Request::new().write();
        let invalid = valid.clone().flip(addr(level(number)), W);
        let found = (level(number), level(number) + 1);
        twins("write", &valid, 6, &invalid, LGN_2, Cause::Denied(Access::Write), found);
        let reads = Request { access: Access::Read, ..invalid.clone() };
        twins("read", &reads, 6, &invalid, LGN_2, Cause::Denied(Access::Write), found);
    }
    for (number, phys) in [(2, 0x20_0000), (3, 0x4000_0000)] {
        let valid = Request::large(number, phys).write();
        let invalid = valid.clone().flip(addr(level(number)), W);
        let seen = level(number) + 1;
        twins("large", &valid, seen, &invalid, LGN_2, Cause::Denied(Access::Write), (seen - 1, seen));
    }
}

#[test]
fn a_read_without_r_at_any_level_is_0x06() {
    for number in 1..=4 {
        let valid = Request::new();
        let found = (level(number), level(number) + 1);
        let invalid = valid.clone().flip(addr(level(number)), R);
        twins("read", &valid, 6, &invalid, LGN_3, Cause::Denied(Access::Read), found);
        let writes = invalid.clone().write();
        twins("write", &writes, 6, &invalid, LGN_3, Cause::Denied(Access::Read), found);
    }
}

#[test]
fn an_absent_entry_at_any_level_is_0x05_or_0x06() {
    for number in 1..=4 {
        // An absent entry may hold anything but R and W.
        for entry in [0, !RW] {
            for (valid, reason) in [(Request::new(), LGN_3), (Request::new().write(), LGN_2)] {
                let invalid = valid.clone().with(addr(level(number)), entry);
                let found = (level(number), level(number) + 1);
                twins("absent", &valid, 6, &invalid, reason, Cause::Denied(valid.access), found);
            }
        }
    }
}

#[test]
fn a_lower_table_that_is_not_there_is_0x07() {
    for number in 1..=3 {
        let (_, table, _) = AT[level(number)];
        let parent = level(number) - 1;
        let invalid = Request::new().hole(table);
        twins("table", &Request::new(), 6, &invalid, LSL_1, hole(table), (parent, parent + 1));
    }
}

#[test]
fn a_root_table_that_is_not_there_is_0x08() {
    twins("root-table", &Request::new(), 6, &Request::new().hole(ROOT), LRT_1, hole(ROOT), (0, 0));
}

#[test]
fn a_context_table_that_is_not_there_is_0x09() {
    twins("context-table", &Request::new(), 6, &Request::new().hole(CONTEXT), LCT_1, hole(CONTEXT), (0, 1));
}

#[test]
fn each_reserved_bit_of_a_root_entry_is_0x0a() {
    for bit in (1..12).chain(u32::from(HOST_WIDTH)..128) {
        let word = ROOT_ENTRY + u64::from(bit / 64) * 8;
        let invalid = Request::new().flip(word, 1 << (bit % 64));
        twins("root-reserved", &Request::new(), 6, &invalid, LRT_3, reserved(1 << bit), (0, 1));
    }
}

#[test]
fn each_reserved_bit_of_a_context_entry_is_0x0b() {
    for bit in (4..12).chain(u32::from(HOST_WIDTH)..64).chain([71]).chain(88..128) {
        let word = CONTEXT_ENTRY + u64::from(bit / 64) * 8;
        let invalid = Request::new().flip(word, 1 << (bit % 64));
        twins("context-reserved", &Request::new(), 6, &invalid, LCT_3, reserved(1 << bit), (1, 2));
    }
    for available in [67, 68, 69, 70] {
        Request::new().flip(CONTEXT_ENTRY + 8, 1 << (available - 64)).succeeds("available", 6);
    }
}

#[test]
fn each_bit_of_a_domain_id_beyond_nd_is_0x0b() {
    for nd in 0..6 {
        let valid = Request { cap: Some(CAP & !7 | nd), ..Request::new() };
        let bits = 4 + 2 * nd;
        for bit in bits..16 {
            let invalid = valid.clone().flip(CONTEXT_ENTRY + 8, 1 << (8 + bit));
            twins("domain-id", &valid, 6, &invalid, LCT_3, reserved(1 << (72 + bit)), (1, 2));
        }
        valid.with(CONTEXT_ENTRY + 8, ((1 << bits) - 1) << 8 | 2).succeeds("largest domain-id", 6);
    }
}

#[test]
fn each_reserved_bit_of_a_page_table_entry_is_0x0c() {
    let high = || u32::from(HOST_WIDTH)..52;
    for number in 1..=4 {
        let tables = if number > 1 { vec![11] } else { vec![] };
        let top = if number > 3 { vec![7] } else { vec![] };
        for bit in high().chain([62]).chain(tables).chain(top) {
            let at = level(number);
            let invalid = Request::new().flip(addr(at), 1 << bit);
            twins("entry", &Request::new(), 6, &invalid, LSL_2, reserved(1 << bit), (at, at + 1));
        }
    }
    for (number, phys) in [(2, 0x20_0000), (3, 0x4000_0000)] {
        let inside = 12..3 + 9 * u32::from(number);
        for bit in high().chain([62]).chain(inside) {
            let at = level(number);
            let valid = Request::large(number, phys);
            let invalid = valid.clone().flip(addr(at), 1 << bit);
            twins("large", &valid, at + 1, &invalid, LSL_2, reserved(1 << bit), (at, at + 1));
        }
    }
}

#[test]
fn a_page_size_that_the_unit_lacks_is_0x0c() {
    for (number, phys, bit) in [(2, 0x20_0000, 34), (3, 0x4000_0000, 35)] {
        let at = level(number);
        let valid = Request::large(number, phys);
        let invalid = Request { cap: Some(CAP & !(1 << bit)), ..valid.clone() };
        twins("size", &valid, at + 1, &invalid, LSL_2, reserved(LARGE.into()), (at, at + 1));
        let unknown = Request { cap: None, ..valid.clone() };
        twins("size-unknown", &unknown, at + 1, &invalid, LSL_2, reserved(LARGE.into()), (at, at + 1));
    }
}

#[test]
fn the_snoop_bit_of_a_leaf_is_0x0c_without_snoop_control() {
    let leaves = [(1, Request::new()), (2, Request::large(2, 0x20_0000)), (3, Request::large(3, 0x4000_0000))];
    for (number, plain) in leaves {
        let at = level(number);
        let valid = plain.flip(addr(at), SNOOP);
        let invalid = Request { ecap: Some(ECAP & !(1 << 7)), ..valid.clone() };
        twins("snoop", &valid, at + 1, &invalid, LSL_2, reserved(SNOOP.into()), (at, at + 1));
        twins("snoop", &invalid.clone().flip(addr(at), SNOOP), at + 1, &invalid, LSL_2, reserved(0x800), (at, at + 1));
    }
}

#[test]
fn a_page_that_overlaps_the_interrupt_range_is_0x0e() {
    let leaf = |number: u8, phys: u64| match number {
        1 => Request::new().with(addr(level(1)), phys | RW),
        _ => Request::large(number, phys),
    };
    let cases = [
        // The pages just outside, and the first and the last inside.
        (1, [0xfedf_f000, 0xfef0_0000], vec![0xfee0_0000, 0xfee0_1000, 0xfeef_f000]),
        (2, [0xfec0_0000, 0xff00_0000], vec![0xfee0_0000]),
        (3, [0x8000_0000, 0x1_0000_0000], vec![0xc000_0000]),
    ];
    for (number, outside, inside) in cases {
        let at = level(number);
        for phys in inside {
            for outside in outside {
                let cause = Cause::InterruptRangeOutput(PhysAddr(phys));
                let (valid, invalid) = (leaf(number, outside), leaf(number, phys));
                twins("output", &valid, at + 1, &invalid, LGN_4, cause, (at, at + 1));
                twins("output-written", &valid.write(), at + 1, &invalid.write(), LGN_4, cause, (at, at + 1));
            }
        }
    }
}

/// Two defects in one request: either makes it fail, with its own reason, and together they fail as the first does.
fn earlier_wins(
    name: &str,
    base: &Request,
    first: impl Fn(Request) -> Request,
    second: impl Fn(Request) -> Request,
    codes: [u8; 2],
) {
    base.ask().0.unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let (alone, path) = first(base.clone()).ask();
    let alone = alone.unwrap_err();
    let other = second(base.clone()).ask().0.unwrap_err();
    let code = |fault: &Fault| fault.reason.unwrap().code();
    assert_eq!([code(&alone), code(&other)], codes, "{name}: {alone}; {other}");
    assert_ne!((alone.reason, alone.cause), (other.reason, other.cause), "{name}: they can be told apart");
    let place = (alone.place.structure, alone.place.table.0, alone.place.index);
    let at = AT.iter().position(|at| *at == place).unwrap();
    let short = alone.reason.unwrap().name();
    first(second(base.clone())).fails(name, code(&alone), short, alone.cause, at, path.len());
}

/// An address that no unit and no table here translates.
fn too_wide(request: Request) -> Request {
    Request { iova: 1 << 60, ..request }
}

fn without_capabilities(request: Request) -> Request {
    Request { ecap: Some(0), ..request }
}

#[test]
fn the_mode_is_checked_before_anything_is_read() {
    for mode in 2..4 {
        // There is no memory to ask.
        assert!(Unit::new(Rtaddr(mode << 10 | 0x1000)).is_err());
    }
}

#[test]
fn root_checks_come_in_the_order_of_fetched_present_reserved() {
    let base = Request::new();
    let absent = |request: Request| request.flip(ROOT_ENTRY, 1);
    let no_context = |request: Request| request.hole(CONTEXT);
    earlier_wins("fetch, P", &base, |request| request.hole(ROOT), absent, [0x08, 0x01]);
    earlier_wins("fetch, context fetch", &base, |request| request.hole(ROOT), no_context, [0x08, 0x09]);
    for word in [ROOT_ENTRY, ROOT_ENTRY + 8] {
        let reserved = |request: Request| request.flip(word, 2);
        earlier_wins("P, reserved", &base, absent, reserved, [0x01, 0x0a]);
        earlier_wins("reserved, context fetch", &base, reserved, no_context, [0x0a, 0x09]);
    }
    earlier_wins("P, context fetch", &base, absent, no_context, [0x01, 0x09]);
}

#[test]
fn context_checks_come_in_the_order_of_fetched_present_reserved_width_type() {
    let base = Request::new();
    let absent = |request: Request| request.flip(CONTEXT_ENTRY, 1);
    let no_width = |request: Request| request.with(CONTEXT_ENTRY + 8, 7 << 8 | 7);
    let no_type = |request: Request| request.flip(CONTEXT_ENTRY, 3 << 2);
    earlier_wins("fetch, P", &base, |request| request.hole(CONTEXT), absent, [0x09, 0x02]);
    let reserved = |request: Request| request.flip(CONTEXT_ENTRY, 1 << 4);
    earlier_wins("P, reserved", &base, absent, reserved, [0x02, 0x0b]);
    earlier_wins("P, AW", &base, absent, no_width, [0x02, 0x03]);
    earlier_wins("reserved, AW", &base, reserved, no_width, [0x0b, 0x03]);
    earlier_wins("reserved, TT", &base, reserved, no_type, [0x0b, 0x03]);
    earlier_wins("AW, TT", &base, no_width, no_type, [0x03, 0x03]);
    earlier_wins("AW, PT", &Request::pass_through(), no_width, without_capabilities, [0x03, 0x03]);
    let tlb = base.clone().flip(CONTEXT_ENTRY, 1 << 2);
    earlier_wins("AW, DT", &tlb, no_width, without_capabilities, [0x03, 0x03]);
}

#[test]
fn the_context_entry_is_checked_before_the_address() {
    let base = Request::new();
    let no_width = |request: Request| request.with(CONTEXT_ENTRY + 8, 7 << 8 | 7);
    let no_type = |request: Request| request.flip(CONTEXT_ENTRY, 3 << 2);
    earlier_wins("AW, width", &base, no_width, too_wide, [0x03, 0x04]);
    earlier_wins("TT, width", &base, no_type, too_wide, [0x03, 0x04]);
    earlier_wins("DT, width", &base.clone().flip(CONTEXT_ENTRY, 1 << 2), without_capabilities, too_wide, [0x03, 0x04]);
    earlier_wins("PT, width", &Request::pass_through(), without_capabilities, too_wide, [0x03, 0x04]);
    // Requests that pass through have no tables, so nothing is wrong with tables that are not there.
    Request::pass_through().hole(TOP).succeeds("pass-through, top fetch", 2);
}

#[test]
fn the_address_is_checked_before_the_page_table() {
    let base = Request::new();
    // The same path, were bit 48 not looked at.
    let wide = |request: Request| Request { iova: request.iova | 1 << 48, ..request };
    earlier_wins("width, top fetch", &base, wide, |request| request.hole(TOP), [0x04, 0x03]);
    earlier_wins("width, permission", &base, wide, |request| request.flip(addr(level(4)), R), [0x04, 0x06]);
    earlier_wins("width, reserved", &base, wide, |request| request.flip(addr(level(4)), 1 << 62), [0x04, 0x0c]);
}

#[test]
fn at_each_level_permission_comes_before_reserved_bits_and_those_before_the_next_table() {
    for number in 1..=4 {
        let (at, entry) = (level(number), addr(level(number)));
        for (base, bit, code) in [(Request::new(), R, 0x06), (Request::new().write(), W, 0x05)] {
            let denied = |request: Request| request.flip(entry, bit);
            let reserved = |request: Request| request.flip(entry, 1 << 62);
            earlier_wins("permission, reserved", &base, denied, reserved, [code, 0x0c]);
            // Permissions are those of the whole path, but each is looked at on the way.
            if number < 4 {
                let denied_above = |request: Request| request.flip(addr(at - 1), bit);
                let reserved_above = |request: Request| request.flip(addr(at - 1), 1 << 62);
                earlier_wins("permission above, reserved", &base, denied_above, reserved, [code, 0x0c]);
                earlier_wins("reserved above, permission", &base, reserved_above, denied, [0x0c, code]);
            }
            if number > 1 {
                let table = AT[at + 1].1;
                let no_table = |request: Request| request.hole(table);
                earlier_wins("permission, next fetch", &base, denied, no_table, [code, 0x07]);
                earlier_wins("reserved, next fetch", &base, reserved, no_table, [0x0c, 0x07]);
                let below = |request: Request| request.flip(addr(at + 1), bit);
                earlier_wins("fetch, permission", &base, no_table, below, [0x07, code]);
            }
        }
    }
    let (no_top, no_next) = (|request: Request| request.hole(TOP), |request: Request| request.hole(0x4000));
    earlier_wins("top fetch, next fetch", &Request::new(), no_top, no_next, [0x03, 0x07]);
    let denied = |request: Request| request.flip(addr(level(4)), R);
    earlier_wins("top fetch, permission", &Request::new(), no_top, denied, [0x03, 0x06]);
}

#[test]
fn the_interrupt_range_is_checked_last() {
    let leaf = addr(level(1));
    for (base, bit, code) in [(Request::new(), R, 0x06), (Request::new().write(), W, 0x05)] {
        let output = |request: Request| request.flip(leaf, PHYS ^ 0xfee0_0000);
        let reserved = |request: Request| request.flip(leaf, 1 << 62);
        earlier_wins("reserved, output", &base, reserved, output, [0x0c, 0x0e]);
        earlier_wins("permission, output", &base, |request| request.flip(leaf, bit), output, [code, 0x0e]);
    }
    let (large, entry) = (Request::large(2, 0x20_0000), addr(level(2)));
    let misaligned = |request: Request| request.flip(entry, 0x1000);
    let output = |request: Request| request.flip(entry, 0x20_0000 ^ 0xfee0_0000);
    earlier_wins("misaligned, output", &large, misaligned, output, [0x0c, 0x0e]);
}

#[test]
fn a_fault_is_one_line_that_tells_what_was_expected_and_what_was_found() {
    let line = |request: Request| request.ask().0.unwrap_err().to_string();
    assert_eq!(
        line(Request::new().hole(ROOT)),
        "01:02.3 iova 0x28180e08123 fault 0x08 LRT.1 at root table 0x1000 entry 1: \
         its table can't be read: page 0x1000 is not in the memory image (a hole)"
    );
    assert_eq!(
        line(Request { cap: Some(CAP & !(0x1f << 8) | 6 << 8), ..Request::new() }.with(CONTEXT_ENTRY + 8, 0x703)),
        "01:02.3 iova 0x28180e08123 fault 0x03 LCT.4.x at context table 0x2000 entry 19 = 0x7030000000000003001: \
         AW is 3, which the unit does not support (CAP.SAGAW is 0b00110)"
    );
    assert_eq!(
        line(Request { iova: 1 << 48, ..Request::new() }),
        "01:02.3 iova 0x1000000000000 fault 0x04 LGN.1.x at context table 0x2000 entry 19 = 0x7020000000000003001: \
         the address has more than 48 bits, the address width of the page table (AW)"
    );
    assert_eq!(
        line(Request::new().write().flip(addr(level(3)), W)),
        "01:02.3 iova 0x28180e08123 fault 0x05 LGN.2 at level 3 table 0x4000 entry 6 = 0x5001: \
         the entry has no write permission"
    );
    assert_eq!(
        line(Request::new().flip(addr(level(1)), 1 << 62 | 1 << 50)),
        "01:02.3 iova 0x28180e08123 fault 0x0c LSL.2 at level 1 table 0x6000 entry 8 = 0x4004000012345003: \
         reserved bits 0x4004000000000000 are set"
    );
    assert_eq!(
        line(Request::large(2, 0xfee0_0000)),
        "01:02.3 iova 0x28180e08123 fault 0x0e LGN.4 at level 2 table 0x5000 entry 7 = 0xfee00083: \
         the page at 0xfee00000 overlaps the interrupt range 0xfee00000-0xfeefffff"
    );
    assert_eq!(
        line(Request { iova: 0xfee0_0000, ..Request::new() }),
        "01:02.3 iova 0xfee00000 at root table 0x1000 entry 1: the address is in the \
         interrupt range 0xfee00000-0xfeefffff, whose requests are interrupts and never translated"
    );
}

/// Devices of every kind, each of which lets any address through that is no interrupt.
fn devices() -> Vec<(&'static str, Request)> {
    let mut mapped = Request::new();
    mapped.tables.map(3, 0xc000_0000, 0x1_4000_0000 | LARGE | RW);
    let narrow = Request { cap: Some(CAP & !(0x3f << 16) | 29 << 16), ..mapped.clone() };
    let mut short = Request::new();
    short.tables = Tables::new(2);
    vec![
        ("mapped", mapped.clone()),
        ("not mapped", Request::new()),
        ("passes through", Request::pass_through()),
        ("beyond the unit", narrow),
        ("beyond the table", short),
        ("no top table", mapped.hole(TOP)),
    ]
}

#[test]
fn requests_into_the_interrupt_range_are_no_translations() {
    let (first, last) = INTERRUPT_RANGE;
    assert_eq!((first, last), (0xfee0_0000, 0xfeef_ffff));
    for (name, device) in devices() {
        for iova in [first, first + 4, 0xfee8_1234, last] {
            for access in [Access::Read, Access::Write] {
                let (found, path) = Request { iova, access, ..device.clone() }.ask();
                let fault = found.unwrap_err();
                assert_eq!((fault.reason, fault.cause), (None, Cause::InterruptRequest), "{name}");
                assert_eq!(fault.place.iova, Some(Iova(iova)), "{name}");
                assert_eq!(path.len(), 0, "{name}: no table was looked at");
            }
        }
        for iova in [first - 1, last + 1] {
            let cause = Request { iova, ..device.clone() }.ask().0.err().map(|fault| fault.cause);
            assert_ne!(cause, Some(Cause::InterruptRequest), "{name}");
        }
    }
}

/// Hardware takes them for interrupts before it looks at any table.
#[test]
fn requests_into_the_interrupt_range_are_interrupts_whatever_the_tables_say() {
    let broken = [
        Request::new().hole(ROOT),
        Request::new().flip(ROOT_ENTRY, 1),
        Request::new().flip(ROOT_ENTRY, 2),
        Request::new().hole(CONTEXT),
        Request::new().flip(CONTEXT_ENTRY, 1),
        Request::new().flip(CONTEXT_ENTRY, 1 << 4),
        Request::new().flip(CONTEXT_ENTRY, 3 << 2),
    ];
    for request in broken {
        let fault = Request { iova: INTERRUPT_RANGE.0, ..request }.ask().0.unwrap_err();
        assert_eq!((fault.reason, fault.cause), (None, Cause::InterruptRequest), "{fault}");
    }
}

/// Another device with a page, on another bus; another page of the first device behind each level.
const OTHER: SourceId = SourceId::new(2, 8);
const PAGES: [u64; 4] = [IOVA, IOVA + (1 << 21), IOVA + (1 << 30), IOVA + (1 << 39)];
const OTHER_PAGE: u64 = 0x9000;

fn several() -> Tables {
    let mut tables = Request::new().tables;
    for page in PAGES {
        tables.map(1, page, PHYS | RW);
    }
    tables
        .set(ROOT + 32, 0x10_0001)
        .set(0x10_0000 + 16 * 8, 0x10_1001)
        .set(0x10_0000 + 16 * 8 + 8, 9 << 8 | 1)
        .set(0x10_1000, 0x10_2003)
        .set(0x10_2000, 0x10_3003)
        .set(0x10_3000 + 8 * 9, PHYS | RW);
    tables
}

/// The pages that a walk finds, and what it can't follow.
fn walk<R: PhysReader>(reader: &R) -> (Vec<(SourceId, u64)>, Vec<Fault>) {
    let (mut pages, mut faults) = (vec![], vec![]);
    let mut scratch = Scratch::new();
    let mut walk = unit().walk(reader, &mut scratch);
    let mut device = SourceId(0);
    while let Some(step) = walk.next() {
        match step {
            Step::Device(next) => device = next.source_id,
            Step::Run(run) => pages.extend(run.leaves().map(|leaf| (device, leaf.iova.0))),
            Step::Fault(fault) => faults.push(fault),
            Step::Table(_) | Step::Shared(_) => {}
        }
    }
    (pages, faults)
}

#[test]
fn a_page_that_only_the_reader_refuses_gives_no_hardware_reason_and_the_rest_is_walked() {
    let tables = several();
    // The page that can't be read, the reason if it were a hole, the entry that points to it, and how many of the
    // pages are left.
    let cases = [
        (ROOT, LRT_1, 0, 0, 4),
        (CONTEXT, LCT_1, 0, 1, 4),
        (TOP, LCT_4, 1, 2, 4),
        (0x4000, LSL_1, 2, 3, 3),
        (0x5000, LSL_1, 3, 4, 2),
        (0x6000, LSL_1, 4, 5, 1),
    ];
    let kinds = [ReadErrorKind::Hole, ReadErrorKind::Excluded, ReadErrorKind::Io(5), ReadErrorKind::Io(0)];
    for ((page, (code, _), at, seen, lost), kind) in cases.into_iter().flat_map(|case| kinds.map(|kind| (case, kind))) {
        let error = ReadError::new(PhysAddr(page), kind);
        let reason = (kind == ReadErrorKind::Hole).then_some(FaultReason::from_code(code));
        let request = Request { tables: tables.clone(), ..Request::new() };
        tables.with(|memory| {
            let (lending, copying) = (failing(memory, Some(error)), Copying(failing(memory, Some(error))));
            let mut path = vec![];
            let (mut copy, unit) = (Page::ZERO, request.unit());
            let fault = unit
                .translate(&lending, SOURCE, Iova(IOVA), Access::Read, &mut copy, |entry| path.push(entry))
                .unwrap_err();
            assert_eq!((fault.reason, fault.cause), (reason, Cause::Unreadable(error)));
            let (structure, table, index) = AT[at];
            let place = (structure, PhysAddr(table), index, (seen > 0).then(|| request.entry(at)));
            let found = fault.place;
            assert_eq!((found.structure, found.table, found.index, found.entry), place);
            assert_eq!(path, request.path(seen));
            let copied = unit.translate(&copying, SOURCE, Iova(IOVA), Access::Read, &mut copy, |_| ());
            assert_eq!(copied, Err(fault));
            assert_eq!(fault.to_string().contains("fault 0x"), reason.is_some(), "{fault}");
            assert!(fault.to_string().ends_with(&format!("page {page:#x} {kind}")), "{fault}");

            let (pages, faults) = walk(&lending);
            assert_eq!(walk(&copying), (pages.clone(), faults.clone()));
            let [walked] = faults[..] else { panic!("{faults:?}") };
            assert_eq!((walked.reason, walked.cause), (reason, Cause::Unreadable(error)));
            let found = walked.place;
            // A walk is not about one bus: without a root table it stops before the first.
            if page == ROOT {
                assert_eq!(pages, []);
                return;
            }
            assert_eq!((found.structure, found.table, found.index, found.entry), place);
            let left = PAGES.iter().skip(lost).map(|page| (SOURCE, *page));
            assert_eq!(pages, left.chain([(OTHER, OTHER_PAGE)]).collect::<Vec<_>>(), "{walked}");
        });
    }
}

/// Every kind of outcome, in an order in which neighbours differ.
fn addresses() -> Vec<u64> {
    let mut addresses = vec![];
    for number in 0..40u64 {
        let page = PAGES[usize::try_from(number % 4).unwrap()];
        addresses.extend([
            page + number,
            // Absent at each level.
            page + 0x1000 * (number + 1),
            page + (16 << 21),
            page + (16 << 30),
            page + (16 << 39),
            // A malformed entry, a table in a hole, no write permission, output in the interrupt range.
            page ^ (1 << 20),
            0x77 << 39,
            0x78 << 39 | number,
            0x79 << 39 | 0x123,
            number << 12,
        ]);
    }
    addresses
}

/// Tables in which [`addresses`] have every kind of outcome.
fn mixed() -> Tables {
    let mut tables = several();
    for page in PAGES {
        tables.map(1, page ^ (1 << 20), PHYS | RW | 1 << 62);
    }
    tables.map(4, 0x77 << 39, 0xdead_0003).map(1, 0x78 << 39, PHYS | R).map(1, 0x79 << 39, 0xfee0_0003);
    tables
}

/// That many at once give what one by one gives; returns how many kinds of outcome there were.
fn all_at_once<R: PhysReader>(unit: Unit, reader: &R, iovas: &[u64], access: Access) -> usize {
    let mut copy = Page::ZERO;
    let device = unit.device(reader, SOURCE, &mut copy, |_| ()).unwrap();
    let iovas: Vec<Iova> = iovas.iter().copied().map(Iova).collect();
    let alone: Vec<_> =
        iovas.iter().map(|iova| Some(device.translate(reader, *iova, access, &mut copy, |_| ()))).collect();
    let mut together = vec![None; iovas.len()];
    device.translate_all(reader, &iovas, access, &mut copy, |at, found| {
        assert_eq!(together[at].replace(found), None, "address {at} is done twice");
    });
    assert_eq!(together, alone);
    let mut outcomes: Vec<_> = alone
        .iter()
        .flatten()
        .map(|found| match found {
            Ok(_) => None,
            Err(fault) => Some((fault.reason.map(FaultReason::code), fault.place.structure.to_string())),
        })
        .collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    outcomes.len()
}

#[test]
fn many_translations_at_once_are_those_one_by_one() {
    let within = addresses();
    let mut any = within.clone();
    for (number, iova) in any.iter_mut().enumerate() {
        match number % 7 {
            2 => *iova = 0xfee0_0000 + u64::try_from(number).unwrap(),
            4 => *iova |= 1 << 48,
            6 => *iova |= 1 << 63,
            _ => {}
        }
    }
    assert!(within.len() > 64 && any.len() > 64);
    let tables = mixed();
    let unit = Request::new().unit();
    tables.with(|memory| {
        let errors = [0x4000, 0x6000, TOP].map(|page| ReadError::new(PhysAddr(page), ReadErrorKind::Excluded));
        for broken in [None].into_iter().chain(errors.map(Some)) {
            for access in [Access::Read, Access::Write] {
                for (iovas, extra) in [(&within, 0), (&any, 2)] {
                    let lent = all_at_once(unit, &failing(memory, broken), iovas, access);
                    let copied = all_at_once(unit, &Copying(failing(memory, broken)), iovas, access);
                    assert_eq!(lent, copied);
                    if broken.is_none() {
                        // Let through; denied at each of four levels; malformed; unreadable; output; and by address.
                        assert_eq!(lent, 8 + extra);
                    }
                }
            }
        }
        for length in [0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, within.len()] {
            for iovas in [&within[..length], &any[..length]] {
                all_at_once(unit, memory, iovas, Access::Read);
                all_at_once(unit, &Copying(memory), iovas, Access::Read);
            }
        }
    });
    Request::pass_through().tables.with(|memory| {
        assert_eq!(all_at_once(unit, memory, &any, Access::Read), 3, "let through, interrupts, too wide");
    });
}
