//! Wrong use and unreadable input: exit status 2, and one line that says what was expected and found.

mod common;

use common::{ROOT, SAMPLE, Sample, iopt_line, iopt_on, raw, run, save};
use std::ffi::OsStr;
use std::fs;

const SAMPLE_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sample/vfio-48.lime.xz");

#[test]
fn wrong_options_are_refused() {
    for (line, parts) in [
        ("", &["requires a subcommand", "info, devices, ranges, translate, interrupts, copy, dmar"][..]),
        ("audit", &["unrecognized subcommand 'audit'"]),
        ("ranges --rot 5", &["unexpected argument '--rot'", "tip:", "'--root'"]),
        ("ranges --root", &["a value is required for '--root <ADDR>'"]),
        ("ranges --root zz", &["'--root <ADDR>'", "expected a 64-bit address, 0x… or decimal", "found \"zz\""]),
        ("ranges --root 98c000", &["expected a 64-bit address"]),
        ("ranges --root 0x10000000000000000", &["expected a 64-bit address"]),
        ("ranges --cap 0xxyz", &["'--cap <HEX>'", "expected a 64-bit register value in hexadecimal"]),
        ("ranges --haw 0", &["'--haw <BITS>'", "1..=64"]),
        ("ranges --haw 65", &["'--haw <BITS>'", "1..=64"]),
        ("ranges --max-tables -1", &["'-1'"]),
        ("ranges --device 00:20.0", &["'--device <BDF>'", "expected a device as bb:dd.f"]),
        ("ranges --device 0001:00:08.0", &["expected a device of segment 0"]),
        ("ranges --by page", &["'page'", "both, iova"]),
        ("info --format vmem", &["expected raw, lime, avml, elf or kdump as the format, found \"vmem\""]),
        ("ranges --pasid 0x100000", &["expected a PASID of 20 bits"]),
        ("ranges --pasid five", &["'--pasid <N>'", "expected a PASID of 20 bits, 0x… or decimal", "found \"five\""]),
        ("ranges --pasid 5", &["expected no --pasid", "legacy mode", "found PASID 5"]),
        ("devices --pasid 0 --root 0 --root 0x1000", &["expected no --pasid", "legacy mode", "found PASID 0"]),
        ("ranges --cap 0 --cap 0", &["expected --cap not at all or once for each root (1), found 2"]),
        ("devices --root 0 --root 0x1000 --ecap 0", &["expected --ecap", "(2), found 1"]),
        ("translate", &["expected [IMAGE] BDF[@PASID] IOVA r|w", "found 0 arguments"]),
        ("translate 00:08.0 0x1000", &["found 2 arguments"]),
        ("translate a 00:08.0 0x1000 r w", &["found 5 arguments"]),
        ("translate --batch - a b", &["expected [IMAGE] beside --batch, found 2 arguments"]),
        ("translate 00:08 0x1000 r", &["expected a device as bb:dd.f", "found \"00:08\""]),
        ("translate 00:08.0 where r", &["expected a 64-bit address, 0x… or decimal, found \"where\""]),
        ("translate 00:08.0 0x1000 x", &["expected r or w as the access, found \"x\""]),
        ("translate 00:08.0@ 0x1000 r", &["expected a PASID of 20 bits, 0x… or decimal, found \"\""]),
        ("translate 00:08.0@0x100000 0x1000 r", &["expected a PASID of 20 bits", "found \"0x100000\""]),
        ("translate 00:08@5 0x1000 r", &["expected a device as bb:dd.f", "found \"00:08\""]),
        ("translate 00:08.0 0x1000 r --pasid 5", &["expected the PASID as BDF@PASID", "found --pasid 5"]),
        ("translate 00:08.0 0x1000 r --pasid 5 --root 0x1400", &["expected the PASID as BDF@PASID"]),
        ("translate --batch - --pasid 5", &["expected the PASID as BDF@PASID"]),
        ("translate 00:08.0 0x1000 r --device 00:08.0", &["found --device 00:08.0 too"]),
        ("--haw 48 devices --haw 12", &["'--haw <BITS>' cannot be used multiple times"]),
        ("--live devices --format raw", &["'--live' cannot be used with '--format <FORMAT>'"]),
        ("devices --live-from / --format raw", &["'--live-from <DIR>' cannot be used with '--format <FORMAT>'"]),
        ("ranges --haw wide", &["'--haw <BITS>'", "expected a number of bits in 1..=64, found \"wide\""]),
        ("ranges --max-runs many", &["'--max-runs <N>'", "expected a number of 64 bits", "found \"many\""]),
        ("info x --with y@99999999999999999999", &["expected a file, and behind @ a 64-bit address"]),
        ("translate --batch /nowhere/batch", &["/nowhere/batch: expected a batch of requests"]),
    ] {
        let refusal = iopt_line(line).refusal();
        assert!(parts.iter().all(|part| refusal.contains(part)), "{line}: {refusal}");
    }
}

