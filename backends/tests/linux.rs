//! Agrees with Linux: what a walk finds in captures of real tables is what an independent reader found there, and
//! what the kernel itself says about them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

use iopt::coalesce::{Coalescer, Join, MappedRange};
use iopt::memory::{Page, PhysReader, ReadError};
use iopt::radix::{Leaf, Statistics};
use iopt::vtd::{AddressSpace, Cap, Device, Ecap, Rtaddr, Structure, TranslationType, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, PhysAddr, PhysRange, SourceId};
use iopt_backends::Image;
use lzma_rust2::XzReader;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

/// An image, what is in it, and the registers by which it is walked.
struct Capture {
    case: &'static str,
    image: &'static str,
    expected: &'static str,
    registers: &'static str,
    /// Whether `dmar_translation_struct.txt` is the kernel's listing of these very tables.
    listed: bool,
}

const fn capture(case: &'static str, image: &'static str) -> Capture {
    Capture { case, image, expected: "mem.json", registers: "regs.json", listed: true }
}

const fn first_kernel(image: &'static str, expected: &'static str) -> Capture {
    Capture { case: "kdump-on", image, expected, registers: "regs.first.json", listed: true }
}

const VFIO: Capture = capture("vfio-48", "mem.lime.xz");
const LEGACY: Capture = capture("legacy-48", "mem.lime.xz");
/// A kernel leaves a bus out of its listing when it has copied the entry of the bus's first device, so that of a
/// capture kernel is empty. The listing in this case's folder is the first kernel's.
const CAPTURE_KERNEL: Capture = Capture { listed: false, ..capture("kdump-on", "mem.lime.xz") };

const CAPTURES: [Capture; 9] = [
    LEGACY,
    capture("legacy-48", "mem.raw.xz"),
    VFIO,
    capture("legacy-pt", "mem.lime.xz"),
    capture("intremap", "mem.lime.xz"),
    first_kernel("mem.first.lime.xz", "mem.first.json"),
    first_kernel("vmcore.lime.xz", "vmcore.json"),
    first_kernel("mem.lime.xz", "mem.old-rtaddr.json"),
    CAPTURE_KERNEL,
];

impl Capture {
    fn path(&self, file: &str) -> PathBuf {
        [env!("CARGO_MANIFEST_DIR"), "tests/corpus", self.case, file].iter().collect()
    }

    fn image(&self) -> Image {
        iopt_backends::open(self.path(self.image)).unwrap()
    }

    fn json(&self, file: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(file)).unwrap()).unwrap()
    }

    fn expected(&self) -> Value {
        self.json(self.expected)
    }

    /// The unit, of which everything is known that there is to know.
    fn unit(&self) -> Unit {
        let registers = self.json(self.registers);
        let [cap, ecap] = ["CAP", "ECAP"].map(|name| number(&registers[name]));
        self.unknown_unit().with_capabilities(Some(Cap(cap)), Some(Ecap(ecap))).with_host_address_width(Some(48))
    }

    /// The unit, of which only the root table is known.
    fn unknown_unit(&self) -> Unit {
        Unit::new(Rtaddr(number(&self.json(self.registers)["RTADDR"]))).unwrap()
    }

    /// For each capture, and for each thing that can be known of its unit.
    fn each(mut look: impl FnMut(&str, &Self, &Image, Unit)) {
        for capture in &CAPTURES {
            let image = capture.image();
            for (unit, known) in [(capture.unit(), "all"), (capture.unknown_unit(), "nothing")] {
                let name = format!("{} {} {}, {known} known", capture.case, capture.image, capture.expected);
                look(&name, capture, &image, unit);
            }
        }
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.strip_prefix("0x").expect(text), 16).expect(text)
}

fn number(value: &Value) -> u64 {
    hex(value.as_str().unwrap())
}

/// Two words, low first.
fn words(value: &Value) -> u128 {
    u128::from(number(&value[1])) << 64 | u128::from(number(&value[0]))
}

/// The key under which the expectations have the page table of `device`.
fn page_table(device: &Device) -> Option<String> {
    match &device.space {
        AddressSpace::SecondStage(space) => Some(format!("sl@{:#x}/{}", space.root.0, space.levels())),
        AddressSpace::PassThrough { .. } => None,
    }
}

/// IOVA, memory, length and permissions.
type Range = (u64, u64, u64, String);

fn range(iova: u64, phys: u64, bytes: u64, permissions: iopt::Permissions) -> Range {
    (iova, phys, bytes, permissions.to_string().replace('-', ""))
}

fn mapped(mapped: &MappedRange) -> Range {
    let bytes = u64::try_from(mapped.iova.size()).unwrap();
    range(mapped.iova.first().0, mapped.phys.unwrap().0, bytes, mapped.permissions)
}

