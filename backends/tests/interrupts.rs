//! Agrees with Linux: the interrupt remapping tables of the captures hold what an independent reader found there, and
//! what the kernel itself lists.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a panic is a red test")]

use iopt::SourceId;
use iopt::memory::Page;
use iopt::vtd::{DeliveryMode, IndexedEntry, Interrupt, Irta, SourceValidation, TriggerMode};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// Case, image, expectation, registers, and the kernel's listing.
type Capture = (&'static str, &'static str, &'static str, &'static str, &'static str);

const LISTING: &str = "ir_translation_struct.txt";

const CAPTURES: [Capture; 6] = [
    ("intremap", "mem.lime.xz", "mem.json", "regs.json", LISTING),
    ("scalable-first-stage", "mem.lime.xz", "mem.json", "regs.json", LISTING),
    ("kdump-on", "mem.first.lime.xz", "mem.first.json", "regs.first.json", LISTING),
    ("kdump-on", "vmcore.lime.xz", "vmcore.json", "regs.first.json", LISTING),
    ("kdump-on", "mem.lime.xz", "mem.old-rtaddr.json", "regs.first.json", LISTING),
    ("kdump-on", "mem.lime.xz", "mem.json", "regs.json", "capture-kernel.ir_translation_struct.txt"),
];

fn path(case: &str, file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/corpus", case, file].iter().collect()
}

fn json(case: &str, file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(path(case, file)).unwrap()).unwrap()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

fn entries(case: &str, image: &str, irta: Irta) -> Vec<IndexedEntry> {
    let image = iopt_backends::open(path(case, image)).unwrap();
    let mut copy = Page::ZERO.clone();
    irta.entries(&image, &mut copy).collect::<Result<_, _>>().unwrap()
}

/// For each capture with its entries.
fn each(mut look: impl FnMut(&Capture, Irta, &[IndexedEntry])) {
    for capture in &CAPTURES {
        let (case, image, _, registers, _) = capture;
        let irta = Irta(number(&json(case, registers)["IRTA"]));
        look(capture, irta, &entries(case, image, irta));
    }
}

fn vector_and_destination(found: &IndexedEntry, irta: Irta) -> (u8, u32) {
    match found.entry.interrupt(irta.extended()) {
        Interrupt::Remapped { vector, destination, .. } => (vector, destination),
        Interrupt::Posted { vector, .. } => (vector, 0),
    }
}

#[test]
fn tables_are_what_an_independent_reader_found() {
    each(|(case, image, expected, ..), irta, found| {
        let expected = json(case, expected);
        let table = &expected["interrupt_remap"];
        assert_eq!(number(&table["table"]), irta.table().0);
        assert_eq!(table["entries"], irta.entry_count());
        let present = table["present"].as_array().unwrap();
        assert_eq!(found.len(), present.len(), "{case} {image}");
        for (found, expected) in found.iter().zip(present) {
            let raw = u128::from(number(&expected["hi"])) << 64 | u128::from(number(&expected["lo"]));
            assert_eq!(expected["index"], found.index);
            assert_eq!(found.entry.raw(), raw);
            assert_eq!(expected["posted"], u8::from(found.entry.posted()));
            let (vector, destination) = vector_and_destination(found, irta);
            assert_eq!(expected["vector"], vector);
            assert_eq!(number(&expected["destination"]), u64::from(destination));
            assert_eq!(expected["source_id"], found.entry.source_id().to_string());
        }
    });
}

/// Line by line, as the kernel prints a table.
#[test]
fn tables_are_what_the_kernel_lists() {
    each(|(case, _, _, _, listing), irta, found| {
        let mut text = String::from("Remapped Interrupt supported on IOMMU: dmar0\n");
        text += &format!(" IR table address:{:x}\n", irta.table().0);
        text += " Entry SrcID   DstID    Vct IRTE_high\t\tIRTE_low\n";
        for found in found {
            let (vector, destination) = vector_and_destination(found, irta);
            let (high, low) = (found.entry.raw() >> 64, found.entry.raw() & u128::from(u64::MAX));
            let (index, source_id) = (found.index, found.entry.source_id());
            text += &format!(" {index:<5} {source_id} {destination:08x} {vector:02x}  {high:016x}\t{low:016x}\n");
        }
        text += "\n****\n";
        assert_eq!(text, fs::read_to_string(path(case, listing)).unwrap(), "{case} {listing}");
    });
}

/// What QEMU's devices ask for, all of it: the fields that the listing leaves out.
#[test]
fn entries_are_fixed_edge_interrupts_of_one_source() {
    each(|_, irta, found| {
        for found in found {
            let Interrupt::Remapped { trigger, delivery, .. } = found.entry.interrupt(irta.extended()) else {
                panic!("{found:?}");
            };
            assert_eq!((trigger, delivery), (TriggerMode::Edge, DeliveryMode::Fixed));
            let source_id = found.entry.source_id();
            assert_eq!(found.entry.validation(), SourceValidation::SourceId { source_id, mask: 0xffff });
        }
    });
}

/// Every index of the table for its own source-id and for another one.
#[test]
fn lookups_agree_with_the_listing() {
    each(|(case, image, ..), irta, found| {
        let image = iopt_backends::open(path(case, image)).unwrap();
        let mut copy = Page::ZERO.clone();
        let mut found = found.iter().peekable();
        for index in 0..irta.entry_count() {
            let listed = found.next_if(|found| found.index == index);
            let source_id = listed.map_or(SourceId(0), |found| found.entry.source_id());
            let mut code = |source_id| {
                let looked_up = irta.lookup(&image, source_id, index, &mut copy);
                looked_up.map_err(|fault| fault.reason.unwrap().code())
            };
            assert_eq!(code(source_id), listed.copied().ok_or(0x22));
            let other = SourceId(source_id.0 ^ 1);
            assert_eq!(code(other), Err(if listed.is_some() { 0x26 } else { 0x22 }));
        }
        assert!(found.next().is_none());
    });
}
