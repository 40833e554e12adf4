//! `--live`, on a machine whose files are in a folder; what such a folder has is tested with the library.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod common;
#[path = "../../backends/tests/live/machine.rs"]
mod machine;

use common::{Run, run};
use machine::{BASE, Machine, capture, capture_kernel, register, registers, running};
use serde_json::json;
use std::ffi::OsString;
use std::fs;

/// Runs the words of `line` on `machine`.
fn live(machine: &Machine, line: &str) -> Run {
    let mut words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    words.extend(["--live".into(), "--live-from".into(), machine.folder().into()]);
    run(words)
}

/// Runs the words of `line` on the image of `case`, with what its registers say.
fn image(case: &str, line: &str) -> Run {
    let registers = registers(case);
    let mut words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    words.insert(1, capture(case).join("mem.lime.xz").into());
    for (option, name) in [("--root", "RTADDR"), ("--cap", "CAP"), ("--ecap", "ECAP")] {
        words.extend([option.into(), format!("{:#x}", register(&registers, name)).into()]);
    }
    words.extend(["--haw".into(), "48".into()]);
    run(words)
}

#[test]
fn every_command_says_of_a_machine_what_it_says_of_its_image() {
    for case in ["vfio-48", "scalable", "legacy-pt"] {
        let (machine, _) = running(case);
        for line in ["ranges", "ranges --by iova --json", "devices", "devices --json", "ranges --json --device 00:1f.2"]
        {
            let (found, expected) = (live(&machine, line), image(case, line));
            assert_eq!((found.status, found.stdout), (expected.status, expected.stdout), "{case} {line}");
        }
    }
    let (machine, _) = running("vfio-48");
    // --live may also stand before the request; the image may not.
    for request in ["00:08.0 0x100000 w --json", "00:08.0 0x200000 w"] {
        let found = live(&machine, &format!("translate {request}"));
        let expected = image("vfio-48", &format!("translate {request}"));
        assert_eq!((found.status, found.stdout), (expected.status, expected.stdout), "{request}");
    }
    let found = live(&machine, "copy --dry-run --json");
    assert_eq!((found.status, found.stdout), (0, image("vfio-48", "copy --dry-run --json").stdout));
}

#[test]
fn what_is_read_is_told_a_line_each() {
    let (machine, _) = running("vfio-48");
    let stderr = live(&machine, "ranges --json").stderr;
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{stderr}");
    assert_eq!(
        lines[0],
        "iopt: unit 0 at 0xfed90000: RTADDR 0x98c000, CAP 0xd2008c222f0606, ECAP 0xf42, GSTS 0xc4000000"
    );
    assert!(lines[1].starts_with("iopt: live memory from ") && lines[1].ends_with("/proc/kcore"), "{stderr}");
    for (line, expected) in [(lines[2], "/proc/vmcore: "), (lines[3], "/proc/iomem: ")] {
        assert!(line.starts_with("iopt: no live memory from ") && line.contains(expected), "{stderr}");
    }
}

#[test]
fn a_capture_kernel_walks_from_its_own_tables_into_the_old_ones() {
    let (machine, _) = capture_kernel();
    let found = live(&machine, "ranges --json");
    let expected = image("kdump-on", "ranges --json");
    assert_eq!((found.status, found.stdout.lines().count()), (0, 313));
    assert_eq!(found.stdout, expected.stdout);
    let old = live(&machine, "devices --json --root 0xb37000");
    assert_eq!((old.status, old.stdout.lines().count()), (0, 13));
}

#[test]
fn the_interrupt_table_is_that_of_the_unit() {
    let (machine, _) = running("intremap");
    let found = live(&machine, "interrupts --json");
    let expected = image("intremap", "interrupts --json --irta 0x80000f").stdout;
    assert!(!expected.is_empty());
    assert_eq!((found.status, &found.stdout), (0, &expected));
    assert!(found.stderr.starts_with("iopt: unit at 0xfed90000: IRTA 0x80000f\n"), "{}", found.stderr);
    let given = live(&machine, "interrupts --json --irta 0x80000e");
    assert!(given.status == 0 && !given.stderr.contains("IRTA"));
    let (off, _) = running("vfio-48");
    let refused = live(&off, "interrupts");
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("expected a unit that remaps interrupts, found none among 1"), "{refused:?}");
}

#[test]
fn options_go_before_registers() {
    let (machine, _) = running("vfio-48");
    let own = live(&machine, "ranges --json").stdout;
    // With a root, neither the DMAR table nor the registers are needed.
    fs::remove_file(machine.path("dev/mem")).unwrap();
    fs::remove_file(machine.path("sys/firmware/acpi/tables/DMAR")).unwrap();
    let refused = live(&machine, "ranges");
    assert_eq!(refused.status, 2);
    assert!(refused.stderr.contains("no Intel IOMMU"), "{}", refused.stderr);
    let given = live(&machine, "ranges --json --root 0x98c000 --cap d2008c222f0606 --ecap f42 --haw 48");
    assert_eq!((given.status, given.stdout), (0, own));
    assert!(!given.stderr.contains("unit 0"));
    let (machine, _) = running("vfio-48");
    // A narrower bus makes the addresses of tables reserved bits.
    let narrow = live(&machine, "devices --json --haw 20");
    assert_eq!(narrow.status, 1);
    assert_eq!(live(&machine, "devices --json --cap d2008c222f0206").status, 1, "there are tables of 4 levels");
    assert!(live(&machine, "devices --cap 1 --cap 2").stderr.contains("once for each root (1)"));
}

