//! How `iopt copy` ends when something is wrong with the tables, the place for new ones, or the file.
#![allow(clippy::unwrap_used, reason = "a panic is a red test")]

mod common;

use common::copying::{Out, SMALL};
use common::{Run, iopt, iopt_line, iopt_on, raw, save};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use tempfile::NamedTempFile;

/// The entry behind those of the two page tables of 00:00.0.
const FREE_ENTRY: usize = 0x4010;

/// The small image with these words in it too.
fn with(words: &[(usize, u64)]) -> NamedTempFile {
    raw(8, &[&SMALL, words].concat())
}

fn copy(image: &NamedTempFile, options: &str) -> Run {
    iopt_on(image, "0x1000", &format!("copy --haw 39 {options}"))
}

/// What is told of entries, one text for each: level, number, and the fault code.
fn malformed(lines: &[Value]) -> Vec<String> {
    let told = lines.iter().filter(|line| line.get("malformed").is_some());
    told.map(|line| format!("{} {} {}", line["level"], line["index"], line["fault"])).collect()
}

const VERIFIED: &str = r#"{"verified":true}"#;

#[test]
fn a_dry_run_tells_what_would_be_lost() {
    let (image, out) = (with(&[(FREE_ENTRY, 0x9_9003)]), Out::new());
    for line in ["--dry-run --json".to_owned(), format!("--dry-run --json --out {}", out.path.display())] {
        let run = copy(&image, &line);
        assert_eq!((run.status, run.stderr.as_str()), (1, ""));
        let lines = run.json();
        assert_eq!(malformed(&lines), [r#"2 2 "0x07""#]);
        // The unit and the page that is left: there is nothing to verify.
        assert_eq!((lines.len(), &lines[1]["new_root"], &lines[2]["iova"]), (3, &Value::Null, &"0x200000".into()));
        assert_eq!(out.files(), Vec::<String>::new());
    }
    let run = copy(&image, "--dry-run");
    assert_eq!((run.status, run.stderr.lines().count()), (1, 1));
    assert!(run.stderr.starts_with("not copied: 00:00.0 iova 0x400000 fault 0x07"), "{}", run.stderr);
    assert!(run.stdout.ends_with("\nDry run: 6 pages (24 KiB) at 0x40000000-0x40005fff would be written\n"));
}

#[test]
fn a_page_table_that_is_lost_leaves_its_entry_out() {
    // 00:00.2 has a page table that is not in memory.
    let (image, out) = (with(&[(0x2020, 0x9_9001), (0x2028, 0x0701)]), Out::new());
    for (mode, pages) in [("", 6), ("--adopt", 2)] {
        let run = copy(&image, &format!("{mode} --json --out {}", out.path.display()));
        assert_eq!((run.status, run.stderr.as_str(), run.stdout.lines().last()), (1, "", Some(VERIFIED)), "{mode}");
        let lines = run.json();
        assert_eq!(malformed(&lines), [r#""context" 2 "0x03""#], "{mode}");
        assert_eq!((&lines[1]["pages"], &lines[1]["domains"]), (&pages.into(), &3.into()), "{mode}");
    }
}

#[test]
fn tables_that_are_missing_where_they_are_adopted_are_told() {
    let (image, out) = (with(&[(FREE_ENTRY, 0x9_9003)]), Out::new());
    let run = copy(&image, &format!("--adopt --json --out {}", out.path.display()));
    assert_eq!((run.status, run.stdout.lines().last()), (1, Some(VERIFIED)));
    assert_eq!(malformed(&run.json()), [r#"2 2 "0x07""#]);
    let run = copy(&image, &format!("--adopt --out {}", out.path.display()));
    assert_eq!((run.status, run.stderr.lines().count()), (1, 1));
    assert!(run.stderr.starts_with("refused by the hardware, in the copy as before: 00:00.0"), "{}", run.stderr);
    // The table is not part of the copy, so nothing of that is lost.
    assert!(run.stdout.ends_with("verified: 2 tables as before\n"), "{}", run.stdout);
}

#[test]
fn a_loop_is_told_and_copied() {
    let (image, out) = (with(&[(FREE_ENTRY, 0x4003)]), Out::new());
    let run = copy(&image, &format!("--json --out {}", out.path.display()));
    assert_eq!((run.status, run.stderr.as_str(), run.stdout.lines().last()), (1, "", Some(VERIFIED)));
    let lines = run.json();
    assert_eq!(malformed(&lines), ["2 2 null"]);
    // The table twice: as one of level 2, and as one of level 1.
    assert_eq!(lines[1]["pages"], 7);
    let run = copy(&image, "--dry-run");
    assert_eq!((run.status, run.stderr.contains("loop: table 0x4000")), (1, true), "{}", run.stderr);
}

#[test]
fn a_table_at_address_0_is_told() {
    let (image, out) = (with(&[(FREE_ENTRY, 0x3)]), Out::new());
    let run = copy(&image, &format!("--json --out {}", out.path.display()));
    assert_eq!((run.status, run.stderr.lines().count(), run.stdout.lines().last()), (0, 1, Some(VERIFIED)));
    assert!(run.stderr.contains("entry 2 = 0x3 points to a table at address 0"), "{}", run.stderr);
    // A context table there is none.
    let run = copy(&with(&[(0x1010, 1)]), &format!("--json --out {}", out.path.display()));
    assert_eq!((run.status, run.stderr.lines().count(), run.stdout.lines().last()), (1, 1, Some(VERIFIED)));
    assert_eq!(malformed(&run.json()), [r#""root" 1 null"#]);
}

#[test]
fn domain_0_of_a_unit_in_caching_mode_is_a_remark() {
    let image = with(&[(0x2020, 0x5001), (0x2028, 0x0001)]);
    for (cap, remark) in
        [("0xd2008c222f0686", "00:00.2: domain-id 0 is reserved for hardware"), ("0xd2008c222f0606", "")]
    {
        let run = copy(&image, &format!("--dry-run --cap {cap} --ecap 0xf42"));
        assert_eq!(run.status, 0);
        assert!(run.stderr.starts_with(remark) && run.stderr.is_empty() == remark.is_empty(), "{}", run.stderr);
    }
}

#[test]
fn one_unit_that_can_not_be_copied_stops_all() {
    let (image, out) = (with(&[]), Out::new());
    for mode in ["", "--adopt", "--dry-run"] {
        let refusal = copy(&image, &format!("{mode} --root 0x99000 --out {}", out.path.display())).refusal();
        // Its root comes first.
        assert!(refusal.contains("unit 0 can't be copied whole: fault 0x08 LRT.1"), "{refusal}");
        assert_eq!(out.files(), Vec::<String>::new());
    }
}

#[test]
fn images_that_leave_no_room_for_a_default_base_are_refused() {
    let image = with(&[]);
    let refusal = iopt_on(&image, "0x1000", "copy --dry-run --haw 30").refusal();
    assert!(refusal.contains("new tables at 0x40000000 (--base)"), "{refusal}");
    assert!(refusal.contains("found that addresses have 30 bits"), "{refusal}");
    // Without a host address width, it is that of the entries.
    let refusal = iopt_on(&image, "0x1000", "copy --dry-run --base 0x10000000000000").refusal();
    assert!(refusal.contains("found that addresses have 52 bits"), "{refusal}");

    let range = |first: u64, bytes: &[u8]| {
        let last = first + (u64::try_from(bytes.len()).unwrap() - 1);
        let header = [0x1_4c69_4d45, first, last, 0].map(u64::to_le_bytes).concat();
        [header, bytes.to_vec()].concat()
    };
    let low = fs::read(image.path()).unwrap();
    let lime = save(&[range(0, &low), range(!0xfff, &[0; 4096])].concat());
    let refusal = copy(&lime, "--dry-run").refusal();
    assert_eq!(refusal, "expected --base ADDR, found none: the image has memory up to 0xffffffffffffffff");
    assert!(copy(&lime, "--dry-run --base 0x8000").good().ends_with("at 0x8000-0xdfff would be written\n"));
}

#[cfg(unix)]
#[test]
fn other_names_of_the_image_do_not_harm_it() {
    let (image, out) = (with(&[]), Out::new());
    let before = fs::read(image.path()).unwrap();
    std::os::unix::fs::symlink(image.path(), &out.path).unwrap();
    let refusal = copy(&image, &format!("--out {}", out.path.display())).refusal();
    assert!(refusal.contains("expected another file as --out than IMAGE"), "{refusal}");
    // The image itself is opened by a name that leads to it.
    let line = format!("copy {} --root 0x1000 --out {}", out.path.display(), image.path().display());
    assert!(iopt_line(&line).refusal().contains("expected another file as --out than IMAGE"));
    assert_eq!(fs::read(image.path()).unwrap(), before);

    let (missing, new) = (out.folder.path().join("none"), out.folder.path().join("new"));
    let line = format!("copy {} --root 0x1000 --out {}", missing.display(), new.display());
    assert!(iopt_line(&line).refusal().contains("can't be opened"));
    // A link would be replaced, and not what it leads to.
    fs::write(&new, "old").unwrap();
    fs::remove_file(&out.path).unwrap();
    std::os::unix::fs::symlink(&new, &out.path).unwrap();
    let refusal = copy(&image, &format!("--out {}", out.path.display())).refusal();
    assert!(refusal.contains("expected a regular file or a new one as --out"), "{refusal}");
    assert_eq!(fs::read(&new).unwrap(), b"old");
}

/// The new file takes the place of the old one when it is whole.
#[cfg(unix)]
#[test]
fn what_can_not_be_written_leaves_the_old_file() {
    let (image, out) = (with(&[]), Out::new());
    fs::write(&out.path, "old").unwrap();
    // With the signal ignored, to write to a file is an error.
    let limited = r#"trap '' XFSZ; ulimit -f 0; exec "$@""#;
    let output = std::process::Command::new("sh")
        .args(["-c", limited, "sh", env!("CARGO_BIN_EXE_iopt"), "copy", "--root", "0x1000", "--json"])
        .args([image.path(), "--out".as_ref(), out.path.as_path()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), &b""[..]), "{stderr}");
    assert!(stderr.contains("new.lime: expected a file for the new tables, can't be written"), "{stderr}");
    assert_eq!((out.bytes(), out.files().len()), (b"old".to_vec(), 1));

    // There is no room for the name of the file that it would be until then.
    let long = out.folder.path().join("n".repeat(250));
    let refusal = copy(&image, &format!("--out {}", long.display())).refusal();
    assert!(refusal.contains("can't be written"), "{refusal}");
    assert_eq!(out.files().len(), 1);
}

#[test]
fn the_file_is_written_though_nobody_reads_of_it() {
    let (image, out) = (with(&[]), Out::new());
    let copy = || {
        let mut command = iopt();
        command.args(["copy", "--root", "0x1000"]).args([image.path(), "--out".as_ref(), out.path.as_path()]);
        command
    };
    let mut child = copy().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    let (bytes, whole) = (out.bytes(), copy().output().unwrap());
    assert!(whole.status.success() && out.bytes() == bytes);
}
