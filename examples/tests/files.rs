//! Several files of the same memory, and files that say less than others about where their bytes are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic is a red test"
)]

mod common;

use common::{Run, corpus, iopt_fed, iopt_line, iopt_on, run, save};
use lzma_rust2::XzReader;
use serde_json::json;
use std::fs;
use std::io::Read;
use tempfile::NamedTempFile;

fn capture(name: &str) -> Vec<u8> {
    let compressed = fs::read(corpus().join(name)).unwrap();
    let mut bytes = Vec::new();
    XzReader::new(&compressed[..], true).read_to_end(&mut bytes).unwrap();
    bytes
}

fn path(file: &NamedTempFile) -> String {
    file.path().to_str().unwrap().to_owned()
}

fn split(part: usize) -> String {
    corpus().join(format!("kdump-on/vmcore.split-{part}.kdump-zlib.xz")).display().to_string()
}

/// What `info` tells for people, behind this word.
fn lines(run: &Run, name: &str) -> Vec<String> {
    run.stdout.lines().filter_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned())).collect()
}

#[test]
fn the_files_of_a_split_dump_have_the_ranges_of_the_whole() {
    let options = "--json --root 0xb37000 --cap 0xd2008c222f0606 --ecap 0xf00f4a --haw 48";
    let lime = corpus().join("kdump-on/vmcore.lime.xz").display().to_string();
    let expected = iopt_line(&format!("ranges {lime} {options}")).good();
    assert!(expected.lines().count() > 100);
    for [first, second, third] in [[1, 2, 3], [3, 1, 2]].map(|order| order.map(split)) {
        let line = format!("ranges {first} --with {second} {options} --with {third}");
        assert_eq!(iopt_line(&line).good(), expected);
    }
    // One file does not do.
    assert_eq!(iopt_line(&format!("ranges {} {options}", split(1))).status, 1);
}

#[test]
fn invalid_split_dump_without_a_part_is_partial() {
    let all = iopt_line(&format!("info {} --with {} --with {}", split(1), split(2), split(3)));
    assert_eq!((all.status, lines(&all, "missing")), (0, vec![]));
    assert_eq!(lines(&all, "format").len(), 3);
    let dump = lines(&all, "dump");
    assert!(dump[0].starts_with("page frames 0x0 up to 0x890 of a split dump"), "{dump:?}");
    assert_eq!(lines(&all, "memory"), ["1720 KiB in 60 ranges"]);
    let two = iopt_line(&format!("info {} --with {}", split(3), split(1)));
    assert_eq!((two.status, two.stderr.as_str()), (1, ""));
    assert_eq!(lines(&two, "missing"), ["the file of the split dump with page frames 0x890 up to 0xc50"]);
    let json = iopt_line(&format!("info --json {} --with {}", split(3), split(1)));
    assert_eq!((json.status, json.json().len()), (1, 1));
    assert_eq!(json.json()[0]["vmcoreinfo"]["OSRELEASE"], "6.12.117-iommucorpus");
}

#[test]
fn invalid_files_that_do_not_belong_together_are_refused() {
    let twice = iopt_line(&format!("info {} --with {}", split(1), split(1))).refusal();
    let expected =
        "expected files of the same memory (IMAGE is image 0): image 1: expected page frames outside the part";
    assert!(twice.starts_with(&format!("{}: {expected}", split(1))), "{twice}");
    let mut bytes = capture("kdump-on/vmcore.split-2.kdump-zlib.xz");
    bytes[200] ^= 1;
    let other = save(&bytes);
    let refusal = iopt_line(&format!("ranges --root 0 {} --with {}", split(1), path(&other))).refusal();
    assert!(refusal.starts_with(&format!("{}: ", path(&other))), "{refusal}");
    assert!(refusal.ends_with("found another utsname"), "{refusal}");
}