fn expected_ranges(table: &Value) -> Vec<Range> {
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

/// What a walk came to at one device.
struct Walked {
    device: Device,
    /// Level and address of each table, in visiting order.
    tables: Vec<(u8, u64)>,
    leaves: Vec<Leaf>,
    /// What a coalescer made of the runs.
    pushed: Vec<MappedRange>,
}

fn walk<R: PhysReader + ?Sized>(name: &str, unit: Unit, reader: &R) -> (Vec<Walked>, Statistics) {
    let mut scratch = Scratch::new();
    let mut walk = unit.walk(reader, &mut scratch);
    let mut devices: Vec<Walked> = Vec::new();
    let mut coalescer = Coalescer::new(Join::Both);
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => {
                if let Some(last) = devices.last_mut() {
                    last.pushed.extend(coalescer.finish());
                }
                devices.push(Walked { device: *device, tables: vec![], leaves: vec![], pushed: vec![] });
            }
            Step::Table(table) => devices.last_mut().unwrap().tables.push((table.level, table.addr.0)),
            Step::Run(run) => {
                let last = devices.last_mut().unwrap();
                last.leaves.extend(run.leaves());
                coalescer.push(&run, |range| last.pushed.push(range));
            }
            Step::Fault(fault) => panic!("{name}: {fault}"),
        }
    }
    if let Some(last) = devices.last_mut() {
        last.pushed.extend(coalescer.finish());
    }
    (devices, walk.statistics())
}

/// A reader that notes which pages are asked for, and lends them only if it may.
struct Watched<'m> {
    memory: &'m Image,
    lends: bool,
    asked: RefCell<Vec<u64>>,
}

impl<'m> Watched<'m> {
    fn new(memory: &'m Image, lends: bool) -> Self {
        Self { memory, lends, asked: RefCell::default() }
    }

    fn note(&self, addr: PhysAddr) {
        self.asked.borrow_mut().push(addr.0);
    }
}

impl PhysReader for Watched<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.note(addr);
        self.memory.read_page(addr, page)
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        if !self.lends {
            return None;
        }
        self.note(addr);
        self.memory.lend_page(addr)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.memory.next_range(from)
    }
}

#[test]
fn every_device_is_found_with_its_root_and_context_entry() {
    Capture::each(|name, capture, image, unit| {
        let expected = capture.expected();
        let (walked, _) = walk(name, unit, image);
        let devices = expected["devices"].as_array().unwrap();
        assert!(!devices.is_empty());
        assert_eq!(walked.len(), devices.len(), "{name}");
        for (Walked { device, .. }, expected) in walked.iter().zip(devices) {
            let name = format!("{name}: {expected}");
            assert_eq!(device.source_id.to_string(), expected["bdf"].as_str().unwrap(), "{name}");
            assert_eq!(u64::from(device.domain().0), expected["domain_id"].as_u64().unwrap(), "{name}");
            let levels = u64::from(device.context_entry.address_width()) + 2;
            assert_eq!(levels, expected["levels"].as_u64().unwrap(), "{name}");
            assert_eq!(page_table(device).as_deref(), expected["page_table"].as_str(), "{name}");
            if let AddressSpace::SecondStage(space) = &device.space {
                assert_eq!(u64::from(space.levels()), levels, "{name}");
                let table = &capture.expected()["page_tables"][expected["page_table"].as_str().unwrap()];
                assert_eq!(space.root, PhysAddr(number(&table["pt"])), "{name}");
            }
            let translation = match device.context_entry.translation_type() {
                TranslationType::Untranslated => "second-level",
                TranslationType::DeviceTlb => "second-level+device-tlb",
                TranslationType::PassThrough => "pass-through",
                TranslationType::Reserved => "reserved",
            };
            assert_eq!(translation, expected["translation"].as_str().unwrap(), "{name}");
            assert_eq!(u64::from(device.fault_disabled()), expected["fault_disable"].as_u64().unwrap(), "{name}");
            assert_eq!(device.root_entry.raw(), words(&expected["root_entry"]), "{name}");
            assert_eq!(device.context_entry.raw(), words(&expected["context_entry"]), "{name}");
        }
    });
}

