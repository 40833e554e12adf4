//! The first kernel's memory, as makedumpfile's formats have it.

use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind, ranges};
use iopt::vtd::{Cap, Ecap, Rtaddr, Unit};
use iopt::walk::Scratch;
use iopt_backends::{Format, Image, Kdump, KdumpPageErrorKind, OpenOptions};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use zerocopy::IntoBytes;

fn path(file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/corpus/kdump-on", file].iter().collect()
}

/// The bytes of a capture, without the xz around it.
pub fn bytes(name: &str) -> Vec<u8> {
    let image = OpenOptions::new().format(Format::Raw).open(path(&format!("vmcore.d31.kdump-{name}.xz"))).unwrap();
    image.as_bytes().to_vec()
}

fn capture(name: &str) -> Kdump {
    Kdump::from_bytes(bytes(name)).unwrap()
}

pub const NAMES: [&str; 6] = ["zlib", "lzo", "snappy", "zstd", "uncompressed", "flattened"];

fn lime() -> Image {
    iopt_backends::open(path("vmcore.lime.xz")).unwrap()
}

fn json(file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(file)).unwrap()).unwrap()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
}

fn unit() -> Unit {
    let registers = json("regs.first.json");
    let [rtaddr, cap, ecap] = ["RTADDR", "CAP", "ECAP"].map(|name| number(&registers[name]));
    let unit = Unit::new(Rtaddr(rtaddr)).unwrap();
    unit.with_capabilities(Some(Cap(cap)), Some(Ecap(ecap))).with_host_address_width(Some(48))
}

fn walked(memory: &impl PhysReader) -> Vec<String> {
    let mut scratch = Scratch::new();
    unit().ranges(memory, &mut scratch).map(|range| format!("{:?}", range.unwrap())).collect()
}

fn pages(memory: &impl PhysReader) -> Vec<PhysAddr> {
    ranges(memory).flat_map(|range| (range.first().0..=range.last().0).step_by(4096)).map(PhysAddr).collect()
}

/// How many pages there are, and how many of them are lent.
#[test]
fn every_page_is_that_of_the_lime_image() {
    let lime = lime();
    for (name, there, lent) in [
        ("zlib", 397, 279),
        ("lzo", 397, 279),
        ("snappy", 397, 0),
        ("zstd", 404, 285),
        ("uncompressed", 397, 397),
        ("flattened", 397, 279),
    ] {
        let dump = capture(name);
        let mut found = Vec::new();
        for addr in pages(&lime) {
            let (mut page, expected) = (Page::ZERO, lime.lend_page(addr).unwrap());
            if let Some(lent) = dump.lend_page(addr) {
                assert_eq!(lent.as_bytes(), expected.as_bytes(), "{name} {addr}");
            }
            match dump.read_page(addr, &mut page) {
                Ok(()) => {
                    assert_eq!(page.as_bytes(), expected.as_bytes(), "{name} {addr}");
                    found.push(addr);
                }
                // The dump's filter, but not the one that made the LiME image, left out pages of free memory.
                Err(error) => assert_eq!(error.kind, ReadErrorKind::Excluded, "{name} {addr}"),
            }
        }
        assert_eq!(found, pages(&dump), "{name}");
        assert_eq!(found.len(), there, "{name}");
        assert_eq!(found.iter().filter(|addr| dump.lend_page(**addr).is_some()).count(), lent, "{name}");
    }
}

/// Compressed pages are read out of a file, and not out of its mapping.
#[test]
fn a_file_has_the_pages_of_its_bytes() {
    for name in NAMES {
        let dump = capture(name);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes(name)).unwrap();
        let image = iopt_backends::open(file.path()).unwrap();
        assert_eq!(pages(&image), pages(&dump), "{name}");
        for addr in pages(&dump) {
            let [mut page, mut expected] = [Page::ZERO, Page::ZERO];
            image.read_page(addr, &mut page).unwrap();
            dump.read_page(addr, &mut expected).unwrap();
            assert_eq!(page.as_bytes(), expected.as_bytes(), "{name} {addr}");
        }
        assert_eq!(walked(&image), walked(&dump), "{name}");
    }
}

