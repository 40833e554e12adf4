//! Captures of which one table page is missing: told with its place, and all the rest is walked.

use crate::pages::upper_tables;
use crate::walked::{Walk, Walked};
use crate::{Capture, Way, number};
use iopt::memory::{Page, ReadError, ReadErrorKind};
use iopt::radix::{Leaf, Table};
use iopt::vtd::{Bits, Cause, DeviceEntries, Fault, FaultReason, Place, Structure};
use iopt::{Access, Iova, PhysAddr};

#[test]
fn whatever_table_is_missing_it_is_told_with_its_place_and_the_rest_is_walked() {
    let mut torn = 0;
    Capture::each(|way| {
        let whole = Walk::whole(way);
        for (kind, pages) in way.expected["table_pages"].as_object().unwrap() {
            for page in pages.as_array().unwrap().iter().filter(|_| kind != "interrupt-remap") {
                let missing = PhysAddr(number(page));
                way.reader.missing.set(Some(missing));
                let name = format!("{} without {kind} {missing}", way.name);
                compare(&name, way, &whole, &Walk::new(way.unit, &way.reader), missing);
                torn += 1;
            }
        }
        way.reader.missing.set(None);
    });
    assert_eq!(torn, 4 * 594, "every table page of every capture, four ways");
}

fn compare(name: &str, way: &Way<'_>, whole: &Walk, torn: &Walk, missing: PhysAddr) {
    let mut told = Vec::<Fault>::new();
    let mut found = torn.devices.iter().peekable();
    for walked in &whole.devices {
        let tear = tear(way, walked, missing);
        for fault in tear.told {
            // A missing root or context table is told once for all its devices.
            if fault.place.source_id.is_some() || told.last() != Some(&fault) {
                told.push(fault);
            }
        }
        if let Some((tables, leaves)) = tear.left {
            let found = found.next().unwrap();
            assert_eq!(found.device, walked.device, "{name}");
            assert_eq!((&found.tables, &found.leaves), (&tables, &leaves), "{name}");
        }
        translate(name, way, walked, torn);
    }
    assert!(found.next().is_none() && !told.is_empty(), "{name}");
    assert_eq!(torn.faults, told, "{name}");
    assert_eq!(torn.statistics.faults, told.len() as u64, "{name}");
    for fault in told {
        assert!(fault.to_string().contains(&format!("page {missing} is not in the memory image")), "{fault}");
    }
}

/// What becomes of a device when a page is missing, by what the whole walk found and the words in memory.
struct Tear {
    /// Its page tables and leaves, or nothing of it at all.
    left: Option<(Vec<Table>, Vec<Leaf>)>,
    told: Vec<Fault>,
}

