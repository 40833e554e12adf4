//! Tables with something wrong or unusual in them.

mod common;

use common::{ROOT, Sample, iopt_fed, iopt_line, iopt_on, keys, raw};
use serde_json::Value;

/// A root table at 0x1000 with two devices: 00:00.0, whose page table of 3 levels has one page at 0, and 00:00.1,
/// whose requests pass through.
const SMALL: [(usize, u64); 8] = [
    (0x1000, 0x2001),
    (0x2000, 0x3003),
    (0x2008, 0x0501),
    (0x2010, 0x0009),
    (0x2018, 0x0602),
    (0x3000, 0x4003),
    (0x4000, 0x5003),
    (0x5000, 0x7003),
];

#[test]
fn malformed_entries_stand_in_their_place() {
    // The first page of 00:08.0 gets a reserved bit: bit 7 of a level 1 entry is ignored, address bits are not.
    let sample = Sample::new();
    let path = iopt_line("translate 00:08.0 0x5000 r --json").json()[0]["path"].clone();
    let table = u64::from_str_radix(path[4]["table"].as_str().unwrap().strip_prefix("0x").unwrap(), 16).unwrap();
    let index = path[4]["index"].as_u64().unwrap();
    let entry = sample.word(table + 8 * index);
    let image = sample.with(table + 8 * index, entry | 1 << 50).save();

    let run = iopt_on(&image, ROOT, "ranges --json --haw 48 --device 00:08.0");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let line = run.stdout.lines().next().unwrap();
    let expected = format!(
        concat!(
            r#"{{"malformed":"reserved bits 0x4000000000000 are set","fault":"0x0c","level":2,"table":"{:#x}","#,
            r#""index":{},"entry":"{:#x}","source_id":"00:08.0","pasid":null,"iova":"0x0"}}"#
        ),
        table,
        index,
        entry | 1 << 50
    );
    assert_eq!(line, expected);
    let good: Vec<Value> = iopt_line("ranges --json --device 00:08.0").json();
    let rest = run.json().split_off(1);
    assert!(!rest.is_empty() && good.ends_with(&rest), "the walk goes on behind it");

    let run = iopt_on(&image, ROOT, "ranges --haw 48 --device 00:08.0");
    assert_eq!(run.status, 1);
    let fault = format!("00:08.0 iova 0x0 fault 0x0c LSL.2 at level 2 table {table:#x} entry {index}");
    assert!(run.stderr.starts_with(&fault) && run.stderr.lines().count() == 1, "{}", run.stderr);
    assert!(run.stdout.ends_with("mapped, 1 fault\n"), "{}", run.stdout);
    // Without the width, the bit is not judged: the table that it belongs to is what is missing.
    let run = iopt_on(&image, ROOT, "ranges --json --device 00:08.0");
    assert_eq!((run.status, &run.json()[0]["fault"]), (1, &Value::from("0x07")));
}

#[test]
fn devices_tells_malformed_root_and_context_entries() {
    let mut words = SMALL.to_vec();
    words.extend([(0x1010, 0x2001), (0x1018, 1), (0x2020, 0x300d), (0x2028, 1), (0x1020, 0x9_9001)]);
    let image = raw(6, &words);
    let run = iopt_on(&image, "0x1000", "devices --json");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let lines = run.json();
    let told = |line: &Value| line.get("malformed").unwrap_or(&line["source_id"]).as_str().unwrap().to_owned();
    assert_eq!(
        lines.iter().map(told).collect::<Vec<_>>(),
        [
            "00:00.0",
            "00:00.1",
            "TT is 11b, which is reserved",
            "reserved bits 0x10000000000000000 are set",
            "its table can't be read: page 0x99000 is not in the memory image (a hole)",
        ]
    );
    let context = concat!(
        r#"{"malformed":"TT is 11b, which is reserved","fault":"0x03","level":"context","table":"0x2000","index":2,"#,
        r#""entry":"0x1000000000000300d","source_id":"00:00.2","pasid":null,"iova":null}"#
    );
    assert_eq!(run.stdout.lines().nth(2), Some(context));
    assert_eq!(
        (&lines[3]["level"], &lines[3]["source_id"], &lines[3]["index"]),
        (&"root".into(), &Value::Null, &1.into())
    );

    let run = iopt_on(&image, "0x1000", "devices");
    let expected = "\
Unit 0  root 0x1000, legacy mode
  device   mode          levels  table           domain  notes
  00:00.0  second-stage  3       0x3000          5       faults not recorded
  00:00.1  pass-through  -       -               6
2 devices, 3 faults
";
    assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), (expected, 3));
}

