//! `iopt translate`: where a request ends up, or why it is refused.

use crate::args::{Common, Translate};
use crate::error::{Error, Outcome, tell};
use crate::json::{Bdf, Code, FaultLine, Path as PathLine, ReadOrWrite, TranslationLine, Words, page_size};
use crate::memory::Memory;
use crate::output::Output;
use crate::path::Path;
use crate::request::Request;
use crate::translator::Translator;
use crate::{human, units};
use iopt::memory::Counted;
use iopt::radix::Translation;
use iopt::vtd::Fault;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path as FilePath;
use std::time::Instant;

pub fn run(common: &Common, command: &Translate, output: &mut Output) -> Result<Outcome, Error> {
    let (image, request) = command.image_and_request().map_err(Error::Use)?;
    if let Some(device) = common.device {
        return Err(Error::Use(format!("expected the device as BDF of the request, found --device {device} too")));
    }
    if let Some(pasid) = common.pasid {
        return Err(Error::Use(format!("expected the PASID as BDF@PASID of the request, found --pasid {pasid}")));
    }
    let is_sample = units::is_sample(common, image)?;
    let units = units::units(common, is_sample, output)?;
    let batch = command.batch.as_deref().map(open_batch).transpose()?;
    let image = units::open(common, image)?;
    output.sample_note(is_sample)?;

    let Some(units) = units.split_first() else { return Ok(Outcome::Done) };
    let reader = Counted::new(&image);
    let mut job = Job { translator: Translator::new(units, &reader), output, outcome: Outcome::Done };
    let start = Instant::now();
    if let Some(request) = request {
        job.request(&request)?;
    }
    if let (Some(batch), Some(path)) = (batch, &command.batch) {
        job.batch(batch, path)?;
    }
    let elapsed = start.elapsed();
    let Job { translator, output, outcome } = job;
    output.flush()?;
    translator.statistics().tell(common, elapsed);
    Ok(outcome)
}

fn open_batch(path: &FilePath) -> Result<Box<dyn BufRead>, Error> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let open = || {
        let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
        // A directory opens, but does not read: better said before the first line of output.
        file.fill_buf()?;
        Ok(Box::new(file) as Box<dyn BufRead>)
    };
    open().map_err(|error| Error::Batch(path.to_owned(), error))
}

struct Job<'a> {
    translator: Translator<'a, &'a Memory>,
    output: &'a mut Output,
    outcome: Outcome,
}

impl Job<'_> {
    /// Does every line, whatever is wrong with others.
    fn batch(&mut self, mut input: Box<dyn BufRead>, path: &FilePath) -> Result<(), Error> {
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            if input.read_until(b'\n', &mut line).map_err(|error| Error::Batch(path.to_owned(), error))? == 0 {
                break;
            }
            let text = line.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            match Request::from_line(&String::from_utf8_lossy(text)) {
                Ok(request) => self.request(&request)?,
                Err(message) => {
                    self.outcome = Outcome::WrongLine;
                    tell(&format_args!("batch line {number}: {message}"));
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, request: &Request) -> io::Result<()> {
        match self.translator.translate(request) {
            Ok(translation) => self.translated(request, &translation),
            Err(fault) => {
                self.outcome = self.outcome.max(Outcome::Faulted);
                self.refused(request, &fault)
            }
        }
    }

    fn translated(&mut self, request: &Request, translation: &Translation) -> io::Result<()> {
        let Request { requester, iova, access } = *request;
        let Translation { phys, permissions, page_size_log2, leaf } = *translation;
        let page = leaf.and_then(|_| page_size(page_size_log2));
        if self.output.is_json() {
            return self.output.json(&TranslationLine {
                source_id: Bdf(requester.source_id),
                pasid: requester.pasid.map(|pasid| pasid.0),
                iova: iova.into(),
                access: ReadOrWrite(access),
                phys: phys.into(),
                page,
                read: permissions.read(),
                write: permissions.write(),
            });
        }
        let how = page.map_or_else(|| "pass-through".to_owned(), |page| format!("{} page", human::size(page.into())));
        writeln!(self.output, "{requester} {access} {iova} -> {phys} ({how}, {permissions})")
    }

    fn refused(&mut self, request: &Request, fault: &Fault) -> io::Result<()> {
        let Request { requester, iova, access } = *request;
        let path = self.translator.path();
        if self.output.is_json() {
            return self.output.json(&FaultLine {
                source_id: Bdf(requester.source_id),
                pasid: requester.pasid.map(|pasid| pasid.0),
                iova: iova.into(),
                access: ReadOrWrite(access),
                fault: fault.reason.map(Code),
                name: fault.reason.map(|reason| reason.name()).filter(|name| !name.is_empty()),
                why: Words(fault.cause),
                path: PathLine(path),
            });
        }
        let reason = fault.reason.map_or_else(|| "no fault reason".to_owned(), |reason| format!("fault {reason}"));
        let unrecorded = human::unrecorded(fault);
        writeln!(self.output, "{requester} {access} {iova} refused, {reason}: {}{unrecorded}", fault.cause)?;
        write!(self.output, "{}", Path(path))
    }
}
