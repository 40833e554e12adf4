//! Flattened dumps: the same file in records.

use crate::builder::{Builder, absent, refused};
use crate::damage::Random;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind};
use iopt_backends::{FlattenedErrorKind, Kdump, KdumpErrorKind, KdumpPageErrorKind, KdumpPart};
use zerocopy::IntoBytes;

pub fn header() -> Vec<u8> {
    let mut stream = b"makedumpfile\0\0\0\0".to_vec();
    stream.extend(1i64.to_be_bytes());
    stream.extend(1i64.to_be_bytes());
    stream.resize(4096, 0);
    stream
}

pub fn record(stream: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    stream.extend((offset as u64).to_be_bytes());
    stream.extend((bytes.len() as u64).to_be_bytes());
    stream.extend(bytes);
}

pub fn end(stream: &mut Vec<u8>) {
    stream.extend([0xff; 16]);
}

/// In records of `size` bytes, the last first.
fn backwards(file: &[u8], size: usize) -> Vec<u8> {
    let mut stream = header();
    for (index, bytes) in file.chunks(size).enumerate().rev() {
        record(&mut stream, index * size, bytes);
    }
    end(&mut stream);
    stream
}

fn small() -> Builder {
    let builder = Builder { vmcoreinfo: b"A=1\n".into(), max_mapnr: 70001, ..Builder::new() };
    builder.plain([0, 1, 63, 69999, 70000])
}

#[test]
fn records_may_have_any_size_and_order() {
    let builder = small();
    let file = builder.build();
    for size in [1, 7, 100, 4095, 4096, 10000, 1 << 20] {
        let dump = Kdump::from_bytes(backwards(&file, size)).unwrap();
        assert!(dump.is_flattened() && !dump.is_stream_truncated());
        [0, 1, 63, 69999, 70000].into_iter().for_each(|pfn| builder.check(&dump, pfn));
        assert_eq!(dump.vmcoreinfo().unwrap().as_deref(), Some(&b"A=1\n"[..]));
    }
}

#[test]
fn later_records_lie_over_earlier_ones() {
    let builder = small();
    let file = builder.build();
    let mut stream = header();
    // Wrong at first, in one record and in two that overlap; put right from several sides.
    record(&mut stream, 0, &vec![0xaa; file.len()]);
    record(&mut stream, 100, &vec![0xbb; 9000]);
    for (start, until) in [(8000, 9050), (0, 50), (40, 8100), (9000, file.len()), (0, 8), (12000, 12000)] {
        record(&mut stream, start, &file[start..until]);
    }
    end(&mut stream);
    stream.extend(b"and then nothing counts");
    let dump = Kdump::from_bytes(stream).unwrap();
    [0, 1, 63, 69999, 70000].into_iter().for_each(|pfn| builder.check(&dump, pfn));
    assert_eq!(dump.vmcoreinfo().unwrap().as_deref(), Some(&b"A=1\n"[..]));
}

/// Many records over the pages' bytes, and the same written one after the other.
#[test]
fn records_anywhere_are_as_if_written_one_after_the_other() {
    let mut random = Random(11);
    let builder = Builder::new().plain(0..8);
    for round in 0..60u32 {
        let mut file = builder.build();
        let data = builder.descriptors() + 8 * 24;
        let mut stream = header();
        record(&mut stream, 0, &file);
        for index in 0..1 + round * 3 {
            let start = data + random.below(file.len() - data);
            let longest = [2, 100, 9000][random.below(3)];
            let size = random.below(longest).min(file.len() - start);
            let bytes = vec![index as u8; size];
            file[start..start + size].copy_from_slice(&bytes);
            record(&mut stream, start, &bytes);
        }
        end(&mut stream);
        let dump = Kdump::from_bytes(stream).unwrap();
        for (pfn, expected) in (0..).zip(file[data..].chunks(4096)) {
            let mut page = Page::ZERO;
            dump.read(PhysAddr(pfn << 12), &mut page).unwrap();
            assert!(page.as_bytes() == expected, "{round} {pfn}");
        }
    }
}

#[test]
fn invalid_later_record_with_other_bytes_is_seen() {
    let mut stream = header();
    record(&mut stream, 0, &small().build());
    record(&mut stream, 8, &7u32.to_le_bytes());
    end(&mut stream);
    assert_eq!(refused(stream).kind, KdumpErrorKind::Version { found: 7 });
}

#[test]
fn invalid_end_is_told_and_the_rest_is_read() {
    let builder = small();
    let file = builder.build();
    let mut stream = header();
    record(&mut stream, 0, &file);
    for cut in [0, 1, 4096, 4100] {
        let dump = Kdump::from_bytes(stream[..stream.len() - cut].to_vec()).unwrap();
        assert!(dump.is_stream_truncated());
        builder.check(&dump, 0);
        if cut > 0 {
            let (long, short) = absent(&dump, 70000 << 12);
            let there = (file.len() - cut) as u64;
            assert!(matches!(long, KdumpPageErrorKind::DataMissing { size: 4096, end, .. } if end == there));
            assert_eq!(short, ReadErrorKind::Io(0));
        }
    }
}

