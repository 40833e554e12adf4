//! `iopt info`: what the image is, and which memory it has.

use crate::args::{Common, ImageOnly};
use crate::error::{Error, Outcome, tell};
use crate::json::{InfoLine, KernelInfo, MemoryRange};
#[cfg(target_os = "linux")]
use crate::live;
use crate::memory::Memory;
use crate::output::Output;
use crate::statistics::Statistics;
use crate::{human, units};
use iopt::PhysRange;
use iopt::memory::{PhysReader, ranges};
use iopt_backends::{Elf, Format, Image, Kdump, MissingReason, Stack};
use std::io::{self, Write};
use std::time::Duration;

pub fn run(common: &Common, command: &ImageOnly, output: &mut Output) -> Result<Outcome, Error> {
    let is_sample = units::is_sample(common, command.image.as_deref())?;
    let memory = match units::open(common, command.image.as_deref())? {
        Memory::Image(memory) => memory,
        #[cfg(target_os = "linux")]
        Memory::Live(memory) => return live::info(common, &memory, output),
    };
    let files: Vec<File> = memory.images().iter().map(File::new).collect();
    if output.is_json() {
        output.json(&InfoLine {
            format: memory.images().first().map_or("", |image| image.format().name()),
            size: Some(memory.images().iter().fold(0, |size: u64, image| size.saturating_add(image.size()))),
            ranges: ranges(&memory).map(MemoryRange::from).collect(),
            vmcoreinfo: memory.images().iter().find_map(Image::vmcoreinfo).map(KernelInfo),
        })?;
        // The line has no room for it.
        files.iter().filter(|file| file.is_partial).flat_map(|file| &file.amiss).for_each(tell);
        missing_parts(&memory).for_each(|line| tell(&line));
    } else {
        output.sample_note(is_sample)?;
        for file in &files {
            file.describe(output)?;
        }
        describe(&memory, output)?;
    }
    output.flush()?;
    Statistics::default().tell(common, Duration::ZERO);
    let is_partial = files.iter().any(|file| file.is_partial) || !memory.missing_parts().is_empty();
    Ok(if is_partial { Outcome::Faulted } else { Outcome::Done })
}

/// The memory of all files.
fn describe(memory: &Stack, output: &mut Output) -> io::Result<()> {
    for line in missing_parts(memory) {
        writeln!(output, "{line}")?;
    }
    describe_memory(memory, output)
}

fn missing_parts(memory: &Stack) -> impl Iterator<Item = String> {
    let parts = memory.missing_parts().into_iter();
    parts.map(|part| {
        format!("missing the file of the split dump with page frames {:#x} up to {:#x}", part.start, part.end)
    })
}

pub fn describe_memory(memory: &impl PhysReader, output: &mut Output) -> io::Result<()> {
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

/// A file, and how complete it is.
struct File<'i> {
    image: &'i Image,
    /// What it should have and has not, or what is odd about it.
    amiss: Vec<String>,
    /// Whether it has less than its writer meant to give.
    is_partial: bool,
}

impl<'i> File<'i> {
    fn new(image: &'i Image) -> Self {
        let mut file = Self { image, amiss: Vec::new(), is_partial: false };
        if let Some(elf) = image.elf() {
            file.elf(elf);
        }
        if let Some(kdump) = image.kdump() {
            file.kdump(kdump);
        }
        file.missing();
        if let Some(error) = image.notes().find_map(Result::err) {
            file.partial(error.to_string());
        }
        file
    }

    fn partial(&mut self, amiss: String) {
        self.amiss.push(amiss);
        self.is_partial = true;
    }

    fn elf(&mut self, elf: &Elf) {
        if elf.incomplete {
            self.partial("marked as incomplete by makedumpfile".to_owned());
        }
        if elf.stream_truncated {
            self.partial("the flattened stream is cut short".to_owned());
        }
        if elf.file_size < elf.expected_size {
            self.partial(format!("cut short at {} of {} bytes", elf.file_size, elf.expected_size));
        }
    }

    fn kdump(&mut self, kdump: &Kdump) {
        let header = kdump.header();
        if header.incomplete {
            self.partial("marked as incomplete by its writer".to_owned());
        }
        if kdump.is_stream_truncated() {
            self.partial("the flattened stream is cut short".to_owned());
        }
        if let Some(part) = &header.part {
            self.amiss.push(format!("page frames {:#x} up to {:#x} of a split dump", part.start, part.end));
        }
        if let Err(error) = kdump.vmcoreinfo() {
            self.partial(error.to_string());
        }
    }

    fn missing(&mut self) {
        // For each reason, how many ranges and bytes.
        let mut found: Vec<(MissingReason, u64, u128)> = Vec::new();
        for missing in self.image.missing() {
            let size = missing.range.size();
            match found.iter_mut().find(|(reason, ..)| *reason == missing.reason) {
                Some((_, ranges, bytes)) => {
                    *ranges = ranges.saturating_add(1);
                    *bytes = bytes.saturating_add(size);
                }
                None => found.push((missing.reason, 1, size)),
            }
        }
        for (reason, ranges, bytes) in found {
            self.is_partial |=
                matches!(reason, MissingReason::Truncated | MissingReason::Lost | MissingReason::Damaged);
            self.amiss.push(format!("{} in {} {reason}", human::size(bytes), human::count(ranges, "range")));
        }
    }

    fn describe(&self, output: &mut Output) -> io::Result<()> {
        let image = self.image;
        let layout = match (image.elf(), image.kdump()) {
            (Some(elf), _) => format!(", {} {}{}", elf.class, elf.byte_order, flattened(elf.flattened)),
            (None, Some(kdump)) => kdump_layout(kdump),
            (None, None) => String::new(),
        };
        let compressed = image.compression().map(|compression| format!(", {compression}-compressed"));
        writeln!(output, "format  {}{layout}{}", image.format(), compressed.unwrap_or_default())?;
        writeln!(output, "size    {}", human::count(image.size(), "byte"))?;
        let complete = match image.format() {
            // It does not tell how large it should be.
            Format::Raw => None,
            Format::Avml => Some("complete, but for blocks of zeros, which its writer leaves out"),
            _ => Some("complete"),
        };
        if let Some(complete) = complete {
            let told = if self.amiss.is_empty() { complete.to_owned() } else { self.amiss.join("; ") };
            writeln!(output, "dump    {told}")?;
        }
        if let Some(release) = image.vmcoreinfo().and_then(|info| info.get("OSRELEASE")) {
            writeln!(output, "kernel  {}", release.escape_ascii())?;
        }
        Ok(())
    }
}

fn kdump_layout(kdump: &Kdump) -> String {
    let header = kdump.header();
    let flattened = flattened(kdump.is_flattened());
    let pages = header.compression.map(|compression| format!(", pages in {compression}")).unwrap_or_default();
    format!(", version {}, {}{flattened}{pages}", header.version, header.machine.escape_debug())
}

fn flattened(is_flattened: bool) -> &'static str {
    if is_flattened { ", flattened" } else { "" }
}
