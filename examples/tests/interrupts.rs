//! `iopt interrupts`, on captures and on tables built for a test.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::{Run, corpus, iopt_line, keys, raw, run};
use serde_json::{Value, json};
use std::fs;
use tempfile::NamedTempFile;

fn interrupts(image: &NamedTempFile, line: &str) -> Run {
    let mut words = vec!["interrupts", image.path().to_str().unwrap()];
    words.extend(line.split_whitespace());
    run(words)
}

/// An entry of each kind in a table of 512 at 0x1000, the second page of which is not there.
fn every_kind() -> NamedTempFile {
    let mut words = Vec::new();
    for (index, low, high) in [
        (1, 0x0030_0009, 0x4_00fa),
        (2, 0x0000_ff00_0031_0137, 0x0),
        (3, 0x0000_0200_0032_0041, 0x5_00f8),
        (4, 0x0000_0300_0033_0081, 0x8_0509),
        (5, 0x1000, 0),
        (6, 0x1001, 0x4_00fa),
        (7, 0x0061, 0),
        (8, 0x0001, 0xc_0000),
        (9, 0x8765_43c0_0042_c001, 0x1_0004_00fa),
        (10, 0x0034_00a1, 0x7_00fa),
        (11, 0x0035_00e1, 0x6_00fa),
    ] {
        words.extend([(0x1000 + 16 * index, low), (0x1008 + 16 * index, high)]);
    }
    raw(2, &words)
}

#[test]
fn people_get_an_aligned_table_and_a_summary() {
    let run = interrupts(&every_kind(), "--irta 0x1008");
    assert_eq!(run.status, 1);
    assert_eq!(
        run.stdout,
        "\
Interrupt table 0x1000, 512 entries, 8-bit destinations
  index  format    vector  destination            delivery         trigger  from
      1  remapped  0x30    physical 0x0           fixed            edge     00:1f.2, may be redirected
      2  remapped  0x31    logical 0xff           lowest-priority  level    any source-id, faults not recorded
      3  remapped  0x32    physical 0x2           smi              edge     source-id 00:1f.0 under mask 0xfffb
      4  remapped  0x33    physical 0x3           nmi              edge     buses 05 to 09
      9  posted    0x42    0x1876543c0            -                -        00:1f.2, urgent
     10  remapped  0x34    physical 0x0           init             edge     source-id 00:1f.2 under mask 0xfff8
     11  remapped  0x35    physical 0x0           extint           edge     source-id 00:1f.2 under mask 0xfff9
7 interrupts, 4 faults
"
    );
    assert_eq!(
        run.stderr,
        "\
interrupt fault 0x24 at table 0x1000 entry 6 = 0x400fa0000000000001001: reserved bits 0x1000 are set
interrupt fault 0x24 at table 0x1000 entry 7 = 0x61: DLM is 011b, which is reserved
interrupt fault 0x24 at table 0x1000 entry 8 = 0xc00000000000000000001: SVT is 11b, which is reserved
interrupt fault 0x23 at table 0x1000 entry 256: the table can't be read: page 0x2000 is not in the memory image (a hole)
"
    );
}

#[test]
fn json_has_the_contract_s_keys_first() {
    let run = interrupts(&every_kind(), "--irta 0x1008 --json");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        lines[0],
        concat!(
            r#"{"index":1,"format":"remapped","vector":48,"destination":"0x0","delivery":"fixed","trigger":"edge","#,
            r#""source_id":"00:1f.2","validation":"source-id","source_mask":"0xffff","buses":null,"#,
            r#""destination_mode":"physical","redirection_hint":true,"urgent":null,"descriptor":null,"available":0,"#,
            r#""fault_disabled":false,"entry":"0x400fa0000000000300009"}"#
        )
    );
    assert_eq!(
        lines[4],
        concat!(
            r#"{"malformed":"reserved bits 0x1000 are set","fault":"0x24","level":"interrupt","table":"0x1000","#,
            r#""index":6,"entry":"0x400fa0000000000001001","source_id":null,"pasid":null,"iova":null}"#
        )
    );
    assert_eq!(
        lines[7],
        concat!(
            r#"{"index":9,"format":"posted","vector":66,"destination":null,"delivery":null,"trigger":null,"#,
            r#""source_id":"00:1f.2","validation":"source-id","source_mask":"0xffff","buses":null,"#,
            r#""destination_mode":null,"redirection_hint":null,"urgent":true,"descriptor":"0x1876543c0","#,
            r#""available":0,"fault_disabled":false,"entry":"0x1000400fa876543c00042c001"}"#
        )
    );
    let values = run.json();
    let column = |key: &str| values.iter().map(|line| line[key].clone()).collect::<Vec<Value>>();
    assert_eq!(column("index"), [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 256].map(Value::from));
    let (none, device) = (json!("none"), json!("source-id"));
    assert_eq!(column("validation")[1..4], [none, device, json!("bus-range")]);
    assert_eq!(values[3]["buses"], json!({"first": 5, "last": 9}));
    assert_eq!((&values[1]["available"], &values[1]["fault_disabled"]), (&json!(1), &json!(true)));
    assert_eq!((&values[10]["fault"], &values[10]["entry"]), (&json!("0x23"), &Value::Null));
    let first = ["index", "format", "vector", "destination", "delivery", "trigger", "source_id", "validation"];
    let interrupts = lines.iter().filter(|line| !line.contains("malformed"));
    assert!(interrupts.clone().all(|line| keys(line)[..8] == first) && interrupts.count() == 7);
}

