use super::arena::Arena;
use super::bound::bound;
use super::devices::{Device, DeviceFlaw, RootFlawKind};
use super::dialect::Dialect;
use super::draw::mix;
use super::grow::Grower;
use super::shape::Unit;
use super::{Built, Program, scalable};
use crate::twin::Stage;
use crate::twin::bits::PRESENT;
use iopt::memory::SparseMemory;
use std::collections::BTreeMap;

pub fn build(program: &Program, memory: &mut SparseMemory<'_>) -> Built {
    let unit = &program.unit;
    let cap = unit.knows_cap.then(|| cap(program));
    let ecap = unit.knows_ecap.then(|| ecap(unit));
    let haw = unit.knows_haw.then(|| [39, 42, 46, 48, 52][usize::from(unit.haw)]);
    let mut arena = Arena::new(memory, unit);

    // Root and context tables come first, so that a small memory has devices at all.
    let root = if unit.no_root { None } else { arena.other() };
    let mode = if unit.scalable { 1 << 10 } else { 0 };
    let Some(root) = root else {
        return Built { rtaddr: arena.nowhere(0xff) | mode, cap, ecap, haw };
    };
    let built = Built { rtaddr: root | mode, cap, ecap, haw };
    if unit.scalable {
        scalable::build(program, &mut arena, &built);
    } else {
        legacy(program, &mut arena, &built);
    }
    built
}

fn legacy(program: &Program, arena: &mut Arena<'_, '_>, built: &Built) {
    let root = built.rtaddr;
    let mut contexts = BTreeMap::new();
    for device in &program.devices {
        contexts.entry(device.bus).or_insert_with(|| {
            let table = arena.other().unwrap_or(arena.nowhere(0xfe));
            arena.write(entry_at(root, device.bus), table | PRESENT);
            table
        });
    }
    let tops = trees(program, arena, |_| Stage::Second);
    for device in &program.devices {
        let which = usize::from(device.tree) % tops.len();
        let words = context_entry(arena, &program.unit, device, tops[which], program.trees[which].width);
        let at = entry_at(contexts[&device.bus], device.devfn);
        arena.write(at, words[0]);
        arena.write(at + 8, words[1]);
    }
    spoil_root(program, arena, root);
    bound(arena, built);
}

/// Grows all trees, and tells where their top tables are.
pub fn trees(program: &Program, arena: &mut Arena<'_, '_>, stage: impl Fn(usize) -> Stage) -> Vec<u64> {
    let stages = (0..program.trees.len()).map(stage);
    let trees: Vec<_> = program.trees.iter().zip(stages).collect();
    let tops: Vec<_> = trees.iter().map(|(tree, stage)| arena.top(*stage, tree.levels(*stage))).collect();
    for ((tree, stage), top) in trees.into_iter().zip(&tops) {
        if let Some(top) = top {
            let dialect = Dialect { stage, execute_disable: tree.execute_disable };
            Grower::grow(arena, dialect, *top, tree);
        }
    }
    tops.into_iter().map(|top| top.unwrap_or(arena.nowhere(0xfd))).collect()
}

/// Where a root or context entry is.
fn entry_at(table: u64, index: u8) -> u64 {
    table + 16 * u64::from(index)
}

fn cap(program: &Program) -> u64 {
    let unit = &program.unit;
    let mut widths = u64::from(unit.more_widths & 0x1f);
    for tree in &program.trees {
        widths |= 1 << tree.width;
    }
    if unit.lacks_a_width {
        widths &= !(1 << program.trees[0].width);
    }
    let widest = program.trees.iter().map(|tree| tree.width).max().unwrap_or(0);
    let agaw = (30 + 9 * widest).min(64);
    let mgaw = agaw.saturating_sub(unit.narrow.unwrap_or(0) % 26).max(30);
    let domains = if unit.few_domains { 2 } else { 6 };
    let large = u64::from(!unit.lacks_2_mib) << 34 | u64::from(!unit.lacks_1_gib) << 35;
    let noise = unit.noise & !(0x7 | 0x1f << 8 | 0x3f << 16 | 0xf << 34);
    // FS1GP and FS5LP.
    let first = if unit.scalable { (1 << 56 | 1 << 60) & !lacks(unit).rotate_left(7) } else { 0 };
    noise & !first_stage_bits(unit) | first | domains | widths << 8 | (u64::from(mgaw) - 1) << 16 | large
}

