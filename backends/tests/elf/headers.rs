//! What is refused, and where in the file the reason is.

use crate::builder::{KINDS, Kind, Segment, load, notes};
use crate::common::{extent, images, refusal, save};
use iopt::PhysAddr;
use iopt_backends::{ElfError, ElfErrorKind, Format, OpenErrorKind, open_as};

fn malformed(bytes: &[u8]) -> (ElfError, String) {
    match refusal(bytes) {
        OpenErrorKind::Elf(error) => (error, error.to_string()),
        other => panic!("expected an ELF error, found {other:?}"),
    }
}

/// The error about a field of a good file that has another value.
fn with(kind: Kind, field: &str, value: u64) -> (ElfError, String) {
    let mut bytes = kind.core(&[load(0x1000, 0x1fff), load(0x3000, 0x3fff)]);
    let at = kind.at(field, 1);
    kind.put(&mut bytes, at, value);
    let (error, text) = malformed(&bytes);
    let place = if error.offset == at.0 as u64 { "" } else { ", at another place" };
    (error, format!("{text}{place}"))
}

fn text(offset: u64, text: &str) -> String {
    format!("ELF header at offset {offset:#x}: {text}")
}

#[test]
fn invalid_identification() {
    for kind in KINDS {
        for found in [0, 3, 255] {
            let (error, said) = with(kind, "EI_CLASS", found);
            assert_eq!(error.kind, ElfErrorKind::Class { found: found as u8 });
            assert_eq!(said, text(4, &format!("expected EI_CLASS 1 (32-bit) or 2 (64-bit), found {found}")));
            let (_, said) = with(kind, "EI_DATA", found);
            assert_eq!(said, text(5, &format!("expected EI_DATA 1 (little-endian) or 2 (big-endian), found {found}")));
        }
        for found in [0, 2, 255] {
            let (error, said) = with(kind, "EI_VERSION", found);
            assert_eq!(error.kind, ElfErrorKind::Version { found: found as u8 });
            assert_eq!(said, text(6, &format!("expected EI_VERSION 1, found {found}")));
        }
    }
}

#[test]
fn invalid_type() {
    for kind in KINDS {
        for found in [0, 1, 2, 3, 5, 0xffff] {
            let expected = format!("expected e_type 4 (a core file), found {found}");
            assert_eq!(with(kind, "e_type", found).1, text(16, &expected));
        }
    }
}

#[test]
fn invalid_program_header_size() {
    for kind in KINDS {
        let (offset, size) = (kind.at("e_phentsize", 0).0 as u64, kind.segment_size());
        for found in [0, 1, size as u64 - 1, size as u64 + 1, 0xffff] {
            let (error, said) = with(kind, "e_phentsize", found);
            assert_eq!(error.kind, ElfErrorKind::ProgramHeaderSize { expected: size as u64, found: found as u16 });
            assert_eq!(said, text(offset, &format!("expected e_phentsize {size}, found {found}")));
        }
    }
}

#[test]
fn invalid_place_of_program_headers() {
    for kind in KINDS {
        let size = kind.segment_size() as u64;
        let end = images(&kind.core(&[load(0x1000, 0x1fff), load(0x3000, 0x3fff)]))[0].size();
        let max = if kind.wide { u64::MAX } else { 0xffff_ffff };
        for start in [end - 2 * size + 1, end - 1, end, end + 1, max] {
            let (error, said) = with(kind, "e_phoff", start);
            assert_eq!(error.kind, ElfErrorKind::TruncatedProgramHeaders { number: 2, size, start, end });
            let offset = if kind.wide { 32 } else { 28 };
            let expected =
                format!("expected 2 program headers of {size} bytes at e_phoff {start:#x}, found the end at {end:#x}");
            assert_eq!(said, text(offset, &expected));
        }
    }
}

#[test]
fn invalid_number_of_program_headers() {
    for kind in KINDS {
        let mut bytes = kind.core(&[load(0x1000, 0x1fff)]);
        kind.put(&mut bytes, kind.at("e_phnum", 0), 0);
        let (error, said) = malformed(&bytes);
        assert_eq!(error.kind, ElfErrorKind::NoMemory { number: 0 });
        assert!(said.ends_with("expected a PT_LOAD segment with a physical address, found none in 0 program headers"));
        kind.put(&mut bytes, kind.at("e_phnum", 0), 0xfffe);
        let ElfErrorKind::TruncatedProgramHeaders { number: 0xfffe, .. } = malformed(&bytes).0.kind else { panic!() };
    }
}

