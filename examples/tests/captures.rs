//! Every capture of real tables against what an independent reader found in it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a red test")]

mod common;

use common::{corpus, iopt_line};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const CAPTURES: [(&str, &str); 12] = [
    ("legacy-48/mem.lime.xz", "legacy-48/mem.json"),
    ("legacy-48/mem.raw.xz", "legacy-48/mem.json"),
    ("legacy-pt/mem.lime.xz", "legacy-pt/mem.json"),
    ("intremap/mem.lime.xz", "intremap/mem.json"),
    ("vfio-48/mem.lime.xz", "vfio-48/mem.json"),
    ("kdump-on/mem.first.lime.xz", "kdump-on/mem.first.json"),
    ("kdump-on/vmcore.lime.xz", "kdump-on/vmcore.json"),
    ("kdump-on/vmcore.elf.xz", "kdump-on/vmcore.json"),
    ("kdump-on/mem.lime.xz", "kdump-on/mem.json"),
    ("kdump-on/mem.lime.xz", "kdump-on/mem.old-rtaddr.json"),
    SCALABLE,
    FIRST_STAGE,
];

const SCALABLE: (&str, &str) = ("scalable/mem.lime.xz", "scalable/mem.json");
const FIRST_STAGE: (&str, &str) = ("scalable-first-stage/mem.lime.xz", "scalable-first-stage/mem.json");

fn expectation(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

/// The lines that `devices` should print.
fn devices(expected: &Value) -> Vec<Value> {
    let line = |device: &Value| {
        let translation = device["translation"].as_str().unwrap();
        let mode = match translation {
            "second-level" | "second-level+device-tlb" => "second-stage",
            "first-level" => "first-stage",
            other => other,
        };
        let table = &expected["page_tables"][device["page_table"].as_str().unwrap_or_default()]["pt"];
        let first_user = device["page_table"].as_str().map(|table| first_user(expected, table));
        let shares_with = first_user.filter(|first_user| **first_user != device["bdf"]);
        json!({
            "unit": 0,
            "source_id": device["bdf"],
            "pasid": device["pasid"],
            "mode": mode,
            "levels": if mode == "pass-through" { &Value::Null } else { &device["levels"] },
            "domain": device["domain_id"],
            "table": table,
            "ats": translation.ends_with("+device-tlb") || device["device_tlb"] == 1,
            "fault_disabled": device["fault_disable"] != 0,
            "shares_with": shares_with,
        })
    };
    expected["devices"].as_array().unwrap().iter().map(line).collect()
}

fn first_user<'e>(expected: &'e Value, table: &str) -> &'e Value {
    let devices = expected["devices"].as_array().unwrap();
    &devices.iter().find(|device| device["page_table"] == table).unwrap()["bdf"]
}

/// The lines that `ranges` should print, but for the page size, which the expectation does not have.
fn ranges(expected: &Value, width: u32) -> Vec<Value> {
    let mut lines = Vec::new();
    for device in expected["devices"].as_array().unwrap() {
        let mut line = |iova: u64, phys: u64, size: u64, permissions: &str| {
            lines.push(json!({
                "unit": 0,
                "source_id": device["bdf"],
                "pasid": device["pasid"],
                "domain": device["domain_id"],
                "iova": format!("{iova:#x}"),
                "last": format!("{:#x}", iova.wrapping_add(size).wrapping_sub(1)),
                "phys": format!("{phys:#x}"),
                "size": size,
                "read": permissions.contains('r'),
                "write": permissions.contains('w'),
            }));
        };
        match device["page_table"].as_str() {
            None => line(0, 0, 1u64.checked_shl(width).unwrap(), "rw"),
            Some(table) => {
                for range in expected["page_tables"][table]["ranges"].as_array().unwrap() {
                    line(number(&range[0]), number(&range[1]), number(&range[2]), range[3].as_str().unwrap());
                }
            }
        }
    }
    lines
}

fn compare(expected: &Value, options: &str) {
    assert_eq!(iopt_line(&format!("devices {options} --json")).json(), devices(expected), "{options}");
    let run = iopt_line(&format!("ranges {options} --json"));
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let mut found = run.json();
    for line in &mut found {
        let page = line.as_object_mut().unwrap().remove("page").unwrap();
        let sizes = [json!(1u64 << 12), json!(1u64 << 21), json!(1u64 << 30), Value::Null];
        assert!(sizes.contains(&page), "{page}");
    }
    assert_eq!(found, ranges(expected, 48), "{options}");
}

