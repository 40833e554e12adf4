//! Measures the walk of an image against the limits of the machine, in one run on the same pages.
//!
//! `throughput IMAGE --root ADDR [--rounds N] [--translations N] [--only NAME]` prints JSON lines: what is a
//! limit of the machine, and what iopt takes beside it. Times are medians over rounds in which everything is
//! measured in turn, so that noise falls on all alike. `generate` writes images to measure on.

use iopt::PhysAddr;
use iopt::coalesce::Join;
use iopt::memory::PhysReader;
use iopt::vtd::{Rtaddr, Unit};
use iopt_backends::{Format, Image};
use iopt_model::measure::{self, Copying, Subject};
use std::cell::RefCell;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let image = iopt_backends::open(&arguments.image)?;
    let unit = Unit::new(Rtaddr(arguments.root))?;
    let subject = Subject::find(&unit, &image, arguments.translations).ok_or("nothing is mapped in the image")?;
    let copying = RefCell::new(Copying::new(&unit, &image, subject.visiting.len()));
    let mut measures = measures();
    measures.retain(|measure| arguments.only.as_deref().is_none_or(|only| measure.name == only));
    let mut times = vec![Vec::new(); measures.len()];
    for _ in 0..arguments.rounds {
        for (measure, times) in measures.iter().zip(&mut times) {
            let start = Instant::now();
            black_box((measure.run)(&unit, &image, &subject, &copying));
            times.push(start.elapsed().as_secs_f64() * 1e9);
        }
    }
    let medians: Vec<(&str, f64)> =
        measures.iter().map(|measure| measure.name).zip(times.into_iter().map(median)).collect();
    for measure in &measures {
        print(measure, &medians, &subject);
    }
    Ok(())
}

struct Arguments {
    image: String,
    root: u64,
    rounds: usize,
    translations: usize,
    only: Option<String>,
}

impl Arguments {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let usage = "usage: throughput IMAGE --root ADDR [--rounds N] [--translations N] [--only NAME]";
        let (mut image, mut root, mut only) = (None, None, None);
        let (mut rounds, mut translations) = (15, 1_000_000);
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(usage);
            match argument.as_str() {
                "--root" => root = Some(u64::from_str_radix(value()?.trim_start_matches("0x"), 16)?),
                "--rounds" => rounds = value()?.parse()?,
                "--translations" => translations = value()?.parse()?,
                "--only" => only = Some(value()?),
                _ => image = Some(argument),
            }
        }
        Ok(Self { image: image.ok_or(usage)?, root: root.ok_or(usage)?, rounds, translations, only })
    }
}

struct Measure {
    name: &'static str,
    /// The measure that is the limit of this one; a limit has none.
    limit: Option<&'static str>,
    per: Per,
    run: fn(&Unit, &Image, &Subject<'_>, &RefCell<Copying>) -> u64,
}

enum Per {
    Table,
    Translation,
}

fn measures() -> Vec<Measure> {
    use Per::{Table, Translation};
    let limit = |name, per, run| Measure { name, limit: None, per, run };
    let table = |name, run| Measure { name, limit: Some("read in visiting order"), per: Table, run };
    let copy = |name, run| Measure { name, limit: Some("copy in visiting order"), per: Table, run };
    let translation = |name, run| Measure { name, limit: Some("independent chains"), per: Translation, run };
    vec![
        limit("read in address order", Table, |_, _, subject, _| measure::read_words(&subject.by_address)),
        limit("read in visiting order", Table, |_, _, subject, _| measure::read_words(&subject.visiting)),
        table("walk", |unit, image, _, _| measure::walk(unit, image)),
        table("ranges", |unit, image, _, _| measure::ranges(unit, image, Join::Both)),
        table("ranges by iova", |unit, image, _, _| measure::ranges(unit, image, Join::Iova)),
        table("ranges pulled", |unit, image, _, _| measure::ranges_pulled(unit, image)),
        limit("copy in visiting order", Table, |_, _, subject, copying| copying.borrow_mut().limit(&subject.visiting)),
        copy("plan", |unit, image, _, copying| copying.borrow_mut().plan(unit, image)),
        copy("copy", |unit, image, _, copying| copying.borrow_mut().copy(unit, image)),
        copy("copy for domains", |unit, image, _, copying| copying.borrow_mut().copy_for_domains(unit, image)),
        copy("adopt", |unit, image, _, copying| copying.borrow_mut().adopt(unit, image)),
        copy("adopt for domains", |unit, image, _, copying| copying.borrow_mut().adopt_for_domains(unit, image)),
        limit("independent chains", Translation, |_, image, subject, _| chains(image, subject, false)),
        limit("serialised chains", Translation, |_, image, subject, _| chains(image, subject, true)),
        translation("translate many at once", |_, image, subject, _| measure::translate_all(image, subject)),
        translation("translate one by one", |_, image, subject, _| measure::translate(image, subject)),
    ]
}

/// On a raw image straight from the bytes; on others through the image, which costs the limit a little too.
fn chains(image: &Image, subject: &Subject<'_>, serialised: bool) -> u64 {
    let bytes = image.as_bytes();
    let raw = |addr: u64| {
        let word = usize::try_from(addr).ok().and_then(|addr| bytes.get(addr..)?.first_chunk());
        word.map_or(0, |word| u64::from_le_bytes(*word))
    };
    let lent = |addr: u64| {
        let index = usize::try_from(addr % 4096 / 8).unwrap_or(0);
        image.lend_page(PhysAddr(addr)).map_or(0, |page| page.word(index))
    };
    match (image.format() == Format::Raw, serialised) {
        (true, false) => measure::independent_chains(subject.root, &subject.iovas, raw),
        (true, true) => measure::serialised_chains(subject.root, &subject.iovas, raw),
        (false, false) => measure::independent_chains(subject.root, &subject.iovas, lent),
        (false, true) => measure::serialised_chains(subject.root, &subject.iovas, lent),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(measure: &Measure, medians: &[(&str, f64)], subject: &Subject<'_>) {
    let median_of = |name| medians.iter().find(|(other, _)| *other == name).map(|(_, median)| *median);
    let Some(median) = median_of(measure.name) else { return };
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
    if let Some((name, limit)) = measure.limit.and_then(|name| Some((name, median_of(name)?))) {
        line += &format!(",\"limit\":\"{name}\",\"times_limit\":{:.2}", median / limit);
    }
    println!("{line}}}");
}