fn tear(way: &Way<'_>, walked: &Walked, missing: PhysAddr) -> Tear {
    let at = |code, structure, table, index, entry: Option<Bits>| Fault {
        reason: Some(FaultReason::from_code(code)),
        cause: Cause::Unreadable(ReadError::new(missing, ReadErrorKind::Hole)),
        place: Place {
            structure,
            table,
            index,
            entry,
            source_id: Some(walked.device.source_id).filter(|_| structure != Structure::Root),
            pasid: walked.device.pasid.filter(|_| structure != Structure::Root),
            iova: None,
        },
        suppressed: false,
    };
    let gone = |fault| Tear { left: None, told: vec![fault] };

    let root_table = way.unit.rtaddr().root_table();
    let source_id = walked.device.source_id;
    let [root, context] = [walked.device.entries.root(), walked.device.entries.context()];
    let upper: Vec<PhysAddr> = upper_tables(&walked.device).into_iter().map(|(_, page)| PhysAddr(page)).collect();
    let top_lost = match (&walked.device.entries, &upper[..]) {
        (DeviceEntries::Legacy { .. }, &[contexts]) => {
            if missing == root_table {
                return gone(at(0x08, Structure::Root, root_table, 0, None));
            }
            if missing == contexts {
                return gone(at(0x09, Structure::Root, root_table, source_id.bus().into(), Some(root)));
            }
            at(0x03, Structure::Context, contexts, source_id.devfn().into(), Some(context))
        }
        (DeviceEntries::Scalable { pasid, .. }, &[contexts, directory, pasids]) => {
            if missing == root_table {
                return gone(at(0x38, Structure::Root, root_table, 0, None));
            }
            if missing == contexts {
                return gone(at(0x40, Structure::Root, root_table, source_id.bus().into(), Some(root)));
            }
            if missing == directory {
                let index = u16::from(source_id.devfn() % 128);
                return gone(at(0x50, Structure::Context, contexts, index, Some(context)));
            }
            if missing == pasids {
                let entry = way.reader.words(directory.0)[0];
                return gone(at(0x58, Structure::PasidDirectory, directory, 0, Some(entry.into())));
            }
            let code = if walked.first_stage() { 0x73 } else { 0x7b };
            at(code, Structure::PasidTable, pasids, 0, Some(pasid.unwrap().words().into()))
        }
        _ => panic!("{upper:?}"),
    };
    if walked.tables.first().is_some_and(|top| top.addr == missing) {
        return Tear { left: Some((vec![], vec![])), told: vec![top_lost] };
    }

    let code = match walked.device.entries {
        DeviceEntries::Legacy { .. } => 0x07,
        DeviceEntries::Scalable { .. } => {
            if walked.first_stage() {
                0x70
            } else {
                0x78
            }
        }
    };
    let (mut tables, mut leaves, mut told) = (walked.tables.clone(), walked.leaves.clone(), Vec::new());
    for Table { addr, level, iova, .. } in walked.tables.iter().filter(|table| table.level > 1) {
        let size_log2 = 3 + 9 * level;
        for (index, entry) in (0..).zip(way.reader.words(addr.0)) {
            // The address, and present but no large leaf.
            if entry & 0x000f_ffff_ffff_f000 != missing.0 || entry & 0x81 != 1 {
                continue;
            }
            let first = Iova(iova.0 | u64::from(index) << size_log2);
            let below = |iova: Iova| iova.0 >> size_log2 == first.0 >> size_log2;
            tables.retain(|table| table.level >= *level || !below(table.iova));
            leaves.retain(|leaf| !below(leaf.iova));
            let mut fault = at(code, walked.structure(*level), *addr, index, Some(entry.into()));
            fault.place.iova = Some(first);
            told.push(fault);
        }
    }
    Tear { left: Some((tables, leaves)), told }
}

/// A translation of a leaf that is lost is refused for what the walk tells, and that of any other is not.
fn translate(name: &str, way: &Way<'_>, walked: &Walked, torn: &Walk) {
    let source_id = walked.device.source_id;
    let left = torn.devices.iter().find(|left| left.device.source_id == source_id);
    let left: &[Leaf] = left.map_or(&[], |left| &left.leaves);
    let is_left = |leaf: &Leaf| left.binary_search_by_key(&leaf.iova.0, |left| left.iova.0).is_ok();
    let (kept, lost): (Vec<&Leaf>, Vec<&Leaf>) = walked.leaves.iter().partition(|leaf| is_left(leaf));
    let mut copy = Page::ZERO;
    let mut ask =
        |iova| way.unit.translate(&way.reader, source_id, iova, Access::Read, &mut copy, |_| ()).map_err(Box::new);
    for leaf in kept.into_iter().step_by(64) {
        assert_eq!(ask(leaf.iova).map(|found| found.phys), Ok(leaf.phys), "{name}");
    }
    for leaf in lost.into_iter().step_by(64) {
        let fault = ask(leaf.iova).unwrap_err();
        assert_eq!((fault.place.source_id, fault.place.iova), (Some(source_id), Some(leaf.iova)), "{name}");
        let of_entry = |fault: &Fault| {
            let Place { structure, table, index, entry, .. } = fault.place;
            (fault.reason, fault.cause, structure, table, index, entry)
        };
        let told = |told: &Fault| of_entry(told) == of_entry(&fault);
        assert!(torn.faults.iter().any(told), "{name}: {fault}");
    }
}
