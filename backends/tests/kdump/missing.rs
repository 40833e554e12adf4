//! What a dump has not, told without looking for it page by page.

use crate::builder::{Builder, absent};
use crate::captures;
use crate::flattened;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind};
use iopt_backends::{Kdump, MissingReason};
use std::collections::BTreeMap;

/// Page frames, first and last, and why they are missing.
fn missing(dump: &Kdump) -> Vec<(u64, u64, MissingReason)> {
    let shift = dump.header().block_size.trailing_zeros();
    let frame = |addr: PhysAddr| addr.0 >> shift;
    dump.missing().map(|part| (frame(part.range.first()), frame(part.range.last()), part.reason)).collect()
}

#[test]
fn what_the_filter_left_out_is_told_in_ranges() {
    for block_size in [4096, 65536] {
        let memory = [0, 1, 2, 62, 63, 64, 65, 128, 500, 999].into();
        let dump = Builder { memory, block_size, ..Builder::new() }.plain([1, 64, 300]).open();
        let excluded = [(0, 0), (2, 2), (62, 63), (65, 65), (128, 128), (500, 500), (999, 999)];
        assert_eq!(missing(&dump), excluded.map(|(first, last)| (first, last, MissingReason::Excluded)));
    }
    assert!(missing(&Builder::new().plain(0..1000).open()).is_empty());
    let all = Builder { memory: (0..1000).collect(), ..Builder::new() }.open();
    assert_eq!(missing(&all), [(0, 999, MissingReason::Excluded)]);
    let old = Builder { version: 1, bitmaps: 1, max_mapnr: 20000, ..Builder::new() }.plain([1, 2, 19999]).open();
    assert!(missing(&old).is_empty());
}

#[test]
fn frames_behind_the_last_are_no_memory() {
    let bytes = Builder { memory: vec![998, 999], ..Builder::new() }.build();
    let mut shorter = bytes.clone();
    shorter[4096 + 96..4096 + 104].copy_from_slice(&999u64.to_le_bytes());
    assert_eq!(missing(&Kdump::from_bytes(bytes).unwrap()), [(998, 999, MissingReason::Excluded)]);
    assert_eq!(missing(&Kdump::from_bytes(shorter).unwrap()), [(998, 998, MissingReason::Excluded)]);
}

#[test]
fn other_parts_of_a_split_dump_are_told_apart() {
    let builder = Builder { part: Some((2, 65)), memory: vec![3], ..Builder::new() }.plain([0, 1, 2, 64, 65]);
    let expected =
        [(0, 1, MissingReason::OtherPart), (3, 3, MissingReason::Excluded), (65, 65, MissingReason::OtherPart)];
    assert_eq!(missing(&builder.open()), expected);
}

#[test]
fn invalid_dump_without_the_ends_of_its_pages() {
    let builder = Builder { memory: vec![5], ..Builder::new() }.plain([1, 2, 3, 4]);
    let (file, data) = (builder.build(), builder.descriptors() + 4 * 24);
    let cut = |length: usize| missing(&Kdump::from_bytes(file[..length].to_vec()).unwrap());
    let excluded = (5, 5, MissingReason::Excluded);
    assert_eq!(cut(file.len()), [excluded]);
    assert_eq!(cut(file.len() - 1), [(4, 4, MissingReason::Truncated), excluded]);
    assert_eq!(cut(data + 4096), [(2, 4, MissingReason::Truncated), excluded]);
    assert_eq!(cut(builder.descriptors()), [(1, 4, MissingReason::Truncated), excluded]);
    // A descriptor without a place, and one whose place is behind the end.
    let mut bytes = file.clone();
    bytes[data - 2 * 24..data - 24].fill(0);
    bytes[data - 24..data - 16].fill(0xff);
    let dump = Kdump::from_bytes(bytes).unwrap();
    assert_eq!(missing(&dump), [(3, 3, MissingReason::Lost), (4, 4, MissingReason::Truncated), excluded]);
}

/// Page by page, what is missing is what can't be read.
#[test]
fn what_is_missing_is_what_reads_so() {
    let file = captures::bytes("zlib");
    for length in [file.len(), 70_000, 50_000, 40_000, 33_000] {
        let dump = Kdump::from_bytes(file[..length].to_vec()).unwrap();
        let mut told = BTreeMap::new();
        for part in dump.missing() {
            let kind = ReadErrorKind::from(part.reason);
            told.extend((part.range.first().0..=part.range.last().0).step_by(4096).map(|addr| (addr, kind)));
        }
        assert_eq!(told.values().any(|kind| *kind == ReadErrorKind::Io(0)), length < file.len());
        for addr in (0..dump.header().max_mapnr).map(|pfn| pfn << 12) {
            let read = dump.read_page(PhysAddr(addr), &mut Page::ZERO.clone());
            match told.get(&addr) {
                Some(kind) => assert_eq!(read.unwrap_err().kind, *kind, "{length} {addr:#x}"),
                None => assert!(read.is_ok_and(|()| true) || absent(&dump, addr).1 == ReadErrorKind::Hole, "{addr:#x}"),
            }
        }
    }
}

