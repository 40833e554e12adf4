//! Requests to translate, as people write them on the command line and in batch files.

use crate::args::Translate;
use crate::parse::{address, pasid, source_id, wrong};
use iopt::{Access, Iova, Requester};
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// A request for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Whose it is.
    pub requester: Requester,
    /// The address that it is for.
    pub iova: Iova,
    /// Whether it reads or writes.
    pub access: Access,
}

impl Request {
    /// From `BDF[@PASID]`, `IOVA` and `r` or `w`.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub fn new(source: &str, iova: &str, access: &str) -> Result<Self, String> {
        let requester = requester(source)?;
        let access = match access {
            "r" => Access::Read,
            "w" => Access::Write,
            _ => return wrong("r or w as the access", access),
        };
        Ok(Self { requester, iova: Iova(address(iova)?), access })
    }

    /// The request of one line.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(source), Some(iova), Some(access), None) => Self::new(source, iova, access),
            _ => wrong("BDF[@PASID] IOVA r|w", shortened(line)),
        }
    }
}

/// `bb:dd.f`, or `bb:dd.f@PASID` for requests that carry a PASID.
fn requester(text: &str) -> Result<Requester, String> {
    let (source, number) = text.split_once('@').map_or((text, None), |(source, number)| (source, Some(number)));
    Ok(Requester { source_id: source_id(source)?, pasid: number.map(pasid).transpose()? })
}

/// A line of a file that is no batch at all can be endless.
fn shortened(line: &str) -> &str {
    let end = line.char_indices().nth(80).map_or(line.len(), |(end, _)| end);
    line.get(..end).unwrap_or(line)
}

impl Translate {
    /// `[IMAGE] BDF[@PASID] IOVA ACCESS`, or `[IMAGE]` beside a batch.
    ///
    /// # Errors
    /// What was expected and what was found.
    pub fn image_and_request(&self) -> Result<(Option<&Path>, Option<Request>), String> {
        let refused = |expected: &str| {
            let number = self.arguments.len();
            Err(format!("expected {expected}, found {number} argument{}", if number == 1 { "" } else { "s" }))
        };
        let request = |source: &OsString, iova: &OsString, access: &OsString| {
            let [source, iova, access] = [source, iova, access].map(|argument| argument.to_string_lossy());
            Request::new(&source, &iova, &access)
        };
        let path = |image| Some(Path::new::<OsStr>(image));
        match (self.arguments.as_slice(), &self.batch) {
            ([], Some(_)) => Ok((None, None)),
            ([image], Some(_)) => Ok((path(image), None)),
            (_, Some(_)) => refused("[IMAGE] beside --batch"),
            ([source, iova, access], None) => Ok((None, Some(request(source, iova, access)?))),
            ([image, source, iova, access], None) => Ok((path(image), Some(request(source, iova, access)?))),
            (_, None) => refused("[IMAGE] BDF[@PASID] IOVA r|w, or [IMAGE] --batch FILE"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iopt::{Pasid, SourceId};

    #[test]
    fn a_line_is_three_words() {
        let request = |pasid| {
            let requester = Requester { source_id: SourceId(0x40), pasid };
            Ok(Request { requester, iova: Iova(0x1000), access: Access::Write })
        };
        assert_eq!(Request::from_line(" 00:08.0\t4096  w\r"), request(None));
        assert_eq!(Request::from_line("0000:00:08.0@0xfffff 0x1000 w"), request(Some(Pasid(0xf_ffff))));
        assert_eq!(Request::from_line("00:08.0@0 0x1000 w"), request(Some(Pasid(0))));
        for wrong in [
            "00:08.0 4096",
            "00:08.0 4096 w w",
            "00:08.0 4096 x",
            "00:08.0 y w",
            "00:08.0@ 1 w",
            "00:08.0@5@5 1 w",
            "00:08.0@0x100000 1 w",
            "@5 1 w",
        ] {
            assert!(Request::from_line(wrong).is_err_and(|error| error.contains("expected")), "{wrong:?}");
        }
        assert!(Request::from_line(&"é".repeat(5000)).is_err_and(|error| error.chars().count() < 150));
    }
}
