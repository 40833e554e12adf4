//! `iopt info`: what the image is, and which memory it has.

use crate::args::{Common, ImageOnly};
use crate::error::{Error, Outcome};
use crate::json::{InfoLine, MemoryRange};
use crate::output::Output;
use crate::statistics::Statistics;
use crate::{human, units};
use iopt::memory::ranges;
use iopt_backends::Image;
use std::io::{self, Write};
use std::time::Duration;

pub fn run(common: &Common, command: &ImageOnly, output: &mut Output) -> Result<Outcome, Error> {
    let image = units::open(common, command.image.as_deref())?;
    if output.is_json() {
        output.json(&InfoLine {
            format: image.format().name(),
            size: image.size(),
            ranges: ranges(&image).map(MemoryRange::from).collect(),
            vmcoreinfo: None,
        })?;
    } else {
        output.sample_note(command.image.is_none())?;
        describe(&image, output)?;
    }
    output.flush()?;
    Statistics::default().tell(common, Duration::ZERO);
    Ok(Outcome::Done)
}

fn describe(image: &Image, output: &mut Output) -> io::Result<()> {
    let compressed = image.compression().map(|compression| format!(", {compression}-compressed"));
    writeln!(output, "format  {}{}", image.format(), compressed.unwrap_or_default())?;
    writeln!(output, "size    {}", human::count(image.size(), "byte"))?;
    let (number, bytes) = ranges(image)
        .fold((0u64, 0u128), |(number, bytes), range| (number.saturating_add(1), bytes.saturating_add(range.size())));
    writeln!(output, "memory  {} in {}", human::size(bytes), human::count(number, "range"))?;
    for range in ranges(image) {
        let (first, last) = (range.first().0, range.last().0);
        writeln!(output, "  {first:#014x} - {last:#014x}  {:>12}", human::size(range.size()))?;
    }
    Ok(())
}