#[test]
fn every_leaf_of_every_page_table_is_found() {
    Capture::each(|name, capture, image, unit| {
        let expected = capture.expected();
        let tables = expected["page_tables"].as_object().unwrap();
        let mut seen = BTreeSet::new();
        let (walked, statistics) = walk(name, unit, image);
        for Walked { device, leaves, pushed, .. } in &walked {
            let Some(key) = page_table(device) else {
                assert!(leaves.is_empty() && pushed.is_empty(), "{name}: requests that pass through have no leaves");
                continue;
            };
            let expected = &tables[&key];
            let name = format!("{name}: {} {key}", device.source_id);
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
        assert!(seen.iter().eq(tables.keys()), "{name}");
        let leaves: usize = walked.iter().map(|walked| walked.leaves.len()).sum();
        assert_eq!((statistics.leaves, statistics.faults), (leaves as u64, 0), "{name}");
    });
}

#[test]
fn pulled_ranges_are_the_expected_ones() {
    Capture::each(|name, capture, image, unit| {
        let expected = capture.expected();
        let mut scratch = Scratch::new();
        let mut pulled = BTreeMap::<String, Vec<Range>>::new();
        for found in unit.ranges(image, &mut scratch) {
            let found = found.unwrap_or_else(|fault| panic!("{name}: {fault}"));
            let bytes = u64::try_from(found.iova.size()).unwrap();
            let found_range = range(found.iova.first().0, found.phys.unwrap().0, bytes, found.permissions);
            pulled.entry(found.source_id.to_string()).or_default().push(found_range);
        }
        for device in expected["devices"].as_array().unwrap() {
            let bdf = device["bdf"].as_str().unwrap();
            let expected = match device["page_table"].as_str() {
                Some(key) => expected_ranges(&expected["page_tables"][key]),
                // The expectations have no ranges for these: a device reaches all that the machine can have.
                None if unit == capture.unit() => vec![(0, 0, 1 << 48, "rw".to_owned())],
                None => vec![(0, 0, 1 << 52, "rw".to_owned())],
            };
            assert_eq!(pulled.remove(bdf).unwrap_or_default(), expected, "{name}: {bdf}");
        }
        assert!(pulled.is_empty(), "{name}: {pulled:?}");
    });
}

#[test]
fn the_pages_that_a_walk_reads_are_the_expected_table_pages() {
    Capture::each(|name, capture, image, unit| {
        let expected = capture.expected();
        let reader = Watched::new(image, true);
        let (walked, statistics) = walk(name, unit, &reader);

        let mut kinds = BTreeMap::<String, BTreeSet<u64>>::new();
        kinds.entry("root".to_owned()).or_default().insert(unit.rtaddr().root_table().0);
        for Walked { device, tables, .. } in &walked {
            kinds.entry("context".to_owned()).or_default().insert(device.root_entry.context_table().0);
            for &(level, addr) in tables {
                kinds.entry(format!("second-level-{level}")).or_default().insert(addr);
            }
        }
        let mut expected: BTreeMap<String, BTreeSet<u64>> = expected["table_pages"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(kind, pages)| (kind.clone(), pages.as_array().unwrap().iter().map(number).collect()))
            .collect();
        // Translations of DMA have nothing to do with this one.
        expected.remove("interrupt-remap");
        assert_eq!(kinds, expected, "{name}");

        let asked = reader.asked.into_inner();
        assert_eq!(asked.len() as u64, statistics.tables, "{name}");
        let all: BTreeSet<u64> = expected.into_values().flatten().collect();
        assert_eq!(BTreeSet::from_iter(asked), all, "{name}");
    });
}

/// What a kernel's listing says of one device: its name, its root entry and its context entry.
type Listed = (String, u128, u128);

/// The root table's address, and the devices in order.
fn listing(capture: &Capture) -> (u64, Vec<Listed>) {
    let text = fs::read_to_string(capture.path("dmar_translation_struct.txt")).unwrap();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let root = hex(lines.next().unwrap().strip_prefix("IOMMU dmar0: Root Table Address: ").unwrap());
    assert!(lines.next().unwrap().starts_with("B.D.F"));
    let words = |column: &str| {
        let (high, low) = column.split_once(':').unwrap();
        u128::from(hex(high)) << 64 | u128::from(hex(low))
    };
    let device = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        (columns[0].to_owned(), words(columns[1]), words(columns[2]))
    };
    (root, lines.map(device).collect())
}

fn as_listed(walked: &[Walked]) -> Vec<Listed> {
    let listed = |Walked { device, .. }: &Walked| {
        (device.source_id.to_string(), device.root_entry.raw(), device.context_entry.raw())
    };
    walked.iter().map(listed).collect()
}

#[test]
fn root_and_context_entries_are_those_that_the_kernel_lists() {
    Capture::each(|name, capture, image, unit| {
        if capture.listed {
            let (root, listed) = listing(capture);
            assert_eq!(unit.rtaddr().root_table(), PhysAddr(root), "{name}");
            assert_eq!(as_listed(&walk(name, unit, image).0), listed, "{name}");
        }
    });
}

