//! Tables of a unit in scalable mode.

use super::raw;
use serde_json::Value;
use tempfile::NamedTempFile;

/// The root table is at 0x1000.
pub const ROOT: &str = "0x1400";

/// Context entries at 0x2000 for a table of three levels at 0xa000 (second stage) and one of four at 0xb000 (first
/// stage), used by:
///
/// * 00:00.0, whose requests may carry a PASID: 0 for those that carry none, 1, 5, 7, 9 and 8191;
/// * 00:00.1, whose requests may not: its own PASID table entry is missing, and one that it can't use is left over;
/// * 00:00.2, whose PASID directory is not in memory;
/// * 00:00.3, which uses 0xb000 as a second stage;
/// * 00:00.4, whose faults are not recorded.
pub fn words() -> Vec<(usize, u64)> {
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

pub fn image() -> NamedTempFile {
    raw(0x18, &words())
}

/// `source-id pasid` of each line.
pub fn whose(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| format!("{} {}", line["source_id"].as_str().unwrap(), line["pasid"])).collect()
}
