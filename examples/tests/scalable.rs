//! Units in scalable mode: devices with several PASIDs, one, and none.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a panic is a red test")]

mod common;

use common::{corpus, iopt_fed, iopt_line, iopt_on, raw};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

/// The root table is at 0x1000.
const ROOT: &str = "0x1400";

/// Context entries at 0x2000 for a table of three levels at 0xa000 (second stage) and one of four at 0xb000 (first
/// stage), used by:
///
/// * 00:00.0, whose requests may carry a PASID: 0 for those that carry none, 1, 5, 7, 9 and 8191;
/// * 00:00.1, whose requests may not: its own PASID table entry is missing, and one that it can't use is left over;
/// * 00:00.2, whose PASID directory is not in memory;
/// * 00:00.3, which uses 0xb000 as a second stage;
/// * 00:00.4, whose faults are not recorded.
fn words() -> Vec<(usize, u64)> {
    let mut words = vec![
        (0x1000, 0x2001),
        (0x2000, 0x4009),
        (0x2020, 0x6001),
        (0x2040, 0x9_9001),
        (0x2060, 0x1_1001),
        (0x2080, 0x1_4001),
        (0x4000, 0x5001),
        (0x43f8, 0x1_3001),
        (0x6000, 0x7001),
        (0x1_1000, 0x1_2001),
        (0x1_4000, 0x1_5001),
        // First stage: 2 MiB at the beginning, and 2 MiB at the beginning of the last 512 GiB, read only.
        (0xb000, 0xc007),
        (0xbff8, 0xd007),
        (0xc000, 0xe007),
        (0xe000, 0x20_0087),
        (0xd000, 0xf007),
        (0xf000, 0x40_0085),
        // Second stage: 2 MiB at the beginning.
        (0xa000, 0x1_0003),
        (0x1_0000, 0x60_0083),
    ];
    for (at, entry) in [
        (0x5000, [0xa085, 1, 0]),
        (0x5000 + 64, [0x41, 2, 0xb000]),
        (0x5000 + 64 * 5, [0x101, 3, 0]),
        (0x5000 + 64 * 7, [0x1c3, 4, 0xb000]),
        (0x5000 + 64 * 9, [0x41, 2, 0xb000]),
        (0x1_3000 + 64 * 63, [0x101, 3, 0]),
        (0x7000 + 64 * 3, [0xa085, 5, 0]),
        (0x1_2000, [0xb089, 6, 0]),
        (0x1_5000, [0xa087, 1, 0]),
    ] {
        words.extend((0..).step_by(8).zip(entry).map(|(offset, word)| (at + offset, word)));
    }
    words
}

fn image() -> NamedTempFile {
    raw(0x18, &words())
}

fn json_of(line: &str) -> Vec<Value> {
    iopt_on(&image(), ROOT, &format!("{line} --json")).json()
}

/// `source-id pasid` of each line.
fn whose(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| format!("{} {}", line["source_id"].as_str().unwrap(), line["pasid"])).collect()
}

#[test]
fn devices_have_a_row_for_each_pasid() {
    let run = iopt_on(&image(), ROOT, "devices");
    let expected = "\
Unit 0  root 0x1000, scalable mode
  device        mode          levels  table           domain  notes
  00:00.0       second-stage  3       0xa000          1
  00:00.0@1     first-stage   4       0xb000          2
  00:00.0@5     pass-through  -       -               3
  00:00.0@9     first-stage   4       0xb000          2       shares its table with 00:00.0@1
  00:00.0@8191  pass-through  -       -               3
  00:00.1       blocked       -       -               -       the PASID table entry is not present
  00:00.1@3     blocked       -       -               5       the device's PASIDE is 0
  00:00.3       second-stage  4       0xb000          6
  00:00.4       second-stage  3       0xa000          1       shares its table with 00:00.0, faults not recorded
4 devices with 9 PASIDs, 2 faults
";
    assert_eq!((run.status, run.stdout.as_str()), (1, expected));
    let entry = "0xb000000000000000000400000000000001c3";
    let expected = format!(
        "00:00.0@7 fault 0x5b SPT.4.x at PASID table table 0x5000 entry 7 = {entry}: PGTT is reserved (expected 1 to \
         4), not recorded (FPD)\n\
         00:00.2@0 fault 0x50 SPD.1 at context table 0x2000 entry 2 = 0x99001: its table can't be read: page 0x99000 \
         is not in the memory image (a hole)\n"
    );
    assert_eq!(run.stderr, expected);
}

