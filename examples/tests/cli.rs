//! Every command on the built-in sample, for people and as JSON.

mod common;

use common::{NOTE, ROOT, Run, SAMPLE, Sample, iopt, iopt_line, keys, save};
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

#[test]
fn info_tells_the_format_and_the_memory() {
    let stdout = iopt_line("info").good();
    let expected = "format  lime, xz-compressed\nsize    18204 bytes\ndump    complete\nmemory  692 KiB in 59 ranges\n";
    let ranges = stdout.strip_prefix(NOTE).unwrap().strip_prefix(expected).unwrap();
    assert_eq!(ranges.lines().count(), 59);
    assert_eq!(ranges.lines().next().unwrap(), "  0x000000000000 - 0x000000000fff         4 KiB");

    let stdout = iopt_line("info --json").good();
    assert!(
        stdout.starts_with(r#"{"format":"lime","size":18204,"ranges":[{"start":"0x0","last":"0xfff"},"#),
        "{stdout}"
    );
    assert!(stdout.ends_with("}],\"vmcoreinfo\":null}\n"), "{stdout}");
    assert_eq!(stdout.lines().count(), 1);
}

#[test]
fn an_image_needs_no_root_for_info() {
    let image = save(&[0; 0x3000]);
    let stdout = iopt_line(&format!("info {} --json", image.path().display()));
    let expected = r#"{"format":"raw","size":12288,"ranges":[{"start":"0x0","last":"0x2fff"}],"vmcoreinfo":null}"#;
    assert_eq!(stdout.good(), format!("{expected}\n"));
}

#[test]
fn devices_are_a_table() {
    let expected = "\
Unit 0  root 0x98c000, legacy mode
  device   mode          levels  table           domain  notes
  00:00.0  second-stage  4       0x9b2000        2
  00:03.0  second-stage  4       0x9b7000        3
  00:04.0  second-stage  4       0xa05000        4
  00:05.0  second-stage  4       0xa1b000        5
  00:06.0  second-stage  4       0xa30000        6
  00:08.0  second-stage  4       0x202b000       7
  00:09.0  second-stage  4       0xfb9000        8
  00:0a.0  second-stage  4       0xfb9000        8       shares its table with 00:09.0
  00:1f.0  second-stage  4       0xa48000        10
  00:1f.2  second-stage  4       0xa48000        10      shares its table with 00:1f.0
  00:1f.3  second-stage  4       0xa48000        10      shares its table with 00:1f.0
11 devices, 0 faults
";
    assert_eq!(iopt_line("devices").good(), format!("{NOTE}{expected}"));
}

#[test]
fn one_device_still_knows_with_whom_it_shares() {
    let line = concat!(
        r#"{"unit":0,"source_id":"00:1f.2","pasid":null,"mode":"second-stage","levels":4,"domain":10,"#,
        r#""table":"0xa48000","ats":false,"fault_disabled":false,"shares_with":"00:1f.0"}"#,
        "\n"
    );
    assert_eq!(iopt_line("devices --json --device 0000:00:1f.2").good(), line);
    assert_eq!(iopt_line("devices --json --device 00:1e.0").good(), "");
    let ranges = iopt_line("ranges --device 00:1f.2").good();
    let heading = "00:1f.2  domain 10  4-level second stage at 0xa48000  shares its table with 00:1f.0\n";
    assert!(ranges.contains(heading), "{ranges}");
    assert!(ranges.ends_with("\n1 device, 8 ranges, 16.5 MiB mapped, 0 faults\n"), "{ranges}");
}

#[test]
fn ranges_stand_under_their_device() {
    let expected = "\
Unit 0  root 0x98c000, legacy mode
00:0a.0  domain 8  4-level second stage at 0xfb9000  shares its table with 00:09.0
  0x000000000000 - 0x000000000fff       4 KiB  rw  -> 0x19d9000       (4 KiB pages)
  0x001000200000 - 0x0010003fffff       2 MiB  rw  -> 0x3200000       (2 MiB pages)
  0x008000000000 - 0x008000000fff       4 KiB  r-  -> 0x19e0000       (4 KiB pages)
  0x0fee00000000 - 0x0fee001fffff       2 MiB  rw  -> 0x3200000       (2 MiB pages)
  0x800000000000 - 0x8000003fffff       4 MiB  rw  -> 0x3200000       (2 MiB pages)
  0xfffffffff000 - 0xffffffffffff       4 KiB  rw  -> 0x19dd000       (4 KiB pages)
1 device, 6 ranges, 8 MiB mapped, 0 faults
";
    let stdout = iopt_line("ranges --device 00:0a.0").good();
    assert_eq!(stdout, format!("{NOTE}{expected}"));
    let stdout = iopt_line("ranges --device 00:00.0").good();
    assert!(stdout.contains("\n00:00.0  domain 2  4-level second stage at 0x9b2000\n  nothing mapped\n"), "{stdout}");
}

#[test]
fn ranges_can_be_joined_by_iova_alone() {
    let both = iopt_line("ranges --device 00:1f.0 --json --by both").json();
    let iova = iopt_line("ranges --device 00:1f.0 --json --by iova").json();
    assert_eq!((both.len(), iova.len()), (8, 7));
    assert_eq!(iova[1]["iova"], "0xfff40000");
    assert_eq!(iova[1]["last"], "0xfff56fff");
    assert!(iova[1]["phys"].is_null() && iova[0]["phys"] == "0x0");
    let human = iopt_line("ranges --device 00:1f.0 --by iova").good();
    assert!(human.contains("      92 KiB  rw  -> scattered       (4 KiB pages)\n"), "{human}");
}

#[test]
fn keys_stand_in_the_order_of_the_contract() {
    let first = |line| keys(iopt_line(line).stdout.lines().next().unwrap()).join(" ");
    assert_eq!(first("info --json"), "format size ranges vmcoreinfo");
    assert_eq!(first("devices --json"), "unit source_id pasid mode levels domain table ats fault_disabled shares_with");
    assert_eq!(first("ranges --json"), "unit source_id pasid domain iova last phys size page read write");
    assert_eq!(first("translate 00:08.0 0x100000 r --json"), "source_id pasid iova access phys page read write");
    assert_eq!(first("translate 00:08.0 0x5000 r --json"), "source_id pasid iova access fault name why path");
    assert_eq!(
        first("devices --json --root 0x99000000"),
        "malformed fault level table index entry source_id pasid iova"
    );
}

#[test]
fn the_sample_can_also_be_given_as_a_file() {
    let compressed = save(SAMPLE);
    let plain = Sample::new().save();
    for image in [&compressed, &plain] {
        let path = image.path().to_str().unwrap();
        let registers = "--cap d2008c222f0606 --ecap 0xf42 --haw 48 --root 0x98c000";
        let given = iopt_line(&format!("ranges {path} {registers} --json"));
        assert_eq!(given.good(), iopt_line("ranges --json").good());
        // Options may stand before the command too.
        let human = iopt_line(&format!("{registers} devices {path}")).good();
        assert_eq!(Some(human.as_str()), iopt_line("devices").good().strip_prefix(NOTE));
    }
}

#[test]
fn statistics_are_the_last_line_on_stderr() {
    let statistics = |line: &str| {
        let Run { status, stderr, .. } = iopt_line(line);
        assert_eq!(status & !1, 0);
        let last = stderr.lines().last().unwrap().to_owned();
        assert_eq!(keys(&last).join(" "), "tables leaves ranges faults pages_read bytes_lent elapsed_ns");
        let value: serde_json::Value = serde_json::from_str(&last).unwrap();
        ["tables", "leaves", "ranges", "faults", "pages_read"].map(|key| value[key].as_u64().unwrap())
    };
    let ranges = iopt_line("ranges --json").stdout.lines().count() as u64;
    let [tables, leaves, printed, faults, read] = statistics("ranges --json --stats");
    assert_eq!((leaves, printed, faults, read), (13360, ranges, 0, 0));
    assert!(tables >= 62, "{tables}");
    assert_eq!(statistics("devices --stats"), [2, 0, 0, 0, 0]);
    assert_eq!(statistics("translate 00:08.0 0x100000 r --stats"), [6, 1, 0, 0, 0]);
    assert_eq!(statistics("translate 00:08.0 0x5000 r --stats"), [6, 0, 0, 1, 0]);
    assert_eq!(statistics("info --stats"), [0; 5]);
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut child = iopt().arg("ranges").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, NOTE);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

/// The reader is gone before anything is written.
#[test]
fn a_pipe_that_was_never_read_ends_it_quietly() {
    for line in ["info", "devices --json", "ranges --json", "translate 00:08.0 0x100000 r", "copy --dry-run", "--help"]
    {
        let mut command = iopt();
        command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]), "{line}");
    }
}

#[test]
fn options_count_before_the_command_and_behind_it() {
    let devices = |line: &str| iopt_line(line).json().iter().map(|line| line["unit"].clone()).collect::<Vec<_>>();
    let both = devices(&format!("--root 0x98c000 --haw=48 devices --json --root {ROOT}"));
    assert_eq!(both, devices(&format!("devices --json --root {ROOT} --root {ROOT} --haw 48")));
    assert!(both.contains(&0.into()) && both.contains(&1.into()), "{both:?}");
}

#[test]
fn help_and_version_are_answers() {
    for line in ["--help", "help ranges", "translate -h", "--version"] {
        assert!(!iopt_line(line).good().is_empty());
    }
    let help = iopt_line("--help").good();
    assert!(["info", "devices", "ranges", "translate"].iter().all(|command| help.contains(command)));
}

#[test]
fn what_goes_to_a_file_has_no_colour() {
    assert!(["info", "devices", "ranges"].iter().all(|command| !iopt_line(command).stdout.contains('\x1b')));
}
