//! Copies of tables: what is written translates like the old ones.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::copying::{Out, SMALL};
use common::{NOTE, Run, corpus, iopt_line, iopt_on, keys, raw, run, save, scalable};
use lzma_rust2::XzReader;
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use tempfile::NamedTempFile;

const CAPTURES: [(&str, &[&str]); 10] = [
    ("legacy-48/mem.lime.xz", &["legacy-48/mem.json"]),
    ("legacy-pt/mem.lime.xz", &["legacy-pt/mem.json"]),
    ("intremap/mem.lime.xz", &["intremap/mem.json"]),
    ("vfio-48/mem.lime.xz", &["vfio-48/mem.json"]),
    ("kdump-on/mem.first.lime.xz", &["kdump-on/mem.first.json"]),
    ("kdump-on/vmcore.lime.xz", &["kdump-on/vmcore.json"]),
    ("kdump-on/mem.lime.xz", &["kdump-on/mem.json"]),
    // The capture kernel's unit goes on with some of the first kernel's tables: both at once share them.
    ("kdump-on/mem.lime.xz", &["kdump-on/mem.json", "kdump-on/mem.old-rtaddr.json"]),
    ("scalable/mem.lime.xz", &["scalable/mem.json"]),
    ("scalable-first-stage/mem.lime.xz", &["scalable-first-stage/mem.json"]),
];

fn number(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap()
}

/// The lines that have this key.
fn with(lines: &[Value], key: &str) -> Vec<Value> {
    lines.iter().filter(|line| line.get(key).is_some()).cloned().collect()
}

/// `--root` for each of these units, and what follows each root.
fn roots<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    values.into_iter().map(|value| format!(" --root {}", value.as_str().unwrap())).collect()
}

/// A unit's options but for its roots.
fn registers(expected: &[Value]) -> String {
    let unit = |expected: &Value| {
        let register = |name: &str| expected["registers"][name].as_str().unwrap().to_owned();
        format!(" --cap {} --ecap {}", register("CAP"), register("ECAP"))
    };
    expected.iter().map(unit).collect::<String>() + " --haw 48"
}

fn expectations(paths: &[&str]) -> Vec<Value> {
    let read = |path: &&str| serde_json::from_str(&fs::read_to_string(corpus().join(path)).unwrap()).unwrap();
    paths.iter().map(read).collect()
}