/// Those bits of CAP that the shape of a unit in scalable mode decides.
fn first_stage_bits(unit: &Unit) -> u64 {
    if unit.scalable { 1 << 56 | 1 << 60 } else { 0 }
}

fn ecap(unit: &Unit) -> u64 {
    let noise = unit.noise.rotate_left(32) & !(1 << 2 | 1 << 6 | 1 << 7);
    let has = |lacks: bool, bit: u32| u64::from(!lacks) << bit;
    let has = has(unit.lacks_device_tlb, 2) | has(unit.lacks_pass_through, 6) | has(unit.lacks_snoop, 7);
    if unit.scalable { noise & !SCALABLE | SCALABLE & !lacks(unit) | has } else { noise | has }
}

/// MTS, NEST, ERS, SRS, EAFS, SMTS, SSADS, SSTS, FSTS, SMPWCS, RPS and RPRIVS.
const SCALABLE: u64 = 1 << 25
    | 1 << 26
    | 1 << 30
    | 1 << 31
    | 1 << 34
    | 1 << 43
    | 1 << 45
    | 1 << 46
    | 1 << 47
    | 1 << 48
    | 1 << 49
    | 1 << 53;

/// A few bits at random, if the unit lacks anything of scalable mode.
fn lacks(unit: &Unit) -> u64 {
    unit.lacks.map_or(0, |seed| mix(seed) & mix(seed ^ 1) & mix(seed ^ 2))
}

fn context_entry(arena: &Arena<'_, '_>, unit: &Unit, device: &Device, top: u64, width: u8) -> [u64; 2] {
    let domain = if unit.few_domains { device.domain & 0xff } else { device.domain };
    let width = device.width.unwrap_or(width) & 7;
    let dress = device.dress.unwrap_or(0);
    let fpd = u64::from(dress >> 4 & 1) << 1;
    let mut low = top | u64::from(device.kind) << 2 | fpd | PRESENT;
    let mut high = u64::from(domain) << 8 | u64::from(dress & 0xf) << 3 | u64::from(width);
    match device.flaw {
        None => {}
        Some(DeviceFlaw::Absent) => low &= !PRESENT,
        Some(DeviceFlaw::ReservedLow(bit)) => low |= 1 << (4 + bit % 8),
        Some(DeviceFlaw::ReservedHigh(bit)) => high |= 1 << [7, 24, 63][usize::from(bit % 3)],
        Some(DeviceFlaw::Wide) => high |= 1 << 23,
        Some(DeviceFlaw::Nowhere(which)) => low = low & 0xfff | arena.nowhere(which),
        Some(DeviceFlaw::High) => low |= 1 << 53,
    }
    [low, high]
}

fn spoil_root(program: &Program, arena: &mut Arena<'_, '_>, root: u64) {
    let Some(flaw) = &program.root_flaw else { return };
    let bus = program.devices[usize::from(flaw.device) % program.devices.len()].bus;
    let at = entry_at(root, bus);
    let entry = arena.read(at).unwrap_or(0);
    match flaw.kind {
        RootFlawKind::Absent => arena.write(at, entry & !PRESENT),
        RootFlawKind::ReservedLow(bit) => arena.write(at, entry | 1 << (1 + bit % 11)),
        RootFlawKind::ReservedHigh(bit) => arena.write(at + 8, 1 << (bit % 64)),
        RootFlawKind::Nowhere(which) => arena.write(at, arena.nowhere(which) | PRESENT),
        RootFlawKind::High => arena.write(at, entry | 1 << 53),
        RootFlawKind::SameTable(other) => {
            if arena.read(entry_at(root, other)) == Some(0) {
                arena.write(entry_at(root, other), entry);
            }
        }
    }
}
