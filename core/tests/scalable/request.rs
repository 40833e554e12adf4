use crate::builder::{Builder, PASS_THROUGH, ROOT, first_stage, second_stage};
use crate::common::{Copying, Words};
use crate::{ADDRESS, CAP, ECAP, HOST_WIDTH, LARGE, PASIDE, RPS, RW, USER};
use iopt::memory::{Page, PhysReader};
use iopt::radix::Translation;
use iopt::vtd::{Bits, Cap, Device, Ecap, Fault, PathEntry, Rtaddr, Structure, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, Pasid, PhysAddr, Requester, SourceId};

/// Bus 1, device 2, function 3: the lower half.
pub const SOURCE: SourceId = SourceId::new(1, 0x13);
/// Directory entry 2, table entry 5.
pub const PASID: Pasid = Pasid(0x85);
/// Directory entry 7, table entry 3.
pub const RID_PASID: Pasid = Pasid(0x1c3);

pub const IOVA: u64 = 5 << 39 | 6 << 30 | 7 << 21 | 8 << 12;
pub const PHYS: u64 = 0x1234_5000;

/// Where on the path the structures are.
pub const AT_ROOT: usize = 0;
pub const AT_CONTEXT: usize = 1;
pub const AT_DIRECTORY: usize = 2;
pub const AT_PASID: usize = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    First,
    Second,
    PassThrough,
}

/// What is asked, of which tables.
#[derive(Clone)]
pub struct Request {
    pub tables: Builder,
    pub kind: Kind,
    pub levels: u8,
    pub cap: Option<u64>,
    pub ecap: Option<u64>,
    pub host_width: Option<u8>,
    pub source: SourceId,
    pub pasid: Option<Pasid>,
    pub iova: u64,
    pub access: Access,
}

impl Request {
    /// A read of a page with PASID, of a unit that can do everything and about which all is known. The same tables
    /// are behind RID_PASID.
    pub fn new(kind: Kind, levels: u8) -> Self {
        Self::of(SOURCE, kind, levels, 0, [PASID, RID_PASID])
    }

    pub fn of(source: SourceId, kind: Kind, levels: u8, pdts: u64, [pasid, rid]: [Pasid; 2]) -> Self {
        let mut tables = Builder::new();
        tables.context(source, pdts, PASIDE | 1, rid.0.into());
        let top = tables.table(1);
        let (entry, flags) = match kind {
            Kind::First => (first_stage(top, levels), USER),
            Kind::Second => (second_stage(top, levels), RW),
            Kind::PassThrough => (PASS_THROUGH, 0),
        };
        for pasid in [pasid, rid] {
            tables.pasid(source, pasid, entry);
        }
        let iova = if levels > 4 { 9 << 48 | IOVA } else { IOVA };
        if kind != Kind::PassThrough {
            tables.map((top, levels), 1, iova, PHYS | flags, flags);
        }
        Self {
            tables,
            kind,
            levels,
            cap: Some(CAP),
            ecap: Some(ECAP),
            host_width: Some(HOST_WIDTH),
            source,
            pasid: Some(pasid),
            iova: iova + 0x123,
            access: Access::Read,
        }
    }

    pub fn first() -> Self {
        Self::new(Kind::First, 4)
    }

    pub fn second() -> Self {
        Self::new(Kind::Second, 4)
    }

    pub fn pass_through() -> Self {
        Self { iova: 0x1234_5678, ..Self::new(Kind::PassThrough, 0) }
    }

    /// The same with a large page of level 2 or 3 at `phys`.
    pub fn large(self, level: u8, phys: u64) -> Self {
        let at = self.addr(self.level(level));
        let flags = self.words().get(at) & USER;
        self.set(at, phys | LARGE | flags)
    }

    /// The same to pages of each size, with the level of the leaf.
    pub fn sizes(self) -> impl Iterator<Item = (u8, Self)> {
        let large = [(2, 0x20_0000), (3, 0x4000_0000)].map(|(level, phys)| (level, self.clone().large(level, phys)));
        [(1, self)].into_iter().chain(large)
    }

    /// The same with a page at `phys`.
    pub fn leaf(self, phys: u64) -> Self {
        let at = self.addr(self.level(1));
        let flags = self.words().get(at) & USER;
        self.set(at, phys | flags)
    }