#[test]
fn words_are_told_whatever_they_are_made_of() {
    for (words, told) in [
        (
            ["ranges", "--root", "a\n\nUsage: b"],
            "invalid value 'a\\n\\nUsage: b' for '--root <ADDR>': expected a 64-bit",
        ),
        (["ranges", "a", "--b  c"], "unexpected argument '--b  c' found"),
        (["ranges", "a", "--\u{1b}[1m\n"], "unexpected argument '--\\u{1b}[1m\\n' found"),
    ] {
        let refusal = run(words).refusal();
        assert!(refusal.starts_with(told), "{refusal}");
    }
}

#[cfg(unix)]
#[test]
fn words_need_not_be_utf_8() {
    use std::os::unix::ffi::OsStrExt;
    let word = |bytes| OsStr::from_bytes(bytes);
    let refusal = run([word(b"info"), word(b"--root=\xff")]).refusal();
    assert!(refusal.contains("'--root <ADDR>': expected a 64-bit address"), "{refusal}");
    // It is the file that is not there, and not the name that is refused.
    let refusal = run([word(b"info"), SAMPLE_FILE.as_ref(), word(b"--with"), word(b"\xff")]).refusal();
    assert!(refusal.contains("can't be opened"), "{refusal}");
    let refusal = run([word(b"info"), SAMPLE_FILE.as_ref(), word(b"--with"), word(b"\xff@0")]).refusal();
    assert!(refusal.contains("expected UTF-8 where @ and an address are behind a file"), "{refusal}");
}

#[test]
fn an_image_without_a_root_is_refused() {
    let image = save(&[0; 4096]);
    for command in ["devices", "ranges"] {
        let refusal = iopt_line(&format!("{command} {}", image.path().display())).refusal();
        assert!(refusal.contains("expected --root ADDR, the value of RTADDR_REG, found none"), "{refusal}");
    }
    let refusal = iopt_line(&format!("translate {} 00:08.0 0x1000 r", image.path().display())).refusal();
    assert!(refusal.contains("expected --root ADDR"), "{refusal}");
}

/// A root that can't be used is named before anything of another one is walked.
#[test]
fn roots_that_can_not_be_walked_are_refused_by_name() {
    for (root, parts) in [
        ("0x98c800", ["0x98c800", "extended mode"]),
        ("0x98cc00", ["0x98cc00", "abort-DMA mode"]),
        ("0x98c008", ["0x98c008", "4 KiB alignment"]),
    ] {
        for command in ["devices", "ranges --json", "translate 00:08.0 0x100000 r"] {
            let refusal = iopt_line(&format!("{command} --root {ROOT} --root {root}")).refusal();
            assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
        }
    }
}

#[test]
fn files_that_are_no_image_are_refused() {
    let truncated_xz = save(&SAMPLE[..SAMPLE.len() / 2]);
    let plain = Sample::new();
    let truncated_lime = save(&plain.bytes()[..plain.bytes().len() - 100]);
    for (image, part) in [
        (save(b""), "found an empty file"),
        (save(b"\x7fELF\x02\x01\x01"), "ELF header at offset 0x0: expected 64 bytes, found 7"),
        (save(b"KDUMP   "), "kdump file at offset 0x0: expected 464 bytes for the header, found 8"),
        (save(b"EMiL\x07\0\0\0"), "LiME header at offset 0x0"),
        (truncated_xz, "xz stream is damaged or cut short"),
        (truncated_lime, "missing at the end"),
    ] {
        for command in ["info", "devices", "ranges --json"] {
            let refusal = iopt_on(&image, "0x0", command).refusal();
            assert!(refusal.contains(part) && refusal.contains(image.path().to_str().unwrap()), "{refusal}");
        }
    }
}

#[test]
fn the_format_can_be_forced() {
    let image = raw(4, &[]);
    assert!(iopt_on(&image, "0x0", "info --format lime").refusal().contains("LiME header at offset 0x0"));
    assert!(iopt_on(&image, "0x0", "info --format elf").refusal().contains("ELF header at offset 0x0"));
    let elf = save(&[&b"\x7fELF"[..], &[0; 4092]].concat());
    assert_eq!(iopt_on(&elf, "0x0", "info --format raw --json").json()[0]["format"], "raw");
    assert_eq!(iopt_line("info --format raw --json").json()[0]["format"], "raw");
}

#[test]
fn paths_that_are_no_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("two\nlines");
    let refusal = run(["info".as_ref(), missing.as_os_str()]).refusal();
    assert!(refusal.contains("two\\nlines: can't be opened"), "{refusal}");
    assert!(run(["info".as_ref(), folder.path().as_os_str()]).refusal().contains("expected a regular file or a pipe"));
    assert!(iopt_line("info -").refusal().contains("expected the path of an image, found -"));
    assert!(iopt_line("ranges - --root 0").refusal().contains("found -"));
    fs::write(folder.path().join("batch"), "").unwrap();
    let folder = folder.path().display();
    assert!(iopt_line(&format!("translate --batch {folder}")).refusal().contains("expected a batch of requests"));
}
