//! Agrees with Linux: what a walk finds in captures of real tables is what an independent reader found there, and
//! what the kernel itself says about them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod copies;
mod devices;
mod every_read;
mod failures;
mod listing;
mod new_kernel;
mod pages;
mod ranges;
mod reader;
mod torn;
mod translations;
mod walked;

use iopt::vtd::{Bits, Cap, Ecap, Rtaddr, Unit};
use iopt_backends::Image;
use reader::Watched;
use serde_json::Value;
use std::fs;
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
const SECOND_STAGE: Capture = capture("scalable", "mem.lime.xz");
const FIRST_STAGE: Capture = capture("scalable-first-stage", "mem.lime.xz");
/// A kernel leaves a bus out of its listing when it has copied the entry of the bus's first device, so that of a
/// capture kernel is empty. The listing in this case's folder is the first kernel's.
const CAPTURE_KERNEL: Capture = Capture { listed: false, ..capture("kdump-on", "mem.lime.xz") };

const CAPTURES: [Capture; 12] = [
    LEGACY,
    capture("legacy-48", "mem.raw.xz"),
    VFIO,
    capture("legacy-pt", "mem.lime.xz"),
    capture("intremap", "mem.lime.xz"),
    SECOND_STAGE,
    FIRST_STAGE,
    first_kernel("mem.first.lime.xz", "mem.first.json"),
    first_kernel("vmcore.lime.xz", "vmcore.json"),
    first_kernel("vmcore.elf.xz", "vmcore.json"),
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

    /// With everything known of the unit and with nothing, by a reader that lends and by one that can't.
    fn ways(&self, mut look: impl FnMut(&Way<'_>)) {
        let (image, expected) = (self.image(), self.expected());
        for (unit, known) in [(self.unit(), Some(self.unit())), (self.unknown_unit(), None)] {
            for lends in [true, false] {
                let reader = Watched::new(&image, lends);
                let knows = if known.is_some() { "all" } else { "nothing" };
                let how = if lends { "lent" } else { "copied" };
                let name = format!("{} {} {}, {knows} known, {how}", self.case, self.image, self.expected);
                look(&Way { name, capture: self, expected: &expected, unit, known: known.is_some(), reader });
            }
        }
    }

    /// Every way to walk every capture.
    fn each(mut look: impl FnMut(&Way<'_>)) {
        CAPTURES.iter().for_each(|capture| capture.ways(&mut look));
    }
}

/// One way to walk a capture.
struct Way<'m> {
    name: String,
    capture: &'m Capture,
    expected: &'m Value,
    unit: Unit,
    /// Whether everything is known of the unit.
    known: bool,
    reader: Watched<'m>,
}

impl Way<'_> {
    fn devices(&self) -> &[Value] {
        self.expected["devices"].as_array().unwrap()
    }

    /// The expected page table of a device, if its requests don't pass through.
    fn page_table(&self, device: &Value) -> Option<&Value> {
        device["page_table"].as_str().map(|key| &self.expected["page_tables"][key])
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.strip_prefix("0x").expect(text), 16).expect(text)
}

fn number(value: &Value) -> u64 {
    hex(value.as_str().unwrap())
}

/// All the words of an entry, low first.
fn words(value: &Value) -> Bits {
    let mut all = [0; 8];
    let given = value.as_array().unwrap();
    all[..given.len()].copy_from_slice(&given.iter().map(number).collect::<Vec<_>>());
    all.into()
}