fn decompressed(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    XzReader::new(fs::File::open(path).unwrap(), true).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Copies `image` and checks what can be said of every copy; the lines.
fn copied(image: &Path, options: &str, out: &Out) -> Run {
    let run = iopt_line(&format!("copy {} --out {} --json {options}", image.display(), out.path.display()));
    assert_eq!(run.stdout.lines().last(), Some(r#"{"verified":true}"#), "{options}: {}", run.stderr);
    assert_eq!(out.files(), ["new.lime"]);
    let lines = run.json();
    let pages: u64 = with(&lines, "old_root").iter().map(|unit| unit["pages"].as_u64().unwrap()).sum();
    // One range, behind one header.
    assert_eq!(out.bytes().len(), usize::try_from(32 + pages * 4096).unwrap());
    run
}

fn ranges(image: &Path, command: &str, options: &str) -> Vec<Value> {
    iopt_line(&format!("{command} {} --json {options}", image.display())).json()
}

#[test]
fn every_capture_translates_as_before() {
    for (image, paths) in CAPTURES {
        let (image, expected, out) = (corpus().join(image), expectations(paths), Out::new());
        let old = roots(expected.iter().map(|expected| &expected["registers"]["RTADDR"]));
        let registers = registers(&expected);
        let run = copied(&image, &format!("{old} {registers}"), &out);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        let units = with(&run.json(), "old_root");
        assert_eq!(roots(units.iter().map(|unit| &unit["old_root"])), old);
        for unit in &units {
            assert_eq!(number(&unit["old_root"]) & 0xfff, number(&unit["new_root"]) & 0xfff, "the mode");
        }
        let new = roots(units.iter().map(|unit| &unit["new_root"]));
        let before = ranges(&image, "ranges", &format!("{old} {registers}"));
        let after = ranges(&out.path, "ranges", &format!("{new} {registers}"));
        assert!(!before.is_empty() && before == after, "{}", image.display());
    }
}

#[test]
fn tables_that_units_share_have_one_copy() {
    let (image, paths) = CAPTURES[7];
    let (image, expected, out) = (corpus().join(image), expectations(paths), Out::new());
    let pages = |roots: &str| -> u64 {
        let run = copied(&image, roots, &out);
        with(&run.json(), "old_root").iter().map(|unit| unit["pages"].as_u64().unwrap()).sum()
    };
    let [one, other] = [0, 1].map(|unit| roots([&expected[unit]["registers"]["RTADDR"]]));
    assert!(pages(&format!("{one}{other}")) < pages(&one) + pages(&other));
    // The same unit twice is one root table more.
    assert_eq!(pages(&format!("{one}{one}")), pages(&one) + 1);
}

#[test]
fn adopted_page_tables_stay_where_they_are() {
    for (image, paths) in CAPTURES {
        let (image, expected, out) = (corpus().join(image), expectations(paths), Out::new());
        let old = roots(expected.iter().map(|expected| &expected["registers"]["RTADDR"]));
        let registers = registers(&expected);
        let run = copied(&image, &format!("--adopt {old} {registers}"), &out);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""));
        let lines = run.json();
        let units = with(&lines, "old_root");
        let new = roots(units.iter().map(|unit| &unit["new_root"]));
        // A root table, and a context table for each bus, or half of one in scalable mode.
        let devices = ranges(&image, "devices", &format!("{old} {registers}"));
        for unit in &units {
            let is_scalable = number(&unit["old_root"]) & 0xc00 != 0;
            let table = |device: &Value| {
                let source = device["source_id"].as_str().unwrap();
                let (bus, device) = source.split_once(':').unwrap();
                let half = u8::from_str_radix(device.get(..2).unwrap(), 16).unwrap() >> 4;
                (bus.to_owned(), half & u8::from(is_scalable))
            };
            let own = devices.iter().filter(|device| device["unit"] == unit["unit"]);
            let mut tables: Vec<_> = own.map(table).collect();
            tables.dedup();
            assert_eq!(unit["pages"].as_u64().unwrap(), 1 + u64::try_from(tables.len()).unwrap());
        }
        // Alone it leads to page tables that are not there; beside the old memory, to those.
        let both = save(&[decompressed(&image), out.bytes()].concat());
        for command in ["devices", "ranges"] {
            let before = ranges(&image, command, &format!("{old} {registers}"));
            assert_eq!(ranges(both.path(), command, &format!("{new} {registers}")), before, "{}", image.display());
        }
        // What is in use is the same, whoever owns the tables.
        let copy = copied(&image, &format!("{old} {registers}"), &out).json();
        assert_eq!(with(&copy, "last"), with(&lines, "last"));
    }
}

/// What each domain maps according to `ranges`, neighbours joined.
fn mapped(ranges: &[Value]) -> Vec<(u64, u64, u64)> {
    let line = |line: &Value| (line["domain"].as_u64().unwrap(), number(&line["iova"]), number(&line["last"]));
    let mut all: Vec<_> = ranges.iter().map(line).collect();
    all.sort_unstable();
    let mut joined: Vec<(u64, u64, u64)> = Vec::new();
    for (domain, first, last) in all {
        match joined.last_mut().filter(|before| before.0 == domain && first <= before.2 + 1) {
            Some(before) => before.2 = before.2.max(last),
            None => joined.push((domain, first, last)),
        }
    }
    joined
}

#[test]
fn what_is_reserved_is_what_the_domains_map() {
    let lines = iopt_line("copy --dry-run --json").json();
    let reserved = with(&lines, "last");
    assert!(reserved.iter().all(|line| line["unit"] == 0));
    let tuples: Vec<_> = reserved
        .iter()
        .map(|line| (line["domain"].as_u64().unwrap(), number(&line["iova"]), number(&line["last"])))
        .collect();
    assert_eq!(tuples, mapped(&iopt_line("ranges --json").json()));
}

#[test]
fn lines_have_their_keys_in_order() {
    let out = Out::new();
    let run = iopt_line(&format!("copy --json --out {}", out.path.display()));
    let good = run.good();
    let lines: Vec<&str> = good.lines().collect();
    assert_eq!(
        lines[..2],
        [
            r#"{"unit":0,"old_root":"0x98c000","new_root":"0x4003d000","pages":62,"shared":3,"domains":8}"#,
            r#"{"unit":0,"domain":3,"iova":"0xffefb000","last":"0xffff9fff"}"#,
        ]
    );
    let (last, reservations) = lines[1..].split_last().unwrap();
    assert!(reservations.iter().all(|line| keys(line) == ["unit", "domain", "iova", "last"]));
    assert_eq!(*last, r#"{"verified":true}"#);
    let before = iopt_line("ranges --json").good();
    let after = iopt_line(&format!("ranges {} --json --root 0x4003d000", out.path.display())).good();
    assert_eq!(before, after);
}

#[test]
fn people_read_what_was_copied_and_where_it_is() {
    let (image, out) = (raw(8, &SMALL), Out::new());
    let path = out.path.display();
    let run = iopt_on(&image, "0x1000", &format!("copy --haw 39 --out {path}"));
    let expected = format!(
        "\
Unit 0  root 0x1000, legacy mode
  new root  0x40005000
  pages     6 pages (24 KiB), 0 tables met again
  domains   2
    domain 5           1 range       4 KiB reserved
    domain 6          0 ranges       0 KiB reserved
{path}: 6 pages (24 KiB) at 0x40000000-0x40005fff, verified: 6 tables as before
"
    );
    assert_eq!(run.good(), expected);
    let run = iopt_on(&image, "0x1000", "copy --dry-run --base 0x8000").good();
    assert!(run.ends_with("\nDry run: 6 pages (24 KiB) at 0x8000-0xdfff would be written\n"), "{run}");
    assert!(!run.contains("new root"), "{run}");
    assert!(iopt_line("copy --dry-run").good().starts_with(NOTE));
}

#[test]
fn a_dry_run_writes_nothing() {
    let (image, out) = (raw(8, &SMALL), Out::new());
    let real = iopt_on(&image, "0x1000", &format!("copy --json --out {}", out.path.display())).good();
    fs::write(&out.path, "old").unwrap();
    for line in ["copy --json --dry-run".to_owned(), format!("copy --json --dry-run --out {}", out.path.display())] {
        let dry = iopt_on(&image, "0x1000", &line).good();
        assert_eq!(dry + "{\"verified\":true}\n", real.replace("\"0x40005000\"", "null"));
    }
    assert_eq!((out.bytes(), out.files().len()), (b"old".to_vec(), 1));
}

#[test]
fn an_existing_file_is_replaced() {
    let (image, out) = (raw(8, &SMALL), Out::new());
    fs::write(&out.path, vec![7; 100_000]).unwrap();
    copied(image.path(), "--root 0x1000", &out);
    let new = ranges(&out.path, "ranges", "--root 0x40005000 --haw 39");
    assert_eq!(new, ranges(image.path(), "ranges", "--root 0x1000 --haw 39"));
}

#[test]
fn the_base_is_where_the_tables_are() {
    let (image, out) = (raw(8, &SMALL), Out::new());
    let lines = copied(image.path(), "--root 0x1000 --base 0x8000", &out).json();
    assert_eq!(lines[0]["new_root"], "0xd000");
    let info = iopt_line(&format!("info --json {}", out.path.display())).json();
    assert_eq!(info[0]["ranges"], serde_json::json!([{"start": "0x8000", "last": "0xdfff"}]));
    // The very last page that has an address of 39 bits.
    let lines = copied(image.path(), "--root 0x1000 --haw 39 --base 0x7fffffa000", &out).json();
    assert_eq!(lines[0]["new_root"], "0x7ffffff000");
}

#[test]
fn a_base_that_can_not_be_is_refused() {
    let image = raw(8, &SMALL);
    for (base, part) in [
        ("0x8001", "expected --base to be a multiple of 0x1000 above 0, found 0x8001"),
        ("0", "expected --base to be a multiple of 0x1000 above 0, found 0x0"),
        ("0x7000", "expected 4 KiB of free addresses, found memory of the image at 0x7000-0x7fff"),
        ("0x7fffffb000", "expected 24 KiB of free addresses, found that addresses have 39 bits"),
        ("0x8000000000", "expected 4 KiB of free addresses, found that addresses have 39 bits"),
        ("0xfffffffffffff000", "found that addresses have 39 bits"),
    ] {
        let refusal = iopt_on(&image, "0x1000", &format!("copy --dry-run --haw 39 --base {base}")).refusal();
        assert!(refusal.contains(part), "{base}: {refusal}");
    }
    // There is room for one page, but not for all.
    let lines = iopt_line("info --json").json();
    let holes =
        lines[0]["ranges"].as_array().unwrap().windows(2).map(|two| [&two[0]["last"], &two[1]["start"]].map(number));
    let [_, first] = holes.into_iter().find(|[last, first]| last + 1 < *first).unwrap();
    let refusal = iopt_line(&format!("copy --dry-run --base {}", first - 0x1000)).refusal();
    assert!(refusal.contains("expected 248 KiB") && refusal.contains(&format!("at {first:#x}-")), "{refusal}");
}

#[test]
fn wrong_use_is_refused_and_nothing_is_written() {
    let (image, out) = (raw(8, &SMALL), Out::new());
    let (folder, path) = (out.folder.path().display(), out.path.display());
    for (line, part) in [
        ("copy".to_owned(), "expected --out FILE for the new tables, or --dry-run, found neither"),
        ("copy --out -".to_owned(), "expected the path of a file as --out, found -"),
        (format!("copy --out {folder}"), "expected a regular file or a new one as --out, found"),
        ("copy --out /dev/null".to_owned(), "expected a regular file or a new one as --out, found /dev/null"),
        ("copy --out /".to_owned(), "expected a regular file or a new one as --out, found /"),
        (format!("copy --out {folder}/none/new.lime"), "expected a file for the new tables, can't be written"),
        (format!("copy --out {}", image.path().display()), "expected another file as --out than IMAGE"),
        (format!("copy --out {path} --device 00:00.0"), "expected all devices of the units"),
        (format!("copy --out {path} --pasid 5"), "found --pasid 5"),
        (format!("copy --out {path} --max-tables 3"), "the work budget of 3 tables is used up"),
        (format!("copy --out {path} --root 0x99000"), "unit 0 can't be copied whole: fault 0x08 LRT.1"),
    ] {
        let refusal = iopt_on(&image, "0x1000", &line).refusal();
        assert!(refusal.contains(part), "{line}: {refusal}");
        assert_eq!(out.files(), Vec::<String>::new(), "{line}");
    }
    assert!(iopt_line(&format!("copy {} --out {path}", image.path().display())).refusal().contains("expected --root"));
    assert!(run(["copy", "-", "--out", "x", "--root", "0"]).refusal().contains("expected the path of an image"));
}

#[test]
fn what_is_lost_is_told_and_the_rest_is_kept() {
    let out = Out::new();
    let mut words = SMALL.to_vec();
    // The first of the two page tables, and the context table of bus 1.
    words[6].1 = 0x9_9003;
    words.push((0x1010, 0x9_8001));
    let image = raw(8, &words);
    let run = copied(image.path(), "--root 0x1000 --haw 39", &out);
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let lost = concat!(
        r#"{"malformed":"its table can't be read: page 0x99000 is not in the memory image (a hole)","fault":"0x07","#,
        r#""level":2,"table":"0x4000","index":0,"entry":"0x99003","source_id":"00:00.0","pasid":null,"iova":"0x0"}"#
    );
    assert_eq!(run.stdout.lines().next(), Some(lost));
    let lines = run.json();
    let told: Vec<_> = with(&lines, "malformed");
    assert_eq!((told.len(), &told[1]["table"], &lines[2]["pages"]), (2, &"0x1000".into(), &5.into()));
    let new = format!("{} --haw 39", roots([&lines[2]["new_root"]]));
    let before = ranges(image.path(), "ranges", "--root 0x1000 --haw 39");
    assert_eq!(with(&before, "last"), ranges(&out.path, "ranges", &new), "of the lost ones there is nothing left");

    let run = iopt_on(&image, "0x1000", &format!("copy --stats --out {}", out.path.display()));
    assert_eq!((run.status, run.stderr.lines().count()), (1, 3));
    assert!(run.stderr.starts_with("not copied: 00:00.0 iova 0x0 fault 0x07"), "{}", run.stderr);
    assert!(run.stderr.contains(r#","ranges":1,"faults":2,"#), "{}", run.stderr);
    assert!(run.stdout.ends_with("verified: 5 tables as before, 2 lost\n"), "{}", run.stdout);
}

#[test]
fn refused_entries_are_refused_in_the_copy() {
    let (image, out) = (scalable::image(), Out::new());
    let run = copied(image.path(), &format!("--root {} --haw 46", scalable::ROOT), &out);
    let lines = run.json();
    assert_eq!(run.status, 1);
    let told: Vec<String> = with(&lines, "malformed").iter().map(|line| line["level"].to_string()).collect();
    assert_eq!(told, [r#""pasid-table""#, r#""context""#]);
    let new = format!("{} --haw 46", roots([&with(&lines, "old_root")[0]["new_root"]]));
    for command in ["devices", "ranges"] {
        let before = with(&ranges(image.path(), command, &format!("--root {} --haw 46", scalable::ROOT)), "unit");
        let mut after = with(&ranges(&out.path, command, &new), "unit");
        if command == "devices" {
            // A directory that is lost is one in which nothing is present.
            let lost = after.iter().position(|line| line["source_id"] == "00:00.2").unwrap();
            assert_eq!(after.remove(lost)["mode"], "blocked");
            // The tables are elsewhere; all else is as it was.
            let tables = before.iter().map(|line| line["table"].clone());
            after.iter_mut().zip(tables).for_each(|(line, table)| line["table"] = table);
        }
        assert_eq!(before, after, "{command}");
    }
}

#[test]
fn remarks_are_for_people() {
    let (mut words, out) = (SMALL.to_vec(), Out::new());
    // 00:00.2 has the domain-id of 00:00.0 and another page table.
    words.extend([(0x2020, 0x5001), (0x2028, 0x0501)]);
    let image: NamedTempFile = raw(8, &words);
    let run = copied(image.path(), "--root 0x1000", &out);
    assert_eq!((run.status, run.stderr.lines().count()), (0, 1));
    assert!(run.stderr.starts_with("00:00.2: domain-id 5 stands for other page tables"), "{}", run.stderr);
    // Told once, though the units are planned one after the other.
    let run = copied(image.path(), "--root 0x1000 --root 0x1000", &out);
    assert_eq!(run.stderr.lines().count(), 2, "once for each unit: {}", run.stderr);
}

#[test]
fn many_tables_take_as_much_room_as_they_need() {
    // 6 times 512 tables of the last level, more than there is room for at first.
    let mut words = vec![(0x1000, 0x2001), (0x2000, 0x3001), (0x2008, 0x0101)];
    let leaf = 0x10_0000;
    for directory in 0..6usize {
        let table = 0x4000 + directory * 0x1000;
        words.push((0x3000 + directory * 8, table as u64 | 3));
        for entry in 0..512 {
            words.push((table + entry * 8, (leaf + (directory * 512 + entry) * 0x1000) as u64 | 3));
        }
    }
    let (image, out) = (raw(0x100 + 6 * 512, &words), Out::new());
    let lines = copied(image.path(), "--root 0x1000", &out).json();
    assert_eq!(lines[0]["pages"], 3 + 6 + 6 * 512);
}
