//! What the kernel itself says about its tables.

use crate::reader::Watched;
use crate::walked::{Walk, Walked};
use crate::{CAPTURE_KERNEL, Capture, FIRST_STAGE, LEGACY, SECOND_STAGE, VFIO, Way, hex};
use iopt::memory::Page;
use iopt::radix::Leaf;
use iopt::vtd::{DeviceEntries, PasidEntry, Structure};
use iopt::{Access, Iova, PhysAddr};
use lzma_rust2::XzReader;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

/// What a kernel's listing says of one device: its name, its root entry, its context entry, its PASID (-1 in legacy
/// mode) and the first three words of its PASID table entry.
type Listed = (String, u128, u128, i64, [u64; 3]);

/// The root table's address, and the devices in order.
fn listing(capture: &Capture) -> (u64, Vec<Listed>) {
    let text = fs::read_to_string(capture.path("dmar_translation_struct.txt")).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let root = hex(lines.next().unwrap().strip_prefix("IOMMU dmar0: Root Table Address: ").unwrap());
    assert!(lines.next().unwrap().starts_with("B.D.F"));
    let words = |column: &str| -> Vec<u64> { column.rsplit(':').map(hex).collect() };
    let two_words = |column: &str| {
        let [low, high] = words(column).try_into().unwrap();
        u128::from(high) << 64 | u128::from(low)
    };
    let device = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let pasid = columns[3].trim().parse().unwrap();
        (
            columns[0].to_owned(),
            two_words(columns[1]),
            two_words(columns[2]),
            pasid,
            words(columns[4]).try_into().unwrap(),
        )
    };
    (root, lines.map(device).collect())
}

fn as_listed(walk: &Walk) -> Vec<Listed> {
    let listed = |Walked { device, .. }: &Walked| {
        let pasid = device.pasid.map_or(-1, |pasid| pasid.0.into());
        let entry = match &device.entries {
            DeviceEntries::Legacy { .. } => [0; 3],
            DeviceEntries::Scalable { pasid, .. } => {
                let [first, second, third, ..] = pasid.as_ref().map(PasidEntry::words).unwrap();
                [first, second, third]
            }
        };
        let [root, context] = [device.entries.root(), device.entries.context()].map(|entry| entry.low_u128());
        (device.source_id.to_string(), root, context, pasid, entry)
    };
    walk.devices.iter().map(listed).collect()
}

#[test]
fn entries_that_lead_to_devices_are_those_that_the_kernel_lists() {
    Capture::each(|way| {
        if way.capture.listed {
            let (root, listed) = listing(way.capture);
            assert_eq!(way.unit.rtaddr().root_table(), PhysAddr(root), "{}", way.name);
            assert_eq!(as_listed(&Walk::whole(way)), listed, "{}", way.name);
        }
    });
}

#[test]
fn a_capture_kernel_keeps_the_context_entries_of_devices_that_it_does_not_drive() {
    let (first_root, first) = listing(&CAPTURE_KERNEL);
    let unit = CAPTURE_KERNEL.unit();
    assert_ne!(unit.rtaddr().root_table(), PhysAddr(first_root));
    let now = as_listed(&Walk::new(unit, &CAPTURE_KERNEL.image()));
    let both = || now.iter().zip(&first);
    assert!(now.len() == first.len() && both().all(|(now, first)| now.0 == first.0), "the same devices");
    assert!(both().all(|(now, first)| now.1 != first.1), "root and context tables are its own");
    let driven: Vec<&str> = both().filter(|(now, first)| now.2 != first.2).map(|(now, _)| now.0.as_str()).collect();
    assert_eq!(driven, ["00:04.0", "00:05.0", "00:06.0", "00:1c.0", "00:1f.2"]);
}

/// A leaf in the kernel's listing: its IOVA, and the entries on its path from level 5 down.
type ListedLeaf = (u64, Vec<u64>);

