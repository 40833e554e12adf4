//! Measures the walk of an image against the limits of the machine, in one run on the same pages.
//!
//! `throughput IMAGE --root ADDR [--rounds N] [--translations N]` prints JSON lines: first the limits, then
//! what iopt takes and how many times the limit that is. Times are medians over rounds in which everything is
//! measured in turn, so that noise falls on all alike.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "it works on numbers of its own making"
)]

use iopt::coalesce::{Coalescer, DeviceRanges, Join};
use iopt::memory::{Page, PhysReader};
use iopt::radix::{Run, Table};
use iopt::vtd::{AddressSpace, Device, Rtaddr, Unit};
use iopt::walk::{Flow, Scratch, Visitor};
use iopt::{Access, Iova, PhysAddr};
use iopt_backends::{Format, Image};
use iopt_model::limits::{independent_chains, read_words, serialised_chains};
use iopt_model::random_bytes;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let image = iopt_backends::open(&arguments.image)?;
    let unit = Unit::new(Rtaddr(arguments.root))?;
    let subject = Subject::find(&unit, &image, arguments.translations)?;
    let measures = measures();
    let mut times = vec![Vec::new(); measures.len()];
    for _ in 0..arguments.rounds {
        for (measure, times) in measures.iter().zip(&mut times) {
            let start = Instant::now();
            black_box((measure.run)(&unit, &image, &subject));
            times.push(start.elapsed().as_nanos() as f64);
        }
    }
    let medians: Vec<f64> = times.into_iter().map(median).collect();
    for (measure, median) in measures.iter().zip(&medians) {
        print(measure, *median, &measures, &medians, &subject);
    }
    Ok(())
}

struct Arguments {
    image: String,
    root: u64,
    rounds: usize,
    translations: usize,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let usage = "usage: throughput IMAGE --root ADDR [--rounds N] [--translations N]";
        let (mut image, mut root, mut rounds, mut translations) = (None, None, 15, 1_000_000);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(usage);
            match argument.as_str() {
                "--root" => root = Some(u64::from_str_radix(value()?.trim_start_matches("0x"), 16)?),
                "--rounds" => rounds = value()?.parse()?,
                "--translations" => translations = value()?.parse()?,
                _ => image = Some(argument),
            }
        }
        Ok(Self { image: image.ok_or(usage)?, root: root.ok_or(usage)?, rounds, translations })
    }
}

/// What is measured on.
struct Subject<'m> {
    /// The page tables, in the order in which a walk comes to them.
    visiting: Vec<&'m Page>,
    /// The same, by address.
    by_address: Vec<&'m Page>,
    leaves: u64,
    /// The device that most leaves belong to, and addresses of it that are mapped, at random.
    device: Device,
    root: u64,
    iovas: Vec<Iova>,
}

impl<'m> Subject<'m> {
    fn find(unit: &Unit, image: &'m Image, translations: usize) -> Result<Self, Box<dyn Error>> {
        let mut survey = Survey::default();
        unit.walk(image, &mut Box::new(Scratch::new())).visit(&mut survey);
        let visiting: Option<Vec<&Page>> = survey.tables.iter().map(|table| image.lend_page(*table)).collect();
        let visiting = visiting.ok_or("the image does not lend its pages")?;
        let mut by_address = visiting.clone();
        by_address.sort_by_key(|page| std::ptr::from_ref(*page));
        let leaves = survey.devices.iter().map(|(_, runs)| leaves_in(runs)).sum();
        let most = survey.devices.into_iter().max_by_key(|(_, runs)| leaves_in(runs));
        let (device, runs) = most.filter(|(_, runs)| !runs.is_empty()).ok_or("nothing is mapped")?;
        let AddressSpace::SecondStage(space) = &device.space else { return Err("nothing is mapped".into()) };
        let (root, iovas) = (space.root.0, pick(&runs, translations));
        Ok(Self { visiting, by_address, leaves, device, root, iovas })
    }
}