#[test]
fn lines_of_devices_have_the_number_of_the_entry() {
    let run = iopt_on(&image(), ROOT, "devices --json");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let expected = concat!(
        r#"{"unit":0,"source_id":"00:00.0","pasid":0,"mode":"second-stage","levels":3,"domain":1,"table":"0xa000","#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.0","pasid":1,"mode":"first-stage","levels":4,"domain":2,"table":"0xb000","#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.0","pasid":5,"mode":"pass-through","levels":null,"domain":3,"table":null,"#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"malformed":"PGTT is reserved (expected 1 to 4)","fault":"0x5b","level":"pasid-table","table":"0x5000","#,
        r#""index":7,"entry":"0xb000000000000000000400000000000001c3","source_id":"00:00.0","pasid":7,"iova":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.0","pasid":9,"mode":"first-stage","levels":4,"domain":2,"table":"0xb000","#,
        r#""ats":false,"fault_disabled":false,"shares_with":"00:00.0"}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.0","pasid":8191,"mode":"pass-through","levels":null,"domain":3,"table":null,"#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.1","pasid":0,"mode":"blocked","levels":null,"domain":null,"table":null,"#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.1","pasid":3,"mode":"blocked","levels":null,"domain":5,"table":null,"#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"malformed":"its table can't be read: page 0x99000 is not in the memory image (a hole)","fault":"0x50","#,
        r#""level":"context","table":"0x2000","index":2,"entry":"0x99001","source_id":"00:00.2","pasid":0,"iova":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.3","pasid":0,"mode":"second-stage","levels":4,"domain":6,"table":"0xb000","#,
        r#""ats":false,"fault_disabled":false,"shares_with":null}"#,
        "\n",
        r#"{"unit":0,"source_id":"00:00.4","pasid":0,"mode":"second-stage","levels":3,"domain":1,"table":"0xa000","#,
        r#""ats":false,"fault_disabled":true,"shares_with":"00:00.0"}"#,
        "\n",
    );
    assert_eq!(run.stdout, expected);
}

#[test]
fn ranges_stand_under_their_pasid() {
    let run = iopt_on(&image(), ROOT, "ranges --haw 39");
    let expected = "\
Unit 0  root 0x1000, scalable mode
00:00.0  domain 1  3-level second stage at 0xa000
  0x0000000000 - 0x00001fffff       2 MiB  rw  -> 0x600000        (2 MiB pages)
00:00.0@1  domain 2  4-level first stage at 0xb000
  0x0000000000000000 - 0x00000000001fffff       2 MiB  rw  -> 0x200000        (2 MiB pages)
  0xffffff8000000000 - 0xffffff80001fffff       2 MiB  r-  -> 0x400000        (2 MiB pages)
00:00.0@5  domain 3  pass-through
  0x0000000000 - 0x7fffffffff     512 GiB  rw  -> 0x0             (no page tables)
00:00.0@9  domain 2  4-level first stage at 0xb000  shares its table with 00:00.0@1
  0x0000000000000000 - 0x00000000001fffff       2 MiB  rw  -> 0x200000        (2 MiB pages)
  0xffffff8000000000 - 0xffffff80001fffff       2 MiB  r-  -> 0x400000        (2 MiB pages)
00:00.0@8191  domain 3  pass-through
  0x0000000000 - 0x7fffffffff     512 GiB  rw  -> 0x0             (no page tables)
00:00.1  blocked: the PASID table entry is not present
00:00.1@3  domain 5  blocked: the device's PASIDE is 0
00:00.3  domain 6  4-level second stage at 0xb000
  0x000000000000 - 0x0000001fffff       2 MiB  rw  -> 0x200000        (2 MiB pages)
  0xff8000000000 - 0xff80001fffff       2 MiB  r-  -> 0x400000        (2 MiB pages)
00:00.4  domain 1  3-level second stage at 0xa000  shares its table with 00:00.0, faults not recorded
  0x0000000000 - 0x00001fffff       2 MiB  rw  -> 0x600000        (2 MiB pages)
4 devices with 9 PASIDs (2 pass-through, 2 blocked), 10 ranges, 16 MiB mapped, 2 faults
";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.lines().count()), (1, expected, 2));
}

