//! ELF core files, read a page at a time.

use crate::machine::{Machine, Segment, capture};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt_backends::live::{CoreFile, ErrorKind};
use iopt_backends::{ElfErrorKind, Format, MissingReason, OpenErrorKind, open, open_as};
use std::fs;
use std::mem::discriminant;
use std::os::unix::fs::FileExt;

fn read(core: &impl PhysReader, addr: u64) -> Result<u64, ReadErrorKind> {
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
    assert!(core.missing().eq(image.missing()));
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

/// No file is that long.
#[test]
fn an_impossible_offset_is_behind_the_end() {
    let machine = Machine::new();
    machine.core(
        "proc/kcore",
        &[
            Segment { kind: 1, offset: 1 << 63, addr: 0x5000, size: 0x1000 },
            Segment { kind: 1, offset: u64::MAX, addr: 0x6000, size: 0x1000 },
        ],
    );
    let core = CoreFile::open(machine.path("proc/kcore")).unwrap();
    assert_eq!(read(&core, 0x5000), Err(ReadErrorKind::Io(0)));
    assert_eq!(read(&core, 0x6000), Err(ReadErrorKind::Io(0)));
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

/// More headers than are read at once, and each of them counts.
#[test]
fn thousands_of_segments_are_read() {
    let machine = Machine::new();
    let segment = |index: u64| Segment { kind: 1, offset: 0x10_0000, addr: index * 0x2000, size: 0x1000 };
    let segments: Vec<Segment> = (1..=5000).map(segment).collect();
    machine.core("proc/kcore", &segments);
    machine.file("proc/kcore").set_len(0x10_1000).unwrap();
    let core = CoreFile::open(machine.path("proc/kcore")).unwrap();
    let starts: Vec<u64> = ranges(&core).map(|range| range.first().0).collect();
    assert_eq!(starts, segments.iter().map(|segment| segment.addr).collect::<Vec<_>>());
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

/// Whatever is wrong with the headers, both readers say and read the same. Only a file that is cut short the mapped
/// one knows beforehand.
#[test]
fn damaged_headers_mean_the_same_mapped_or_not() {
    let machine = Machine::new();
    let load = |offset, addr, size| Segment { kind: 1, offset, addr, size };
    let note = Segment { kind: 4, offset: 0x200, addr: 0, size: 40 };
    machine.core("proc/kcore", &[note, load(0x1000, 0x5000, 0x2000), load(0x2800, 0x6800, 0x1800), load(0x300, 0, 8)]);
    let mut whole = fs::read(machine.path("proc/kcore")).unwrap();
    whole.extend((whole.len()..0x4000).map(|at| (at / 8) as u8));
    whole[0x200..0x228].copy_from_slice(b"\x0b\0\0\0\x0c\0\0\0\0\0\0\0VMCOREINFO\0\0OSRELEASE=6\n\0\0\0\0");
    let path = machine.path("proc/kcore");
    let (mut refused, mut cut, mut read_alike) = (0, 0, 0);
    for at in 0..64 + 4 * 56 {
        for change in [0x00, 0x01, 0x80, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] ^= change;
            fs::write(&path, &damaged).unwrap();
            match (open_as(&path, Format::Elf), CoreFile::open(&path)) {
                (Ok(image), Ok(core)) => {
                    assert_eq!(core.vmcoreinfo().map(|info| info.as_bytes()), image.vmcoreinfo().map(|i| i.as_bytes()));
                    if image.missing().any(|missing| missing.reason == MissingReason::Truncated) {
                        cut += 1;
                    } else {
                        assert!(ranges(&core).eq(ranges(&image)), "byte {at} ^ {change:#x}");
                        assert!(core.missing().eq(image.missing()));
                        read_alike += 1;
                    }
                    let far = ranges(&core).chain(ranges(&image)).flat_map(|range| [range.first().0, range.last().0]);
                    for addr in far.chain((0..0xa000).step_by(0x1000)) {
                        let (ours, theirs) = (read(&core, addr), read(&image, addr));
                        assert_eq!(ours, theirs, "byte {at} ^ {change:#x}: {addr:#x}");
                    }
                }
                (Err(image), Err(core)) => {
                    let OpenErrorKind::Elf(image) = image.kind else { panic!("{image}") };
                    let ErrorKind::Elf(core) = core.kind else { panic!("byte {at} ^ {change:#x}: {core}") };
                    assert_eq!(core.offset, image.offset, "byte {at} ^ {change:#x}");
                    assert_eq!(discriminant(&core.kind), discriminant(&image.kind));
                    refused += 1;
                }
                (image, core) => panic!("byte {at} ^ {change:#x}: {image:?} {core:?}"),
            }
        }
    }
    assert!(refused > 50 && cut > 20 && read_alike > 500, "{refused} {cut} {read_alike}");
}
