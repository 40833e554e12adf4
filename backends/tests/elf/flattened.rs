//! ELF files in makedumpfile's flattened streams.

use crate::builder::{KINDS, Kind, load, notes};
use crate::common::{Had, extent, had, images, memory};
use iopt::PhysAddr;
use iopt::memory::{PhysReader, ranges};
use iopt_backends::{
    ElfErrorKind, Format, Image, KdumpErrorKind, MissingReason, OpenErrorKind, OpenOptions, Stage, open,
};

fn header() -> Vec<u8> {
    let mut stream = b"makedumpfile\0\0\0\0".to_vec();
    stream.extend([1i64.to_be_bytes(), 1i64.to_be_bytes()].concat());
    stream.resize(4096, 0);
    stream
}

fn record(offset: usize, bytes: &[u8]) -> Vec<u8> {
    [&(offset as u64).to_be_bytes()[..], &(bytes.len() as u64).to_be_bytes(), bytes].concat()
}

fn stream(records: &[Vec<u8>]) -> Vec<u8> {
    [header(), records.concat(), vec![0xff; 16]].concat()
}

/// In records of `size` bytes, the last first.
fn backwards(file: &[u8], size: usize) -> Vec<u8> {
    let records = file.chunks(size).enumerate().map(|(index, bytes)| record(index * size, bytes));
    stream(&records.rev().collect::<Vec<_>>())
}

fn small(kind: Kind) -> Vec<u8> {
    let info = kind.note(b"VMCOREINFO\0", 0, b"A=1\n");
    kind.core(&[notes(info), load(0x1000, 0x2fff), load(0x8000, 0x87ff), load(0x8800, 0x8fff)])
}

/// The reason for each range that is missing.
fn missing(image: &Image) -> Vec<(u64, u64, MissingReason)> {
    image.missing().map(|part| (part.range.first().0, part.range.last().0, part.reason)).collect()
}

#[test]
fn a_flattened_file_is_what_was_flattened() {
    for kind in KINDS {
        let file = small(kind);
        for size in [1, 7, 1000, 4096, 1 << 20] {
            let bytes = backwards(&file, size);
            for image in images(&bytes) {
                assert_eq!((image.format(), image.size()), (Format::Elf, bytes.len() as u64));
                let elf = image.elf().unwrap();
                assert!(elf.flattened && !elf.stream_truncated && elf.file_size == file.len() as u64);
                assert_eq!(extent(&image), [(0x1000, 0x2fff), (0x8000, 0x8fff)]);
                let all = [0x1000, 0x2000, 0x8000, 0x3000].map(|addr| had(&image, addr));
                assert_eq!(all, [Had::Lent, Had::Lent, Had::Copied, Had::Hole]);
                assert_eq!(image.vmcoreinfo().unwrap().get("A"), Some(&b"1"[..]));
                assert_eq!((missing(&image), image.as_bytes()), (vec![], &file[..]));
            }
        }
        let plain = Image::from_bytes(file.clone()).unwrap();
        assert!(!plain.elf().unwrap().flattened && plain.elf().unwrap().file_size == file.len() as u64);
    }
}

/// By makedumpfile.
#[test]
fn a_real_flattened_vmcore_equals_the_lime_image() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/kdump-on/");
    let [elf, lime] =
        ["vmcore.elf-flattened.xz", "vmcore.lime.xz"].map(|name| open(format!("{folder}{name}")).unwrap());
    assert!(elf.format() == Format::Elf && elf.elf().unwrap().flattened && !elf.elf().unwrap().stream_truncated);
    assert_eq!(elf.elf().unwrap().file_size, elf.elf().unwrap().expected_size);
    assert_eq!(elf.vmcoreinfo().unwrap().get("OSRELEASE"), Some(&b"6.12.117-iommucorpus"[..]));
    assert_eq!(missing(&elf), []);
    for addr in ranges(&lime).flat_map(|range| (range.first().0..=range.last().0).step_by(4096)).map(PhysAddr) {
        assert_eq!(elf.lend_page(addr).unwrap().words(), lime.lend_page(addr).unwrap().words(), "{addr}");
    }
}

