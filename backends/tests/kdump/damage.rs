//! Files cut short or changed anywhere: an error, or some of the pages, but no panic and no more memory than said.

use crate::builder::Builder;
use crate::captures::{NAMES, bytes};
use crate::pages::ALL;
use iopt::memory::{Page, PhysReader, ranges};
use iopt::{PhysAddr, PhysRange};
use iopt_backends::Kdump;

/// Reads everything, and says how many pages could be read.
fn read_all(dump: &Kdump) -> u64 {
    let pages = |range: PhysRange| (range.first().0 >> 12..=range.last().0 >> 12).take(2000);
    let mut page = Page::ZERO;
    let _ = dump.vmcoreinfo();
    let all = ranges(dump).take(2000).flat_map(pages);
    all.filter(|pfn| dump.read_page(PhysAddr(pfn << 12), &mut page).is_ok()).count() as u64
}

fn small() -> Builder {
    let mut builder = Builder { vmcoreinfo: b"A=1\n".into(), memory: vec![9], ..Builder::new() }.plain([1, 7, 64]);
    for (pfn, (flags, compress, _)) in ALL.into_iter().enumerate() {
        let content = vec![pfn as u8; 4096];
        builder = builder.stored(100 + pfn as u64, flags, compress(&content));
    }
    builder
}

/// One of several numbers that nobody can guess but that are always the same (xorshift).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[test]
fn every_length_is_refused_or_read_as_far_as_it_goes() {
    let builder = small();
    let file = builder.build();
    let mut most = 0;
    for length in 0..=file.len() {
        match Kdump::from_bytes(file[..length].to_vec()) {
            Ok(dump) => {
                assert!(length >= builder.last_bits());
                let read = read_all(&dump);
                assert!(read >= most, "{length}");
                most = read;
            }
            Err(error) => {
                assert!(length < builder.last_bits(), "{length}: {error}");
                assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
    assert_eq!(most, 7);
}

#[test]
fn every_field_at_its_extremes() {
    for (wide, machine) in [(true, "x86_64"), (false, "i686"), (false, "armv7l")] {
        for version in [0, 2, 5, 6] {
            let builder = Builder { wide, machine, version, part: (version > 1).then_some((0, 64)), ..small() };
            let file = builder.build();
            let sub = 4096..4096 + 104;
            let descriptors = builder.descriptors()..builder.descriptors() + 72;
            for at in (8..12).chain(400..464).chain(sub).chain(descriptors).step_by(4) {
                for value in [[0; 4], [0xff; 4], [0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0x80], [1, 0, 0, 0]] {
                    for wider in [4, 8] {
                        let mut bytes = file.clone();
                        bytes[at..at + 4].copy_from_slice(&value);
                        bytes[at + 4..at + wider].fill(value[3]);
                        if let Ok(dump) = Kdump::from_bytes(bytes) {
                            read_all(&dump);
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn changed_bytes_of_captures_do_no_harm() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for name in NAMES.into_iter().filter(|name| *name != "uncompressed") {
        let file = bytes(name);
        // What compressed pages are made of, and what leads to them.
        let start = 8 * 4096;
        for _ in 0..40 {
            let mut bytes = file.clone();
            for _ in 0..400 {
                let at = start + random.below(bytes.len() - start);
                bytes[at] = random.below(256) as u8;
            }
            if let Ok(dump) = Kdump::from_bytes(bytes) {
                assert!(read_all(&dump) < 404, "{name}");
            }
        }
    }
}

#[test]
fn changed_bytes_of_headers_do_no_harm() {
    let mut random = Random(77);
    let file = small().build();
    for _ in 0..3000 {
        let mut bytes = file.clone();
        for _ in 0..3 {
            let at = [random.below(480), 4096 + random.below(128), random.below(file.len())][random.below(3)];
            bytes[at] = random.below(256) as u8;
        }
        if let Ok(dump) = Kdump::from_bytes(bytes) {
            read_all(&dump);
        }
    }
}
