//! What is in a tree of tables, found by recursion over the twin.

use crate::tree::{ROOT, Tree};
use crate::twin::{Twin, allows};
use iopt::Access;
use iopt::radix::Entry;

/// What a walk comes to, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Table { addr: u64, level: u8, iova: u64 },
    Leaf(Leaf),
    Bad { table: u64, level: u8, index: u64, raw: u64, iova: u64, why: Why },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub iova: u64,
    pub size_log2: u32,
    pub phys: u64,
    pub permissions: (bool, bool),
    pub attributes: u64,
    pub raw: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Reserved(u64),
    Unreadable,
    /// On its own path, at this level.
    Loop(u8),
}

impl Found {
    /// The addresses from the first to the last that it concerns; `None` for a table.
    pub fn span(&self, twin: &dyn Twin) -> Option<(u64, u64)> {
        match *self {
            Self::Table { .. } => None,
            Self::Leaf(leaf) => Some((leaf.iova, leaf.iova + ((1 << leaf.size_log2) - 1))),
            Self::Bad { level, iova, .. } => Some((iova, iova + ((1 << twin.shift(level)) - 1))),
        }
    }
}

/// Everything that concerns the addresses from `from` to `last`.
pub fn walk(twin: &dyn Twin, tree: &Tree<'_>, (from, last): (u64, u64)) -> Vec<Found> {
    let mut walk = Walk { twin, tree, from, last, path: vec![ROOT], found: Vec::new() };
    walk.table(twin.levels(), ROOT, 0, (true, true));
    walk.found
}

struct Walk<'t> {
    twin: &'t dyn Twin,
    tree: &'t Tree<'t>,
    from: u64,
    last: u64,
    path: Vec<u64>,
    found: Vec<Found>,
}

impl Walk<'_> {
    fn table(&mut self, level: u8, table: u64, offset: u64, (read, write): (bool, bool)) {
        let twin = self.twin;
        self.found.push(Found::Table { addr: table, level, iova: twin.iova(offset) });
        for index in 0..twin.entries(level) {
            let raw = self.tree.word(table, index).unwrap();
            let offset = offset + (index << twin.shift(level));
            let iova = twin.iova(offset);
            if iova + ((1 << twin.shift(level)) - 1) < self.from || iova > self.last {
                continue;
            }
            let (entry_read, entry_write) = twin.permissions(raw);
            let permissions = (read && entry_read, write && entry_write);
            let bad = |why| Found::Bad { table, level, index, raw, iova, why };
            match twin.decode(level, raw) {
                Entry::Absent => {}
                Entry::Malformed(bits) => self.found.push(bad(Why::Reserved(bits))),
                Entry::Leaf(phys) => self.found.push(Found::Leaf(Leaf {
                    iova,
                    size_log2: twin.shift(level),
                    phys: phys.0,
                    permissions,
                    attributes: twin.attributes(level, raw),
                    raw,
                })),
                Entry::Table(next) => {
                    if let Some(depth) = self.path.iter().position(|table| *table == next.0) {
                        self.found.push(bad(Why::Loop(twin.levels() - depth as u8)));
                    } else if self.tree.word(next.0, 0).is_none() {
                        self.found.push(bad(Why::Unreadable));
                    } else {
                        self.path.push(next.0);
                        self.table(level - 1, next.0, offset, permissions);
                        self.path.pop();
                    }
                }
            }
        }
    }
}

/// Leaves that follow each other and are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub first: u64,
    pub last: u64,
    pub phys: Option<u64>,
    pub permissions: (bool, bool),
    pub attributes: u64,
    pub smallest_log2: u32,
}

pub fn ranges(found: &[Found], by_iova_only: bool) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for found in found {
        let Found::Leaf(leaf) = found else { continue };
        if leaf.permissions == (false, false) {
            continue;
        }
        let last = leaf.iova + ((1 << leaf.size_log2) - 1);
        if let Some(open) = ranges.last_mut() {
            let follows = open.last.checked_add(1) == Some(leaf.iova);
            let alike = (open.permissions, open.attributes) == (leaf.permissions, leaf.attributes);
            let one_piece = follows && open.phys.is_some_and(|phys| phys + (leaf.iova - open.first) == leaf.phys);
            if follows && alike && (one_piece || by_iova_only) {
                open.last = last;
                open.phys = open.phys.filter(|_| one_piece);
                open.smallest_log2 = open.smallest_log2.min(leaf.size_log2);
                continue;
            }
        }
        ranges.push(Range {
            first: leaf.iova,
            last,
            phys: Some(leaf.phys),
            permissions: leaf.permissions,
            attributes: leaf.attributes,
            smallest_log2: leaf.size_log2,
        });
    }
    ranges
}

/// Where an address leads: memory, log2 of the leaf's size, permissions.
pub type Translated = (u64, u32, (bool, bool));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    Denied,
    Reserved(u64),
    Unreadable,
}

/// An entry on the path: level, table, index and the entry itself.
pub type Step = (u8, u64, u64, u64);

/// The path of one address, and where it ends. The last entry is the one to blame.
pub fn translate(
    twin: &dyn Twin,
    tree: &Tree<'_>,
    iova: u64,
    access: Access,
) -> (Vec<Step>, Result<Translated, Refused>) {
    let mut path = Vec::new();
    let mut table = ROOT;
    let mut permissions = (true, true);
    for level in (1..=twin.levels()).rev() {
        let index = twin.offset(iova) >> twin.shift(level) & 0x1ff;
        let Some(raw) = tree.word(table, index) else { return (path, Err(Refused::Unreadable)) };
        path.push((level, table, index, raw));
        let here = twin.permissions(raw);
        if !twin.present(raw) || !allows(here, access) {
            return (path, Err(Refused::Denied));
        }
        permissions = (permissions.0 && here.0, permissions.1 && here.1);
        match twin.decode(level, raw) {
            Entry::Malformed(bits) => return (path, Err(Refused::Reserved(bits))),
            Entry::Leaf(phys) => {
                let inside = (1 << twin.shift(level)) - 1;
                return (path, Ok((phys.0 | iova & inside, twin.shift(level), permissions)));
            }
            Entry::Table(next) => table = next.0,
            Entry::Absent => unreachable!("it is present"),
        }
    }
    unreachable!("an entry at level 1 is a leaf")
}
