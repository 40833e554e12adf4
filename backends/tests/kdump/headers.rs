use crate::builder::{Builder, refused};
use iopt::PhysAddr;
use iopt::memory::ranges;
use iopt_backends::{Kdump, KdumpErrorKind, KdumpPart};

const MACHINES: [(bool, bool, &str); 7] = [
    (true, false, "x86_64"),
    (true, true, "ppc64"),
    (true, true, "s390x"),
    (true, false, ""),
    (false, false, "i686"),
    (false, false, "armv7l"),
    (false, true, "mips"),
];

fn machines() -> impl Iterator<Item = Builder> {
    MACHINES.into_iter().map(|(wide, big_endian, machine)| Builder { wide, big_endian, machine, ..Builder::new() })
}

#[test]
fn every_machine_and_version_is_read() {
    for machine in machines() {
        for version in 0..=6 {
            for block_size in [4096, 8192, 65536] {
                let builder = Builder { version, block_size, vmcoreinfo: b"A=1\n".into(), ..machine.clone() };
                let builder = builder.plain([0, 63, 64, 700, 999]);
                let dump = builder.open();
                let header = dump.header();
                assert_eq!((header.version, header.block_size, header.max_mapnr), (version, block_size, 1000));
                assert_eq!((header.is_64_bit, header.big_endian), (builder.wide, builder.big_endian));
                assert_eq!(header.machine, builder.machine);
                assert_eq!((header.part.clone(), header.incomplete), (None, false));
                [0, 63, 64, 700, 999].into_iter().for_each(|pfn| builder.check(&dump, pfn));
                assert_eq!(ranges(&dump).count(), 4);
                let vmcoreinfo = dump.vmcoreinfo().unwrap();
                assert_eq!(vmcoreinfo.as_deref(), (version >= 3).then_some(&b"A=1\n"[..]), "{}", builder.machine);
            }
        }
    }
}

#[test]
fn the_machine_decides_where_a_time_stamp_looks_like_a_page_size() {
    let builder = Builder { version: 5, ..Builder::new() }.plain([3]);
    let mut bytes = builder.build();
    // As seconds and microseconds, and 32 bits on, as block_size, sub_hdr_size and bitmap_blocks.
    bytes[416..420].copy_from_slice(&4096u32.to_le_bytes());
    bytes[420..424].copy_from_slice(&1u32.to_le_bytes());
    bytes[424..428].copy_from_slice(&2u32.to_le_bytes());
    assert!(Kdump::from_bytes(bytes.clone()).unwrap().header().is_64_bit);
    // Nobody knows better then.
    bytes[272..278].fill(0);
    assert!(!Kdump::from_bytes(bytes).unwrap().header().is_64_bit);
}

#[test]
fn an_old_signature_and_an_unfinished_dump_are_told() {
    let mut bytes = Builder { version: 1, status: 0x9, ..Builder::new() }.plain([3]).build();
    bytes[..8].copy_from_slice(b"DISKDUMP");
    assert!(Kdump::from_bytes(bytes).unwrap().header().incomplete);
}

#[test]
fn invalid_signature() {
    for found in [*b"KDUMP  x", *b"diskdump", [0; 8]] {
        let mut bytes = Builder::new().build();
        bytes[..8].copy_from_slice(&found);
        let error = refused(bytes);
        assert_eq!((error.offset, error.kind), (0, KdumpErrorKind::Signature { found }));
    }
    let error = refused(b"KDU".to_vec());
    assert_eq!(
        error.to_string(),
        r#"kdump file at offset 0x0: expected the signature "KDUMP   " or "DISKDUMP", found "KDU\x00\x00\x00\x00\x00""#
    );
}

#[test]
fn invalid_version() {
    for machine in machines() {
        for found in [7, u32::MAX] {
            let error = refused(Builder { version: found, ..machine.clone() }.build());
            assert_eq!((error.offset, error.kind), (8, KdumpErrorKind::Version { found }));
            assert_eq!(
                error.to_string(),
                format!("kdump file at offset 0x8: expected header_version 0 to 6, found {found}")
            );
        }
    }
}