/// What is wrong with the next PASID does not make this one a PASID of which something can't be followed.
#[test]
fn a_pasid_with_empty_tables_has_nothing_mapped() {
    let mut words = words();
    words.extend([(0x5000 + 64 * 6, 0x1_8085), (0x5008 + 64 * 6, 8)]);
    let ranges = iopt_on(&raw(0x19, &words), ROOT, "ranges --device 00:00.0");
    let expected = "\n00:00.0@6  domain 8  3-level second stage at 0x18000\n  nothing mapped\n00:00.0@9";
    assert!(ranges.stdout.contains(expected), "{}", ranges.stdout);
    assert!(ranges.status == 1 && ranges.stderr.starts_with("00:00.0@7 fault 0x5b"), "{}", ranges.stderr);
    words.push((0x1_8000, 0x9_9003));
    let ranges = iopt_on(&raw(0x19, &words), ROOT, "ranges --device 00:00.0 --pasid 6");
    assert!(ranges.stdout.contains("\n  nothing mapped that can be followed\n"), "{}", ranges.stdout);
}

/// A blocked device reaches nothing: it has no line.
#[test]
fn lines_of_ranges_have_the_number_of_the_entry() {
    let lines = json_of("ranges");
    let expected = [
        "00:00.0 0",
        "00:00.0 1",
        "00:00.0 1",
        "00:00.0 5",
        "00:00.0 7",
        "00:00.0 9",
        "00:00.0 9",
        "00:00.0 8191",
        "00:00.2 0",
        "00:00.3 0",
        "00:00.3 0",
        "00:00.4 0",
    ];
    assert_eq!(whose(&lines), expected);
    let upper = json!({
        "unit": 0, "source_id": "00:00.0", "pasid": 1, "domain": 2, "iova": "0xffffff8000000000",
        "last": "0xffffff80001fffff", "phys": "0x400000", "size": 0x20_0000, "page": 0x20_0000, "read": true,
        "write": false,
    });
    assert_eq!(lines[2], upper);
    assert_eq!(lines[4]["malformed"], "PGTT is reserved (expected 1 to 4)");
}

#[test]
fn one_pasid_can_be_picked() {
    assert_eq!(whose(&json_of("devices --pasid 9")), ["00:00.0 9", "00:00.2 9"]);
    assert_eq!(whose(&json_of("devices --pasid 0 --device 00:00.4")), ["00:00.4 0"]);
    assert_eq!(whose(&json_of("devices --pasid 0x1fff")), ["00:00.0 8191", "00:00.2 8191"]);
    assert_eq!(whose(&json_of("ranges --pasid 1 --device 00:00.0")), ["00:00.0 1", "00:00.0 1"]);
    assert_eq!(iopt_on(&image(), ROOT, "devices --pasid 2 --device 00:00.0 --json").good(), "");
    // No more room than the longest name of what is listed.
    let expected = "\
Unit 0  root 0x1000, scalable mode
  device     mode          levels  table           domain  notes
  00:00.0@5  pass-through  -       -               3
1 device, 0 faults
";
    assert_eq!(iopt_on(&image(), ROOT, "devices --pasid 5 --device 00:00.0").good(), expected);
}

#[test]
fn whose_tables_they_are_is_told_of_the_whole_unit() {
    for options in ["--pasid 9", "--pasid 9 --device 00:00.0"] {
        assert_eq!(json_of(&format!("devices {options}"))[0]["shares_with"], "00:00.0", "{options}");
    }
    assert_eq!(json_of("devices --device 00:00.4")[0]["shares_with"], "00:00.0");
    assert_eq!(json_of("devices --pasid 1")[0]["shares_with"], Value::Null, "it is the first one");
    let ranges = iopt_on(&image(), ROOT, "ranges --pasid 9 --device 00:00.0").good();
    assert!(ranges.contains("\n00:00.0@9  domain 2  4-level first stage at 0xb000  shares its table with 00:00.0@1\n"));
}

