//! Runs the built command, and builds the images that it reads.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

pub mod copying;
pub mod scalable;

use lzma_rust2::XzReader;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::NamedTempFile;

pub const SAMPLE: &[u8] = include_bytes!("../../sample/vfio-48.lime.xz");
pub const ROOT: &str = "0x98c000";
pub const NOTE: &str =
    "No IMAGE given: this is the built-in sample, a capture of a virtual machine with VFIO devices.\n";

pub fn iopt() -> Command {
    Command::new(env!("CARGO_BIN_EXE_iopt"))
}

/// A run that came to its end.
#[derive(Debug)]
pub struct Run {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    fn new(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self { status: output.status.code().unwrap(), stdout: String::from_utf8(output.stdout).unwrap(), stderr }
    }

    /// What was printed, after a run in which nothing was wrong.
    pub fn good(self) -> String {
        assert_eq!((self.status, self.stderr.as_str()), (0, ""), "{}", self.stdout);
        self.stdout
    }

    /// The lines of JSON.
    pub fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one line on stderr, after a run that was refused.
    pub fn refusal(self) -> String {
        assert_eq!(self.status, 2, "{self:?}");
        assert_eq!(self.stdout, "");
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        self.stderr.strip_prefix("iopt: ").unwrap().trim_end().to_owned()
    }
}

pub fn run<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    Run::new(iopt().args(arguments).stdin(Stdio::null()).output().unwrap())
}

/// Runs the words of `line`.
pub fn iopt_line(line: &str) -> Run {
    run(line.split_whitespace())
}

/// Runs the words of `line` on an image, of which the root table is at `root`.
pub fn iopt_on(image: &NamedTempFile, root: &str, line: &str) -> Run {
    let mut words: Vec<&OsStr> = line.split_whitespace().map(OsStr::new).collect();
    words.insert(1, image.path().as_os_str());
    words.extend(["--root", root].map(OsStr::new));
    run(words)
}

/// Runs the words of `line` with `input` on stdin.
pub fn iopt_fed(line: &str, input: &[u8]) -> Run {
    let mut command = iopt();
    command.args(line.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Run::new(child.wait_with_output().unwrap())
}

pub fn save(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The captures of real tables.
pub fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../backends/tests/corpus")
}

/// The sample, decompressed, to be changed.
pub struct Sample(Vec<u8>);

impl Sample {
    pub fn new() -> Self {
        let mut bytes = Vec::new();
        XzReader::new(SAMPLE, true).read_to_end(&mut bytes).unwrap();
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where in the file the byte at `addr` is.
    fn offset(&self, addr: u64) -> usize {
        let word = |at: usize| u64::from_le_bytes(self.0[at..at + 8].try_into().unwrap());
        let mut header = 0;
        loop {
            let (first, last) = (word(header + 8), word(header + 16));
            if (first..=last).contains(&addr) {
                return header + 32 + (addr - first) as usize;
            }
            header += 32 + (last - first + 1) as usize;
        }
    }

    /// The same memory with another value at `addr`.
    pub fn with(mut self, addr: u64, value: u64) -> Self {
        let offset = self.offset(addr);
        self.0[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        self
    }

    pub fn word(&self, addr: u64) -> u64 {
        let offset = self.offset(addr);
        u64::from_le_bytes(self.0[offset..offset + 8].try_into().unwrap())
    }

    pub fn save(&self) -> NamedTempFile {
        save(&self.0)
    }
}

/// A raw image of `pages` pages that holds these words.
pub fn raw(pages: usize, words: &[(usize, u64)]) -> NamedTempFile {
    let mut bytes = vec![0; pages << 12];
    for &(addr, value) in words {
        bytes[addr..addr + 8].copy_from_slice(&value.to_le_bytes());
    }
    save(&bytes)
}

/// The keys of a line of JSON as they stand there; all values of its objects are left out.
pub fn keys(line: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let (mut depth, mut text, mut start) = (0, false, 0);
    for (at, character) in line.char_indices() {
        match character {
            '"' => {
                text = !text;
                if text {
                    start = at + 1;
                } else if depth == 1 && line.get(at + 1..).unwrap_or_default().starts_with(':') {
                    keys.push(line.get(start..at).unwrap_or_default().to_owned());
                }
            }
            '{' | '[' if !text => depth += 1,
            '}' | ']' if !text => depth -= 1,
            _ => {}
        }
    }
    keys
}