/// First address, page size and number of leaves of a run.
type RunShape = (u64, u64, u64);

fn leaves_in(runs: &[RunShape]) -> u64 {
    runs.iter().map(|(_, _, leaves)| leaves).sum()
}

/// `count` addresses, each in a leaf picked at random.
fn pick(runs: &[RunShape], count: usize) -> Vec<Iova> {
    let leaves = leaves_in(runs);
    let mut starts = vec![0];
    starts.extend(runs.iter().scan(0, |before, (_, _, leaves)| {
        *before += leaves;
        Some(*before)
    }));
    let words = random_bytes(7, count * 8);
    let words = words.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
    let one = |word: u64| {
        let leaf = word % leaves;
        let run = starts.partition_point(|start| *start <= leaf) - 1;
        let (iova, size, _) = runs[run];
        Iova(iova + (leaf - starts[run]) * size + (word >> 52))
    };
    words.map(one).collect()
}

#[derive(Default)]
struct Survey {
    tables: Vec<PhysAddr>,
    devices: Vec<(Device, Vec<RunShape>)>,
}

impl Visitor for Survey {
    fn device(&mut self, device: &Device) -> Flow {
        self.devices.push((*device, Vec::new()));
        Flow::Enter
    }
    fn table(&mut self, table: &Table) -> Flow {
        self.tables.push(table.addr);
        Flow::Enter
    }
    fn run(&mut self, run: &Run<'_>) -> Flow {
        if let Some((_, runs)) = self.devices.last_mut().filter(|_| run.permissions.read()) {
            runs.push((run.iova.0, run.page_size(), run.len() as u64));
        }
        Flow::Enter
    }
}