#[test]
fn devices_with_nested_tables_name_both() {
    let mut words = words();
    words.extend([(0x20a0, 0x1_6001), (0x1_6000, 0x1_7001)]);
    words.extend([(0x1_7000, 0xa0c5), (0x1_7008, 7), (0x1_7010, 0xb004)]);
    // The same tables once more, and the same first stage over a second stage that has another number of levels.
    words.extend([(0x20c0, 0x1_6001), (0x20e0, 0x1_8001), (0x1_8000, 0x1_9001)]);
    words.extend([(0x1_9000, 0xa0c9), (0x1_9008, 7), (0x1_9010, 0xb004)]);
    let image = raw(0x1a, &words);
    let table = iopt_on(&image, ROOT, "devices").stdout;
    let expected = "
  00:00.5       nested        5       0xb000          7       over 3-level second stage at 0xa000
  00:00.6       nested        5       0xb000          7       \
                  over 3-level second stage at 0xa000, shares its tables with 00:00.5
  00:00.7       nested        5       0xb000          7       over 4-level second stage at 0xa000
";
    assert!(table.contains(expected), "{table}");
    let line = iopt_on(&image, ROOT, "devices --json --device 00:00.6").good();
    let expected = concat!(
        r#"{"unit":0,"source_id":"00:00.6","pasid":0,"mode":"nested","levels":5,"domain":7,"table":"0xb000","#,
        r#""ats":false,"fault_disabled":false,"shares_with":"00:00.5"}"#
    );
    assert_eq!(line.trim_end(), expected);
    let ranges = iopt_on(&image, ROOT, "ranges --device 00:00.5").stdout;
    let heading = "\n00:00.5  domain 7  5-level first stage at 0xb000 (guest) over 3-level second stage at 0xa000\n";
    assert!(ranges.contains(heading), "{ranges}");
}

#[test]
fn requests_go_where_their_pasid_leads() {
    let image = image();
    let human = |request: &str| iopt_on(&image, ROOT, &format!("translate {request}")).good();
    assert_eq!(human("00:00.0 0x1234 w"), "00:00.0 write 0x1234 -> 0x601234 (2 MiB page, rw)\n");
    assert_eq!(human("00:00.0@0 0x1234 w"), "00:00.0@0 write 0x1234 -> 0x601234 (2 MiB page, rw)\n");
    assert_eq!(
        human("00:00.0@1 0xffffff8000000010 r"),
        "00:00.0@1 read 0xffffff8000000010 -> 0x400010 (2 MiB page, r-)\n"
    );
    assert_eq!(human("00:00.0@0x1fff 0x1234 w"), "00:00.0@8191 write 0x1234 -> 0x1234 (pass-through, rw)\n");
    let line = iopt_on(&image, ROOT, "translate 0000:00:00.0@1 0x10 r --json").good();
    let expected = concat!(
        r#"{"source_id":"00:00.0","pasid":1,"iova":"0x10","access":"r","phys":"0x200010","page":2097152,"#,
        r#""read":true,"write":true}"#
    );
    assert_eq!(line.trim_end(), expected);
}

#[test]
fn requests_are_refused_with_the_reason_of_their_pasid() {
    let batch = "\
00:00.0@1 0xffffff8000000000 w
00:00.0@1 0x800000000000 r
00:00.0@7 0 r
00:00.0@8 0 r
00:00.0@64 0 r
00:00.0@8192 0 r
00:00.1 0 r
00:00.1@3 0 r
00:00.2 0 r
00:00.3@0 0 r
00:00.5@1 0 r
00:00.0 0xfee00000 r
00:00.0@1 0xfee00000 r
00:00.0@x 0 r
00:00.0@1 0 r
";
    let image = image();
    let run =
        iopt_fed(&format!("translate {} --root {ROOT} --batch - --json", image.path().display()), batch.as_bytes());
    let faults: Vec<String> = run.json().iter().map(|line| format!("{} {}", line["pasid"], line["fault"])).collect();
    let expected = [
        r#"1 "0x85""#,
        r#"1 "0x80""#,
        r#"7 "0x5b""#,
        r#"8 "0x59""#,
        r#"64 "0x51""#,
        r#"8192 "0x46""#,
        r#"null "0x59""#,
        r#"3 "0x45""#,
        r#"null "0x50""#,
        r#"0 "0x45""#,
        r#"1 "0x41""#,
        "null null",
        r#"1 "0x71""#,
        "1 null",
    ];
    assert_eq!(faults, expected);
    let told = "iopt: batch line 14: expected a PASID of 20 bits, 0x… or decimal, found \"x\"\n";
    assert_eq!((run.status, run.stderr.as_str()), (2, told));
    assert_eq!(run.json().pop().unwrap()["phys"], "0x200000", "what comes behind a wrong line is done");
}