#[test]
fn extended_mode_has_wide_destinations() {
    let image = raw(2, &[(0x1000, 0x1234_5678_0030_0001)]);
    let run = interrupts(&image, "--irta 0x1807");
    assert_eq!(run.status, 0);
    assert!(run.stdout.contains("256 entries, 32-bit destinations") && run.stdout.contains("physical 0x12345678"));
    assert!(run.stdout.ends_with("1 interrupt, 0 faults\n"));
    let line = &interrupts(&image, "--irta 0x1007 --json").json()[0];
    assert_eq!(line["malformed"], "reserved bits 0x1234007800000000 are set");
}

#[test]
fn one_device_has_the_entries_that_let_it_through() {
    let run = interrupts(&every_kind(), "--irta 0x1007 --json --device 00:1f.2");
    let lines = run.json();
    let found = lines.iter().filter(|line| line.get("malformed").is_none()).map(|line| line["index"].clone());
    assert_eq!(found.collect::<Vec<_>>(), [1, 2, 9, 10, 11].map(Value::from));
}

#[test]
fn statistics_count_the_table() {
    let run = interrupts(&every_kind(), "--irta 0x1008 --stats --json");
    let told: Value = serde_json::from_str(run.stderr.trim_end()).unwrap();
    assert_eq!([&told["tables"], &told["leaves"], &told["faults"]], [1, 7, 4].map(Value::from).each_ref());
}

/// Every capture with interrupt remapping against what an independent reader found in it.
#[test]
fn captures_list_as_expected() {
    for (image, expected) in [
        ("intremap/mem.lime.xz", "intremap/mem.json"),
        ("kdump-on/mem.first.lime.xz", "kdump-on/mem.first.json"),
        ("kdump-on/vmcore.lime.xz", "kdump-on/vmcore.json"),
        ("kdump-on/mem.lime.xz", "kdump-on/mem.old-rtaddr.json"),
        ("kdump-on/mem.lime.xz", "kdump-on/mem.json"),
        ("scalable-first-stage/mem.lime.xz", "scalable-first-stage/mem.json"),
    ] {
        let text = fs::read_to_string(corpus().join(expected)).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let irta = expected["registers"]["IRTA"].as_str().unwrap();
        let image = corpus().join(image);
        let run = iopt_line(&format!("interrupts {} --irta {irta} --json", image.display()));
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        let line = |line: &Value| ["index", "vector", "destination", "source_id"].map(|key| line[key].clone());
        let present = expected["interrupt_remap"]["present"].as_array().unwrap();
        assert_eq!(
            run.json().iter().map(line).collect::<Vec<_>>(),
            present.iter().map(line).collect::<Vec<_>>(),
            "{}",
            image.display()
        );
    }
}

#[test]
fn wrong_use_is_refused_in_one_line() {
    let refusal = iopt_line("interrupts").refusal();
    assert_eq!(
        refusal,
        "expected an IMAGE or --live, found none: the built-in sample has no interrupt remapping table"
    );
    assert_eq!(iopt_line("interrupts --irta 0x1007").refusal(), refusal);
    let image = every_kind();
    for (options, part) in [
        ("", "expected --irta VALUE, the value of IRTA_REG, found none"),
        ("--irta", "a value is required for '--irta <VALUE>'"),
        ("--irta zz", "expected a 64-bit address, 0x… or decimal, found \"zz\""),
        ("--irta 0x1017", "interrupt table address 0x1017"),
        ("--irta 0x1017", "found reserved bits 0x10 set"),
        ("--irta 0x1007 --pasid 5", "expected no --pasid (interrupts have none), found PASID 5"),
    ] {
        let refusal = interrupts(&image, options).refusal();
        assert!(refusal.contains(part), "{options}: {refusal}");
    }
    let refusal = iopt_line("interrupts /nowhere/image --irta 0x1007").refusal();
    assert!(refusal.starts_with("/nowhere/image: "), "{refusal}");
}
