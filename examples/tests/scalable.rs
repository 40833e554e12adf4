//! Units in scalable mode: listings of devices with several PASIDs, one, and none.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a panic is a red test")]

mod common;

use common::scalable::{ROOT, image, whose, words};
use common::{corpus, iopt_line, iopt_on, raw};
use serde_json::{Value, json};

fn json_of(line: &str) -> Vec<Value> {
    iopt_on(&image(), ROOT, &format!("{line} --json")).json()
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
        "00:00.0@7 fault 0x5b SPT.4.x at PASID table 0x5000 entry 7 = {entry}: PGTT is reserved (expected 1 to \
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
