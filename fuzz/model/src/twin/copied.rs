//! Which tables there are to copy.

use super::bits::{self, PRESENT};
use super::{Kind, Space, Stage, Tables, Twin, entry_in, scalable};
use std::collections::BTreeSet;

/// A table, and what it is read as: the same page may be several tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    /// The address.
    pub table: u64,
    /// What it is.
    pub kind: Kind,
    /// How many pages it has.
    pub pages: u64,
    /// How many entries of a PASID directory; one that two contexts give different sizes is two tables.
    pub entries: u64,
    /// Whether bit 63 of a first-stage entry means something: it decides which entries are followed.
    pub nxe: bool,
}

impl Twin<'_> {
    /// Every table in memory that well-formed entries lead to, but for the root table; empty if that is not there.
    ///
    /// A directory counts even if it is not in memory. The tables of a nested first stage do not count.
    pub fn copied(&self) -> BTreeSet<Role> {
        let mut roles = BTreeSet::new();
        let Some(page) = self.page(self.rtaddr & bits::POINTER) else { return roles };
        for bus in 0..256 {
            let root: [u64; 2] = entry_in(&page, bus);
            let halves = if self.is_scalable() { &root[..] } else { &root[..1] };
            for half in halves {
                let refused =
                    if self.is_scalable() { self.half_reserved(*half) } else { bits::root_reserved(root, self.haw) };
                if half & PRESENT != 0 && !refused {
                    self.copied_contexts(&mut roles, half & bits::POINTER);
                }
            }
        }
        roles
    }

    fn copied_contexts(&self, roles: &mut BTreeSet<Role>, table: u64) {
        let Some(page) = self.page(table) else { return };
        if !roles.insert(Role { table, kind: Kind::Context, pages: 1, entries: 0, nxe: false }) {
            return;
        }
        if !self.is_scalable() {
            for devfn in 0..256 {
                let words: [u64; 2] = entry_in(&page, devfn);
                if words[0] & PRESENT != 0 {
                    self.copied_space(roles, self.context_space(words));
                }
            }
            return;
        }
        for index in 0..128 {
            let words: [u64; 4] = entry_in(&page, index);
            if words[0] & PRESENT == 0 || self.scalable_context_reserved(words) {
                continue;
            }
            let (table, entries) = (words[0] & bits::POINTER, scalable::pasids(words) / 64);
            let pages = entries.div_ceil(512);
            if !roles.insert(Role { table, kind: Kind::Directory, pages, entries, nxe: false }) {
                continue;
            }
            for at in 0..pages {
                let Some(page) = table.checked_add(at * 4096).and_then(|at| self.page(at)) else { continue };
                for index in 0..(entries - at * 512).min(512) {
                    let [entry] = entry_in(&page, index);
                    if entry & PRESENT != 0 && !scalable::directory_reserved(entry) {
                        self.copied_pasids(roles, entry & bits::POINTER);
                    }
                }
            }
        }
    }

    fn copied_pasids(&self, roles: &mut BTreeSet<Role>, table: u64) {
        let Some(page) = self.page(table) else { return };
        if roles.insert(Role { table, kind: Kind::Pasids, pages: 1, entries: 0, nxe: false }) {
            for index in 0..64 {
                let words: [u64; 8] = entry_in(&page, index);
                if words[0] & PRESENT != 0 {
                    self.copied_space(roles, self.pasid_space(words, false));
                }
            }
        }
    }

    fn copied_space(&self, roles: &mut BTreeSet<Role>, space: Result<Space, u8>) {
        if let Ok(Space::Tables(tables) | Space::Nested(_, tables)) = space {
            self.copied_tables(roles, &tables, tables.levels, tables.top);
        }
    }

    fn copied_tables(&self, roles: &mut BTreeSet<Role>, of: &Tables, level: u8, table: u64) {
        let Some(page) = self.page(table) else { return };
        let nxe = of.stage == Stage::First && of.nxe && level > 1;
        if !roles.insert(Role { table, kind: of.kind(level), pages: 1, entries: 0, nxe }) || level == 1 {
            return;
        }
        for word in &page.words()[..if level == 6 { 128 } else { 512 }] {
            let entry = word.get();
            if of.present(entry) && !of.reserved(entry, level) && !bits::is_leaf(entry, level) {
                self.copied_tables(roles, of, level - 1, entry & bits::ADDRESS);
            }
        }
    }
}