#[test]
fn invalid_section_header_with_the_number() {
    for kind in KINDS {
        let good = kind.core_of_many(&[load(0x1000, 0x1fff)]);
        assert_eq!(extent(&images(&good)[0]), [(0x1000, 0x1fff)]);
        let size = good.len() as u64;
        let section_size = if kind.wide { 64 } else { 40 };
        for found in [0, size - section_size + 1, size, if kind.wide { u64::MAX } else { 0xffff_ffff }] {
            let mut bytes = good.clone();
            kind.put(&mut bytes, kind.at("e_shoff", 0), found);
            let (error, said) = malformed(&bytes);
            let offset = kind.at("e_shoff", 0).0 as u64;
            assert_eq!(error, ElfError { offset, kind: ElfErrorKind::NoSectionHeader { found } });
            assert!(said.contains("as e_phnum is 0xffff") && said.ends_with(&format!("found {found:#x}")), "{said}");
        }
        // Nothing is allocated for a number that the file has no room for.
        let info = kind.header_size() + kind.segment_size() + if kind.wide { 44 } else { 28 };
        for found in [0xffff, 0x8000_0000, 0xffff_ffff] {
            let mut bytes = good.clone();
            kind.put(&mut bytes, (info, 4), found);
            let ElfErrorKind::TruncatedProgramHeaders { number, .. } = malformed(&bytes).0.kind else { panic!() };
            assert_eq!(u64::from(number), found);
        }
    }
}

#[test]
fn invalid_sizes_of_a_segment() {
    for kind in KINDS {
        let (error, said) = with(kind, "p_filesz", 0x1001);
        assert_eq!(error.kind, ElfErrorKind::FileSize { file_size: 0x1001, memory_size: 0x1000 });
        assert!(said.ends_with("expected p_filesz up to p_memsz 0x1000, found 0x1001"), "{said}");
        let mut bytes = kind.core(&[load(0x1000, 0x1fff)]);
        kind.put(&mut bytes, kind.at("p_memsz", 0), 0);
        assert!(malformed(&bytes).1.ends_with("expected p_filesz up to p_memsz 0x0, found 0x1000"));
    }
}

#[test]
fn invalid_segment_that_leaves_the_space() {
    for kind in [KINDS[2], KINDS[3]] {
        let (error, said) = with(kind, "p_paddr", u64::MAX - 0xffe);
        let start = PhysAddr(u64::MAX - 0xffe);
        assert_eq!(error.kind, ElfErrorKind::Wraps { start, size: 0x1000 });
        assert!(
            said.ends_with(
                "expected a segment that ends in 64 bits, found p_paddr 0xfffffffffffff001 and p_memsz 0x1000"
            )
        );
        let (error, _) = with(kind, "p_memsz", u64::MAX);
        assert_eq!(error.kind, ElfErrorKind::Wraps { start: PhysAddr(0x3000), size: u64::MAX });
    }
}

#[test]
fn invalid_core_without_physical_addresses() {
    for kind in KINDS {
        let at_0 = || Segment { addr: 0, ..load(0x1000, 0x1fff) };
        for segments in [vec![at_0()], vec![at_0(), at_0()], vec![notes(kind.note(b"CORE\0", 1, &[0; 336])), at_0()]] {
            let (error, said) = malformed(&kind.core(&segments));
            assert_eq!(error, ElfError { offset: kind.header_size() as u64, kind: ElfErrorKind::NoPhysicalAddresses });
            assert!(said.contains("found p_paddr 0 in each segment and no VMCOREINFO"), "{said}");
        }
        // Memory may begin at 0: one address elsewhere, or the kernel's own note, says that they are filled in.
        for segments in [vec![load(0, 0xfff), load(0x3000, 0x3fff)], vec![load(0, 0xfff), vmcoreinfo(kind)]] {
            assert_eq!(extent(&images(&kind.core(&segments))[0])[0], (0, 0xfff));
        }
    }
}

fn vmcoreinfo(kind: Kind) -> Segment {
    notes(kind.note(b"VMCOREINFO\0", 0, b"PAGESIZE=4096\n"))
}

#[test]
fn invalid_core_without_memory() {
    for kind in KINDS {
        let none = if kind.wide { u64::MAX } else { 0xffff_ffff };
        let of_no_kind = Segment { kind: 0, ..load(0x1000, 0x1fff) };
        let empty = Segment { stored: Vec::new(), memory_size: 0, ..of_no_kind.clone() };
        let no_address = Segment { addr: none, ..load(0x1000, 0x1fff) };
        for segments in [vec![vmcoreinfo(kind)], vec![of_no_kind], vec![Segment { kind: 1, ..empty }, no_address]] {
            let ElfErrorKind::NoMemory { number } = malformed(&kind.core(&segments)).0.kind else { panic!() };
            assert_eq!(number as usize, segments.len());
        }
    }
}

#[test]
fn invalid_forced_format() {
    let error = open_as(save(b"EMiL and more").path(), Format::Elf).unwrap_err();
    let OpenErrorKind::Elf(error) = error.kind else { panic!("{error}") };
    assert_eq!(error.to_string(), text(0, "expected the magic 7f 45 4c 46, found 45 4d 69 4c"));
    let short = open_as(save(b"\x7fE").path(), Format::Elf).unwrap_err();
    assert!(short.to_string().ends_with(&text(0, "expected 16 bytes, found 2: the file is cut short")), "{short}");
    let good = save(&KINDS[1].core(&[load(0x1000, 0x1fff)]));
    assert_eq!(open_as(good.path(), Format::Elf).unwrap().format(), Format::Elf);
}