/// The image of a capture, and the options for its unit.
fn options(image: &str, expected: &Value) -> String {
    let register = |name: &str| expected["registers"][name].as_str().unwrap().to_owned();
    let (root, cap, ecap) = (register("RTADDR"), register("CAP"), register("ECAP"));
    format!("{} --root {root} --cap {cap} --ecap {ecap} --haw 48", corpus().join(image).display())
}

#[test]
fn every_capture_lists_as_expected() {
    for (image, expected) in CAPTURES {
        let expected = expectation(&corpus().join(expected));
        compare(&expected, &options(image, &expected));
    }
}

/// The expectations themselves must be of the kind that they are here for.
#[test]
fn the_captures_have_both_modes_and_both_stages() {
    for ((_, expected), mode, pasid) in [
        (CAPTURES[0], "second-stage", Value::Null),
        (SCALABLE, "second-stage", json!(0)),
        (FIRST_STAGE, "first-stage", json!(0)),
    ] {
        let lines = devices(&expectation(&corpus().join(expected)));
        assert!(!lines.is_empty() && lines.iter().all(|line| line["mode"] == mode && line["pasid"] == pasid));
    }
}

/// The same memory, as the capture kernel saw it and cut out of it.
#[test]
fn the_ranges_of_a_vmcore_are_to_the_byte_those_of_its_lime_image() {
    let expected = expectation(&corpus().join("kdump-on/vmcore.json"));
    for by in ["both", "iova"] {
        let ranges = |image: &str| iopt_line(&format!("ranges --json --by {by} {}", options(image, &expected))).good();
        let lime = ranges("kdump-on/vmcore.lime.xz");
        assert!(lime.lines().count() > 20);
        assert_eq!(ranges("kdump-on/vmcore.elf.xz"), lime);
        assert_eq!(ranges("kdump-on/vmcore.elf-flattened.xz"), lime);
        assert_eq!(ranges("kdump-on/vmcore.avml.xz"), lime);
        for kind in ["zlib", "lzo", "snappy", "zstd", "uncompressed", "flattened"] {
            let name = format!("kdump-on/vmcore.d31.kdump-{kind}.xz");
            assert_eq!(ranges(&name), lime, "{kind}");
        }
    }
}

#[test]
fn the_sample_lists_as_expected() {
    compare(&expectation(&corpus().join("vfio-48/mem.json")), "");
}

#[test]
fn translations_agree_with_the_ranges_of_the_sample() {
    translations_agree("", ["0x06", "0x05"]);
}

#[test]
fn translations_agree_with_the_ranges_of_scalable_mode() {
    // What may be mapped in a first stage may be read, so no read of it is refused.
    for ((image, expected), refused) in [(SCALABLE, ["0x79", "0x79"]), (FIRST_STAGE, ["none", "0x85"])] {
        translations_agree(&options(image, &expectation(&corpus().join(expected))), refused);
    }
}

/// Every first and last byte of every range, in a batch. `refused` are the faults of reads and writes.
fn translations_agree(options: &str, refused: [&str; 2]) {
    let ranges = iopt_line(&format!("ranges {options} --json")).json();
    let mut batch = String::new();
    for range in &ranges {
        for end in ["iova", "last"] {
            for access in ["r", "w"] {
                batch +=
                    &format!("{} {} {access}\n", range["source_id"].as_str().unwrap(), range[end].as_str().unwrap());
            }
        }
    }
    let run = common::iopt_fed(&format!("translate {options} --batch - --json"), batch.as_bytes());
    let lines = run.json();
    assert_eq!((run.status, run.stderr.as_str(), lines.len()), (1, "", ranges.len().wrapping_mul(4)));
    for (range, lines) in ranges.iter().zip(lines.chunks(4)) {
        let inside = [0, 0, 1, 1].map(|at| range["size"].as_u64().unwrap().wrapping_sub(1).wrapping_mul(at));
        for (line, inside) in lines.iter().zip(inside) {
            let allowed = range[if line["access"] == "r" { "read" } else { "write" }].as_bool().unwrap();
            assert_eq!((&line["source_id"], &line["pasid"]), (&range["source_id"], &Value::Null));
            if allowed {
                assert_eq!(number(&line["phys"]), number(&range["phys"]).wrapping_add(inside));
                assert_eq!((&line["read"], &line["write"]), (&range["read"], &range["write"]));
            } else {
                assert_eq!(line["fault"], refused[usize::from(line["access"] == "w")]);
            }
        }
    }
}
