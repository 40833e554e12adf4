//! Images that come through a pipe, which can be read only once.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a panic is a red test"
)]

mod common;

use common::{extent, lime_image, raw_image};
use iopt::PhysAddr;
use iopt::memory::{PhysReader, ranges};
use iopt_backends::{Compression, Format, Image, OpenError, OpenErrorKind, OpenOptions, Stage, open};
use std::fs::{self, OpenOptions as File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(name)
}

/// What opens when `bytes` are written to a pipe.
fn through_a_pipe(bytes: &[u8], options: OpenOptions) -> Result<Image, OpenError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut pipe = File::new().write(true).open(&path).unwrap();
            // In pieces; the reader may have enough before the end.
            let _ = bytes.chunks(777).try_for_each(|piece| pipe.write_all(piece));
        });
        options.open(&path)
    })
}

#[test]
fn every_format_comes_through_a_pipe() {
    for name in [
        "legacy-pt/mem.lime.xz",
        "legacy-pt/mem.avml.xz",
        "legacy-pt/mem.kdump-zlib.xz",
        "kdump-on/vmcore.elf.xz",
        "kdump-on/vmcore.elf-flattened.xz",
        "kdump-on/vmcore.d31.kdump-lzo.xz",
    ] {
        let file = open(corpus(name)).unwrap();
        let bytes = fs::read(corpus(name)).unwrap();
        for piped in [through_a_pipe(&bytes, OpenOptions::new()), OpenOptions::new().from_reader(&bytes[..])] {
            let piped = piped.unwrap();
            assert_eq!((piped.format(), piped.compression()), (file.format(), Some(Compression::Xz)));
            assert_eq!(piped.size(), bytes.len() as u64);
            assert!(ranges(&piped).eq(ranges(&file)) && piped.as_bytes() == file.as_bytes());
            assert!(piped.missing().eq(file.missing()));
        }
    }
    let raw = through_a_pipe(&raw_image(), OpenOptions::new()).unwrap();
    assert_eq!((raw.format(), extent(&raw)), (Format::Raw, vec![(0, 0x3063)]));
    assert!(raw.lend_page(PhysAddr(0x2000)).is_some());
}

#[test]
fn a_pipe_that_ends_early_is_a_file_that_is_cut_short() {
    let image = lime_image();
    let error = through_a_pipe(&image[..image.len() - 1], OpenOptions::new()).unwrap_err();
    assert!(matches!(error.kind, OpenErrorKind::Lime(_)) && error.path.is_some(), "{error}");
    assert!(matches!(through_a_pipe(b"", OpenOptions::new()).unwrap_err().kind, OpenErrorKind::Empty));
}

#[test]
fn the_limit_is_the_most_that_is_read() {
    let image = lime_image();
    let limit = image.len() as u64;
    assert!(through_a_pipe(&image, OpenOptions::new().decompressed_limit(limit)).is_ok());
    for error in [
        through_a_pipe(&image, OpenOptions::new().decompressed_limit(limit - 1)).unwrap_err(),
        OpenOptions::new().decompressed_limit(limit - 1).from_reader(io::repeat(0)).unwrap_err(),
    ] {
        let OpenErrorKind::StreamTooLarge { stage: Stage::Reading, limit: found } = error.kind else {
            panic!("{error}")
        };
        assert_eq!(found, limit - 1);
        assert!(error.to_string().ends_with("reading the image gives more than the limit of 16479 bytes"), "{error}");
    }
}

/// A stream that is interrupted, and then fails.
struct Failing(u32);

impl Read for Failing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.0 += 1;
        match self.0 {
            1 => Err(ErrorKind::Interrupted.into()),
            2 => {
                to[0] = 7;
                Ok(1)
            }
            _ => Err(ErrorKind::ConnectionReset.into()),
        }
    }
}

#[test]
fn invalid_stream_that_fails_is_told() {
    let error = OpenOptions::new().from_reader(Failing(0)).unwrap_err();
    assert!(matches!(&error.kind, OpenErrorKind::Read(error) if error.kind() == ErrorKind::ConnectionReset), "{error}");
    assert!(error.to_string().starts_with("can't be read: "), "{error}");
    let short = OpenOptions::new().from_reader(Failing(0).take(1)).unwrap();
    assert_eq!(short.as_bytes(), [7]);
}

static TOLD: AtomicU64 = AtomicU64::new(0);

/// A stream that takes its time.
struct Slow(u32);

impl Read for Slow {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        thread::sleep(std::time::Duration::from_millis(150));
        self.0 += 1;
        if self.0 > 2 { Ok(0) } else { io::repeat(1).read(&mut to[..100]) }
    }
}

#[test]
fn progress_is_told_of_what_takes_long() {
    let tell = OpenOptions::new().progress(|progress| {
        assert_eq!(progress.stage, Stage::Reading);
        assert!(!progress.elapsed.is_zero());
        TOLD.store(progress.bytes, Ordering::Relaxed);
    });
    tell.from_reader(Slow(0)).unwrap();
    assert_eq!(TOLD.load(Ordering::Relaxed), 200);
}