struct Measure {
    name: &'static str,
    /// The measure that is the limit of this one; a limit has none.
    limit: Option<&'static str>,
    per: Per,
    run: fn(&Unit, &Image, &Subject<'_>) -> u64,
}

enum Per {
    Table,
    Translation,
}

fn measures() -> Vec<Measure> {
    let measure = |name, limit, per, run| Measure { name, limit, per, run };
    use Per::{Table, Translation};
    vec![
        measure("read in address order", None, Table, |_, _, subject| read_words(&subject.by_address)),
        measure("read in visiting order", None, Table, |_, _, subject| read_words(&subject.visiting)),
        measure("walk", Some("read in visiting order"), Table, |unit, image, _| {
            visit(unit, image, &mut Count::default())
        }),
        measure("ranges", Some("read in visiting order"), Table, |unit, image, _| {
            visit(unit, image, &mut Ranges::new(Join::Both))
        }),
        measure("ranges by iova", Some("read in visiting order"), Table, |unit, image, _| {
            visit(unit, image, &mut Ranges::new(Join::Iova))
        }),
        measure("ranges pulled", Some("read in visiting order"), Table, |unit, image, _| {
            let mut scratch = Box::new(Scratch::new());
            let ranges = DeviceRanges::new(unit.walk(image, &mut scratch), Join::Both);
            ranges.flatten().fold(0, |sum: u64, range| sum.wrapping_add(range.iova.last().0))
        }),
        measure("independent chains", None, Translation, |_, image, subject| chains(image, subject, false)),
        measure("serialised chains", None, Translation, |_, image, subject| chains(image, subject, true)),
        measure("translate", Some("independent chains"), Translation, |_, image, subject| {
            let mut copy = Page::ZERO;
            subject.iovas.iter().fold(0, |sum: u64, iova| {
                match subject.device.translate(image, *iova, Access::Read, &mut copy, |_| ()) {
                    Ok(translation) => sum.wrapping_add(translation.phys.0),
                    Err(_) => sum,
                }
            })
        }),
        measure("translate all", Some("independent chains"), Translation, |_, image, subject| {
            let (mut copy, mut sum) = (Page::ZERO, 0u64);
            for iovas in subject.iovas.chunks(1024) {
                subject.device.translate_all(image, iovas, Access::Read, &mut copy, |_, translated| {
                    sum = sum.wrapping_add(translated.map_or(0, |translation| translation.phys.0));
                });
            }
            sum
        }),
    ]
}

/// On a raw image straight from the bytes; on others through the image, which costs the limit a little too.
fn chains(image: &Image, subject: &Subject<'_>, serialised: bool) -> u64 {
    let bytes = image.as_bytes();
    let raw = |addr: u64| {
        let word = bytes.get(addr as usize..).and_then(|rest| rest.first_chunk());
        word.map_or(0, |word| u64::from_le_bytes(*word))
    };
    let lent = |addr: u64| image.lend_page(PhysAddr(addr)).map_or(0, |page| page.word((addr / 8) as usize));
    match (image.format() == Format::Raw, serialised) {
        (true, false) => independent_chains(subject.root, &subject.iovas, raw),
        (true, true) => serialised_chains(subject.root, &subject.iovas, raw),
        (false, false) => independent_chains(subject.root, &subject.iovas, lent),
        (false, true) => serialised_chains(subject.root, &subject.iovas, lent),
    }
}

fn visit<V: Visitor + Result64>(unit: &Unit, image: &Image, visitor: &mut V) -> u64 {
    unit.walk(image, &mut Box::new(Scratch::new())).visit(visitor);
    visitor.result()
}

trait Result64 {
    fn result(&mut self) -> u64;
}

#[derive(Default)]
struct Count(u64);

impl Visitor for Count {
    #[inline]
    fn run(&mut self, run: &Run<'_>) -> Flow {
        self.0 = self.0.wrapping_add(run.len() as u64).wrapping_add(run.iova.0);
        Flow::Enter
    }
}

impl Result64 for Count {
    fn result(&mut self) -> u64 {
        self.0
    }
}

struct Ranges {
    coalescer: Coalescer,
    sum: u64,
}

impl Ranges {
    fn new(join: Join) -> Self {
        Self { coalescer: Coalescer::new(join), sum: 0 }
    }
}

impl Visitor for Ranges {
    fn device(&mut self, _: &Device) -> Flow {
        self.coalescer.finish();
        Flow::Enter
    }
    #[inline]
    fn run(&mut self, run: &Run<'_>) -> Flow {
        let sum = &mut self.sum;
        self.coalescer.push(run, |range| {
            *sum = sum.wrapping_add(range.iova.last().0).wrapping_add(range.phys.map_or(0, |phys| phys.0));
        });
        Flow::Enter
    }
}

impl Result64 for Ranges {
    fn result(&mut self) -> u64 {
        self.sum.wrapping_add(self.coalescer.finish().map_or(0, |range| range.iova.last().0))
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(measure: &Measure, median: f64, measures: &[Measure], medians: &[f64], subject: &Subject<'_>) {
    let kind = if measure.limit.is_some() { "measure" } else { "limit" };
    let mut line = format!("{{\"{kind}\":\"{}\"", measure.name);
    match measure.per {
        Per::Table => {
            let (tables, leaves) = (subject.visiting.len(), subject.leaves);
            line += &format!(",\"tables\":{tables},\"ns_per_table\":{:.1}", median / tables as f64);
            line += &format!(",\"leaves\":{leaves},\"ns_per_leaf\":{:.3}", median / leaves as f64);
        }
        Per::Translation => {
            let count = subject.iovas.len();
            line += &format!(",\"translations\":{count},\"ns_per_translation\":{:.1}", median / count as f64);
        }
    }
    let limit = measure.limit.and_then(|name| measures.iter().position(|other| other.name == name));
    if let Some(limit) = limit {
        line += &format!(",\"limit\":\"{}\",\"times_limit\":{:.2}", measures[limit].name, median / medians[limit]);
    }
    println!("{line}}}");
}
