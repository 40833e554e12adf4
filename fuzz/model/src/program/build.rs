use super::arena::Arena;
use super::grow::Grower;
use super::shape::{Device, DeviceFlaw, RootFlawKind, Unit};
use super::{Built, Program};
use crate::twin::bits::{self, PRESENT};
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
    let Some(root) = root else {
        return Built { rtaddr: arena.nowhere(0xff), cap, ecap, haw };
    };
    let mut contexts = BTreeMap::new();
    for device in &program.devices {
        contexts.entry(device.bus).or_insert_with(|| {
            let table = arena.other().unwrap_or(arena.nowhere(0xfe));
            arena.write(entry_at(root, device.bus), table | PRESENT);
            table
        });
    }
    let tops: Vec<_> = program.trees.iter().map(|tree| arena.top(tree.width + 2)).collect();
    for (tree, top) in program.trees.iter().zip(&tops) {
        if let Some(top) = top {
            Grower::grow(&mut arena, *top, tree);
        }
    }
    for device in &program.devices {
        let which = usize::from(device.tree) % tops.len();
        let top = tops[which].unwrap_or(arena.nowhere(0xfd));
        let words = context_entry(&arena, unit, device, top, program.trees[which].width);
        let at = entry_at(contexts[&device.bus], device.devfn);
        arena.write(at, words[0]);
        arena.write(at + 8, words[1]);
    }
    spoil_root(program, &mut arena, root);
    // Not only the entries written here: a page table may share its page with a root or context table.
    for bus in 0..=255 {
        let entry = arena.read(entry_at(root, bus)).unwrap_or(0);
        if entry & PRESENT != 0 {
            (0..=255).for_each(|devfn| bound(&mut arena, entry_at(entry & bits::POINTER, devfn)));
        }
    }
    Built { rtaddr: root, cap, ecap, haw }
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
    noise | domains | widths << 8 | (u64::from(mgaw) - 1) << 16 | large
}

fn ecap(unit: &Unit) -> u64 {
    let noise = unit.noise.rotate_left(32) & !(1 << 2 | 1 << 6 | 1 << 7);
    let has = |lacks: bool, bit: u32| u64::from(!lacks) << bit;
    noise | has(unit.lacks_device_tlb, 2) | has(unit.lacks_pass_through, 6) | has(unit.lacks_snoop, 7)
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
        Some(DeviceFlaw::WideDomain) => high |= 1 << 23,
        Some(DeviceFlaw::Nowhere(which)) => low = low & 0xfff | arena.nowhere(which),
        Some(DeviceFlaw::High) => low |= 1 << 53,
    }
    [low, high]
}

/// Makes the device's tables small enough to be walked path by path: sharing multiplies, so links go
/// first, and what still is too large, by way of a width that is not the tree's, goes altogether.
fn bound(arena: &mut Arena<'_, '_>, at: u64) {
    loop {
        let (Some(low), Some(high)) = (arena.read(at), arena.read(at + 8)) else { return };
        if low & PRESENT == 0 {
            return;
        }
        let width = bits::address_width([low, high]);
        let top = low & bits::POINTER;
        if width > 4 || arena.is_within(width as u8 + 2, top, Program::MAX_ENTRIES, Program::MAX_TABLES) {
            return;
        }
        if !arena.cut_links() {
            arena.write(at, low & !PRESENT);
            return;
        }
    }
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