/// The header of a split dump or of QEMU may have the notes, but not the place of the VMCOREINFO in them.
#[test]
fn vmcoreinfo_is_found_among_the_notes() {
    let note = |name: &[u8], contents: &[u8]| {
        let mut note = Vec::new();
        for value in [name.len() as u32, contents.len() as u32, 0] {
            note.extend(value.to_le_bytes());
        }
        for part in [name, contents] {
            note.extend(part);
            note.resize(note.len().next_multiple_of(4), 0);
        }
        note
    };
    let notes =
        [note(b"CORE\0", &[1; 7]), note(b"VMCOREINFO\0", b"A=1\nB=2\n"), note(b"VMCOREINFO\0", b"A=3\n")].concat();
    for (version, found) in [(3, None), (4, Some(&b"A=1\nB=2\n"[..])), (6, Some(&b"A=1\nB=2\n"[..]))] {
        let mut file = Builder { version, ..Builder::new() }.plain([1]).build();
        // What the version has not is garbage; so is an offset of VMCOREINFO without a size.
        let at = 4096 + 48;
        file[4096 + 32..4096 + 48].fill(0);
        file[at..at + 8].copy_from_slice(&(4096u64 + 2048).to_le_bytes());
        file[at + 8..at + 16].copy_from_slice(&(notes.len() as u64).to_le_bytes());
        file[4096 + 2048..4096 + 2048 + notes.len()].copy_from_slice(&notes);
        let dump = Kdump::from_bytes(file.clone()).unwrap();
        assert_eq!(dump.vmcoreinfo().unwrap().as_deref(), found, "{version}");
        let image = iopt_backends::Image::from_bytes(file.clone()).unwrap();
        assert_eq!(image.vmcoreinfo().map(|info| info.as_bytes()), found.map(|text| &text[..text.len()]));
        if found.is_some() {
            file[at + 8..at + 16].fill(0xff);
            let error = Kdump::from_bytes(file).unwrap().vmcoreinfo().unwrap_err();
            assert!(error.to_string().contains("bytes for the notes, found"), "{error}");
        }
    }
}

#[test]
fn the_kernel_and_the_time_are_told() {
    let dump = Kdump::from_bytes(captures::bytes("zlib")).unwrap();
    assert_eq!(dump.header().release, "6.12.117-iommucorpus");
    for (wide, machine) in [(true, "x86_64"), (false, "i686")] {
        let builder = Builder { wide, machine, ..Builder::new() };
        let mut file = builder.build();
        let (at, size) = if wide { (408, 8) } else { (404, 4) };
        (file[at], file[at + size]) = (7, 9);
        assert_eq!(Kdump::from_bytes(file).unwrap().header().timestamp, (7, 9));
    }
}

#[test]
fn invalid_gap_of_a_flattened_dump_is_lost_and_its_end_cut_off() {
    let builder = Builder::new().plain([1, 2, 3]);
    let (file, data) = (builder.build(), builder.descriptors() + 3 * 24);
    let record = |at: usize, end: usize| {
        [&(at as u64).to_be_bytes()[..], &((end - at) as u64).to_be_bytes(), &file[at..end]].concat()
    };
    let mut stream = b"makedumpfile\0\0\0\0".to_vec();
    stream.extend([1i64.to_be_bytes(), 1i64.to_be_bytes()].concat());
    stream.resize(4096, 0);
    // Not the last byte of the first page, nor the last of all.
    stream.extend([record(0, data + 4095), record(data + 4096, file.len() - 1), vec![0xff; 16]].concat());
    let dump = Kdump::from_bytes(stream).unwrap();
    assert_eq!(missing(&dump), [(1, 1, MissingReason::Lost), (3, 3, MissingReason::Truncated)]);
    builder.check(&dump, 2);
}

#[test]
fn invalid_descriptors_are_told_without_decompressing() {
    let builder = Builder::new().plain([1, 2, 3]);
    for (field, value) in [(8, 4097u32), (8, 4095), (8, 0), (12, 0x40), (12, 3), (12, u32::MAX)] {
        let mut bytes = builder.build();
        let at = builder.descriptors() + 24 + field;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let dump = Kdump::from_bytes(bytes).unwrap();
        assert_eq!(missing(&dump), [(2, 2, MissingReason::Damaged)], "{field} {value:#x}");
        assert_eq!(absent(&dump, 2 << 12).1, ReadErrorKind::Io(0));
        assert_eq!(dump.decompressions(), 0);
    }
}

/// Of each page a byte is in no record: the first, one in between, the last.
#[test]
fn invalid_gap_in_a_flattened_dump_is_told_where_it_is() {
    let builder = Builder::new().plain([1, 2, 3]);
    let (file, data) = (builder.build(), builder.descriptors() + 3 * 24);
    for (pfn, at) in [(1, data), (2, data + 5000), (3, data + 3 * 4096 - 1)] {
        let mut stream = flattened::header();
        flattened::record(&mut stream, 0, &file[..at]);
        flattened::record(&mut stream, at + 1, &file[at + 1..]);
        flattened::end(&mut stream);
        let reason = if pfn == 3 { MissingReason::Truncated } else { MissingReason::Lost };
        assert_eq!(missing(&Kdump::from_bytes(stream).unwrap()), [(pfn, pfn, reason)]);
    }
}
