//! The committed inputs of each fuzz target, once through its check: those that reach the most, and past findings.

use arbitrary::{Arbitrary, Unstructured};
use iopt_model::Program;
use iopt_model::check::image::{
    check_any, check_avml, check_compressed, check_elf, check_kdump, check_lime, check_stack,
};
use iopt_model::check::{check_arguments, check_bytes, check_dmar, check_interrupts, check_program};
use iopt_model::heap::Counting;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

/// Without it no check of an image would see what is allocated.
#[global_allocator]
static COUNTING: Counting = Counting;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The names of what is in a folder of fuzz/, without extensions.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new("seeds").join(target);
    for name in names(folder.to_str().unwrap()) {
        let bytes = fs::read(fuzz().join(&folder).join(&name)).unwrap();
        if let Err(panic) = catch_unwind(|| check(&bytes)) {
            eprintln!("fuzz/seeds/{target}/{name}");
            resume_unwind(panic);
        }
    }
}

macro_rules! replay {
    ($($target:ident: $check:expr,)*) => {
        const TARGETS: &[&str] = &[$(stringify!($target)),*];
        $(#[test]
        fn $target() {
            replay(stringify!($target), $check);
        })*
    };
}

replay! {
    raw_walk: check_bytes,
    table_program: check_program_of,
    dmar: check_dmar,
    interrupts: check_interrupts,
    arguments: check_arguments,
    image_elf: check_elf,
    image_kdump: check_kdump,
    image_lime: check_lime,
    image_avml: check_avml,
    image_compressed: check_compressed,
    image_any: check_any,
    image_stack: check_stack,
}

/// As the fuzzer's macro does it.
fn check_program_of(bytes: &[u8]) {
    check_program(&Program::arbitrary_take_rest(Unstructured::new(bytes)).unwrap());
}

#[test]
fn every_target_has_seeds_and_a_line_in_the_list() {
    let targets: BTreeSet<String> = TARGETS.iter().map(ToString::to_string).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("seeds"), targets);
    let list = fs::read_to_string(fuzz().join("targets")).unwrap();
    let lines: Vec<Vec<&str>> = list.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.iter().map(|words| words[0].to_owned()).collect::<BTreeSet<_>>(), targets);
    let used: BTreeSet<String> = lines.iter().map(|words| words[2].to_owned()).filter(|name| name != "-").collect();
    assert_eq!(names("dictionaries"), used);
}

/// All of them are a clone's burden: few and small.
#[test]
fn seeds_stay_small() {
    let mut all = 0;
    for target in TARGETS {
        let folder = fuzz().join("seeds").join(target);
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        let bytes: u64 = files.sum();
        assert!(bytes > 0 && bytes <= 40 << 10, "{target}: {bytes} bytes");
        all += bytes;
    }
    assert!(all <= 300 << 10, "{all} bytes");
}