fn listed_leaves(capture: &Capture) -> BTreeMap<String, (u64, Vec<ListedLeaf>)> {
    let mut text = String::new();
    let file = File::open(capture.path("domain_translation_struct.txt.xz")).unwrap();
    XzReader::new(file, true).read_to_string(&mut text).unwrap();
    let mut devices = BTreeMap::<String, (u64, Vec<ListedLeaf>)>::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(device) = line.strip_prefix("Device 0000:") {
            let (device, top) = device.split_once(" @").unwrap();
            // In scalable mode `00:00.0 with pasid 0`.
            device
                .split_once(' ')
                .map_or(device, |(device, pasid)| {
                    assert_eq!(pasid, "with pasid 0");
                    device
                })
                .clone_into(&mut current);
            assert!(devices.insert(current.clone(), (hex(top), vec![])).is_none());
        } else if let Some((page, entries)) = line.split_once("|\t") {
            let entries = entries.split('\t').map(hex).collect();
            devices.get_mut(&current).unwrap().1.push((hex(page.trim()) << 12, entries));
        } else {
            assert!(line.starts_with("###") || line.starts_with("IOVA_PFN"), "{line}");
        }
    }
    devices
}

#[test]
fn each_path_that_the_kernel_lists_is_the_path_of_a_translation() {
    for (capture, large, small) in
        [(LEGACY, 0, 13_306), (VFIO, 19, 13_341), (SECOND_STAGE, 19, 13_341), (FIRST_STAGE, 19, 13_341)]
    {
        let devices = listed_leaves(&capture);
        let rows = || devices.values().flat_map(|(_, leaves)| leaves);
        assert_eq!(rows().filter(|(_, entries)| entries.len() == 4).count(), large);
        assert_eq!(rows().filter(|(_, entries)| entries.len() == 5).count(), small);
        capture.ways(|way| {
            let walk = Walk::whole(way);
            assert!(walk.devices.iter().map(|walked| walked.device.source_id.to_string()).eq(devices.keys().cloned()));
            for walked in &walk.devices {
                let (top, listed) = &devices[&walked.device.source_id.to_string()];
                assert_eq!(walked.tables[0].addr, PhysAddr(*top));
                assert_eq!(walked.leaves.len(), listed.len());
                for (leaf, (iova, entries)) in walked.leaves.iter().zip(listed) {
                    assert_eq!((leaf.iova.0, leaf.raw), (*iova, *entries.last().unwrap()));
                    compare_path(way, walked, leaf, entries);
                }
            }
        });
    }
}

/// Each entry that a translation visits is the one that the kernel lists for its level, and there is no other.
fn compare_path(way: &Way<'_>, walked: &Walked, leaf: &Leaf, entries: &[u64]) {
    let (mut path, mut copy) = (Vec::new(), Page::ZERO);
    let inside = (1 << leaf.page_size_log2) - 1;
    // The last byte of a page has the path of its first.
    let iova = Iova(leaf.iova.0 | inside);
    let source_id = walked.device.source_id;
    let translated = way
        .unit
        .translate(&way.reader, source_id, iova, Access::Read, &mut copy, |entry| path.push(entry))
        .unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(translated.phys, PhysAddr(leaf.phys.0 | inside));
    assert_eq!((translated.page_size_log2, translated.permissions), (leaf.page_size_log2, leaf.permissions));

    let entries = (1..=5u8).rev().zip(entries).filter(|(_, entry)| **entry != 0);
    let mut listed =
        vec![(Structure::Root, walked.device.entries.root()), (Structure::Context, walked.device.entries.context())];
    if let DeviceEntries::Scalable { directory, pasid, .. } = &walked.device.entries {
        listed.push((Structure::PasidDirectory, directory.raw().into()));
        listed.push((Structure::PasidTable, pasid.unwrap().words().into()));
    }
    listed.extend(entries.map(|(level, entry)| (walked.structure(level), (*entry).into())));
    assert!(path.iter().map(|entry| (entry.structure, entry.entry)).eq(listed), "{source_id} {iova}: {path:x?}");
    stands_in_memory(&way.reader, &path);
}

/// Each entry stands where the path says that it does.
fn stands_in_memory(reader: &Watched<'_>, path: &[iopt::vtd::PathEntry]) {
    let scalable = path.iter().any(|entry| entry.structure == Structure::PasidTable);
    for entry in path {
        let words = match entry.structure {
            Structure::Root => 2,
            Structure::Context if scalable => 4,
            Structure::Context => 2,
            Structure::PasidTable => 8,
            _ => 1,
        };
        let index = usize::from(entry.index) * words;
        let table = reader.words(entry.table.0);
        assert_eq!(table[index..index + words], entry.entry.words()[..words], "{entry:x?}");
    }
}