#[test]
fn every_length_of_a_stream_is_refused_or_read_as_far_as_it_goes() {
    let builder = Builder { max_mapnr: 64, ..Builder::new() }.plain([0, 1, 63]);
    let stream = {
        let file = builder.build();
        let mut stream = header();
        // As makedumpfile writes it: the data of pages before their descriptors.
        let data = builder.descriptors() + 3 * 24;
        record(&mut stream, 0, &file[..builder.descriptors()]);
        record(&mut stream, data, &file[data..]);
        record(&mut stream, builder.descriptors(), &file[builder.descriptors()..data]);
        end(&mut stream);
        stream
    };
    let mut most = 0;
    for length in 0..=stream.len() {
        let Ok(dump) = Kdump::from_bytes(stream[..length].to_vec()) else {
            assert!(most == 0, "{length}");
            continue;
        };
        assert_eq!(dump.is_stream_truncated(), length < stream.len(), "{length}");
        let mut page = Page::ZERO;
        let read = [0, 1, 63].into_iter().filter(|pfn| dump.read_page(PhysAddr(pfn << 12), &mut page).is_ok());
        let read = read.inspect(|pfn| builder.check(&dump, *pfn)).count();
        assert!(read >= most, "{length}");
        most = read;
    }
    assert_eq!(most, 3);
}

/// So makedumpfile writes bitmaps; a bit less is refused.
#[test]
fn padding_of_bitmaps_may_be_left_out() {
    let builder = small();
    let file = builder.build();
    let bits = 70001usize.div_ceil(8);
    let stream = |bits: usize| {
        let mut stream = header();
        record(&mut stream, 0, &file[..8192]);
        record(&mut stream, 8192, &file[8192..][..bits]);
        record(&mut stream, 8192 + 3 * 4096, &file[8192 + 3 * 4096..][..bits]);
        record(&mut stream, builder.descriptors(), &file[builder.descriptors()..]);
        end(&mut stream);
        stream
    };
    let dump = Kdump::from_bytes(stream(bits)).unwrap();
    [0, 1, 63, 69999, 70000].into_iter().for_each(|pfn| builder.check(&dump, pfn));
    assert_eq!(absent(&dump, 2 << 12).1, ReadErrorKind::Hole);
    let error = refused(stream(bits - 1));
    let kind = KdumpErrorKind::Truncated { part: KdumpPart::Memory, expected: 8751, found: 8750 };
    assert_eq!((error.offset, error.kind), (8192, kind));
}

#[test]
fn invalid_gap_is_not_read_as_zeros() {
    let file = small().build();
    let mut stream = header();
    record(&mut stream, 0, &file[..9000]);
    record(&mut stream, 9001, &file[9001..]);
    end(&mut stream);
    let error = refused(stream);
    let kind = KdumpErrorKind::Truncated { part: KdumpPart::Memory, expected: 8751, found: 9000 - 8192 };
    assert_eq!((error.offset, error.kind), (8192, kind));
}

#[test]
fn invalid_header() {
    let valid = backwards(&small().build(), 100);
    for (at, value, kind) in [
        (16, 2, FlattenedErrorKind::Type { found: 2 }),
        (16, -1, FlattenedErrorKind::Type { found: -1 }),
        (24, 0, FlattenedErrorKind::Version { found: 0 }),
        (24, 1 << 56, FlattenedErrorKind::Version { found: 1 << 56 }),
    ] {
        let mut stream = valid.clone();
        stream[at..at + 8].copy_from_slice(&i64::to_be_bytes(value));
        let error = refused(stream);
        assert_eq!((error.offset, error.kind), (at as u64, KdumpErrorKind::Flattened(kind)));
    }
    let kind = FlattenedErrorKind::TruncatedHeader { found: 4095 };
    assert_eq!(refused(valid[..4095].to_vec()).kind, KdumpErrorKind::Flattened(kind));
    assert!(matches!(refused(valid[..4096].to_vec()).kind, KdumpErrorKind::Signature { .. }));
}

#[test]
fn invalid_record() {
    for (to, size) in [(-2, 5), (0, -1), (i64::MIN, 0), (5, i64::MIN)] {
        let mut stream = header();
        record(&mut stream, 0, &[0; 10]);
        stream.extend(to.to_be_bytes());
        stream.extend(size.to_be_bytes());
        let error = refused(stream);
        let kind = KdumpErrorKind::Flattened(FlattenedErrorKind::Record { to, size });
        assert_eq!((error.offset, error.kind), (4096 + 16 + 10, kind));
        assert_eq!(
            error.to_string(),
            format!(
                "kdump file at offset 0x101a: flattened dump: expected a record with a place in the file, found \
                 offset {to} and size {size}"
            )
        );
    }
    // As far as a file can reach, there may be anything.
    let mut stream = backwards(&small().build(), 4096);
    stream.truncate(stream.len() - 16);
    record(&mut stream, i64::MAX as usize, &[1, 2, 3]);
    end(&mut stream);
    small().check(&Kdump::from_bytes(stream).unwrap(), 63);
}
