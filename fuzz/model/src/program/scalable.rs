//! The tables of a unit in scalable mode, from the root table down to PASID table entries.

use super::arena::Arena;
use super::bound::bound;
use super::build::trees;
use super::devices::{Device, DeviceFlaw, Directory, RidPasid, RootFlawKind, Slot, SlotFlaw, Translation};
use super::dialect::Dialect;
use super::grow::Grower;
use super::{Built, Program, SUPERVISOR};
use crate::twin::Stage;
use crate::twin::bits::{self, FPD, PRESENT};
use std::collections::BTreeMap;

pub fn build(program: &Program, arena: &mut Arena<'_, '_>, built: &Built) {
    let root = built.rtaddr & bits::POINTER;
    // Context and PASID tables come first, so that a small memory has devices at all.
    let mut contexts = BTreeMap::new();
    for device in &program.devices {
        let at = half_at(root, device);
        contexts.entry(at).or_insert_with(|| {
            let table = arena.other().unwrap_or(arena.nowhere(0xfe));
            arena.write(at, table | PRESENT);
            table
        });
    }
    let directories: Vec<_> = program.directories.iter().map(|directory| allocate(arena, directory)).collect();
    for device in &program.devices {
        let which = usize::from(device.tree) % directories.len();
        let words = context_entry(arena, device, &program.directories[which], directories[which]);
        let at = contexts[&half_at(root, device)] + 32 * u64::from(device.devfn % 128);
        (0..4).zip(words).for_each(|(word, value)| arena.write(at + 8 * word, value));
    }
    let tables: Vec<_> = directories.iter().zip(&program.directories).map(|(at, of)| link(arena, *at, of)).collect();

    let stage = |tree: usize| if program.trees[tree].first_stage { Stage::First } else { Stage::Second };
    let tops = trees(program, arena, stage);
    let of_stage = |wanted| (0..tops.len()).filter(|tree| stage(*tree) == wanted).collect::<Vec<_>>();
    let trees = Trees { program, tops: &tops, first: of_stage(Stage::First), second: of_stage(Stage::Second) };
    for (directory, tables) in program.directories.iter().zip(tables) {
        for (slot, table) in directory.slots.iter().zip(tables) {
            let words = pasid_entry(arena, slot, &trees);
            let at = table + 64 * u64::from(slot.pasid % 64);
            (0..8).zip(words).for_each(|(word, value)| arena.write(at + 8 * word, value));
            if trees.kind(slot) == Translation::Nested {
                trees.put_behind_another(arena, slot);
            }
        }
    }
    spoil_root(program, arena, root);
    bound(arena, built);
}

/// Where the half of the root entry is that a device uses.
fn half_at(root: u64, device: &Device) -> u64 {
    root + 16 * u64::from(device.bus) + 8 * u64::from(device.devfn / 128)
}

/// A PASID directory, of which a part may be a hole.
fn allocate(arena: &mut Arena<'_, '_>, directory: &Directory) -> u64 {
    let pages = (1_u64 << directory.size).div_ceil(4);
    let there = directory.ends_early.map_or(pages, |there| u64::from(there) % pages);
    arena.others(pages, there).unwrap_or(arena.nowhere(0xfc))
}

/// Fills a directory in, and tells which PASID table is for each slot.
fn link(arena: &mut Arena<'_, '_>, at: u64, directory: &Directory) -> Vec<u64> {
    let mut tables = BTreeMap::new();
    for slot in &directory.slots {
        tables.entry(slot.pasid / 64).or_insert_with(|| arena.other().unwrap_or(arena.nowhere(0xfb)));
    }
    for slot in &directory.slots {
        let at = at + 8 * u64::from(slot.pasid / 64);
        let mut entry = tables[&(slot.pasid / 64)] | PRESENT;
        if slot.all_faults_disabled {
            entry |= FPD;
        }
        match slot.flaw {
            Some(SlotFlaw::DirectoryAbsent) => entry &= !PRESENT,
            Some(SlotFlaw::DirectoryReserved(bit)) => entry |= 1 << (2 + bit % 10),
            Some(SlotFlaw::DirectoryNowhere(which)) => entry = entry & 0xfff | arena.nowhere(which),
            Some(SlotFlaw::DirectoryHigh) => entry |= 1 << 53,
            _ => {}
        }
        // What lies beyond the directory is no part of it, though another table may be there.
        if slot.pasid / 64 < 128 << directory.size {
            arena.write(at, entry);
        }
    }
    directory.slots.iter().map(|slot| tables[&(slot.pasid / 64)]).collect()
}

