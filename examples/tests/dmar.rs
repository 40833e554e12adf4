//! `iopt dmar`: real tables as golden text, every structure by hand, and damaged tables.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod common;

use common::{Run, iopt_line, run, save};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn real(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../core/tests/data/dmar/{case}.bin"))
}

fn dmar(file: &Path, options: &[&str]) -> Run {
    run([&["dmar", file.to_str().unwrap()], options].concat())
}

fn told(bytes: &[u8], options: &[&str]) -> Run {
    dmar(save(bytes).path(), options)
}

/// A table of these structures, with a right length and checksum.
fn table(structures: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"DMAR\0\0\0\0\x02\0VENDORFIRMWARE\x01\0\0\0MAKE\x01\0\0\0\x2e\x05".to_vec();
    bytes.resize(48, 0);
    bytes.extend(structures.concat());
    let length = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

/// One of each type, most with a scope.
fn one_of_each() -> Vec<u8> {
    table(&[
        b"\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\xd9\xfe\x00\x00\x00\x00\
          \x03\x08\x00\x00\x02\xf0\x1f\x07\x04\x08\x00\x00\x01\x00\x1e\x06\x05\x08\x00\x00\x07\x00\x15\x00",
        b"\x01\x00\x22\x00\x00\x00\x00\x00\x00\x00\x80\x7b\x00\x00\x00\x00\xff\xff\xff\x7f\x00\x00\x00\x00\
          \x01\x0a\x00\x00\x00\x00\x1c\x04\x00\x01",
        b"\x02\x00\x10\x00\x01\x00\x00\x00\x02\x08\x00\x00\x00\x00\x01\x00",
        b"\x03\x00\x14\x00\x00\x00\x00\x00\x00\x00\xd9\xfe\x00\x00\x00\x00\x03\x00\x00\x00",
        b"\x04\x00\x12\x00\x00\x00\x00\x07\\_SB.UAR0\0",
        b"\x05\x00\x10\x00\x01\x00\x00\x00\x01\x08\x01\x00\x00\x00\x02\x00",
        b"\x06\x00\x10\x00\x00\x00\x00\x00\x09\x08\x02\x00\x05\x00\x03\x00",
        b"\x09\x00\x06\x00\xab\xcd",
        b"\x00\x00\x10\x00\x01\x01\x01\x00\x00\x10\xd9\xfe\x00\x00\x00\x00",
    ])
}

#[test]
fn a_real_table_reads_well() {
    let golden = "\
DMAR table, 136 bytes, revision 1
  OEM                  BOCHS, table BXPC, revision 0x1
  checksum             right
  host address width   48 bits
  interrupt remapping  yes
  x2APIC opt-out       no
  DMA control opt-in   no
DRHD at offset 48  unit at 0xfed90000, 4 KiB of registers, segment 0
  IOAPIC                 ff:00.0  id 0
  PCI endpoint           00:00.0
  PCI endpoint           00:03.0
  PCI endpoint           00:04.0
  PCI endpoint           00:05.0
  PCI endpoint           00:06.0
  PCI endpoint           00:1f.0
  PCI endpoint           00:1f.2
  PCI endpoint           00:1f.3
";
    assert_eq!(dmar(&real("intremap"), &[]).good(), golden);
    for case in ["intremap", "kdump-on", "legacy-48", "legacy-pt", "scalable", "scalable-first-stage", "vfio-48"] {
        assert!(dmar(&real(case), &[]).good().contains("DRHD at offset 48  unit at 0xfed90000"));
        assert_eq!(dmar(&real(case), &["--json"]).good().lines().count(), 1);
    }
}

#[test]
fn a_real_table_as_json() {
    let line = dmar(&real("legacy-48"), &["--json"]).good();
    let start = concat!(
        r#"{"structure":"drhd","offset":48,"segment":0,"base":"0xfed90000","size":4096,"flags":"0x0","#,
        r#""include_all":false,"scopes":[{"type":"ioapic","flags":"0x0","enumeration_id":0,"start_bus":255,"#,
        r#""path":[{"device":0,"function":0}],"source_id":"ff:00.0"},{"type":"pci-endpoint","flags":"0x0","#,
        r#""enumeration_id":0,"start_bus":0,"path":[{"device":0,"function":0}],"source_id":"00:00.0"},"#
    );
    assert!(line.starts_with(start), "{line}");
}

#[test]
fn every_structure_has_its_text() {
    let golden = "\
DMAR table, 230 bytes, revision 2
  OEM                  VENDOR, table FIRMWARE, revision 0x1
  checksum             right
  host address width   47 bits
  interrupt remapping  yes
  x2APIC opt-out       no
  DMA control opt-in   yes
DRHD at offset 48  unit at 0xfed90000, 4 KiB of registers, segment 1
  IOAPIC                 0001:f0:1f.7  id 2
  MSI-capable HPET       0001:00:1e.6  id 1
  ACPI namespace device  0001:00:15.0  id 7
RMRR at offset 88  reserved memory 0x7b800000 - 0x7fffffff, 72 MiB, segment 0
  PCI endpoint           00:1c.4/00.1
ATSR at offset 122  device-TLBs below all root ports, segment 0
  PCI sub-hierarchy      00:01.0
RHSA at offset 138  unit at 0xfed90000 is in proximity domain 3
ANDD at offset 158  ACPI device 7 is \\_SB.UAR0
SATC at offset 176  devices that need a device-TLB, segment 0
  PCI endpoint           00:02.0  flags 0x1
SIDP at offset 192  properties of devices, segment 0
  unknown type 9         00:03.0  id 5  flags 0x2
unknown structure at offset 208  type 9, 6 bytes
DRHD at offset 214  unit at 0xfed91000, 8 KiB of registers, segment 1, all devices that no other unit names
";
    let text = told(&one_of_each(), &[]).good();
    assert_eq!(text, golden);
}

#[test]
fn every_structure_is_an_object() {
    let run = told(&one_of_each(), &["--json"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    let lines = run.json();
    let path = |device, function| json!([{ "device": device, "function": function }]);
    let scope = |kind: &str, flags: &str, id, path: Value, source_id: Value| {
        json!({
            "type": kind, "flags": flags, "enumeration_id": id, "start_bus": 0, "path": path, "source_id": source_id
        })
    };
    let mut ioapic = scope("ioapic", "0x0", 2, path(0x1f, 7), "0001:f0:1f.7".into());
    ioapic["start_bus"] = 0xf0.into();
    let mut unknown = scope("unknown", "0x2", 5, path(3, 0), "00:03.0".into());
    unknown["type_code"] = 9.into();
    let behind_bridge = json!([{ "device": 0x1c, "function": 4 }, { "device": 0, "function": 1 }]);
    let expected = [
        json!({
            "structure": "drhd", "offset": 48, "segment": 1, "base": "0xfed90000", "size": 4096, "flags": "0x0",
            "include_all": false, "scopes": [
                ioapic,
                scope("msi-capable-hpet", "0x0", 1, path(0x1e, 6), "0001:00:1e.6".into()),
                scope("acpi-namespace-device", "0x0", 7, path(0x15, 0), "0001:00:15.0".into()),
            ]
        }),
        json!({
            "structure": "rmrr", "offset": 88, "segment": 0, "base": "0x7b800000", "limit": "0x7fffffff",
            "scopes": [scope("pci-endpoint", "0x0", 0, behind_bridge, Value::Null)]
        }),
        json!({
            "structure": "atsr", "offset": 122, "segment": 0, "flags": "0x1", "all_ports": true,
            "scopes": [scope("pci-sub-hierarchy", "0x0", 0, path(1, 0), "00:01.0".into())]
        }),
        json!({ "structure": "rhsa", "offset": 138, "base": "0xfed90000", "proximity_domain": 3 }),
        json!({ "structure": "andd", "offset": 158, "acpi_device_number": 7, "name": "\\_SB.UAR0" }),
        json!({
            "structure": "satc", "offset": 176, "segment": 0, "flags": "0x1", "atc_required": true,
            "scopes": [scope("pci-endpoint", "0x1", 0, path(2, 0), "00:02.0".into())]
        }),
        json!({ "structure": "sidp", "offset": 192, "segment": 0, "scopes": [unknown] }),
        json!({ "structure": "unknown", "offset": 208, "type": 9, "bytes": "09000600abcd" }),
        json!({
            "structure": "drhd", "offset": 214, "segment": 1, "base": "0xfed91000", "size": 8192, "flags": "0x1",
            "include_all": true, "scopes": []
        }),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_is_malformed_stands_in_its_place() {
    let bytes = table(&[
        b"\x02\x00\x06\x00\x00\x00",
        b"\x00\x00\x1e\x00\x00\x00\x00\x00\x00\x00\xd9\xfe\x00\x00\x00\x00\x01\x05\x00\x00\x00\x01\x09\x00\x00\x00\x00\x02\x00\xaa",
        b"\x01\x00\x18\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\xff\x1f\x00\x00\x00\x00\x00\x00",
        b"\x04\x00\x0c\x00\x00\x00\x00\x01\\_SB",
        b"\x03\x00\x00\x00",
    ]);
    let messages = [
        (48, "ATSR structure: expected a length of at least 8 bytes, found 6"),
        (70, "device scope (PCI endpoint): expected a length of at least 6 bytes, found 5"),
        (75, "device scope (PCI endpoint): expected a length of 6 bytes and 2 for each pair of its path, found 9"),
        (84, "expected a region whose limit is not below its base 0x2000, found limit 0x1fff"),
        (108, "expected an object name that ends with a zero byte, found none"),
        (120, "RHSA structure: expected a length of at least 4 bytes, found 0"),
    ];
    let run = told(&bytes, &["--json"]);
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let lines = run.json();
    let malformed = messages.map(|(offset, message)| json!({ "malformed": message, "offset": offset }));
    assert_eq!(lines.len(), 7);
    assert_eq!(
        (&lines[0], &lines[3], &lines[5], &lines[6]),
        (&malformed[0], &malformed[3], &malformed[4], &malformed[5])
    );
    assert_eq!(lines[1]["scopes"].as_array().unwrap()[..], malformed[1..3]);
    assert_eq!((&lines[2]["structure"], &lines[4]["name"]), (&"rmrr".into(), &"\\_SB".into()));

    let run = told(&bytes, &[]);
    assert_eq!(run.status, 1);
    let stderr = messages.map(|(offset, message)| format!("DMAR table, offset {offset}: {message}\n"));
    assert_eq!(run.stderr, stderr.concat());
    assert!(run.stdout.contains("RMRR at offset 84  reserved memory 0x2000 - 0x1fff, segment 0\n"), "{}", run.stdout);
}

#[test]
fn a_wrong_checksum_is_told() {
    let mut bytes = std::fs::read(real("legacy-48")).unwrap();
    bytes[9] = 0xc5;
    let run = told(&bytes, &["--json"]);
    assert_eq!((run.status, run.json().len()), (1, 2));
    assert_eq!(run.json()[0], json!({ "malformed": "expected checksum 0xc4, found 0xc5", "offset": 9 }));
    let run = told(&bytes, &[]);
    assert_eq!(run.stderr, "DMAR table, offset 9: expected checksum 0xc4, found 0xc5\n");
    assert!(run.status == 1 && run.stdout.contains("checksum             wrong\n"));
}

#[test]
fn text_of_firmware_can_not_control_the_terminal() {
    let mut bytes = table(&[b"\x04\x00\x0b\x00\x00\x00\x00\x01\x1b[\0"]);
    bytes[10] = 0x1b;
    let text = told(&bytes, &[]).stdout;
    assert!(!text.contains('\x1b') && text.contains("ACPI device 1 is \\u{1b}["), "{text}");
}

#[test]
fn what_is_no_dmar_table_is_refused() {
    let real = std::fs::read(real("legacy-48")).unwrap();
    for (bytes, part) in [
        (&b""[..], "expected an ACPI DMAR table, at offset 0: expected a header of 48 bytes, found 0"),
        (b"FACP and more", "expected signature \"DMAR\", found \"FACP\""),
        (&real[..47], "at offset 0: expected a header of 48 bytes, found 47"),
        (&real[..135], "at offset 4: expected a table length of 48 to 135 bytes, found 136"),
    ] {
        for options in [&[][..], &["--json"]] {
            let refusal = told(bytes, options).refusal();
            assert!(refusal.contains(part), "{refusal}");
        }
    }
    assert!(iopt_line("dmar").refusal().contains("<FILE>"));
    assert!(iopt_line("dmar /nowhere/DMAR").refusal().contains("/nowhere/DMAR: expected an ACPI DMAR table, can't be"));
    assert!(dmar(&real_folder(), &[]).refusal().contains("can't be read"));
}

fn real_folder() -> PathBuf {
    real("legacy-48").parent().unwrap().to_owned()
}
