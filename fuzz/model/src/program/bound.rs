//! Keeps what a program builds small enough for the checks, and free of what its switches turn off.

use super::arena::Arena;
use super::{Built, NESTING, Program, SUPERVISOR};
use crate::twin::bits::PRESENT;
use crate::twin::{Device, Found, Kind, Lost, Space, Step, Twin};

/// No unit has more devices, and what else a survey finds, than this.
const MAX_FOUND: usize = 700;

/// Makes the devices' tables small enough to be walked path by path: sharing multiplies, so links go
/// first, and what still is too large, by way of levels that are not the tree's, goes altogether.
///
/// Not only the entries that were meant are looked at: a page table may share its page with any other table.
pub fn bound(arena: &mut Arena<'_, '_>, built: &Built) {
    loop {
        let twin = built.twin(arena.memory());
        let found = twin.survey();
        let absent = match found.get(MAX_FOUND) {
            Some(one_too_many) => owner(&twin, one_too_many),
            None => {
                let mut devices = found.iter().filter_map(|found| match found {
                    Found::Device(device) => Some(device),
                    Found::Lost(_) => None,
                });
                let Some(device) = devices.find(|device| !is_wanted(device) || !fits(arena, &twin, device)) else {
                    return;
                };
                if is_wanted(device) && arena.cut_links() {
                    continue;
                }
                device.path.last().copied()
            }
        };
        let Some(step) = absent else { return };
        for at in words_of(&step, built) {
            arena.write(at, arena.read(at).unwrap_or(0) & !PRESENT);
        }
    }
}

fn is_wanted(device: &Device) -> bool {
    match &device.space {
        Ok(Space::Nested(first, _)) => NESTING && (SUPERVISOR || !first.supervisor),
        Ok(Space::Tables(tables)) => SUPERVISOR || !tables.supervisor,
        _ => true,
    }
}

fn fits(arena: &Arena<'_, '_>, twin: &Twin<'_>, device: &Device) -> bool {
    match &device.space {
        Ok(Space::Tables(tables)) => arena.is_within(tables, Program::MAX_ENTRIES, Program::MAX_TABLES, Some),
        Ok(Space::Nested(first, second)) => {
            let (entries, tables) = (Program::MAX_ENTRIES, Program::MAX_TABLES / 4);
            arena.is_within(second, entries, tables, Some)
                && arena.is_within(first, entries, tables, |table| twin.locate(second, table))
                // Every leaf of the one may lead to all of the other.
                && twin.is_within(device, Program::MAX_ENTRIES)
        }
        _ => true,
    }
}

/// The context entry behind which something was found, or the root entry.
fn owner(twin: &Twin<'_>, found: &Found) -> Option<Step> {
    let (source, at) = match found {
        Found::Device(device) => (Some(device.source), None),
        Found::Lost(Lost { source, at, .. }) => (*source, *at),
    };
    let Some(source) = source else { return at };
    let path = twin.translate(source, 0, false).map_or_else(|fault| fault.path, |translated| translated.path);
    path.into_iter().find(|step| step.kind == Kind::Context)
}

/// The words of an entry that have P.
fn words_of(step: &Step, built: &Built) -> Vec<u64> {
    let scalable = built.rtaddr >> 10 & 3 == 1;
    let Step { table, index, .. } = *step;
    match step.kind {
        Kind::Root => vec![table + 16 * index, table + 16 * index + 8],
        Kind::Context => vec![table + if scalable { 32 } else { 16 } * index],
        Kind::Pasids => vec![table + 64 * index],
        _ => vec![table + 8 * index],
    }
}
