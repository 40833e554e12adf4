//! A machine whose files are in a folder: what it shows of its memory and of its units is made of a capture.
#![allow(dead_code, reason = "each test file uses its own part")]

use iopt::PhysAddr;
use iopt::memory::{PhysReader, ranges};
use iopt_backends::{Image, open};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const BASE: u64 = 0xfed9_0000;
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A file of the captures.
pub fn capture(name: &str) -> PathBuf {
    Path::new(ROOT).join("backends/tests/corpus").join(name)
}

/// A register as a capture has it.
pub fn register(registers: &Value, name: &str) -> u64 {
    let text = registers[name].as_str().unwrap();
    u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

pub fn registers(case: &str) -> Value {
    serde_json::from_slice(&fs::read(capture(case).join("regs.json")).unwrap()).unwrap()
}

/// A part of memory: where it is, and what it holds.
pub type Part = (u64, Vec<u8>);

/// The memory of an image from `first` to `last`.
pub fn parts(image: &Image, first: u64, last: u64) -> Vec<Part> {
    let inside = ranges(image).filter(|range| first <= range.first().0 && range.last().0 <= last);
    let bytes = |range: iopt::PhysRange| {
        let pages = (range.first().0..=range.last().0).step_by(4096);
        pages.flat_map(|page| {
            image
                .lend_page(PhysAddr(page))
                .unwrap()
                .words()
                .iter()
                .flat_map(|word| word.get().to_le_bytes())
                .collect::<Vec<u8>>()
        })
    };
    inside.map(|range| (range.first().0, bytes(range).collect())).collect()
}

pub struct Machine {
    folder: TempDir,
}

impl Machine {
    /// A machine that shows nothing.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["dev", "proc", "sys/firmware/acpi/tables"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self, name: &str) -> File {
        File::options().create(true).truncate(false).write(true).open(self.path(name)).unwrap()
    }

    /// The registers of a unit, and the DMAR table that tells of it.
    pub fn unit(&self, case: &str) {
        let dmar = Path::new(ROOT).join(format!("core/tests/data/dmar/{case}.bin"));
        fs::copy(dmar, self.path("sys/firmware/acpi/tables/DMAR")).unwrap();
        self.registers(BASE, &registers(case));
    }

    pub fn registers(&self, base: u64, values: &Value) {
        let mem = self.file("dev/mem");
        let word = |offset: u64, bytes: &[u8]| mem.write_all_at(bytes, base + offset).unwrap();
        // What is between the registers must not be taken for a part of them.
        word(0, &[0xa5; 4096]);
        for (offset, name) in [(0, "VER"), (0x1c, "GSTS"), (0x34, "FSTS"), (0x64, "PMEN")] {
            word(offset, &(register(values, name) as u32).to_le_bytes());
        }
        for (offset, name) in [(0x08, "CAP"), (0x10, "ECAP"), (0x20, "RTADDR"), (0xb8, "IRTA")] {
            word(offset, &register(values, name).to_le_bytes());
        }
    }

    /// The memory of a kernel as /proc/kcore has it: parts behind each other's back, far out in a file with holes,
    /// among segments of addresses that are no memory.
    pub fn kcore(&self, parts: &[Part]) {
        let file = self.file("proc/kcore");
        let mut offset = 0x7f_0000_1000;
        let mut segments = vec![Segment { kind: 1, offset: 0x10_0000, addr: u64::MAX, size: 0x2000 }];
        file.write_all_at(&[0xee; 0x2000], 0x10_0000).unwrap();
        for (addr, bytes) in parts.iter().rev() {
            file.write_all_at(bytes, offset).unwrap();
            segments.push(Segment { kind: 1, offset, addr: *addr, size: bytes.len() as u64 });
            offset += bytes.len() as u64 + 0x3000;
        }
        // The kernel's text comes twice. Of two segments the first one counts.
        if let Some((addr, bytes)) = parts.first() {
            segments.push(Segment { kind: 1, offset: 0x10_0000, addr: *addr, size: bytes.len().min(0x2000) as u64 });
        }
        self.core("proc/kcore", &segments);
    }

    /// The headers of an ELF core file.
    pub fn core(&self, name: &str, segments: &[Segment]) {
        let mut headers = b"\x7fELF\x02\x01\x01".to_vec();
        headers.resize(16, 0);
        let halves = |headers: &mut Vec<u8>, values: &[u16]| {
            values.iter().for_each(|value| headers.extend(value.to_le_bytes()));
        };
        halves(&mut headers, &[4, 62]);
        headers.extend(1u32.to_le_bytes());
        [0u64, 64, 0].iter().for_each(|value| headers.extend(value.to_le_bytes()));
        headers.extend(0u32.to_le_bytes());
        halves(&mut headers, &[64, 56, segments.len() as u16, 64, 0, 0]);
        for &Segment { kind, offset, addr, size } in segments {
            headers.extend(kind.to_le_bytes());
            headers.extend(7u32.to_le_bytes());
            for value in [offset, !0xfff, addr, size, size, 0x1000] {
                headers.extend(value.to_le_bytes());
            }
        }
        self.file(name).write_all_at(&headers, 0).unwrap();
    }

    /// The memory behind /dev/mem, and /proc/iomem that tells of it.
    pub fn mem(&self, parts: &[Part]) {
        let mem = self.file("dev/mem");
        let mut iomem = String::from("00000000-00000fff : Reserved\n");
        for (addr, bytes) in parts {
            mem.write_all_at(bytes, *addr).unwrap();
            iomem += &format!("{addr:08x}-{:08x} : System RAM\n", addr + bytes.len() as u64 - 1);
        }
        iomem += "fed90000-fed90fff : dmar0\n";
        self.file("proc/iomem").write_all(iomem.as_bytes()).unwrap();
    }

    /// An image's bytes as a file.
    pub fn copy_of(&self, image: &Image, name: &str) {
        self.file(name).write_all_at(image.as_bytes(), 0).unwrap();
    }
}

/// A program header of such a file.
#[derive(Clone, Copy)]
pub struct Segment {
    pub kind: u32,
    pub offset: u64,
    pub addr: u64,
    pub size: u64,
}

/// A running machine with all memory of a capture in /proc/kcore.
pub fn running(case: &str) -> (Machine, Image) {
    let image = open(capture(case).join("mem.lime.xz")).unwrap();
    let machine = Machine::new();
    machine.unit(case);
    machine.kcore(&parts(&image, 0, u64::MAX));
    (machine, image)
}

/// The addresses of the capture kernel of `kdump-on`.
pub const CRASH_KERNEL: (u64, u64) = (0x0b00_0000, 0x12ff_ffff);

/// The capture kernel of `kdump-on`: its own memory in /proc/kcore, that of the kernel that crashed in /proc/vmcore.
pub fn capture_kernel() -> (Machine, Image) {
    let image = open(capture("kdump-on/mem.lime.xz")).unwrap();
    let machine = Machine::new();
    machine.unit("kdump-on");
    machine.kcore(&parts(&image, CRASH_KERNEL.0, CRASH_KERNEL.1));
    machine.copy_of(&open(capture("kdump-on/vmcore.elf.xz")).unwrap(), "proc/vmcore");
    (machine, image)
}
