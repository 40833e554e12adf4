//! Compares memory images page by page: `compare [--filtered] [--padded] REFERENCE IMAGE...`. Several IMAGEs are files
//! of the same memory; FILE@ADDR is a raw one whose first byte has that address.
//!
//! Each page of either must be there in both, with the same bytes. With `--filtered`, IMAGE may have left out pages, as
//! long as it says so; with `--padded` it may have more pages than REFERENCE, as long as they are empty: tools fill up
//! holes, and what lies beside memory in a page. Exits with 1 at a difference, and shows the first ten.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "a failure is a red test")]

use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ReadErrorKind, ranges};
use iopt_backends::{Image, OpenOptions, Stack};
use std::error::Error;
use std::process::ExitCode;

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let (options, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let [reference, files @ ..] = files.as_slice() else {
        return Err("usage: compare [--filtered] [--padded] REFERENCE IMAGE...".into());
    };
    let reference = open(reference)?;
    let image = Stack::new(files.iter().map(|file| open(file)).collect::<Result<_, _>>()?)?;
    let has = |option: &str| options.iter().any(|other| other == option);
    let mut found = Found::default();
    for addr in pages(&reference) {
        let mut pages = [Page::ZERO; 2];
        let [expected, page] = &mut pages;
        reference.read_page(addr, expected)?;
        match image.read_page(addr, page) {
            Ok(()) if pages[0].words() == pages[1].words() => found.equal += 1,
            Err(error) if has("--filtered") && error.kind == ReadErrorKind::Excluded => found.excluded += 1,
            Ok(()) => found.differs(addr, "other bytes"),
            Err(error) => found.differs(addr, &error.to_string()),
        }
    }
    for addr in pages(&image) {
        let mut page = Page::ZERO;
        if reference.read_page(addr, &mut page).is_ok() {
            continue;
        }
        let empty = image.read_page(addr, &mut page).is_ok() && page.words().iter().all(|word| word.get() == 0);
        if has("--padded") && empty {
            found.padding += 1;
        } else {
            found.differs(addr, "a page that the reference has not");
        }
    }
    let Found { equal, excluded, padding, different } = found;
    println!("{equal} pages equal, {excluded} left out by the filter, {padding} of padding, {different} different");
    Ok(if different == 0 && equal > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(file: &str) -> Result<Image, Box<dyn Error>> {
    let Some((file, base)) = file.split_once('@') else { return Ok(iopt_backends::open(file)?) };
    let base = PhysAddr(u64::from_str_radix(base.trim_start_matches("0x"), 16)?);
    Ok(OpenOptions::new().raw_base(base).open(file)?)
}

/// All pages that are there, ascending.
fn pages(memory: &impl PhysReader) -> impl Iterator<Item = PhysAddr> {
    ranges(memory)
        .flat_map(|range| (range.first().0 / 4096..=range.last().0 / 4096).map(|frame| PhysAddr(frame * 4096)))
}

#[derive(Default)]
struct Found {
    equal: u64,
    excluded: u64,
    padding: u64,
    different: u64,
}

impl Found {
    fn differs(&mut self, addr: PhysAddr, what: &str) {
        if self.different < 10 {
            eprintln!("page {addr}: expected the reference's, found {what}");
        }
        self.different += 1;
    }
}