#[test]
fn a_refused_request_shows_whole_entries() {
    let run = iopt_on(&image(), ROOT, "translate 00:00.0@7 0x1000 r");
    let expected = "\
00:00.0@7 read 0x1000 refused, fault 0x5b SPT.4.x: PGTT is reserved (expected 1 to 4), not recorded (FPD)
  root             table 0x1000          entry   0 = 0x2001
  context          table 0x2000          entry   0 = 0x4009
  PASID directory  table 0x4000          entry   0 = 0x5001
  PASID table      table 0x5000          entry   7 = 0xb000000000000000000400000000000001c3
";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (1, expected, ""));
    let run = iopt_on(&image(), ROOT, "translate 00:00.0@1 0xffffff8000000000 w --json");
    let expected = concat!(
        r#"{"source_id":"00:00.0","pasid":1,"iova":"0xffffff8000000000","access":"w","fault":"0x85","name":"SGN.6","#,
        r#""why":"the entry has no write permission","path":["#,
        r#"{"level":"root","table":"0x1000","index":0,"entry":"0x2001"},"#,
        r#"{"level":"context","table":"0x2000","index":0,"entry":"0x4009"},"#,
        r#"{"level":"pasid-directory","table":"0x4000","index":0,"entry":"0x5001"},"#,
        r#"{"level":"pasid-table","table":"0x5000","index":1,"entry":"0xb00000000000000000020000000000000041"},"#,
        r#"{"level":4,"table":"0xb000","index":511,"entry":"0xd007"},"#,
        r#"{"level":3,"table":"0xd000","index":0,"entry":"0xf007"},"#,
        r#"{"level":2,"table":"0xf000","index":0,"entry":"0x400085"}]}"#
    );
    assert_eq!((run.status, run.stdout.trim_end()), (1, expected));
}

#[test]
fn faults_that_are_not_recorded_are_told_so() {
    let refused = |request: &str| iopt_on(&image(), ROOT, &format!("translate {request}")).stdout;
    let reason = "fault 0x79 SSS.2: the entry has no read permission";
    let unmapped = refused("00:00.4 0x200000 r");
    let first = format!("00:00.4 read 0x200000 refused, {reason}, not recorded (FPD)\n");
    assert!(unmapped.starts_with(&first), "{unmapped}");
    // The same tables, without FPD on the way.
    assert!(refused("00:00.0 0x200000 r").starts_with(&format!("00:00.0 read 0x200000 refused, {reason}\n")));
    let line = iopt_on(&image(), ROOT, "translate 00:00.4 0x200000 r --json").stdout;
    assert_eq!(common::keys(&line).join(" "), "source_id pasid iova access fault name why path");
}

#[test]
fn a_request_with_pasid_is_a_fault_in_legacy_mode() {
    let run = iopt_line("translate 00:08.0@5 0x100000 r --json");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let [line] = run.json().try_into().unwrap();
    assert_eq!(line["why"], "the request has a PASID, which legacy mode does not translate");
    assert_eq!((&line["fault"], &line["pasid"], &line["path"]), (&json!("0x31"), &json!(5), &json!([])));
    let run = iopt_fed("translate --batch - --json", b"00:08.0@5 0x100000 r\n00:08.0 0x100000 r\n");
    let faults: Vec<Value> = run.json().iter().map(|line| line["fault"].clone()).collect();
    assert_eq!((run.status, run.stderr.as_str(), faults), (1, "", vec![json!("0x31"), Value::Null]));
}

/// A second unit, of legacy mode, with its root table at 0x18000: 00:00.2 and 00:00.6 in the tables at 0xa000.
#[test]
fn units_of_both_modes_stand_side_by_side() {
    let mut words = words();
    words.extend([(0x1_8000, 0x1_9001), (0x1_9020, 0xa001), (0x1_9028, 0x0801)]);
    words.extend([(0x1_9060, 0xa001), (0x1_9068, 0x0901)]);
    let image = raw(0x1a, &words);
    let run = |roots: [&str; 2], line: &str| iopt_on(&image, roots[1], &format!("{line} --json --root {}", roots[0]));
    let (both, reversed) = ([ROOT, "0x18000"], ["0x18000", ROOT]);

    // The option is about the unit that has PASIDs.
    let lines = run(both, "devices --pasid 5").json();
    assert_eq!(whose(&lines), ["00:00.0 5", "00:00.2 5", "00:00.2 null", "00:00.6 null"]);
    let refusal = iopt_on(&image, "0x18000", "devices --pasid 5").refusal();
    assert!(refusal.contains("expected no --pasid"), "{refusal}");

    // A device belongs to the first unit that has a context entry for it, whatever is wrong behind that.
    let translate = |roots, request: &str| run(roots, &format!("translate {request}")).json().remove(0);
    assert_eq!(translate(both, "00:00.2 0 r")["fault"], "0x50");
    assert_eq!(translate(reversed, "00:00.2 0 r")["phys"], "0x600000");
    assert_eq!(translate(both, "00:00.6 0 r")["phys"], "0x600000");
    assert_eq!(translate(reversed, "00:00.0@1 0 r")["phys"], "0x200000");
    // And all of its PASIDs belong there too.
    assert_eq!(translate(reversed, "00:00.2@1 0 r")["fault"], "0x31");
    assert_eq!(translate(both, "00:00.6@1 0 r")["fault"], "0x31");
    assert_eq!(translate(both, "00:00.1@3 0 r")["fault"], "0x45");
    // No unit has it: the first one tells why.
    assert_eq!(translate(both, "00:00.7@1 0 r")["fault"], "0x41");
    assert_eq!(translate(reversed, "00:00.7@1 0 r")["fault"], "0x31");
}