    /// Every kind, with and without PASID.
    pub fn all() -> Vec<Self> {
        [Self::first(), Self::second(), Self::pass_through()].into_iter().flat_map(Self::both).collect()
    }

    /// The same with and without PASID.
    pub fn both(self) -> [Self; 2] {
        [self.clone(), self.without_pasid()]
    }

    pub fn without_pasid(self) -> Self {
        Self { pasid: None, ..self }
    }

    /// The same of another PASID.
    pub fn asking(self, pasid: Pasid) -> Self {
        Self { pasid: Some(pasid), ..self }
    }

    pub fn unknown(self) -> Self {
        Self { cap: None, ecap: None, host_width: None, ..self }
    }

    pub fn write(self) -> Self {
        Self { access: Access::Write, ..self }
    }

    /// The same on a unit without these capabilities.
    pub fn without(self, ecap: u64) -> Self {
        Self { ecap: self.ecap.map(|all| all & !ecap), ..self }
    }

    pub fn without_cap(self, cap: u64) -> Self {
        Self { cap: self.cap.map(|all| all & !cap), ..self }
    }

    pub fn set(mut self, addr: u64, word: u64) -> Self {
        self.tables.words.set(addr, word);
        self
    }

    /// The same with these bits of a word changed.
    pub fn flip(self, addr: u64, bits: u64) -> Self {
        let word = self.words().get(addr);
        self.set(addr, word ^ bits)
    }

    /// The same with a bit of the entry `at` of the path changed.
    pub fn flip_bit(self, at: usize, bit: usize) -> Self {
        let addr = self.addr(at) + 8 * (bit as u64 / 64);
        self.flip(addr, 1 << (bit % 64))
    }

    pub fn hole(mut self, addr: u64) -> Self {
        self.tables.words.hole(addr);
        self
    }

    pub fn words(&self) -> &Words {
        &self.tables.words
    }

    pub fn unit(&self) -> Unit {
        let unit = Unit::new(Rtaddr(ROOT | 1 << 10)).unwrap();
        unit.with_capabilities(self.cap.map(Cap), self.ecap.map(Ecap)).with_host_address_width(self.host_width)
    }

    pub fn requester(&self) -> Requester {
        Requester { source_id: self.source, pasid: self.pasid }
    }

    /// The PASID whose entry counts.
    pub fn selected(&self) -> Pasid {
        let field = (self.words().get(self.addr(AT_CONTEXT) + 8) & 0xf_ffff) as u32;
        let rid = if self.ecap.is_some_and(|ecap| ecap & RPS == 0) { 0 } else { field };
        self.pasid.unwrap_or(Pasid(rid))
    }

    /// Where the entry of this place on the path is: structure, table, index, and how many words it has. What a
    /// pointer leads to is taken as it is, valid or not.
    pub fn step(&self, at: usize) -> (Structure, u64, u64, u64) {
        let pointer = |at: usize, word: u64| self.words().get(self.addr(at) + 8 * word) & !0xfff;
        match at {
            0 => (Structure::Root, ROOT, self.source.bus().into(), 2),
            1 => {
                let half = u64::from(self.source.devfn() >> 7);
                (Structure::Context, pointer(0, half), u64::from(self.source.devfn() & 0x7f), 4)
            }
            2 => (Structure::PasidDirectory, pointer(1, 0), u64::from(self.selected().0 >> 6), 1),
            3 => (Structure::PasidTable, pointer(2, 0), u64::from(self.selected().0 & 0x3f), 8),
            _ => {
                let level = self.levels + 4 - at as u8;
                let index = self.iova >> (3 + 9 * u32::from(level)) & 0x1ff;
                match (at, self.kind) {
                    (4, Kind::First) => (Structure::FirstStage(level), pointer(3, 2), index, 1),
                    (4, _) => (Structure::SecondStage(level), pointer(3, 0), index, 1),
                    (_, Kind::First) => (Structure::FirstStage(level), pointer(at - 1, 0) & ADDRESS, index, 1),
                    _ => (Structure::SecondStage(level), pointer(at - 1, 0) & ADDRESS, index, 1),
                }
            }
        }
    }

