//! First-stage page tables that Linux wrote: what a cursor finds in them is what an independent reader found there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

use iopt::coalesce::{Coalescer, Join, MappedRange};
use iopt::format::{FirstStage, FirstStageRules};
use iopt::memory::Page;
use iopt::radix::{Cursor, Item, MAX_LEVELS, translate};
use iopt::{Access, IovaRange, PhysAddr};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/corpus/scalable-first-stage", file].iter().collect()
}

fn number(value: &Value) -> u64 {
    let text = value.as_str().unwrap();
    u64::from_str_radix(text.strip_prefix("0x").expect(text), 16).expect(text)
}

/// IOVA, memory, length and permissions.
type Range = (u64, u64, u64, String);

fn found(range: &MappedRange) -> Range {
    let bytes = u64::try_from(range.iova.size()).unwrap();
    (range.iova.first().0, range.phys.unwrap().0, bytes, range.permissions.to_string().replace('-', ""))
}

fn expected(range: &Value) -> Range {
    let [iova, phys, bytes] = [0, 1, 2].map(|column| number(&range[column]));
    (iova, phys, bytes, range[3].as_str().unwrap().to_owned())
}

/// As the unit of the capture has it: no 1 GiB pages (CAP.FS1GP = 0), NXE = 0; and with nothing known.
fn rules(case: &Value) -> [FirstStageRules; 2] {
    let pages_1g = number(&case["registers"]["CAP"]) >> 56 & 1 == 1;
    let known = FirstStageRules {
        host_address_width: Some(48),
        pages_1g: Some(pages_1g),
        execute_disable: Some(false),
        ..FirstStageRules::default()
    };
    [known, FirstStageRules::default()]
}

#[test]
fn every_leaf_of_every_page_table_is_found() {
    let image = iopt_backends::open(path("mem.lime.xz")).unwrap();
    let case: Value = serde_json::from_str(&fs::read_to_string(path("mem.json")).unwrap()).unwrap();
    let tables = case["page_tables"].as_object().unwrap();
    assert!(!tables.is_empty());
    for rules in rules(&case) {
        let mut pages = BTreeMap::<String, BTreeSet<u64>>::new();
        for (name, table) in tables {
            assert_eq!(table["format"], "vtd-first-level", "{name}");
            let root = PhysAddr(number(&table["pt"]));
            let levels = u8::try_from(table["levels"].as_u64().unwrap()).unwrap();
            let format = FirstStage::new(levels, &rules).unwrap();

            let mut copies = [Page::ZERO; MAX_LEVELS];
            let mut cursor = Cursor::new(&image, &mut copies);
            let top = cursor.start(format, root, IovaRange::all()).unwrap();
            let mut see =
                |level: u8, addr: PhysAddr| pages.entry(format!("first-level-{level}")).or_default().insert(addr.0);
            see(top.level, top.addr);
            let mut by_size = BTreeMap::<String, u64>::new();
            let (mut leaves, mut bytes) = (0, 0);
            let mut ranges = Vec::new();
            let mut coalescer = Coalescer::new(Join::Both);
            while let Some(item) = cursor.next() {
                match item {
                    Item::Table(table) => {
                        see(table.level, table.addr);
                    }
                    Item::Run(run) => {
                        let count = run.len() as u64;
                        *by_size.entry(run.page_size().to_string()).or_default() += count;
                        leaves += count;
                        bytes += count * run.page_size();
                        coalescer.push(&run, |range| ranges.push(range));
                    }
                    Item::Malformed(bad) => panic!("{name}: {bad:?}"),
                }
            }
            ranges.extend(coalescer.finish());

            assert_eq!(leaves, table["leaves"].as_u64().unwrap(), "{name}");
            assert_eq!(serde_json::to_value(by_size).unwrap(), table["leaves_by_size"], "{name}");
            assert_eq!(bytes, table["mapped_bytes"].as_u64().unwrap(), "{name}");
            let ranges: Vec<Range> = ranges.iter().map(found).collect();
            let listed: Vec<Range> = table["ranges"].as_array().unwrap().iter().map(expected).collect();
            assert_eq!(ranges, listed, "{name}");

            for (iova, phys, bytes, permissions) in listed {
                for offset in [0, bytes - 1] {
                    for (access, letter) in [(Access::Read, 'r'), (Access::Write, 'w')] {
                        let iova = iopt::Iova(iova + offset);
                        let mut copy = Page::ZERO;
                        let result = translate(&image, &format, root, iova, access, &mut copy, |_| ());
                        let expected = permissions.contains(letter).then_some(PhysAddr(phys + offset));
                        assert_eq!(result.ok().map(|found| found.phys), expected, "{name}: {access} at {iova}");
                    }
                }
            }
        }
        for (kind, addresses) in pages {
            let expected = case["table_pages"][&kind].as_array().unwrap();
            assert_eq!(addresses, expected.iter().map(number).collect(), "{kind}");
        }
    }
}