#[test]
fn requests_that_pass_through_reach_everything() {
    let image = raw(8, &SMALL);
    let expected = "\
Unit 0  root 0x1000, legacy mode
00:00.0  domain 5  3-level second stage at 0x3000  faults not recorded
  0x0000000000 - 0x0000000fff       4 KiB  rw  -> 0x7000          (4 KiB pages)
00:00.1  domain 6  pass-through
  0x0000000000 - 0x7fffffffff     512 GiB  rw  -> 0x0             (no page tables)
2 devices (1 pass-through), 2 ranges, 4 KiB mapped, 0 faults
";
    assert_eq!(iopt_on(&image, "0x1000", "ranges --haw 39").good(), expected);
    let line = iopt_on(&image, "0x1000", "ranges --haw 64 --device 00:00.1 --json").good();
    let expected = concat!(
        r#"{"unit":0,"source_id":"00:00.1","pasid":null,"domain":6,"iova":"0x0","last":"0xffffffffffffffff","#,
        r#""phys":"0x0","size":18446744073709551616,"page":null,"read":true,"write":true}"#
    );
    assert_eq!(line.trim_end(), expected);
    let human = iopt_on(&image, "0x1000", "translate 00:00.1 0x1234 w").good();
    assert_eq!(human, "00:00.1 write 0x1234 -> 0x1234 (pass-through, rw)\n");
}

/// People see what of a range is no memory; the lines of JSON say what the tables map.
#[test]
fn interrupt_addresses_in_a_range_are_shown_for_what_they_are() {
    let mut words = SMALL[..3].to_vec();
    // 1 GiB over the interrupt addresses, and a page that leads into them.
    words.extend([(0x3018, 0x1_0000_0083), (0x3000, 0x4003), (0x4000, 0x5003), (0x5000, 0xfee0_0003)]);
    let image = raw(6, &words);
    let run = iopt_on(&image, "0x1000", "ranges");
    let expected = "\
Unit 0  root 0x1000, legacy mode
00:00.0  domain 5  3-level second stage at 0x3000  faults not recorded
  0x0000000000 - 0x0000000fff       4 KiB  rw  -> 0xfee00000      (4 KiB pages)
  0x0000000000 - 0x0000000fff       4 KiB  --  of it refused, since it leads to interrupt addresses
  0x00c0000000 - 0x00ffffffff       1 GiB  rw  -> 0x100000000     (1 GiB pages)
  0x00fee00000 - 0x00feefffff       1 MiB  --  of it interrupts, which never come to the tables
1 device, 2 ranges, 1 GiB mapped, 0 faults
";
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, expected, ""));
    assert_eq!(iopt_on(&image, "0x1000", "ranges --json").json().len(), 2);
}

#[test]
fn a_root_outside_of_the_image_is_a_fault() {
    let run = iopt_line("ranges --json --root 0x99000000");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let [line] = run.json().try_into().unwrap();
    assert_eq!((&line["fault"], &line["level"], &line["entry"]), (&"0x08".into(), &"root".into(), &Value::Null));
    let run = iopt_line("translate 00:08.0 0x1000 r --json --root 0x99000000");
    let [line] = run.json().try_into().unwrap();
    assert_eq!((run.status, &line["fault"], &line["path"]), (1, &"0x08".into(), &Value::Array(Vec::new())));
}

