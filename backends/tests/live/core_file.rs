//! ELF core files, read a page at a time.

use crate::machine::{Machine, Segment, capture};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt_backends::live::{CoreFile, ErrorKind};
use iopt_backends::{ElfErrorKind, open};
use std::fs;
use std::os::unix::fs::FileExt;

fn read(core: &CoreFile, addr: u64) -> Result<u64, ReadErrorKind> {
    let mut page = Page::ZERO.clone();
    core.read_page(PhysAddr(addr), &mut page).map(|()| page.word(0)).map_err(|error| error.kind)
}

fn refusal(machine: &Machine) -> ErrorKind {
    let error = CoreFile::open(machine.path("proc/kcore")).unwrap_err();
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    assert!(error.path.ends_with("proc/kcore"));
    error.kind
}

#[test]
fn a_real_dump_reads_as_when_it_is_mapped() {
    let image = open(capture("kdump-on/vmcore.elf.xz")).unwrap();
    let machine = Machine::new();
    machine.copy_of(&image, "proc/vmcore");
    let core = CoreFile::open(machine.path("proc/vmcore")).unwrap();
    assert!(ranges(&core).eq(ranges(&image)));
    assert_eq!(core.missing(), image.missing());
    let elf = (core.elf().class, core.elf().byte_order, core.elf().machine, core.elf().expected_size);
    let expected = image.elf().unwrap();
    assert_eq!(elf, (expected.class, expected.byte_order, expected.machine, expected.expected_size));
    assert!(core.vmcoreinfo().is_some());
    assert_eq!(core.vmcoreinfo().map(|info| info.as_bytes()), image.vmcoreinfo().map(|info| info.as_bytes()));
    assert!(core.notes().eq(image.notes()));
    let mut page = Page::ZERO.clone();
    for range in ranges(&image) {
        for addr in (range.first().0..=range.last().0).step_by(4096).map(PhysAddr) {
            core.read_page(addr, &mut page).unwrap();
            assert_eq!(page.words(), image.lend_page(addr).unwrap().words(), "{addr}");
        }
    }
}

/// The first of two segments counts, segments may come in any order, and a page may be made of two.
#[test]
fn segments_are_put_together_as_their_order_says() {
    let machine = Machine::new();
    let load = |offset, addr, size| Segment { kind: 1, offset, addr, size };
    machine.core(
        "proc/kcore",
        &[
            load(0x9000, u64::MAX, 0x1000),
            load(0x3000, 0x8800, 0x800),
            load(0x1000, 0x5000, 0x1000),
            load(0x4000, 0x8000, 0x1000),
            load(0x5000, 0x5000, 0x2000),
            load(0x7000, 0x2000, 0),
        ],
    );
    let file = machine.file("proc/kcore");
    for offset in (0x1000..0xa000).step_by(8) {
        file.write_all_at(&u64::to_le_bytes(offset), offset).unwrap();
    }
    let core = CoreFile::open(machine.path("proc/kcore")).unwrap();
    assert_eq!(read(&core, 0x5000), Ok(0x1000));
    assert_eq!(read(&core, 0x6000), Ok(0x6000));
    let mut page = Page::ZERO.clone();
    core.read_page(PhysAddr(0x8000), &mut page).unwrap();
    assert_eq!((page.word(0), page.word(0xff), page.word(0x100), page.word(0x1ff)), (0x4000, 0x47f8, 0x3000, 0x37f8));
    assert_eq!(read(&core, 0x2000), Err(ReadErrorKind::Hole));
    assert_eq!(read(&core, u64::MAX), Err(ReadErrorKind::Hole));
}

/// The page that fails is the only one that is lost.
#[test]
fn a_page_behind_the_end_fails_alone() {
    let machine = Machine::new();
    machine.core("proc/kcore", &[Segment { kind: 1, offset: 0x1000, addr: 0x5000, size: 0x3000 }]);
    machine.file("proc/kcore").set_len(0x3800).unwrap();
    let core = CoreFile::open(machine.path("proc/kcore")).unwrap();
    assert_eq!((read(&core, 0x5000), read(&core, 0x6000)), (Ok(0), Ok(0)));
    assert_eq!(read(&core, 0x7000), Err(ReadErrorKind::Io(0)));
    assert_eq!(read(&core, 0x8000), Err(ReadErrorKind::Hole));
    assert_eq!(core.next_range(PhysAddr(0)).unwrap().to_string(), "0x5000-0x7fff");
}

/// An offset that no file can have is an error of the system, with its number.
#[test]
fn an_impossible_offset_is_an_error_of_its_page() {
    let machine = Machine::new();
    machine.core(
        "proc/kcore",
        &[
            Segment { kind: 1, offset: 1 << 63, addr: 0x5000, size: 0x1000 },
            Segment { kind: 1, offset: u64::MAX, addr: 0x6000, size: 0x1000 },
        ],
    );
    let core = CoreFile::open(machine.path("proc/kcore")).unwrap();
    assert_eq!(read(&core, 0x5000), Err(ReadErrorKind::Io(libc_einval())));
    assert!(read(&core, 0x6000).is_err());
}

fn libc_einval() -> i32 {
    22
}

/// Before Linux 4.11, /proc/kcore had address 0 in every segment.
#[test]
fn a_kcore_without_addresses_is_refused() {
    let machine = Machine::new();
    let segment = |addr| Segment { kind: 1, offset: 0x1000, addr, size: 0x1000 };
    machine.core("proc/kcore", &[segment(0), segment(0)]);
    machine.file("proc/kcore").set_len(0x2000).unwrap();
    let kind = refusal(&machine);
    assert!(matches!(kind, ErrorKind::Elf(error) if error.kind == ElfErrorKind::NoPhysicalAddresses), "{kind}");
    assert!(kind.to_string().contains("old /proc/kcore"));
    machine.core("proc/kcore", &[segment(0), segment(0x1000)]);
    assert!(CoreFile::open(machine.path("proc/kcore")).is_ok());
    machine.core("proc/kcore", &[segment(u64::MAX), segment(u64::MAX)]);
    let kind = refusal(&machine);
    assert!(matches!(kind, ErrorKind::Elf(error) if matches!(error.kind, ElfErrorKind::NoMemory { number: 2 })));
}

#[test]
fn headers_that_are_cut_short_or_too_many_are_refused() {
    let machine = Machine::new();
    machine.core("proc/kcore", &[Segment { kind: 1, offset: 0x1000, addr: 0x5000, size: 0x1000 }; 3]);
    let whole = fs::read(machine.path("proc/kcore")).unwrap();
    assert_eq!(whole.len(), 64 + 3 * 56);
    for length in 0..whole.len() {
        fs::write(machine.path("proc/kcore"), &whole[..length]).unwrap();
        assert!(matches!(refusal(&machine), ErrorKind::Elf(_)), "{length}");
    }
    // The number stands in a section header, and is more than any memory has room for.
    let mut many = whole.clone();
    many[56..58].copy_from_slice(&[0xff; 2]);
    many[40..48].copy_from_slice(&0x100u64.to_le_bytes());
    many.resize(0x200, 0);
    many[0x100 + 44..0x100 + 48].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(machine.path("proc/kcore"), &many).unwrap();
    assert!(matches!(refusal(&machine), ErrorKind::ElfHeadersTooLarge { .. }));
    many[0x100 + 44..0x100 + 48].copy_from_slice(&3u32.to_le_bytes());
    fs::write(machine.path("proc/kcore"), &many).unwrap();
    assert!(CoreFile::open(machine.path("proc/kcore")).is_ok());
}
