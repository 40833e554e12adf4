//! Every defect that a request can meet on its way, in the order in which hardware looks for them.

use crate::builder::ROOT;
use crate::request::{AT_CONTEXT, AT_DIRECTORY, AT_PASID, AT_ROOT, Kind, PHYS, Request};
use crate::{PASIDE, RID_PRIV, SMTS};
use iopt::{Access, Pasid};

pub struct Defect {
    pub name: String,
    pub code: u8,
    /// Makes a request that is let through meet it. Only what lies on the path of that request is changed.
    pub apply: Box<dyn Fn(Request) -> Request>,
}

/// Requests of every kind, and what can befall them.
pub fn requests() -> Vec<Request> {
    let five = Request::new(Kind::First, 5).both();
    let reads: Vec<_> = Request::all().into_iter().chain(five).collect();
    reads.iter().cloned().chain(reads.iter().cloned().map(Request::write)).collect()
}

/// The defects of `base`, the first to be found first.
pub fn of(base: &Request) -> Vec<Defect> {
    let mut defects = Defects(vec![]);
    defects.add("mode", 0x30, |request| request.without(SMTS));
    defects.hole("root table", 0x38, ROOT);
    defects.flip("root P", 0x39, base.addr(AT_ROOT), 1);
    defects.flip("root reserved", 0x3a, base.addr(AT_ROOT), 1 << 11);
    context(&mut defects, base);
    pasid(&mut defects, base);
    match base.kind {
        Kind::PassThrough => {
            defects.add("host width", 0x83, |request| Request { iova: request.iova | 1 << 60, ..request });
            if base.pasid.is_some() {
                defects.add("output", 0x87, |request| Request { iova: 0xfee0_0000, ..request });
            }
        }
        Kind::First => {
            defects.add("canonical", 0x80, |request| Request { iova: request.iova ^ 1 << 63, ..request });
            page_tables(&mut defects, base, [0x73, 0x70]);
        }
        Kind::Second => {
            defects.add("width", 0x84, |request| Request { iova: request.iova | 1 << 60, ..request });
            page_tables(&mut defects, base, [0x7b, 0x78]);
        }
    }
    defects.0
}

fn context(defects: &mut Defects, base: &Request) {
    let at = base.addr(AT_CONTEXT);
    defects.hole("context table", 0x40, base.table(AT_CONTEXT));
    defects.flip("context P", 0x41, at, 1);
    defects.flip("context reserved", 0x42, at + 24, 1 << 63);
    if base.pasid.is_some() {
        defects.flip("PASIDE", 0x45, at, PASIDE);
        defects.add("PASID", 0x46, |request| Request { pasid: Some(Pasid(0x2000)), ..request });
    } else {
        defects.flip("RID_PASID", 0x48, at + 8, 1 << 13);
    }
}

fn pasid(defects: &mut Defects, base: &Request) {
    let directory = base.addr(AT_DIRECTORY);
    defects.hole("directory", 0x50, base.table(AT_DIRECTORY));
    defects.flip("directory P", 0x51, directory, 1);
    defects.flip("directory reserved", 0x52, directory, 1 << 2);
    let entry = base.addr(AT_PASID);
    defects.hole("PASID table", 0x58, base.table(AT_PASID));
    defects.flip("PASID P", 0x59, entry, 1);
    defects.flip("PASID reserved", 0x5a, entry + 56, 1 << 63);
    let pgtt = base.words().get(entry) & 7 << 6;
    defects.flip("PGTT", 0x5b, entry, pgtt ^ 7 << 6);
    match base.kind {
        Kind::First => defects.flip("FSPM", 0x5b, entry + 16, 2 << 2),
        Kind::Second => defects.flip("AW", 0x5b, entry, 5 << 2),
        Kind::PassThrough => {}
    }
    if base.kind == Kind::First && base.pasid.is_none() {
        defects.flip("SRE", 0x5d, base.addr(AT_CONTEXT) + 8, RID_PRIV);
    }
}

fn page_tables(defects: &mut Defects, base: &Request, [top, lower]: [u8; 2]) {
    for level in (1..=base.levels).rev() {
        let at = base.level(level);
        let entry = base.addr(at);
        defects.hole(&format!("table {level}"), if level == base.levels { top } else { lower }, base.table(at));
        let mut flip = |name, code, bits| defects.flip(&format!("{name} {level}"), code, entry, bits);
        let write = base.access == Access::Write;
        if base.kind == Kind::First {
            flip("P", 0x71, 1);
            flip("U/S", 0x81, 4);
            if write {
                flip("R/W", 0x85, 2);
            }
            flip("reserved", 0x72, 1 << 63);
        } else {
            flip("permission", 0x79, if write { 2 } else { 1 });
            flip("reserved", 0x7a, 1 << 62);
        }
    }
    defects.flip("output", 0x87, base.addr(base.level(1)), PHYS ^ 0xfee0_0000);
}

struct Defects(Vec<Defect>);

impl Defects {
    fn add(&mut self, name: &str, code: u8, apply: impl Fn(Request) -> Request + 'static) {
        self.0.push(Defect { name: name.into(), code, apply: Box::new(apply) });
    }

    fn flip(&mut self, name: &str, code: u8, addr: u64, bits: u64) {
        self.add(name, code, move |request| request.flip(addr, bits));
    }

    fn hole(&mut self, name: &str, code: u8, addr: u64) {
        self.add(name, code, move |request| request.hole(addr));
    }
}
