//! Requests in scalable mode, with and without PASID, and units of both modes side by side.
#![allow(clippy::unwrap_used, reason = "a panic is a red test")]

mod common;

use common::scalable::{ROOT, image, whose, words};
use common::{iopt_fed, iopt_line, iopt_on, raw};
use serde_json::{Value, json};

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
  PASID            table 0x5000          entry   7 = 0xb000000000000000000400000000000001c3
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