/// The same device behind two units is two devices.
#[test]
fn devices_are_counted_for_each_unit() {
    let table = iopt_on(&image(), ROOT, &format!("devices --root {ROOT} --device 00:00.4")).good();
    assert!(table.ends_with("\n2 devices, 0 faults\n"), "{table}");
}

#[test]
fn a_root_table_out_of_memory_is_a_fault_in_scalable_mode_too() {
    let run = iopt_on(&image(), "0x99400", "devices --json");
    let [line] = run.json().try_into().unwrap();
    assert_eq!((run.status, &line["fault"], &line["level"]), (1, &json!("0x38"), &json!("root")));
    // A unit that can't be in scalable mode has no tables to look at.
    let run = iopt_on(&image(), ROOT, "devices --json --cap 0 --ecap 0");
    let [line] = run.json().try_into().unwrap();
    assert_eq!((run.status, &line["fault"]), (1, &json!("0x30")));
}

#[test]
fn the_budget_is_for_tables_of_pasids_too() {
    let budget = |tables: u64| json_of(&format!("devices --max-tables {tables}")).pop().unwrap()["malformed"].clone();
    assert_eq!(budget(4), "the work budget of 4 tables is used up; the walk ends here");
    assert_eq!(budget(40), Value::Null);
}

/// A machine with one address space for each device: nothing is said about PASIDs.
#[test]
fn real_devices_with_one_pasid_each_look_as_in_legacy_mode() {
    let image = corpus().join("scalable-first-stage/mem.lime.xz");
    let on = |line: &str| iopt_line(&format!("{line} {} --root 0xb01400", image.display()));
    let expected = "\
Unit 0  root 0xb01000, scalable mode
  device   mode          levels  table           domain  notes
  00:00.0  first-stage   4       0xbcc000        2
  00:03.0  first-stage   4       0xbd1000        3
  00:04.0  first-stage   4       0xc32000        4
  00:05.0  first-stage   4       0xc39000        5
  00:06.0  first-stage   4       0xc3f000        6
  00:08.0  first-stage   4       0x2149000       7
  00:09.0  first-stage   4       0x22c3000       8
  00:0a.0  first-stage   4       0x22c3000       8       shares its table with 00:09.0
  00:1f.0  first-stage   4       0xc5b000        10
  00:1f.2  first-stage   4       0xc5b000        10      shares its table with 00:1f.0
  00:1f.3  first-stage   4       0xc5b000        10      shares its table with 00:1f.0
11 devices, 0 faults
";
    assert_eq!(on("devices").good(), expected);
    let expected = "\
Unit 0  root 0xb01000, scalable mode
00:0a.0  domain 8  4-level first stage at 0x22c3000  shares its table with 00:09.0
  0x0000000000000000 - 0x0000000000000fff       4 KiB  rw  -> 0x19c4000       (4 KiB pages)
  0x0000001000200000 - 0x00000010003fffff       2 MiB  rw  -> 0x3400000       (2 MiB pages)
  0x0000008000000000 - 0x0000008000000fff       4 KiB  r-  -> 0x19a4000       (4 KiB pages)
  0x00000fee00000000 - 0x00000fee001fffff       2 MiB  rw  -> 0x3400000       (2 MiB pages)
  0x0000400000000000 - 0x00004000003fffff       4 MiB  rw  -> 0x3400000       (2 MiB pages)
  0x00007ffffffff000 - 0x00007fffffffffff       4 KiB  rw  -> 0x19d2000       (4 KiB pages)
1 device, 6 ranges, 8 MiB mapped, 0 faults
";
    assert_eq!(on("ranges --device 00:0a.0").good(), expected);
}