/// The end of the process would be worse, and is what a mapping gives.
#[cfg(unix)]
#[test]
fn invalid_file_that_is_cut_while_it_is_open() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes("zlib")).unwrap();
    let image = iopt_backends::open(file.path()).unwrap();
    let compressed = |addr: &PhysAddr| image.lend_page(*addr).is_none();
    let addrs: Vec<PhysAddr> = pages(&image).into_iter().filter(compressed).collect();
    let reason = |addr: &PhysAddr| {
        let error = image.kdump().unwrap().read(*addr, &mut Page::ZERO.clone()).err()?;
        assert!(error.to_string().ends_with("unexpected end of file"), "{error}");
        let told = image.read_page(*addr, &mut Page::ZERO.clone());
        assert_eq!(told, Err(ReadError::new(*addr, ReadErrorKind::Io(0))));
        Some(error)
    };
    // The mapping's last page stays, so that all of it can still be touched.
    file.as_file().set_len(80_835 - 3000).unwrap();
    let errors: Vec<KdumpPageErrorKind> = addrs.iter().filter_map(reason).map(|error| error.kind).collect();
    assert!(!errors.is_empty() && errors.len() < addrs.len());
    assert!(errors.iter().all(|kind| matches!(kind, KdumpPageErrorKind::File { code: None, .. })), "{errors:?}");
}

#[test]
fn the_tables_hold_the_same_ranges() {
    let expected = walked(&lime());
    assert!(expected.len() > 100, "{}", expected.len());
    for name in NAMES {
        assert_eq!(walked(&capture(name)), expected, "{name}");
    }
}

#[test]
fn a_walk_decompresses_each_table_once() {
    let expected = json("vmcore.json");
    let tables = expected["table_pages"].as_object().unwrap().iter().filter(|(kind, _)| *kind != "interrupt-remap");
    let tables: BTreeSet<u64> = tables.flat_map(|(_, pages)| pages.as_array().unwrap().iter().map(number)).collect();
    assert_eq!(tables.len(), 51);
    for name in NAMES {
        let dump = capture(name);
        assert_eq!(dump.decompressions(), 0, "{name}: nothing is read before it is asked for");
        walked(&dump);
        let compressed = tables.iter().filter(|addr| dump.lend_page(PhysAddr(**addr)).is_none()).count() as u64;
        let known = BTreeMap::from([("uncompressed", 0), ("snappy", 51)]);
        assert_eq!(compressed, *known.get(name).unwrap_or(&43), "{name}");
        assert_eq!(dump.decompressions(), compressed, "{name}");
        walked(&dump);
        assert_eq!(dump.decompressions(), compressed, "{name}: again");
    }
}

#[test]
fn the_headers_are_told() {
    for name in NAMES {
        let dump = capture(name);
        let header = dump.header();
        assert_eq!((header.version, header.block_size, header.machine.as_str()), (6, 4096, "x86_64"), "{name}");
        assert_eq!((header.is_64_bit, header.big_endian, header.incomplete), (true, false, false), "{name}");
        assert_eq!(header.part, None, "{name}");
        let compression = header.compression.map(|compression| compression.to_string().to_lowercase());
        let known = match name {
            "uncompressed" => None,
            "flattened" => Some("zlib"),
            name => Some(name),
        };
        assert_eq!(compression.as_deref(), known, "{name}");
        assert_eq!(dump.is_flattened(), name == "flattened");
        assert!(!dump.is_stream_truncated(), "{name}");
        assert_eq!(dump.as_bytes(), bytes(name));
        let vmcoreinfo = dump.vmcoreinfo().unwrap().unwrap();
        assert!(vmcoreinfo.starts_with(b"OSRELEASE=6.12.117"), "{name}: {:?}", vmcoreinfo.escape_ascii().to_string());
    }
}

/// QEMU's own, which writes flattened streams.
#[test]
fn every_page_of_a_dump_by_qemu_is_that_of_the_lime_image() {
    let case = path("../legacy-pt");
    let lime = iopt_backends::open(case.join("mem.lime.xz")).unwrap();
    let stream = OpenOptions::new().format(Format::Raw).open(case.join("mem.kdump-zlib.xz")).unwrap();
    let dump = Kdump::from_bytes(stream.as_bytes().to_vec()).unwrap();
    assert!(dump.is_flattened());
    assert_eq!(pages(&dump), pages(&lime));
    for addr in pages(&lime) {
        let mut page = Page::ZERO;
        dump.read_page(addr, &mut page).unwrap();
        assert_eq!(page.as_bytes(), lime.lend_page(addr).unwrap().as_bytes(), "{addr}");
    }
}
