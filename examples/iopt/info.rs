//! `iopt info`: what the image is, and which memory it has.

use crate::args::{Common, ImageOnly};
use crate::error::{Error, Outcome};
use crate::json::{InfoLine, KernelInfo, MemoryRange};
#[cfg(target_os = "linux")]
use crate::live;
use crate::memory::Memory;
use crate::output::Output;
use crate::statistics::Statistics;
use crate::{human, units};
use iopt::PhysRange;
use iopt::memory::{PhysReader, ranges};
use iopt_backends::{Elf, Image, Kdump, MissingReason};
use std::io::{self, Write};
use std::time::Duration;

pub fn run(common: &Common, command: &ImageOnly, output: &mut Output) -> Result<Outcome, Error> {
    let is_sample = units::is_sample(common, command.image.as_deref())?;
    let image = match units::open(common, command.image.as_deref())? {
        Memory::Image(image) => image,
        #[cfg(target_os = "linux")]
        Memory::Live(memory) => return live::info(common, &memory, output),
    };
    if output.is_json() {
        output.json(&InfoLine {
            format: image.format().name(),
            size: Some(image.size()),
            ranges: ranges(&image).map(MemoryRange::from).collect(),
            vmcoreinfo: image.vmcoreinfo().map(KernelInfo),
        })?;
    } else {
        output.sample_note(is_sample)?;
        describe(&image, output)?;
    }
    output.flush()?;
    Statistics::default().tell(common, Duration::ZERO);
    Ok(if is_partial(&image) { Outcome::Faulted } else { Outcome::Done })
}

fn describe(image: &Image, output: &mut Output) -> io::Result<()> {
    let layout = match (image.elf(), image.kdump()) {
        (Some(elf), _) => format!(", {} {}", elf.class, elf.byte_order),
        (None, Some(kdump)) => kdump_layout(kdump),
        (None, None) => String::new(),
    };
    let compressed = image.compression().map(|compression| format!(", {compression}-compressed"));
    writeln!(output, "format  {}{layout}{}", image.format(), compressed.unwrap_or_default())?;
    writeln!(output, "size    {}", human::count(image.size(), "byte"))?;
    if let Some(elf) = image.elf() {
        writeln!(output, "dump    {}", completeness(elf, image))?;
    }
    if let Some(kdump) = image.kdump() {
        writeln!(output, "dump    {}", kdump_completeness(kdump))?;
    }
    if let Some(release) = image.vmcoreinfo().and_then(|info| info.get("OSRELEASE")) {
        writeln!(output, "kernel  {}", release.escape_ascii())?;
    }
    memory(image, output)
}

pub fn memory(memory: &impl PhysReader, output: &mut Output) -> io::Result<()> {
    writeln!(output, "memory  {}", total(ranges(memory)))?;
    for range in ranges(memory) {
        let (first, last) = (range.first().0, range.last().0);
        writeln!(output, "  {first:#014x} - {last:#014x}  {:>12}", human::size(range.size()))?;
    }
    Ok(())
}

/// `692 KiB in 59 ranges`.
fn total(ranges: impl Iterator<Item = PhysRange>) -> String {
    let (number, bytes) = ranges
        .fold((0u64, 0u128), |(number, bytes), range| (number.saturating_add(1), bytes.saturating_add(range.size())));
    format!("{} in {}", human::size(bytes), human::count(number, "range"))
}

/// Whether the dump has less than its writer meant to give.
fn is_partial(image: &Image) -> bool {
    let is_kdump_partial = |kdump: &Kdump| kdump.header().incomplete || kdump.is_stream_truncated();
    if image.kdump().is_some_and(is_kdump_partial) {
        return true;
    }
    image.elf().is_some_and(|elf| elf.incomplete || is_cut_short(elf, image)) || image.notes().any(|note| note.is_err())
}

fn is_cut_short(elf: &Elf, image: &Image) -> bool {
    u64::try_from(image.as_bytes().len()).is_ok_and(|size| size < elf.expected_size)
}

fn kdump_layout(kdump: &Kdump) -> String {
    let header = kdump.header();
    let flattened = if kdump.is_flattened() { ", flattened" } else { "" };
    format!(", version {}, {}{flattened}", header.version, header.machine.escape_debug())
}

/// The same as for [ELF](completeness). What a filter left out is told with each page that is asked for.
fn kdump_completeness(kdump: &Kdump) -> String {
    let header = kdump.header();
    let mut amiss = Vec::new();
    if header.incomplete {
        amiss.push("marked as incomplete by its writer".to_owned());
    }
    if kdump.is_stream_truncated() {
        amiss.push("the flattened stream is cut short".to_owned());
    }
    if let Some(part) = &header.part {
        amiss.push(format!("page frames {:#x} up to {:#x} of a split dump", part.start, part.end));
    }
    if amiss.is_empty() { "complete".to_owned() } else { amiss.join("; ") }
}

/// Whether the dump has all that it should, and if not, what is amiss.
fn completeness(elf: &Elf, image: &Image) -> String {
    let mut amiss = Vec::new();
    if elf.incomplete {
        amiss.push("marked as incomplete by makedumpfile".to_owned());
    }
    if is_cut_short(elf, image) {
        amiss.push(format!("cut short at {} of {} bytes", image.as_bytes().len(), elf.expected_size));
    }
    for reason in [MissingReason::Truncated, MissingReason::Excluded] {
        let missing = || image.missing().iter().filter(|missing| missing.reason == reason);
        if missing().next().is_some() {
            amiss.push(format!("{} {reason}", total(missing().map(|missing| missing.range))));
        }
    }
    amiss.extend(image.notes().find_map(Result::err).map(|error| error.to_string()));
    if amiss.is_empty() { "complete".to_owned() } else { amiss.join("; ") }
}
