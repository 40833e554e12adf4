//! A walk with a memo against the walk without: each table once, and nothing lost.

use iopt::format::FirstStage;
use iopt::memory::PhysReader;
use iopt::radix::{Budget, Format, Table};
use iopt::vtd::{AddressSpace, Cause, Device, Unit};
use iopt::walk::{MemoSlot, Met, Scratch, Step, UnitWalk};
use std::collections::BTreeMap;

/// A leaf without its permissions, which depend on the path: where it is mapped, log2 of its size, where it leads.
type Leaf = (u64, u8, u64);

/// What a walk came to of one device.
#[derive(Debug)]
struct Walked {
    device: Device,
    tables: Vec<Table>,
    shared: Vec<(Table, Met)>,
    leaves: Vec<Leaf>,
}

/// Checks that what is shared and what repeats stands for just what the walk without a memo finds there.
pub fn check(unit: &Unit, memory: &(impl PhysReader + ?Sized)) {
    let (mut scratch, mut slots) = (Box::new(Scratch::new()), vec![MemoSlot::EMPTY; 1 << 10]);
    let Some((whole, path_matters)) = walk(unit.walk(memory, &mut scratch)) else { return };
    let whole_tables: usize = whole.iter().map(|walked| walked.tables.len()).sum();
    let Some((once, memo_was_full)) = walk(unit.walk(memory, &mut scratch).memo(&mut slots)) else { return };
    check_once(&once);
    let tables: usize = once.iter().map(|walked| walked.tables.len()).sum();
    assert!(tables <= whole_tables, "{tables} tables with a memo, {whole_tables} without");
    assert_eq!(once.len(), whole.len());
    if path_matters || memo_was_full {
        return;
    }
    let mut expanded: Vec<Walked> = Vec::new();
    for (mut walked, whole) in once.into_iter().zip(&whole) {
        assert_eq!(walked.device, whole.device);
        expand(&mut walked, &expanded);
        let mut leaves = whole.leaves.clone();
        leaves.sort_unstable();
        assert_eq!(walked.leaves, leaves, "{:?}", walked.device);
        expanded.push(walked);
    }
}

/// Walks everything, and tells whether what is found below a table may depend on the path to it; `None` if that is too
/// much.
fn walk<R: PhysReader + ?Sized>(walk: UnitWalk<'_, R>) -> Option<(Vec<Walked>, bool)> {
    let mut walk = walk.budget(Budget { tables: 1 << 16, ..Budget::UNLIMITED });
    let (mut found, mut path_matters) = (Vec::<Walked>::new(), false);
    while let Some(step) = walk.next() {
        match (step, found.last_mut()) {
            (Step::Device(device), _) => {
                found.push(Walked { device: *device, tables: vec![], shared: vec![], leaves: vec![] });
            }
            (Step::Table(table), Some(last)) => last.tables.push(table),
            (Step::Shared(shared), Some(last)) => last.shared.push((shared.table, shared.with)),
            (Step::Run(run), Some(last)) => {
                last.leaves.extend(run.leaves().map(|leaf| (leaf.iova.0, leaf.page_size_log2, leaf.phys.0)));
            }
            (Step::Fault(fault), _) if matches!(fault.cause, Cause::Budget(_)) => return None,
            (Step::Fault(fault), _) => path_matters |= matches!(fault.cause, Cause::Loop { .. }),
            (step, None) => panic!("before the first device: {step:?}"),
        }
    }
    Some((found, path_matters || walk.is_memo_full()))
}

/// No table is walked twice where all of it is looked at, and who it is shared with came to it before.
fn check_once(once: &[Walked]) {
    let mut before: BTreeMap<(u64, u8, String), Vec<Met>> = BTreeMap::new();
    for Walked { device, tables, shared, .. } in once {
        let reach = device.space.input().map_or(0, |input| input.last().0);
        let met = |table: &Table| Met { source_id: device.source_id, pasid: device.pasid, iova: table.iova };
        for (number, table) in tables.iter().enumerate() {
            let earlier = before.entry(key(device, table)).or_default();
            let whole = number > 0 && table.iova.0.wrapping_add(span(table) - 1) <= reach;
            assert!(!whole || earlier.is_empty(), "{device:?} comes to {table:?} again, as {earlier:?} did");
            earlier.push(met(table));
        }
        for (table, with) in shared {
            let earlier = before.get(&key(device, table));
            // A nested top table that is shared was located, and is as well one of those below other tops.
            assert!(earlier.is_some_and(|earlier| earlier.contains(with)), "{device:?}: {table:?} with {with:?}");
        }
    }
}