fn context_entry(arena: &Arena<'_, '_>, device: &Device, directory: &Directory, at: u64) -> [u64; 4] {
    let dress = device.dress.unwrap_or(0);
    let bit = |set: bool, bit: u32| u64::from(set) << bit;
    let size = device.pasids.size.unwrap_or(directory.size) & 7;
    let rid_pasid = match device.pasids.rid_pasid {
        RidPasid::Zero => 0,
        RidPasid::Slot(which) => directory.slots[usize::from(which) % directory.slots.len()].pasid,
        RidPasid::Any(pasid) => pasid & 0xf_ffff,
    };
    let mut words = [at | u64::from(size) << 9 | PRESENT, u64::from(rid_pasid), 0, 0];
    // FPD, DTE, PASIDE and PRE.
    words[0] |= bit(dress >> 4 & 1 == 1, 1) | bit(dress & 1 == 1, 2) | bit(dress >> 1 & 1 == 1, 4);
    words[0] |= bit(!device.pasids.disabled, 3);
    words[1] |= bit(SUPERVISOR && device.pasids.privileged, 20);
    match device.flaw {
        None => {}
        Some(DeviceFlaw::Absent) => words[0] &= !PRESENT,
        Some(DeviceFlaw::ReservedLow(bit)) => words[0] |= 1 << (5 + bit % 4),
        Some(DeviceFlaw::ReservedHigh(bit)) => {
            let (word, bit) = [(1, 21), (1, 63), (2, 0), (2, 63), (3, 0), (3, 63)][usize::from(bit % 6)];
            words[word] |= 1 << bit;
        }
        Some(DeviceFlaw::Wide) => words[1] |= 0xf_ffff,
        Some(DeviceFlaw::Nowhere(which)) => words[0] = words[0] & 0xfff | arena.nowhere(which),
        Some(DeviceFlaw::High) => words[0] |= 1 << 53,
    }
    words
}

/// The trees of a program, and which are of which stage.
struct Trees<'p> {
    program: &'p Program,
    tops: &'p [u64],
    first: Vec<usize>,
    second: Vec<usize>,
}

impl Trees<'_> {
    /// One of some trees, or of all if there are none: it is of the other stage then.
    fn choose(&self, which: u8, among: &[usize]) -> usize {
        let count = if among.is_empty() { self.tops.len() } else { among.len() };
        let which = usize::from(which) % count;
        among.get(which).copied().unwrap_or(which)
    }

    fn of(&self, slot: &Slot) -> (usize, usize) {
        (self.choose(slot.first, &self.first), self.choose(slot.second, &self.second))
    }

    /// There may be nothing to nest.
    fn kind(&self, slot: &Slot) -> Translation {
        match slot.kind {
            Translation::Nested if self.first.is_empty() => Translation::SecondStage,
            Translation::Nested if self.second.is_empty() => Translation::FirstStage,
            kind => kind,
        }
    }

    /// Lets the second stage of a slot map all tables of first stages where they are, and some of what their leaves
    /// lead to.
    fn put_behind_another(&self, arena: &mut Arena<'_, '_>, slot: &Slot) {
        let (_, second) = self.of(slot);
        let levels = self.program.trees[second].levels(Stage::Second);
        let tables = arena.tables.iter().filter(|(_, stage, _)| *stage == Stage::First);
        let tables: Vec<_> = tables.map(|(addr, _, level)| (*addr, *level)).collect();
        let mut pages: Vec<_> = tables.iter().map(|(addr, _)| (*addr, *addr)).collect();
        let lowest = tables.iter().filter(|(_, level)| *level == 1);
        let entries = lowest.flat_map(|(addr, _)| (0..512).map(move |index| addr + 8 * index));
        let leaves = entries.filter_map(|at| arena.read(at)).filter(|entry| entry & PRESENT != 0);
        let elsewhere = u64::from(slot.domain & 3) << 36;
        pages.extend(leaves.map(|entry| entry & bits::ADDRESS).map(|page| (page, page ^ elsewhere)).take(600));
        let dialect = Dialect { stage: Stage::Second, execute_disable: false };
        Grower::map(arena, dialect, self.tops[second], levels, &pages);
    }
}