    pub fn addr(&self, at: usize) -> u64 {
        let (_, table, index, words) = self.step(at);
        table + index * words * 8
    }

    /// The table that the entry here is in.
    pub fn table(&self, at: usize) -> u64 {
        self.step(at).1 + if at == AT_DIRECTORY { (self.step(at).2 * 8) & !0xfff } else { 0 }
    }

    /// Where on the path the page-table entry of this level is.
    pub fn level(&self, level: u8) -> usize {
        usize::from(self.levels + 4 - level)
    }

    /// How many entries the path has, down to its leaf, if nothing is wrong.
    pub fn length(&self) -> usize {
        let is_leaf = |level: u8| matches!(level, 2 | 3) && self.words().get(self.addr(self.level(level))) & LARGE != 0;
        let leaf = (2..=self.levels).rev().find(|&level| is_leaf(level)).unwrap_or(1);
        if self.kind == Kind::PassThrough { 4 } else { self.level(leaf) + 1 }
    }

    pub fn entry(&self, at: usize) -> Bits {
        let mut entry = [0; 8];
        let (addr, words) = (self.addr(at), self.step(at).3);
        for (word, addr) in entry.iter_mut().zip((addr..addr + 8 * words).step_by(8)) {
            *word = self.words().get(addr);
        }
        Bits::from(entry)
    }

    pub fn path(&self, seen: usize) -> Vec<PathEntry> {
        let entry = |at: usize| {
            let (structure, table, index, _) = self.step(at);
            PathEntry { structure, table: PhysAddr(table), index: index as u16, entry: self.entry(at) }
        };
        (0..seen).map(entry).collect()
    }

    /// Asks, and tells the entries that were seen. It is the same from a reader that can't lend, from the device if
    /// that is found first, from the one that a walk finds, and among many.
    pub fn ask(&self) -> (Result<Translation, Fault>, Vec<PathEntry>) {
        self.words().with(|memory| {
            let lent = self.ask_one(memory);
            assert_eq!(lent, self.ask_one(&Copying(memory)), "lent and copied");
            let found = self.unit().device(memory, self.requester(), &mut Page::ZERO.clone(), |_| ()).ok();
            let walked = self.walked(memory);
            // A walk comes to RID_PASID once, as the device of requests without PASID.
            if self.pasid != Some(self.rid_pasid()) && found.is_some() {
                assert_eq!(walked, found, "walked and found");
            }
            for device in found.into_iter().chain(walked) {
                assert_eq!(self.ask_device(memory, &device), lent.0, "from the device {device:?}");
            }
            lent
        })
    }

    fn rid_pasid(&self) -> Pasid {
        self.clone().without_pasid().selected()
    }

    fn ask_one<R: PhysReader>(&self, reader: &R) -> (Result<Translation, Fault>, Vec<PathEntry>) {
        let (mut path, mut copy) = (vec![], Page::ZERO);
        let visit = |entry| path.push(entry);
        let found = self.unit().translate(reader, self.requester(), Iova(self.iova), self.access, &mut copy, visit);
        (found, path)
    }

    fn ask_device<R: PhysReader>(&self, reader: &R, device: &Device) -> Result<Translation, Fault> {
        let (mut copy, iova) = (Page::ZERO, Iova(self.iova));
        let alone = device.translate(reader, iova, self.access, &mut copy, |_| ());
        let mut together = [None; 3];
        device.translate_all(reader, &[iova; 3], self.access, &mut copy, |at, found| together[at] = Some(found));
        assert_eq!(together, [Some(alone); 3]);
        alone
    }

    /// The device that a walk finds for this requester.
    fn walked<R: PhysReader>(&self, reader: &R) -> Option<Device> {
        let mut scratch = Scratch::new();
        let mut walk = self.unit().walk(reader, &mut scratch).only_device(self.source).only_pasid(self.selected());
        while let Some(step) = walk.next() {
            if let Step::Device(device) = step {
                assert_eq!((device.source_id, device.pasid), (self.source, Some(self.selected())));
                if device.with_pasid == self.pasid.is_some() {
                    return Some(*device);
                }
            }
            walk.skip();
        }
        None
    }
}