/// What a table is read as.
fn key(device: &Device, table: &Table) -> (u64, u8, String) {
    let reading = match &device.space {
        AddressSpace::Nested(first, second) => format!("{} behind {second:?}", rules(&first.format)),
        AddressSpace::FirstStage(first) => rules(&first.format),
        _ => String::new(),
    };
    (table.addr.0, table.level, reading)
}

/// What tells first stages apart but for how many levels they have: some entries, and what becomes of them.
fn rules(format: &FirstStage) -> String {
    let decode = |raw| (format.decode(&format.levels()[0], raw), format.permissions(raw));
    format!("{:?}", [0x1, 0x5, 0x3, 0x7, 1 << 63 | 0x7].map(decode))
}

/// How many bytes a table maps; all, for a top table of six levels.
fn span(table: &Table) -> u64 {
    1_u64.checked_shl(12 + 9 * u32::from(table.level)).unwrap_or(0)
}

/// Adds what is mapped through entries that repeat and through shared tables, from the lowest level up: then what is
/// taken over is complete.
fn expand(walked: &mut Walked, before: &[Walked]) {
    let top = walked.tables.iter().chain(walked.shared.iter().map(|(table, _)| table)).map(|table| table.level).max();
    for level in 1..=top.unwrap_or(0) {
        for (table, with) in walked.shared.clone().into_iter().filter(|(table, _)| table.level == level) {
            let own = (with.source_id, with.pasid) == (walked.device.source_id, walked.device.pasid);
            let is_with =
                |walked: &&Walked| (with.source_id, with.pasid) == (walked.device.source_id, walked.device.pasid);
            let from = if own { &*walked } else { before.iter().rev().find(is_with).expect("it came before") };
            let from_top = from.tables.first().is_some_and(|top| (top.level, top.addr) == (level, table.addr));
            let content = below(&from.leaves, with.iova.0, span(&table), from_top);
            let is_top = walked.tables.is_empty() && walked.shared.len() == 1 && walked.leaves.is_empty();
            let signed = is_top && walked.device.space.first_stage().is_some();
            for (offset, size, phys) in content {
                let bits = 12 + 9 * u32::from(level);
                let iova = table.iova.0.wrapping_add(offset);
                let extend = |iova: u64| ((iova << (64 - bits)) as i64 >> (64 - bits)) as u64;
                walked.leaves.push((if signed { extend(iova) } else { iova }, size, phys));
            }
            repeat(&mut walked.leaves, &table);
        }
        for table in walked.tables.clone().into_iter().filter(|table| table.level == level) {
            repeat(&mut walked.leaves, &table);
        }
    }
    walked.leaves.sort_unstable();
}

/// The leaves below a table at `iova`, by their place in it.
fn below(leaves: &[Leaf], iova: u64, span: u64, all: bool) -> Vec<Leaf> {
    let offset = |leaf: u64| leaf.wrapping_sub(iova) & span.wrapping_sub(1);
    let inside = |leaf: &&Leaf| all || leaf.0 >= iova && leaf.0 - iova <= span.wrapping_sub(1);
    leaves.iter().filter(inside).map(|(leaf, size, phys)| (offset(*leaf), *size, *phys)).collect()
}

/// The same again for each entry that repeats the one that leads to the table.
fn repeat(leaves: &mut Vec<Leaf>, table: &Table) {
    if table.repeats > 0 {
        let content = below(leaves, table.iova.0, span(table), false);
        for place in 1..=u64::from(table.repeats) {
            let base = table.iova.0 + place * span(table);
            leaves.extend(content.iter().map(|(offset, size, phys)| (base + offset, *size, *phys)));
        }
    }
}