#[test]
fn a_raw_image_may_start_anywhere() {
    let file = save(&[0; 0x3000]);
    let info = |options: &str| iopt_on(&file, "0", &format!("info --json {options}"));
    for (options, start, last) in [
        ("", "0x0", "0x2fff"),
        ("--raw-base 0x100000000", "0x100000000", "0x100002fff"),
        ("--raw-base 4096", "0x1000", "0x3fff"),
        ("--raw-base 0xffffffffffffd000", "0xffffffffffffd000", "0xffffffffffffffff"),
    ] {
        let range = &info(options).json()[0]["ranges"][0];
        assert_eq!((&range["start"], &range["last"]), (&start.into(), &last.into()), "{options}");
    }
    let refusal = info("--raw-base 0xffffffffffffd001").refusal();
    assert!(refusal.contains("expected an image that ends in 64 bits, found 12288 bytes from"), "{refusal}");
    assert!(info("--raw-base high").refusal().contains("expected a 64-bit address"));
    let lime = iopt_line(&format!("info --raw-base 0 {}", corpus().join("legacy-pt/mem.lime.xz").display())).refusal();
    assert!(lime.contains("expected a raw image, to be put at 0x0, found the format lime"), "{lime}");
    for line in ["info --raw-base 0", "info --with x", "ranges --with x"] {
        assert!(iopt_line(line).refusal().contains("expected an IMAGE beside --with and --raw-base"), "{line}");
    }
}

/// The raw capture in three pieces.
#[test]
fn low_and_high_memory_in_files_of_their_own_are_one() {
    let raw = capture("legacy-48/mem.raw.xz");
    let (low, high) = raw.split_at(0x8f_7800);
    let (middle, high) = high.split_at(0x12_0000);
    let [low, middle, high] = [low, middle, high].map(save);
    let registers = "--root 0x8f7000 --json";
    let whole = iopt_line(&format!("ranges {} {registers}", corpus().join("legacy-48/mem.raw.xz").display()));
    assert!(whole.status == 0 && whole.stdout.lines().count() > 20);
    let line = format!(
        "ranges {} --raw-base 0x8f7800 --with {}@0xa17800 --with {} {registers}",
        path(&middle),
        path(&high),
        path(&low)
    );
    let stacked = iopt_line(&line);
    assert_eq!((stacked.status, stacked.stderr.as_str()), (0, ""));
    assert!(stacked.stdout == whole.stdout);
    let refusal = run(["info", &path(&low), "--with", "@0x0"]).refusal();
    assert!(refusal.contains("expected the path of a file"), "{refusal}");
    let absent = run(["info", &path(&low), "--with", "/nowhere/high@0x0"]).refusal();
    assert!(absent.starts_with("/nowhere/high: can't be opened"), "{absent}");
    assert!(run(["info", &path(&low), "--with", "-"]).refusal().contains("found -"));
}

#[test]
fn invalid_kdump_cut_short_is_partial() {
    let bytes = capture("kdump-on/vmcore.d31.kdump-zlib.xz");
    assert_eq!(bytes.len(), 80_835);
    let whole = run(["info", &path(&save(&bytes))]);
    assert_eq!((whole.status, whole.stderr.as_str()), (0, ""));
    let dump = &lines(&whole, "dump")[0];
    assert!(dump.ends_with("left out by the tool that wrote the image") && !dump.contains(';'), "{dump}");
    let file = save(&bytes[..70_000]);
    let cut = run(["info", &path(&file)]);
    assert_eq!((cut.status, cut.stderr.as_str()), (1, ""));
    assert!(lines(&cut, "dump")[0].contains("behind the end of the file"), "{}", cut.stdout);
    let json = run(["info", "--json", &path(&file)]);
    assert_eq!((json.status, json.json().len()), (1, 1));
    assert!(json.stderr.lines().all(|line| line.starts_with("iopt: ")), "{}", json.stderr);
    assert!(json.stderr.contains("behind the end of the file"), "{}", json.stderr);
}

