//! Every fault reason of legacy mode that tables can produce: a request that succeeds, and its twin that one change
//! makes fail.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

#[path = "../common/mod.rs"]
mod common;

mod at_once;
mod interrupt_range;
mod order;
mod reasons;
mod several;

use common::{CONTEXT, CONTEXT_ENTRY, Copying, LARGE, R, ROOT, RW, SOURCE, TOP, Tables, W, unit};
use iopt::memory::{Page, ReadError, ReadErrorKind};
use iopt::radix::Translation;
use iopt::vtd::{Bits, Cap, Cause, Ecap, Fault, FaultReason, PathEntry, Place, Structure, Unit};
use iopt::{Access, Iova, Permissions, PhysAddr};

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
