//! Which pages a walk reads, and how often.

use crate::walked::Walk;
use crate::{Capture, FIRST_STAGE, SECOND_STAGE, VFIO, Way, number};
use iopt::radix::Statistics;
use iopt::vtd::{Device, DeviceEntries, Half};
use std::collections::{BTreeMap, BTreeSet};

/// The tables on the way to a device, in the order in which a walk comes to them.
pub fn upper_tables(device: &Device) -> Vec<(&'static str, u64)> {
    match &device.entries {
        DeviceEntries::Legacy { root, .. } => vec![("context", root.context_table().0)],
        DeviceEntries::Scalable { root, context, directory, .. } => {
            let half = Half::of(device.source_id);
            let contexts = if half == Half::Lower { "context-lower" } else { "context-upper" };
            vec![
                (contexts, root.context_table(half).0),
                ("pasid-directory", context.directory_table().0),
                ("pasid-table", directory.pasid_table().0),
            ]
        }
    }
}

#[test]
fn the_pages_that_a_walk_reads_are_the_expected_table_pages() {
    Capture::each(|way| {
        let walk = Walk::whole(way);
        let mut kinds = BTreeMap::<String, BTreeSet<u64>>::new();
        let mut see = |kind: String, page| kinds.entry(kind).or_default().insert(page);
        see("root".to_owned(), way.unit.rtaddr().root_table().0);
        for walked in &walk.devices {
            for (kind, page) in upper_tables(&walked.device) {
                see(kind.to_owned(), page);
            }
            for table in &walked.tables {
                let stage = if walked.first_stage() { "first" } else { "second" };
                see(format!("{stage}-level-{}", table.level), table.addr.0);
            }
        }
        let mut expected: BTreeMap<String, BTreeSet<u64>> = way.expected["table_pages"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(kind, pages)| (kind.clone(), pages.as_array().unwrap().iter().map(number).collect()))
            .collect();
        // Translations of DMA have nothing to do with this one.
        expected.remove("interrupt-remap");
        assert_eq!(kinds, expected, "{}", way.name);

        let asked = way.reader.asked.take();
        assert_eq!(asked.len() as u64, walk.statistics.tables, "{}", way.name);
        let all: BTreeSet<u64> = expected.into_values().flatten().collect();
        assert_eq!(BTreeSet::from_iter(asked), all, "{}", way.name);
    });
}

/// The tables of a walk in visiting order: what the device before has read already is not read again.
fn visits(way: &Way<'_>, walk: &Walk) -> Vec<u64> {
    let mut visits = vec![way.unit.rtaddr().root_table().0];
    let mut contexts = None;
    for walked in &walk.devices {
        let tables = upper_tables(&walked.device);
        let (first, rest) = tables.split_first().unwrap();
        if contexts.replace(*first) != Some(*first) {
            visits.push(first.1);
        }
        visits.extend(rest.iter().map(|(_, page)| page));
        visits.extend(walked.tables.iter().map(|table| table.addr.0));
    }
    visits
}

#[test]
fn a_reader_is_asked_once_for_each_visit_and_one_that_lends_copies_nothing() {
    for capture in [VFIO, SECOND_STAGE, FIRST_STAGE] {
        capture.ways(|way| {
            let walk = Walk::whole(way);
            let visits = visits(way, &walk);
            let tables = visits.len() as u64;
            assert!(BTreeSet::from_iter(&visits).len() < visits.len(), "some tables are visited for several devices");
            assert_eq!(way.reader.asked.take(), visits, "{}", way.name);
            let (pages_read, bytes_lent) = if way.reader.lends { (0, 4096 * tables) } else { (tables, 0) };
            assert_eq!(walk.statistics, Statistics { tables, pages_read, bytes_lent, ..walk.statistics });
        });
    }
}

#[test]
fn a_reader_that_can_not_lend_gives_the_same() {
    for capture in [VFIO, SECOND_STAGE, FIRST_STAGE] {
        let mut walks = Vec::new();
        capture.ways(|way| walks.push(Walk::whole(way)));
        for pair in walks.chunks(2) {
            let [lent, copied] = pair else { panic!("two ways to read") };
            assert_eq!(lent.devices.len(), copied.devices.len());
            for (lent, copied) in lent.devices.iter().zip(&copied.devices) {
                assert_eq!(lent.device, copied.device);
                assert_eq!(lent.tables, copied.tables);
                assert_eq!(lent.leaves, copied.leaves);
                assert_eq!(lent.pushed, copied.pushed);
            }
        }
    }
}
