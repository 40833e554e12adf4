//! The tables on the way to devices, by the words in memory.

use super::unreadable;
use crate::Way;
use iopt::memory::ReadErrorKind;
use iopt::vtd::{Bits, Device, Fault, Place, Structure};
use iopt::{Pasid, PhysAddr, SourceId};

/// How deep a table is in a walk.
pub const ROOT: u8 = 0;
pub const CONTEXT: u8 = 1;
pub const DIRECTORY: u8 = 2;
pub const PASIDS: u8 = 3;

/// A table that is read on the way to devices.
#[derive(Clone)]
pub struct Upper {
    pub depth: u8,
    pub addr: PhysAddr,
    /// What is told if it is a hole.
    pub told: Fault,
}

fn pointer(word: u64) -> PhysAddr {
    PhysAddr(word & !0xfff)
}

/// All of them, in the order in which a walk comes to them.
pub fn tables(way: &Way<'_>) -> Vec<Upper> {
    let root = way.unit.rtaddr().root_table();
    let place = Place {
        structure: Structure::Root,
        table: root,
        index: 0,
        entry: None,
        source_id: None,
        pasid: None,
        iova: None,
    };
    let mut found = Found { way, tables: Vec::new() };
    found.add(ROOT, root, if way.unit.is_scalable() { 0x38 } else { 0x08 }, place);
    let words = way.reader.words(root.0);
    for (bus, entry) in (0u8..=255).zip(words.chunks_exact(2)) {
        let place = Place { index: bus.into(), entry: Some(Bits::from([entry[0], entry[1]])), ..place };
        for (half, word) in entry.iter().enumerate().filter(|(_, word)| **word & 1 == 1) {
            if way.unit.is_scalable() {
                found.add(CONTEXT, pointer(*word), 0x40, place);
                found.directories(pointer(*word), SourceId::new(bus, [0, 0x80][half]));
            } else {
                found.add(CONTEXT, pointer(*word), 0x09, place);
            }
        }
    }
    found.tables
}

struct Found<'w> {
    way: &'w Way<'w>,
    tables: Vec<Upper>,
}

impl Found<'_> {
    fn add(&mut self, depth: u8, addr: PhysAddr, code: u8, place: Place) {
        self.tables.push(Upper { depth, addr, told: unreadable(code, addr, ReadErrorKind::Hole, place) });
    }

    /// What the context entries from `first` on lead to, in scalable mode.
    fn directories(&mut self, contexts: PhysAddr, first: SourceId) {
        let words = self.way.reader.words(contexts.0);
        for (index, entry) in (0u16..).zip(words.chunks_exact(4)).filter(|(_, entry)| entry[0] & 1 == 1) {
            let directory = pointer(entry[0]);
            let entries = 1u64 << ((entry[0] >> 9 & 7) + 7);
            for page in 0..entries.div_ceil(512) {
                let place = Place {
                    structure: Structure::Context,
                    table: contexts,
                    index,
                    entry: Some(Bits::from([entry[0], entry[1], entry[2], entry[3]])),
                    source_id: Some(SourceId(first.0 + index)),
                    pasid: Some(Pasid((page as u32) << 15)),
                    iova: None,
                };
                let addr = PhysAddr(directory.0 + page * 4096);
                self.add(DIRECTORY, addr, 0x50, place);
                let words = self.way.reader.words(addr.0);
                let numbers = page * 512..entries.min((page + 1) * 512);
                for (number, word) in numbers.zip(words).filter(|(_, word)| word & 1 == 1) {
                    let place = Place {
                        structure: Structure::PasidDirectory,
                        table: directory,
                        index: number as u16,
                        entry: Some(word.into()),
                        pasid: Some(Pasid((number as u32) << 6)),
                        ..place
                    };
                    self.add(PASIDS, pointer(word), 0x58, place);
                }
            }
        }
    }
}

/// The entry of a device that leads to its page tables, in `table`, which is the last of its upper ones.
pub fn entry(way: &Way<'_>, table: PhysAddr, device: &Device) -> Place {
    let words = way.reader.words(table.0);
    let (source_id, pasid) = (Some(device.source_id), device.pasid);
    let (structure, index, entry) = match pasid {
        None => {
            let index = device.source_id.devfn();
            let entry = [0, 1].map(|word| words[2 * usize::from(index) + word]);
            (Structure::Context, index.into(), Bits::from(entry))
        }
        Some(pasid) => {
            let index = pasid.0 as u16 % 64;
            let entry = [0, 1, 2, 3, 4, 5, 6, 7].map(|word| words[8 * usize::from(index) + word]);
            (Structure::PasidTable, index, Bits::from(entry))
        }
    };
    Place { structure, table, index, entry: Some(entry), source_id, pasid, iova: None }
}