fn pasid_entry(arena: &Arena<'_, '_>, slot: &Slot, trees: &Trees<'_>) -> [u64; 8] {
    let (first, second) = trees.of(slot);
    let width = |tree: usize| trees.program.trees[tree].width;
    let levels = slot.levels.map(u64::from);
    let (aw, fspm) = (levels.unwrap_or(width(second).into()) & 7, levels.unwrap_or(u64::from(width(first)) & 1) & 3);
    let kind = trees.kind(slot);
    let translation = match kind {
        Translation::FirstStage => 1,
        Translation::SecondStage => 2,
        Translation::Nested => 3,
        Translation::PassThrough => 4,
        Translation::Reserved(bits) => u64::from(bits),
    };
    let mut words = [0; 8];
    words[0] = translation << 6 | aw << 2 | PRESENT | if slot.fault_disabled { FPD } else { 0 };
    words[1] = slot.domain.into();
    words[2] = fspm << 2 | u64::from(!slot.no_execute_disable) << 5;
    if kind != Translation::FirstStage {
        words[0] |= trees.tops[second];
    }
    if kind != Translation::SecondStage {
        words[2] |= trees.tops[first];
    }
    words[2] |= u64::from(SUPERVISOR && !slot.no_supervisor);
    if let Some(dress) = slot.dress {
        // SSEE and SSADE; PWSNP to PAT, whose types have three bits each; ERE, WPE, SMEP and EAFE.
        words[0] |= dress & (1 << 5 | 1 << 9);
        words[1] |= dress & 0x7777_7777_ff80_0000;
        words[2] |= dress >> 32 & 0xd2;
    }
    match slot.flaw {
        Some(SlotFlaw::Absent) => words[0] &= !PRESENT,
        Some(SlotFlaw::Reserved(which)) => {
            const BITS: [usize; 19] =
                [10, 11, 80, 86, 136, 139, 192, 255, 256, 511, 5, 9, 87, 88, 90, 93, 128, 129, 135];
            let bit = BITS[usize::from(which) % BITS.len()];
            words[bit / 64] |= 1 << (bit % 64);
        }
        Some(SlotFlaw::Nowhere(which)) => {
            words[0] = words[0] & 0xfff | arena.nowhere(which);
            words[2] = words[2] & 0xfff | arena.nowhere(which);
        }
        Some(SlotFlaw::High) => {
            words[0] |= 1 << 53;
            words[2] |= 1 << 53;
        }
        _ => {}
    }
    words
}

fn spoil_root(program: &Program, arena: &mut Arena<'_, '_>, root: u64) {
    let Some(flaw) = &program.root_flaw else { return };
    let device = &program.devices[usize::from(flaw.device) % program.devices.len()];
    let both = root + 16 * u64::from(device.bus);
    let used = half_at(root, device);
    let entry = arena.read(used).unwrap_or(0);
    match flaw.kind {
        RootFlawKind::Absent => arena.write(used, entry & !PRESENT),
        RootFlawKind::ReservedLow(bit) => arena.write(used, entry | 1 << (1 + bit % 11)),
        RootFlawKind::ReservedHigh(bit) => {
            let upper = arena.read(both + 8).unwrap_or(0);
            arena.write(both + 8, upper | 1 << (1 + bit % 11));
        }
        RootFlawKind::Nowhere(which) => arena.write(used, arena.nowhere(which) | PRESENT),
        RootFlawKind::High => arena.write(used, entry | 1 << 53),
        RootFlawKind::SameTable(other) => {
            let other = root + 16 * u64::from(other);
            if arena.read(other) == Some(0) && arena.read(other + 8) == Some(0) {
                for half in [0, 8] {
                    let entry = arena.read(both + half).unwrap_or(0);
                    arena.write(other + half, entry);
                }
            }
        }
    }
}