#[test]
fn the_budget_ends_the_walk() {
    let run = iopt_line("ranges --json --max-tables 3");
    assert_eq!(run.status, 1);
    let line = run.json().pop().unwrap();
    assert_eq!(line["malformed"], "the work budget of 3 tables is used up; the walk ends here");
    assert!(line["fault"].is_null());
    let run = iopt_line("ranges --max-tables 3");
    assert!(run.status == 1 && run.stderr.contains("budget of 3 tables"), "{}", run.stderr);
    assert_eq!(iopt_line("devices --json --max-tables 2").status, 0);
    assert_eq!(iopt_line("devices --json --max-tables 1").status, 1);
    for (options, told) in [("--max-runs 3", "3 runs"), ("--max-reads 4", "4 reads")] {
        let run = iopt_line(&format!("ranges {options}"));
        assert_eq!(run.status, 1, "{options}");
        assert!(run.stderr.contains(&format!("the work budget of {told} is used up; the walk ends here")), "{options}");
    }
}

#[test]
fn a_device_of_which_nothing_can_be_followed_is_not_called_empty() {
    let mut words = SMALL.to_vec();
    words[5].1 = 0x9_9003;
    let run = iopt_on(&raw(8, &words), "0x1000", "ranges --device 00:00.0");
    assert!(run.stdout.contains("\n  nothing mapped that can be followed\n"), "{}", run.stdout);
    assert!(run.status == 1 && run.stderr.contains("page 0x99000 is not in the memory image"), "{}", run.stderr);
}