#[test]
fn a_capture_kernel_keeps_the_context_entries_of_devices_that_it_does_not_drive() {
    let (first_root, first) = listing(&CAPTURE_KERNEL);
    let unit = CAPTURE_KERNEL.unit();
    assert_ne!(unit.rtaddr().root_table(), PhysAddr(first_root));
    let now = as_listed(&walk("mem", unit, &CAPTURE_KERNEL.image()).0);
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
            let (bdf, top) = device.split_once(" @").unwrap();
            current = bdf.to_owned();
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
    for (capture, large, small) in [(LEGACY, 0, 13_306), (VFIO, 19, 13_341)] {
        let image = capture.image();
        let devices = listed_leaves(&capture);
        let rows = || devices.values().flat_map(|(_, leaves)| leaves);
        assert_eq!(rows().filter(|(_, entries)| entries.len() == 4).count(), large);
        assert_eq!(rows().filter(|(_, entries)| entries.len() == 5).count(), small);
        for unit in [capture.unit(), capture.unknown_unit()] {
            let (walked, _) = walk(capture.case, unit, &image);
            assert!(walked.iter().map(|walked| walked.device.source_id.to_string()).eq(devices.keys().cloned()));
            for Walked { device, leaves, .. } in &walked {
                let (top, listed) = &devices[&device.source_id.to_string()];
                let AddressSpace::SecondStage(space) = &device.space else { panic!("no page table") };
                assert_eq!(space.root, PhysAddr(*top));
                assert_eq!(leaves.len(), listed.len());
                for (leaf, (iova, entries)) in leaves.iter().zip(listed) {
                    assert_eq!((leaf.iova.0, leaf.raw), (*iova, *entries.last().unwrap()));
                    compare_path(unit, &image, device.source_id, leaf, entries);
                }
            }
        }
    }
}

/// Each entry that a translation visits is the one that the kernel lists for its level, and there is no other.
fn compare_path(unit: Unit, image: &Image, source: SourceId, leaf: &Leaf, entries: &[u64]) {
    let mut path = Vec::new();
    let mut copy = Page::ZERO;
    let inside = (1 << leaf.page_size_log2) - 1;
    // The last byte of a page has the path of its first.
    let iova = Iova(leaf.iova.0 | inside);
    let translated = unit
        .translate(image, source, iova, Access::Read, &mut copy, |entry| path.push((entry.structure, entry.entry)))
        .unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(translated.phys, PhysAddr(leaf.phys.0 | inside));
    assert_eq!((translated.page_size_log2, translated.permissions), (leaf.page_size_log2, leaf.permissions));
    assert_eq!([path[0].0, path[1].0], [Structure::Root, Structure::Context]);
    let listed: Vec<_> = (1..=5u8)
        .rev()
        .zip(entries)
        .filter(|(_, entry)| **entry != 0)
        .map(|(level, entry)| (Structure::SecondStage(level), u128::from(*entry)))
        .collect();
    assert_eq!(path[2..], listed[..], "{source} {iova}");
}

#[test]
fn a_reader_that_lends_is_asked_once_for_each_visit_and_nothing_is_copied() {
    let image = VFIO.image();
    let reader = Watched::new(&image, true);
    let (walked, statistics) = walk("lent", VFIO.unit(), &reader);
    let tables = visits(&walked);
    assert_eq!(reader.asked.into_inner(), tables);
    assert_eq!(statistics.tables, tables.len() as u64);
    assert_eq!((statistics.pages_read, statistics.bytes_lent), (0, 4096 * statistics.tables));
}

#[test]
fn a_reader_that_can_not_lend_gives_the_same_and_reads_each_table_once_for_each_visit() {
    let image = VFIO.image();
    let reader = Watched::new(&image, false);
    let (lent, lending) = walk("lent", VFIO.unit(), &image);
    let (copied, copying) = walk("copied", VFIO.unit(), &reader);
    assert_eq!(lent.len(), copied.len());
    for (lent, copied) in lent.iter().zip(&copied) {
        assert_eq!(lent.device, copied.device);
        assert_eq!(lent.tables, copied.tables);
        assert_eq!(lent.leaves, copied.leaves);
        assert_eq!(lent.pushed, copied.pushed);
    }
    let tables = visits(&copied);
    assert!(BTreeSet::from_iter(&tables).len() < tables.len(), "some tables are visited for several devices");
    assert_eq!(reader.asked.into_inner(), tables);
    assert_eq!(copying, Statistics { pages_read: lending.tables, bytes_lent: 0, ..lending });
}

/// The tables in visiting order; these captures have one bus.
fn visits(walked: &[Walked]) -> Vec<u64> {
    let top = [VFIO.unit().rtaddr().root_table().0, walked[0].device.root_entry.context_table().0];
    let below = walked.iter().flat_map(|walked| &walked.tables).map(|&(_, addr)| addr);
    top.into_iter().chain(below).collect()
}
