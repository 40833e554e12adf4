//! What `info` tells about ELF core files, whole and not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is a red test")]

mod common;

use common::{Run, corpus, iopt_line, keys, run, save};
use lzma_rust2::XzReader;
use std::fs;
use std::io::Read;

/// The capture, decompressed.
fn vmcore() -> Vec<u8> {
    let compressed = fs::read(corpus().join("kdump-on/vmcore.elf.xz")).unwrap();
    let mut bytes = Vec::new();
    XzReader::new(&compressed[..], true).read_to_end(&mut bytes).unwrap();
    bytes
}

fn info(bytes: &[u8], options: &[&str]) -> Run {
    let file = save(bytes);
    run(["info", file.path().to_str().unwrap()].iter().chain(options))
}

/// The line for people that starts with this word, without it.
fn line(run: &Run, name: &str) -> String {
    let line = run.stdout.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim_start().to_owned()
}

#[test]
fn a_whole_dump_is_complete_and_tells_its_kernel() {
    let stdout = iopt_line(&format!("info {}", corpus().join("kdump-on/vmcore.elf.xz").display())).good();
    let expected = "\
format  elf, 64-bit little-endian, xz-compressed
size    26824 bytes
dump    complete
kernel  6.12.117-iommucorpus
memory  1676 KiB in 53 ranges
  0x0000007ff000 - 0x000000900fff      1032 KiB
";
    assert!(stdout.starts_with(expected), "{stdout}");
    assert_eq!(stdout.lines().count(), 5 + 53);
}

#[test]
fn json_has_vmcoreinfo_as_an_object() {
    let stdout = info(&vmcore(), &["--json"]).good();
    assert_eq!(keys(&stdout).join(" "), "format size ranges vmcoreinfo");
    let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(value["format"], "elf");
    assert_eq!(value["ranges"].as_array().unwrap().len(), 53);
    assert_eq!(value["vmcoreinfo"]["OSRELEASE"], "6.12.117-iommucorpus");
    assert_eq!(value["vmcoreinfo"]["NUMBER(phys_base)"], "0");
    assert_eq!(value["vmcoreinfo"].as_object().unwrap().len(), 105);
    assert!(stdout.contains(r#""vmcoreinfo":{"OSRELEASE":"#), "in the order of the dump");
}

#[test]
fn invalid_dump_cut_short_is_partial() {
    let bytes = vmcore();
    let cut = info(&bytes[..0x18_0000], &[]);
    assert_eq!((cut.status, cut.stderr.as_str()), (1, ""));
    let expected = "cut short at 1572864 of 1724416 bytes; 148 KiB in 10 ranges behind the end of the file";
    assert_eq!(line(&cut, "dump"), expected);
    // In JSON the same is told aside.
    let cut = info(&bytes[..0x18_0000], &["--json"]);
    let told: Vec<String> = expected.split("; ").map(|amiss| format!("iopt: {amiss}")).collect();
    assert_eq!((cut.status, cut.json().len()), (1, 1));
    assert!(cut.stderr.lines().eq(&told), "{}", cut.stderr);
}

#[test]
fn invalid_dump_that_makedumpfile_could_not_end_is_partial() {
    let mut bytes = vmcore();
    // The lowest bit of e_flags.
    bytes[48] |= 1;
    let marked = info(&bytes, &[]);
    assert_eq!((marked.status, line(&marked, "dump").as_str()), (1, "marked as incomplete by makedumpfile"));
}

#[test]
fn what_a_filter_left_out_is_told_and_nothing_is_wrong() {
    let mut bytes = vmcore();
    // p_memsz of the last of 54 program headers.
    let at = 64 + 53 * 56 + 40;
    bytes[at..at + 8].copy_from_slice(&0x5000u64.to_le_bytes());
    let filtered = info(&bytes, &[]);
    assert_eq!(filtered.status, 0);
    assert_eq!(line(&filtered, "dump"), "8 KiB in 1 range left out by the tool that wrote the image");
}

#[test]
fn invalid_notes_are_told() {
    let mut bytes = vmcore();
    // The size of what the first note says.
    let at = 0xc10 + 4;
    bytes[at..at + 4].fill(0xff);
    let noted = info(&bytes, &[]);
    assert_eq!((noted.status, line(&noted, "kernel").as_str()), (1, ""));
    assert!(line(&noted, "dump").starts_with("ELF note at offset 0xc10: expected 4294967315 bytes, found 3592"));
    assert!(info(&bytes, &["--json"]).json()[0]["vmcoreinfo"].is_null());
}

#[test]
fn what_a_dump_says_can_not_write_to_the_terminal() {
    let mut bytes = vmcore();
    let at = bytes.windows(10).position(|window| window == b"OSRELEASE=").unwrap() + 10;
    bytes[at..at + 4].copy_from_slice(b"\x1b[2J");
    bytes[at + 4] = 0xff;
    let escaped = info(&bytes, &[]).good();
    assert!(escaped.contains("\nkernel  \\x1b[2J\\xff"), "{escaped}");
    let json = info(&bytes, &["--json"]).good();
    assert!(json.contains(r#""OSRELEASE":"\u001b[2J"#) && !json.contains('\x1b'), "{json}");
}