#[test]
fn units_are_walked_in_the_order_of_their_roots() {
    let mut words = SMALL.to_vec();
    // A second unit at 0x6000, with a context table at 0x7000 of its own.
    words.extend([(0x6000, 0x7001), (0x7010, 0x3001), (0x7018, 0x0901), (0x7020, 0x3001), (0x7028, 0x0901)]);
    let image = raw(8, &words);
    let lines = iopt_on(&image, "0x6000", "devices --json --root 0x1000");
    let lines: Vec<String> = lines
        .json()
        .iter()
        .map(|line| format!("{} {} {} {}", line["unit"], line["source_id"], line["domain"], line["shares_with"]))
        .collect();
    let expected =
        [r#"0 "00:00.0" 5 null"#, r#"0 "00:00.1" 6 null"#, r#"1 "00:00.1" 9 null"#, r#"1 "00:00.2" 9 "00:00.1""#];
    assert_eq!(lines, expected);
    let human = iopt_on(&image, "0x6000", "ranges --root 0x1000").good();
    let units: Vec<&str> = human.lines().filter(|line| line.starts_with("Unit")).collect();
    assert_eq!(units, ["Unit 0  root 0x1000, legacy mode", "Unit 1  root 0x6000, legacy mode"]);

    // A request belongs to the first unit that knows its device.
    let both = |line: &str| iopt_on(&image, "0x6000", &format!("{line} --root 0x1000 --json")).json().remove(0);
    assert_eq!(both("translate 00:00.2 0x10 r")["phys"], "0x7010");
    assert_eq!(both("translate 00:00.1 0x10 r")["phys"], "0x10", "it passes through in the first");
    let unknown = both("translate 00:00.3 0x10 r");
    assert_eq!((&unknown["fault"], &unknown["path"][0]["table"]), (&"0x02".into(), &"0x1000".into()));

    // Registers belong to the root at the same place: the second unit has no 3-level tables.
    let sagaw = "devices --json --root 0x1000 --cap 2f0600 --cap 2f0400";
    let run = iopt_on(&image, "0x6000", sagaw);
    let malformed: Vec<bool> = run.json().iter().map(|line| line.get("malformed").is_some()).collect();
    assert_eq!((run.status, malformed.as_slice()), (1, &[false, false, true, true][..]));
}

#[test]
fn a_refused_request_comes_with_its_path() {
    let run = iopt_line("translate 00:08.0 0x300123 w --json");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let expected = concat!(
        r#"{"source_id":"00:08.0","pasid":null,"iova":"0x300123","access":"w","fault":"0x05","name":"LGN.2","#,
        r#""why":"the entry has no write permission","path":["#,
        r#"{"level":"root","table":"0x98c000","index":0,"entry":"0x9b3001"},"#,
        r#"{"level":"context","table":"0x9b3000","index":64,"entry":"0x702000000000202b001"},"#,
        r#"{"level":4,"table":"0x202b000","index":0,"entry":"0x2106003"},"#,
        r#"{"level":3,"table":"0x2106000","index":0,"entry":"0xe09003"},"#,
        r#"{"level":2,"table":"0xe09000","index":1,"entry":"0xdd6003"},"#,
        r#"{"level":1,"table":"0xdd6000","index":256,"entry":"0x0"}]}"#
    );
    assert_eq!(run.stdout.trim_end(), expected);
    let expected = "\
00:08.0 write 0x200123 refused, fault 0x05 LGN.2: the entry has no write permission
  root     table 0x98c000        entry   0 = 0x9b3001
  context  table 0x9b3000        entry  64 = 0x702000000000202b001
  level 4  table 0x202b000       entry   0 = 0x2106003
  level 3  table 0x2106000       entry   0 = 0xe09003
  level 2  table 0xe09000        entry   1 = 0xdd6003
  level 1  table 0xdd6000        entry   0 = 0x1ac4001
";
    assert!(iopt_line("translate 00:08.0 0x200123 w").stdout.ends_with(expected));
}

#[test]
fn a_request_for_which_hardware_has_no_reason_has_no_code() {
    let line = iopt_line("translate 00:08.0 0xfee00000 w --json").json().remove(0);
    assert!(line["fault"].is_null() && line["name"].is_null());
    assert!(line["why"].as_str().unwrap().contains("interrupt range"));
    assert_eq!(line["path"].as_array().unwrap().len(), 0, "no table was looked at");
}

#[test]
fn a_translation_is_one_line() {
    let expected = concat!(
        r#"{"source_id":"00:08.0","pasid":null,"iova":"0x100123","access":"r","phys":"0x1966123","page":4096,"#,
        r#""read":true,"write":true}"#
    );
    assert_eq!(iopt_line("translate 0000:00:08.0 1048867 r --json").good().trim_end(), expected);
    let human = iopt_line("translate 00:08.0 0x40000001 w").good();
    assert!(human.lines().nth(1).unwrap().ends_with(" (2 MiB page, rw)"), "{human}");
    let image = Sample::new().save();
    let run = iopt_on(&image, ROOT, "translate 00:08.0 0x100123 r");
    assert_eq!(run.good(), "00:08.0 read 0x100123 -> 0x1966123 (4 KiB page, rw)\n");
}

#[test]
fn a_batch_goes_on_behind_bad_lines() {
    let input = b"# requests\n\n00:08.0 0x100123 r\r\n  00:1e.0\t0x1000 r\nnonsense\n00:08.0 0x100123\x1b x\n\
        00:08.0@0x100000 0x100123 r\n\xff\xfe\n00:08.0 0x100124 w";
    let run = iopt_fed("translate --batch - --json", input);
    assert_eq!(run.status, 2);
    let results: Vec<String> = run.stdout.lines().map(|line| keys(line).join(" ")).collect();
    let good = "source_id pasid iova access phys page read write";
    assert_eq!(results, [good, "source_id pasid iova access fault name why path", good]);
    let expected = "\
iopt: batch line 5: expected BDF[@PASID] IOVA r|w, found \"nonsense\"
iopt: batch line 6: expected r or w as the access, found \"x\"
iopt: batch line 7: expected a PASID of 20 bits, 0x… or decimal, found \"0x100000\"
iopt: batch line 8: expected BDF[@PASID] IOVA r|w, found \"\u{fffd}\u{fffd}\"
";
    assert_eq!(run.stderr, expected);

    let run = iopt_fed("translate --batch -", b"00:08.0 0x100123 r\n00:1e.0 0x1000 r\n");
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
    let run = iopt_fed("translate --batch -", b"00:08.0 0x100123 r\n");
    assert_eq!((run.status, run.stdout.lines().count()), (0, 2));
    assert_eq!(iopt_fed("translate --batch - --json", b"").good(), "");

    let file = common::save(b"00:08.0 0x100123 r\n");
    let batch = file.path().display();
    let run = iopt_on(&Sample::new().save(), ROOT, &format!("translate --batch {batch}"));
    assert_eq!(run.good(), "00:08.0 read 0x100123 -> 0x1966123 (4 KiB page, rw)\n");
}
