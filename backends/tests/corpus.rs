//! Captures of real tables: every page that a walk of them touched is lent.

use iopt::PhysAddr;
use iopt::memory::PhysReader;
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn every_table_page_of_every_capture_is_lent() {
    let mut captures = 0;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    for case in fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for path in fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.to_str().unwrap();
            let label = name.strip_suffix(".lime.xz").or(name.strip_suffix(".elf.xz"));
            let Some(expected) = label else { continue };
            let expected = fs::read_to_string(format!("{expected}.json")).unwrap();
            let expected: Value = serde_json::from_str(&expected).unwrap();
            let image = iopt_backends::open(&path).unwrap();
            let pages: Vec<&Value> = expected["table_pages"]
                .as_object()
                .unwrap()
                .values()
                .flat_map(|pages| pages.as_array().unwrap())
                .collect();
            assert!(!pages.is_empty());
            for page in pages {
                let addr = u64::from_str_radix(page.as_str().unwrap().trim_start_matches("0x"), 16).unwrap();
                image.prefetch(PhysAddr(addr), 4096);
                assert!(image.lend_page(PhysAddr(addr)).is_some(), "{}: {addr:#x}", path.display());
            }
            captures += 1;
        }
    }
    assert_eq!(captures, 10);
}
