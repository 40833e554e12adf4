//! A unit in scalable mode with valid tables, made by hand, and what becomes of requests when some of them change.

#![allow(dead_code, reason = "each test file needs a part of it")]

use iopt::PhysAddr;
use iopt::memory::{Slot, SparseMemory};
use iopt_model::{Fault, Translated, Twin, Who};

pub const ROOT: u64 = 0x1000;
/// The context tables of both halves of the bus.
pub const LOWER: u64 = 0x2000;
pub const UPPER: u64 = 0x3000;
/// Of two pages.
pub const DIRECTORY: u64 = 0x4000;
pub const PASIDS: u64 = 0x6000;
/// PASIDs 32,768 to 32,831, the first behind the first page of the directory.
pub const MORE_PASIDS: u64 = 0x7000;
/// The four tables of each stage, from the top.
pub const FIRST: [u64; 4] = [0x8000, 0x9000, 0xa000, 0xb000];
pub const SECOND: [u64; 4] = [0xc000, 0xd000, 0xe000, 0xf000];
/// Bus 1, device 2, function 3, and the same in the upper half of the bus.
pub const SOURCE: u16 = 0x0113;
pub const FAR_SOURCE: u16 = 0x0193;
/// Where their entries are: half of a root entry, a context entry.
pub const HALF: [u64; 2] = [ROOT + 16, ROOT + 24];
pub const CONTEXT: [u64; 2] = [LOWER + 32 * 0x13, UPPER + 32 * 0x13];
/// A first stage, a second stage, and both.
pub const PASID: [u32; 3] = [70, 0x8001, 71];
pub const ENTRY: [u64; 3] = [PASIDS + 64 * 6, MORE_PASIDS + 64, PASIDS + 64 * 7];
/// The directory entry of the first.
pub const IN_DIRECTORY: u64 = DIRECTORY + 8;
pub const IOVA: u64 = 5 << 39 | 6 << 30 | 7 << 21 | 8 << 12;
pub const PHYS: u64 = 0x1234_5000;
/// Address widths of 3 to 5 levels, 48 bits of MGAW, large pages in both stages, 5 levels in the first.
pub const CAP: u64 = 0xe << 8 | 47 << 16 | 3 << 34 | 1 << 56 | 1 << 60;
pub const ECAP: u64 = !0;

#[derive(Clone, Copy, Default)]
pub struct Known {
    pub cap: Option<u64>,
    pub ecap: Option<u64>,
    pub haw: Option<u8>,
}

pub const NOTHING: Known = Known { cap: None, ecap: None, haw: None };
pub const ALL: Known = Known { cap: Some(CAP), ecap: Some(ECAP), haw: Some(46) };

pub fn lacking(ecap_bit: u32) -> Known {
    Known { ecap: Some(ECAP & !(1 << ecap_bit)), ..ALL }
}

/// Where each stage's entry on the path of `IOVA` is, levels 4 to 1.
pub fn at(tables: [u64; 4]) -> [u64; 4] {
    [tables[0] + 8 * 5, tables[1] + 8 * 6, tables[2] + 8 * 7, tables[3] + 8 * 8]
}

/// Writes the valid tables, then `changes`, and lets `look` see them.
pub fn with<T>(known: Known, changes: &[(u64, u64)], look: impl FnOnce(Twin<'_>) -> T) -> T {
    let mut slots = vec![Slot::EMPTY; 32];
    let mut memory = SparseMemory::new(&mut slots);
    let mut words = vec![(HALF[0], LOWER | 1), (HALF[1], UPPER | 1)];
    // PASIDE, PDTS 3: 1,024 entries; RID_PASID is the first stage.
    CONTEXT.iter().for_each(|at| words.extend([(*at, DIRECTORY | 3 << 9 | 8 | 1), (at + 8, PASID[0].into())]));
    words.extend([(IN_DIRECTORY, PASIDS | 1), (DIRECTORY + 4096, MORE_PASIDS | 1)]);
    words.extend([(ENTRY[0], 1 << 6 | 1), (ENTRY[0] + 16, FIRST[0])]);
    words.extend([(ENTRY[1], SECOND[0] | 2 << 6 | 2 << 2 | 1)]);
    words.extend([(ENTRY[2], SECOND[0] | 3 << 6 | 2 << 2 | 1), (ENTRY[2] + 16, FIRST[0])]);
    for (at, tables, rights) in [(at(FIRST), FIRST, 7), (at(SECOND), SECOND, 3)] {
        words.extend((0..3).map(|level| (at[level], tables[level + 1] | rights)));
        words.push((at[3], PHYS | rights));
    }
    // For the nested PASID, the second stage maps the tables of the first to themselves, and what they lead to.
    words.extend([(SECOND[0], 0x10003), (0x10000, 0x11003), (0x11000, 0x83), (0x11000 + 8 * 0x91, 0x5520_0083)]);
    for (at, word) in words.iter().chain(changes) {
        memory.write_u64(PhysAddr(*at), *word).unwrap();
    }
    look(Twin { memory: &memory, rtaddr: ROOT | 1 << 10, cap: known.cap, ecap: known.ecap, haw: known.haw })
}

pub fn go(
    known: Known,
    changes: &[(u64, u64)],
    pasid: Option<u32>,
    iova: u64,
    write: bool,
) -> Result<Translated, Fault> {
    with(known, changes, |twin| twin.translate(Who { source: SOURCE, pasid }, iova, write))
}

/// The fault code of a read of `IOVA` without PASID, and how many entries were seen; code 0 if it is translated.
pub fn read(known: Known, changes: &[(u64, u64)]) -> (u8, usize) {
    outcome(go(known, changes, None, IOVA, false))
}

pub fn outcome(done: Result<Translated, Fault>) -> (u8, usize) {
    done.map_or_else(|fault| (fault.code, fault.path.len()), |done| (0, done.path.len()))
}