#[test]
fn invalid_block_size() {
    for builder in machines().filter(|builder| !builder.machine.is_empty()) {
        for found in [0, 1, 512, 2048, 4095, 4097, 0x2_0000, 0x8000_0000, u32::MAX] {
            let mut bytes = builder.build();
            let at = builder.at(428);
            bytes[at..at + 4].copy_from_slice(&builder.u32(found));
            let error = refused(bytes);
            assert_eq!((error.offset, error.kind), (at as u64, KdumpErrorKind::BlockSize { found }));
        }
    }
}

#[test]
fn invalid_sub_header_size() {
    for builder in machines().filter(|builder| !builder.machine.is_empty()) {
        let mut bytes = builder.build();
        let at = builder.at(432);
        bytes[at..at + 4].fill(0);
        let error = refused(bytes.clone());
        assert_eq!((error.offset, error.kind), (at as u64, KdumpErrorKind::SubHeaderSize));
        bytes[at..at + 4].fill(0xff);
        assert!(matches!(refused(bytes).kind, KdumpErrorKind::Truncated { part: KdumpPart::Memory, found: 0, .. }));
    }
}

#[test]
fn invalid_bitmap_shorter_than_memory() {
    let bits = 2 * 4096 * 8;
    for max_mapnr in [bits + 1, 1 << 40, u64::MAX] {
        let mut bytes = Builder::new().build();
        bytes[4096 + 96..4096 + 104].copy_from_slice(&max_mapnr.to_le_bytes());
        let error = refused(bytes);
        assert_eq!((error.offset, error.kind), (4096 + 96, KdumpErrorKind::BitmapTooShort { max_mapnr, bits }));
    }
    let mut bytes = Builder { version: 5, ..Builder::new() }.build();
    bytes[440..444].fill(0xff);
    let error = refused(bytes);
    let max_mapnr = u32::MAX.into();
    assert_eq!((error.offset, error.kind), (440, KdumpErrorKind::BitmapTooShort { max_mapnr, bits }));
    assert_eq!(
        error.to_string(),
        "kdump file at offset 0x1b8: expected a bitmap of at least max_mapnr = 4294967295 bits, found \
         bitmap_blocks for 65536"
    );
}

#[test]
fn the_last_bit_of_a_bitmap_is_like_any_other() {
    let builder = Builder { max_mapnr: 4096 * 8, ..Builder::new() }.plain([0, 4096 * 8 - 1]);
    let dump = builder.open();
    builder.check(&dump, 4096 * 8 - 1);
    let all: Vec<PhysAddr> = ranges(&dump).map(|range| range.last()).collect();
    assert_eq!(all, [PhysAddr(0xfff), PhysAddr(0x7ff_ffff)]);
}

#[test]
fn one_bitmap_is_for_both() {
    let builder = Builder { version: 1, bitmaps: 1, max_mapnr: 20000, ..Builder::new() }.plain([1, 2, 19999]);
    let dump = builder.open();
    [1, 2, 19999].into_iter().for_each(|pfn| builder.check(&dump, pfn));
    assert_eq!(ranges(&dump).count(), 2);
}

#[test]
fn invalid_vmcoreinfo_behind_the_end() {
    let builder = Builder { vmcoreinfo: b"A=1\n".into(), ..Builder::new() };
    for size in [1 << 20, u64::MAX] {
        let mut bytes = builder.build();
        bytes[4096 + 40..4096 + 48].copy_from_slice(&size.to_le_bytes());
        let found = bytes.len() as u64 - 6144;
        let error = Kdump::from_bytes(bytes).unwrap().vmcoreinfo().unwrap_err();
        let kind = KdumpErrorKind::Truncated { part: KdumpPart::Vmcoreinfo, expected: size, found };
        assert_eq!((error.offset, error.kind), (6144, kind));
    }
}

#[test]
fn invalid_dump_without_a_page_frame() {
    for (version, at) in [(5, 440), (6, 4096 + 96)] {
        let builder = Builder { version, ..Builder::new() };
        let mut bytes = builder.build();
        bytes[at..at + 4].fill(0);
        let error = refused(bytes);
        assert_eq!((error.offset, error.kind), (at as u64, KdumpErrorKind::NoMemory));
    }
}
