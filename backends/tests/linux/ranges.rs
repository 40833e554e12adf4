//! Every leaf, and the ranges that leaves make.

use crate::walked::{Walk, Walked};
use crate::{Capture, number};
use iopt::coalesce::MappedRange;
use iopt::radix::Leaf;
use iopt::walk::Scratch;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// IOVA, memory, length and permissions.
pub type Range = (u64, u64, u64, String);

fn range(iova: u64, phys: u64, bytes: u64, permissions: iopt::Permissions) -> Range {
    (iova, phys, bytes, permissions.to_string().replace('-', ""))
}

fn mapped(mapped: &MappedRange) -> Range {
    let bytes = u64::try_from(mapped.iova.size()).unwrap();
    range(mapped.iova.first().0, mapped.phys.unwrap().0, bytes, mapped.permissions)
}

pub fn expected_ranges(table: &Value) -> Vec<Range> {
    let range = |range: &Value| {
        let [iova, phys, bytes] = [0, 1, 2].map(|column| number(&range[column]));
        (iova, phys, bytes, range[3].as_str().unwrap().to_owned())
    };
    table["ranges"].as_array().unwrap().iter().map(range).collect()
}

/// Neighbours join when addresses and memory continue with the same permissions: nothing cleverer than that.
fn joined(leaves: &[Leaf]) -> Vec<Range> {
    let mut ranges: Vec<Range> = Vec::new();
    for leaf in leaves {
        let next = range(leaf.iova.0, leaf.phys.0, 1 << leaf.page_size_log2, leaf.permissions);
        match ranges.last_mut() {
            Some(last) if last.0 + last.2 == next.0 && last.1 + last.2 == next.1 && last.3 == next.3 => {
                last.2 += next.2
            }
            _ => ranges.push(next),
        }
    }
    ranges
}

#[test]
fn every_leaf_of_every_page_table_is_found() {
    Capture::each(|way| {
        let tables = way.expected["page_tables"].as_object().unwrap();
        let mut seen = BTreeSet::new();
        let walk = Walk::whole(way);
        for walked @ Walked { device, leaves, pushed, .. } in &walk.devices {
            let Some(key) = walked.key() else {
                assert!(leaves.is_empty() && pushed.is_empty(), "requests that pass through have no leaves");
                continue;
            };
            let expected = &tables[&key];
            let name = format!("{}: {} {key}", way.name, device.source_id);
            assert_eq!(leaves.len() as u64, expected["leaves"].as_u64().unwrap(), "{name}");
            let mut by_size = BTreeMap::<String, u64>::new();
            for leaf in leaves {
                *by_size.entry((1u64 << leaf.page_size_log2).to_string()).or_default() += 1;
            }
            assert_eq!(serde_json::to_value(by_size).unwrap(), expected["leaves_by_size"], "{name}");
            let bytes: u64 = leaves.iter().map(|leaf| 1 << leaf.page_size_log2).sum();
            assert_eq!(bytes, expected["mapped_bytes"].as_u64().unwrap(), "{name}");
            assert_eq!(joined(leaves), expected_ranges(expected), "{name}");
            assert_eq!(pushed.iter().map(mapped).collect::<Vec<_>>(), expected_ranges(expected), "{name}");
            seen.insert(key);
        }
        assert!(seen.iter().eq(tables.keys()), "{}", way.name);
        let leaves: usize = walk.devices.iter().map(|walked| walked.leaves.len()).sum();
        assert_eq!((walk.statistics.leaves, walk.statistics.faults), (leaves as u64, 0), "{}", way.name);
    });
}

#[test]
fn pulled_ranges_are_the_expected_ones() {
    Capture::each(|way| {
        let mut scratch = Scratch::new();
        let mut pulled = BTreeMap::<String, Vec<Range>>::new();
        for found in way.unit.ranges(&way.reader, &mut scratch) {
            let found = found.unwrap_or_else(|fault| panic!("{}: {fault}", way.name));
            let source_id = found.source_id.to_string();
            let device = way.devices().iter().find(|device| device["bdf"] == source_id.as_str()).unwrap();
            assert_eq!(found.pasid.map(|pasid| u64::from(pasid.0)), device["pasid"].as_u64(), "{}: {found}", way.name);
            assert_eq!(device["domain_id"], found.domain.0, "{}: {found}", way.name);
            let bytes = u64::try_from(found.iova.size()).unwrap();
            let range = range(found.iova.first().0, found.phys.unwrap().0, bytes, found.permissions);
            pulled.entry(source_id).or_default().push(range);
        }
        for device in way.devices() {
            let bdf = device["bdf"].as_str().unwrap();
            let expected = match way.page_table(device) {
                Some(table) => expected_ranges(table),
                // The expectations have no ranges for these: a device reaches all that the machine can have.
                None => vec![(0, 0, 1 << if way.known { 48 } else { 52 }, "rw".to_owned())],
            };
            assert_eq!(pulled.remove(bdf).unwrap_or_default(), expected, "{}: {bdf}", way.name);
        }
        assert!(pulled.is_empty(), "{}: {pulled:?}", way.name);
    });
}