#[test]
fn invalid_gap_is_lost_and_not_zeros() {
    let kind = KINDS[3];
    let file = kind.core(&[load(0x1000, 0x3fff), load(0x8000, 0x9fff)]);
    let data = file.windows(64).position(|window| window == &memory(0x1000, 0x1fff)[..64]).unwrap();
    // One byte of the second page is in no record.
    let gap = data + 0x1234;
    let records = [record(gap + 1, &file[gap + 1..]), record(0, &file[..gap])];
    let image = Image::from_bytes(stream(&records)).unwrap();
    assert_eq!(missing(&image), [(0x2234, 0x3fff, MissingReason::Lost)]);
    let all = [0x1000, 0x2000, 0x3000, 0x8000, 0x9000].map(|addr| had(&image, addr));
    assert_eq!(all, [Had::Lent, Had::Truncated, Had::Truncated, Had::Lent, Had::Lent]);
    // Not even where the file would go on; and a record far away takes no memory.
    let records = [record(0, &file[..gap]), record(i64::MAX as usize - 8, &[0; 8])];
    let image = Image::from_bytes(stream(&records)).unwrap();
    assert!(image.as_bytes().len() < file.len());
    assert_eq!([0x1000, 0x2000, 0x8000].map(|addr| had(&image, addr)), [Had::Lent, Had::Truncated, Had::Truncated]);
    // Without its start it is no ELF file; without its program headers it says so.
    let records = [record(8, &file[8..])];
    assert!(matches!(Image::from_bytes(stream(&records)).unwrap_err().kind, OpenErrorKind::Kdump(_)));
    let records = [record(0, &file[..70]), record(71, &file[71..])];
    let OpenErrorKind::Elf(error) = Image::from_bytes(stream(&records)).unwrap_err().kind else { panic!() };
    assert!(matches!(error.kind, ElfErrorKind::TruncatedProgramHeaders { .. }), "{error}");
}

#[test]
fn invalid_length_of_stream() {
    for kind in [KINDS[0], KINDS[3]] {
        let file = small(kind);
        let whole = [
            header(),
            file.chunks(900).enumerate().flat_map(|(at, bytes)| record(at * 900, bytes)).collect(),
            vec![0xff; 16],
        ];
        let whole = whole.concat();
        let mut opened = 0;
        for length in (4096..whole.len() - 8).step_by(3) {
            match Image::from_bytes(whole[..length].to_vec()) {
                Ok(image) => {
                    assert!(image.elf().unwrap().stream_truncated);
                    let pages = [0x1000, 0x2000, 0x8000].map(|addr| had(&image, addr));
                    let known = |had: &Had| matches!(had, Had::Lent | Had::Copied | Had::Truncated);
                    assert!(pages.iter().all(known), "{length}: {pages:?}");
                    opened += 1;
                }
                Err(error) => assert!(matches!(error.kind, OpenErrorKind::Elf(_) | OpenErrorKind::Kdump(_)), "{error}"),
            }
        }
        assert!(opened > 3000, "{opened}");
    }
}

#[test]
fn the_limit_is_the_largest_file_that_is_put_together() {
    let file = small(KINDS[3]);
    let stream = backwards(&file, 1000);
    let limited = |limit| OpenOptions::new().decompressed_limit(limit).from_bytes(stream.clone());
    assert!(limited(file.len() as u64).is_ok());
    let error = limited(file.len() as u64 - 1).unwrap_err();
    assert!(matches!(error.kind, OpenErrorKind::StreamTooLarge { stage: Stage::Assembling, .. }), "{error}");
    let text = format!("putting together the image gives more than the limit of {} bytes", file.len() - 1);
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_forced_format_is_that_of_the_file_inside() {
    let stream = backwards(&small(KINDS[3]), 1000);
    let forced = |format| OpenOptions::new().format(format).from_bytes(stream.clone());
    assert_eq!(forced(Format::Elf).unwrap().format(), Format::Elf);
    assert_eq!(forced(Format::Raw).unwrap().as_bytes(), stream);
    let OpenErrorKind::Kdump(error) = forced(Format::Kdump).unwrap_err().kind else { panic!() };
    assert!(matches!(error.kind, KdumpErrorKind::Signature { .. }), "{error}");
}