#[test]
fn the_address_of_another_file_may_be_decimal_and_its_name_have_an_at() {
    let folder = tempfile::tempdir().unwrap();
    let (low, odd) = (folder.path().join("low.raw"), folder.path().join("odd@4096"));
    fs::write(&low, [0; 4096]).unwrap();
    fs::write(&odd, [0; 4096]).unwrap();
    let memory = |with: &str| {
        let line = format!("info --json {} --with {}", low.display(), folder.path().join(with).display());
        iopt_line(&line).json()[0]["ranges"].clone()
    };
    assert_eq!(
        memory("low.raw@8192"),
        json!([{"start": "0x0", "last": "0xfff"}, {"start": "0x2000", "last": "0x2fff"}])
    );
    assert_eq!(memory("odd@4096"), json!([{"start": "0x0", "last": "0xfff"}]));
    assert_eq!(memory("odd@4096@0x1000"), json!([{"start": "0x0", "last": "0x1fff"}]));
    let refused = run(["info", &low.display().to_string(), "--with", "nowhere@0x10000000000000000"]).refusal();
    assert!(refused.contains("expected a file, and behind @ a 64-bit address"), "{refused}");
}

/// For people, the two lines behind the size.
#[test]
fn each_format_tells_its_layout_and_whether_it_is_complete() {
    let raw = save(&[0; 4096]);
    let raw = raw.path().to_path_buf();
    for (file, format, dump) in [
        (corpus().join("legacy-pt/mem.avml.xz"), "avml, xz-compressed", "complete, but for blocks of zeros"),
        (corpus().join("legacy-pt/mem.lime.xz"), "lime, xz-compressed", "complete"),
        (
            corpus().join("legacy-pt/mem.kdump-zlib.xz"),
            "kdump, version 6, x86_64, flattened, pages in zlib, xz-compressed",
            "196832 KiB in 6 ranges left out by the tool that wrote the image",
        ),
        (
            corpus().join("kdump-on/vmcore.elf-flattened.xz"),
            "elf, 64-bit little-endian, flattened, xz-compressed",
            "complete",
        ),
        (raw, "raw", ""),
    ] {
        let run = iopt_line(&format!("info {}", file.display()));
        assert_eq!((run.status, lines(&run, "format")), (0, vec![format.to_owned()]));
        let found = lines(&run, "dump").concat();
        assert!(found.starts_with(dump) && found.is_empty() == dump.is_empty(), "{}: {found}", file.display());
    }
}

#[test]
fn invalid_copy_over_another_file_of_the_memory() {
    let image = corpus().join("vfio-48/mem.lime.xz");
    let other = save(&[0; 4096]);
    let line = format!(
        "copy {} --root 0x98c000 --with {}@0x100000000 --out {}",
        image.display(),
        other.path().display(),
        other.path().display()
    );
    assert!(iopt_line(&line).refusal().contains("expected another file as --out than"));
    assert_eq!(fs::read(other.path()).unwrap(), [0; 4096]);
}

#[cfg(unix)]
#[test]
fn an_image_may_come_through_a_pipe() {
    for name in ["legacy-pt/mem.lime.xz", "kdump-on/vmcore.elf-flattened.xz", "kdump-on/vmcore.d31.kdump-flattened.xz"]
    {
        let path = corpus().join(name);
        let expected = iopt_line(&format!("info --json {}", path.display())).good();
        assert_eq!(iopt_fed("info --json /dev/stdin", &fs::read(&path).unwrap()).good(), expected);
    }
    // One file of several, and of a stream without an end.
    let high = corpus().join("legacy-pt/mem.lime.xz");
    let stacked = iopt_fed(&format!("info --json {} --with /dev/stdin@0x100000000", high.display()), &[0; 8192]).json();
    let last = stacked[0]["ranges"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["start"], &last["last"]), (&"0x100000000".into(), &"0x100001fff".into()));
    let refusal = iopt_fed("info /dev/stdin", b"EMiL").refusal();
    assert!(refusal.contains("expected a header of 32 bytes, found the last 4 bytes of the file"), "{refusal}");
}
