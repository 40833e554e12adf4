//! Files with as many ranges, records or bytes as their size allows: nothing takes more memory to open, for its size.

use crate::run;
use crate::seeds::common::header;
use crate::seeds::elf::{KINDS, Segment};
use crate::seeds::{block, flattened_header, gzip};
use iopt_model::check::image::check_any;

/// Ranges of one byte each, this far apart.
fn lime(step: u64) -> Vec<u8> {
    (0..40_000).flat_map(|index| [header(*b"EMiL", 1, index * step, index * step), vec![7]].concat()).collect()
}

/// Program headers of the smaller class, which store as many bytes each.
fn elf(first: impl Fn(u64) -> u64, size: impl Fn(u64) -> u64, stored: usize) -> Vec<u8> {
    let segment = |index| Segment { kind: 1, addr: first(index), stored: vec![7; stored], memory_size: size(index) };
    KINDS[0].core(&(0..40_000).map(segment).collect::<Vec<_>>())
}

/// Program headers that all have the same notes, of which there are as many as there is room for.
fn notes() -> Vec<u8> {
    let kind = KINDS[0];
    let notes = kind.note(b"", 1, b"").repeat(100);
    let header = Segment { kind: 4, addr: 0, stored: Vec::new(), memory_size: 0 };
    let memory = Segment { kind: 1, addr: 4096, stored: vec![7], memory_size: 1 };
    let mut bytes = kind.core(&[vec![header; 500], vec![memory]].concat());
    for index in 0..500 {
        let start = bytes.len() as u64;
        kind.put(&mut bytes, kind.at("p_offset", index), start);
        kind.put(&mut bytes, kind.at("p_filesz", index), notes.len() as u64);
    }
    bytes.extend(notes);
    bytes
}

fn flattened(size: u64, to: impl Fn(u64) -> u64) -> Vec<u8> {
    let mut stream = flattened_header();
    for index in 0..40_000 {
        stream.extend([to(index), size].map(u64::to_be_bytes).concat());
        stream.extend((0..size).map(|_| 7));
    }
    stream
}

#[test]
fn many_ranges_take_no_more_than_said() {
    for (name, bytes) in [
        ("LiME, neighbours", lime(1)),
        ("LiME, apart", lime(2)),
        ("ELF, neighbours", elf(|index| 1 + index, |_| 1, 1)),
        ("ELF, with something missing behind each byte", elf(|index| index * 4096, |_| 2, 1)),
        ("ELF, nested, the smallest first", elf(|index| 100_000 - 2 * index, |index| 2 + 4 * index, 0)),
        ("ELF, nested around stored bytes", elf(|index| 100_000 - 2 * index, |index| 2 + 4 * index, 1)),
        ("ELF, notes over notes", notes()),
        ("flattened, neighbours", flattened(1, |index| index)),
        ("flattened, apart", flattened(1, |index| 2 * index)),
        ("flattened, backwards", flattened(1, |index| 99_999 - 2 * index)),
        ("flattened, one over the next", flattened(3, |index| 2 * index)),
        ("flattened, one over the one before, backwards", flattened(3, |index| 99_999 - 2 * index)),
        ("gzip of 32 MiB", gzip(&vec![0; 32 << 20])),
        ("AVML of 32 MiB", block(0, (32 << 20) - 1)),
        ("AVML of 32 MiB, in gzip", gzip(&block(0, (32 << 20) - 1))),
        ("flattened, each within two others", flattened(3, |index| 3 * (index % 20_000) + index / 20_000)),
    ] {
        run(check_any, name, &bytes);
    }
}
