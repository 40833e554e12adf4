//! Measures the reader of kdump-compressed files against what any reader must do, in one run on the same file.
//!
//! `kdump_speed FILE --root ADDR [--rounds N] [--pages OUT]` prints JSON lines. Times are medians over rounds in which
//! everything is measured in turn. FILE is one that `generate_kdump` wrote. OUT gets the addresses of the pages that a
//! walk reads, one a line in the order of the walk, for another reader to be measured on.

#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "it measures on files of its own")]

use flate2::{Decompress, FlushDecompress, Status};
use iopt::coalesce::Join;
use iopt::memory::{Page, PhysReader, ReadError};
use iopt::vtd::{Rtaddr, Unit};
use iopt::{PhysAddr, PhysRange};
use iopt_backends::Image;
use iopt_model::measure::{self, stored_pages};
use std::cell::RefCell;
use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Instant;

const USAGE: &str = "usage: kdump_speed FILE --root ADDR [--rounds N] [--pages OUT]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (mut file, mut root, mut rounds, mut out) = (None, None, 9, None);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--root" => root = Some(u64::from_str_radix(value()?.trim_start_matches("0x"), 16)?),
            "--rounds" => rounds = value()?.parse()?,
            "--pages" => out = Some(value()?),
            _ => file = Some(argument),
        }
    }
    let (file, unit) = (file.ok_or(USAGE)?, Unit::new(Rtaddr(root.ok_or(USAGE)?))?);

    // First of all, so that nothing else is in memory yet.
    let image = iopt_backends::open(&file)?;
    measure::ranges(&unit, &image, Join::Both);
    let bitmaps = bitmap_bytes(&image);
    let decompressions = image.kdump().ok_or("expected a kdump-compressed file")?.decompressions();
    println!(
        "{{\"file_bytes\":{},\"bitmap_bytes\":{bitmaps},\"peak_resident_bytes\":{}}}",
        image.size(),
        peak_resident().ok_or("expected VmHWM in /proc/self/status")?
    );

    let pages = pages(&unit, &image);
    println!("{{\"table_pages\":{},\"decompressions\":{decompressions}}}", pages.len());
    if let Some(out) = out {
        fs::write(out, pages.iter().map(|page| format!("{page}\n")).collect::<String>())?;
    }
    let stored = stored_pages(image.as_bytes(), &pages);
    let stored: Vec<_> = stored.into_iter().filter_map(|(page, compressed)| compressed.then_some(page)).collect();
    let mut times: [Vec<f64>; 6] = Default::default();
    for _ in 0..rounds {
        let fresh = [iopt_backends::open(&file)?, iopt_backends::open(&file)?];
        let [headers, open, memory, limit, walk, read] = &mut times;
        time(headers, || read_headers(&file, bitmaps));
        time(open, || iopt_backends::open(&file));
        let in_memory: Vec<&[u8]> = stored.iter().filter_map(|page| image.as_bytes().get(page.clone())).collect();
        time(memory, || {
            let mut decompressor = Decompressor::new();
            in_memory.iter().all(|stored| decompressor.page(stored))
        });
        time(limit, || decompress_all(&file, &stored).is_ok_and(|done| done));
        time(walk, || measure::ranges(&unit, &fresh[0], Join::Both));
        time(read, || read_all(&fresh[1], &pages));
    }
    let [headers, open, memory, limit, walk, read] = times.map(median);
    println!("{{\"limit\":\"read headers and bitmaps\",\"ns\":{headers:.0}}}");
    println!("{{\"measure\":\"open\",\"ns\":{open:.0},\"times_limit\":{:.2}}}", open / headers);
    println!("{{\"limit\":\"decompress table pages that are in memory\",\"ns\":{memory:.0}}}");
    println!("{{\"limit\":\"read and decompress table pages\",\"ns\":{limit:.0}}}");
    for (name, time) in [("ranges", walk), ("read table pages", read)] {
        let (times, times_memory) = (time / limit, time / memory);
        println!(
            "{{\"measure\":\"{name}\",\"ns\":{time:.0},\"times_limit\":{times:.2},\"times_memory\":{times_memory:.2}}}"
        );
    }
    Ok(())
}

fn time<T>(times: &mut Vec<f64>, run: impl FnOnce() -> T) {
    let start = Instant::now();
    // Dropped when the time is known.
    let _result = black_box(run());
    times.push(start.elapsed().as_secs_f64() * 1e9);
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Size of both bitmaps.
fn bitmap_bytes(image: &Image) -> usize {
    let frames = image.kdump().map_or(0, |kdump| kdump.header().max_mapnr);
    usize::try_from(2 * 4096 * frames.div_ceil(8 * 4096)).unwrap_or(0)
}

fn read_headers(file: &str, bitmaps: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; 2 * 4096 + bitmaps];
    File::open(file)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn decompress_all(file: &str, stored: &[Range<usize>]) -> Result<bool, Box<dyn Error>> {
    let file = File::open(file)?;
    let mut decompressor = Decompressor::new();
    let mut room = [0; Page::SIZE];
    for page in stored {
        file.read_exact_at(&mut room[..page.len()], page.start as u64)?;
        if !decompressor.page(&room[..page.len()]) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Of pages one by one, as any reader has to.
struct Decompressor {
    zlib: Decompress,
    page: [u8; Page::SIZE],
}

impl Decompressor {
    fn new() -> Self {
        Self { zlib: Decompress::new(true), page: [0; Page::SIZE] }
    }

    /// Whether it could be decompressed.
    fn page(&mut self, stored: &[u8]) -> bool {
        self.zlib.reset(true);
        let done = self.zlib.decompress(stored, &mut self.page, FlushDecompress::Finish);
        black_box(&self.page);
        done.is_ok_and(|status| status == Status::StreamEnd)
    }
}

fn read_all(image: &Image, pages: &[PhysAddr]) -> usize {
    let mut page = Page::ZERO;
    pages.iter().filter(|addr| image.read_page(**addr, &mut page).is_ok()).count()
}

/// The most memory that this process ever had, pages of mapped files included.
fn peak_resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// The pages that a walk reads, each once, in its order.
fn pages(unit: &Unit, image: &Image) -> Vec<PhysAddr> {
    let recorder = Recorder { image, read: RefCell::default() };
    measure::ranges(unit, &recorder, Join::Both);
    let mut seen = HashSet::new();
    recorder.read.into_inner().into_iter().filter(|page| seen.insert(*page)).collect()
}

struct Recorder<'i> {
    image: &'i Image,
    read: RefCell<Vec<PhysAddr>>,
}

impl PhysReader for Recorder<'_> {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.read.borrow_mut().push(addr.page());
        self.image.read_page(addr, page)
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        self.image.next_range(from)
    }
}