/// What the unit can't do is refused, and it is the unit that says what it can.
#[test]
fn what_the_machine_says_of_itself_is_believed() {
    let (machine, _) = running("legacy-pt");
    let status = || live(&machine, "devices --json").status;
    assert_eq!(status(), 0);
    let changed = |name: &str, value: &str| {
        let mut values = registers("legacy-pt");
        values[name] = json!(value);
        machine.registers(BASE, &values);
    };
    // Without tables of 4 levels, and without pass-through.
    changed("CAP", "0xd2008c222f0206");
    assert_eq!(status(), 1);
    changed("ECAP", "0xf02");
    assert_eq!(status(), 1);
    machine.registers(BASE, &registers("legacy-pt"));
    assert_eq!(status(), 0);
    let dmar = machine.path("sys/firmware/acpi/tables/DMAR");
    let mut table = fs::read(&dmar).unwrap();
    table[36] = 19;
    fs::write(&dmar, &table).unwrap();
    assert_eq!(status(), 1);
    assert_eq!(live(&machine, "devices --json --haw 48").status, 0);
}

#[test]
fn a_unit_that_does_not_translate_is_left_out() {
    let (machine, _) = running("vfio-48");
    let mut values = registers("vfio-48");
    values["GSTS"] = json!("0x44000000");
    machine.registers(BASE, &values);
    let refused = live(&machine, "ranges");
    assert_eq!((refused.status, refused.stdout.as_str()), (2, ""));
    assert!(refused.stderr.contains("left out: the unit at 0xfed90000 does not translate (GSTS 0x44000000)"));
    assert!(refused.stderr.contains("expected a unit that translates, found none among 1"), "{}", refused.stderr);
}

/// Two units, of which one has nothing to read, or a mode without tables.
#[test]
fn a_unit_that_can_not_be_read_makes_the_listing_partial() {
    let (machine, _) = running("vfio-48");
    let dmar = machine.path("sys/firmware/acpi/tables/DMAR");
    let mut table = fs::read(&dmar).unwrap();
    let mut second = vec![0, 0, 16, 0, 0, 0, 0, 0];
    second.extend((BASE + 0x1000).to_le_bytes());
    table.splice(48..48, second);
    let length = table.len() as u32;
    table[4..8].copy_from_slice(&length.to_le_bytes());
    fs::write(&dmar, &table).unwrap();
    let whole = image("vfio-48", "ranges --json").stdout;
    let found = live(&machine, "ranges --json");
    assert_eq!((found.status, &found.stdout), (1, &whole));
    assert!(found.stderr.contains("left out: the unit at 0xfed91000: "), "{}", found.stderr);
    let mut values = registers("vfio-48");
    values["RTADDR"] = json!("0x98cc00");
    machine.registers(BASE + 0x1000, &values);
    let found = live(&machine, "ranges --json");
    assert_eq!((found.status, &found.stdout), (1, &whole));
    assert!(found.stderr.contains("abort-DMA mode"), "{}", found.stderr);
    // The same unit twice is two units, each of its segment.
    table[48 + 6] = 3;
    fs::write(&dmar, &table).unwrap();
    machine.registers(BASE + 0x1000, &registers("vfio-48"));
    let found = live(&machine, "ranges --json");
    assert_eq!(found.status, 0);
    assert!(found.stderr.starts_with("iopt: unit 0 at 0xfed91000 of segment 0x3: RTADDR "), "{}", found.stderr);
    assert!(found.stderr.contains("\niopt: unit 1 at 0xfed90000: RTADDR "), "{}", found.stderr);
    assert_eq!(found.stdout, whole.clone() + &whole.replace("{\"unit\":0", "{\"unit\":1"));
}

#[test]
fn info_tells_the_sources_and_what_they_have() {
    let (machine, _) = capture_kernel();
    let json = &live(&machine, "info --json").json()[0];
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["format", "ranges", "size", "vmcoreinfo"]);
    assert_eq!((&json["format"], &json["size"]), (&json!("live"), &json!(null)));
    assert_eq!(json["vmcoreinfo"]["OSRELEASE"], "6.12.117-iommucorpus");
    assert!(json["ranges"].as_array().unwrap().len() > 60);
    let text = live(&machine, "info").stdout;
    assert!(text.starts_with("format  live memory\nsource  /"), "{text}");
    assert!(text.contains("/proc/kcore\n") && text.contains("kernel  6.12.117-iommucorpus\nmemory  "), "{text}");
}

#[test]
fn wrong_use_is_refused_in_one_line() {
    for (line, expected) in [
        ("ranges image --live", "expected --live or an IMAGE, found both"),
        ("devices image --live", "expected --live or an IMAGE"),
        ("info image --live", "expected --live or an IMAGE"),
        ("copy image --dry-run --live", "expected --live or an IMAGE"),
        ("interrupts image --live --irta 0x1000", "expected --live or an IMAGE"),
        ("translate image 00:08.0 0 r --live", "expected --live or an IMAGE"),
        ("dmar file --live", "expected --live or an IMAGE"),
        ("ranges --live --format raw", "--format"),
        ("ranges --live --raw-base 0", "--raw-base"),
        ("ranges --live --with other", "--with"),
        ("ranges --live-from /", "--live"),
    ] {
        let refusal = run(line.split_whitespace()).refusal();
        assert!(refusal.contains(expected), "{line}: {refusal}");
    }
}

/// Whatever it shows.
#[test]
fn this_machine_is_read_or_says_why_not() {
    let run = run(["devices", "--live", "--json"]);
    assert!((0..=2).contains(&run.status));
    assert!(run.status == 0 || !run.stderr.is_empty(), "{run:?}");
    assert!(run.stderr.lines().all(|line| line.starts_with("iopt: ")), "{run:?}");
}
