//! Numbers, addresses and names as people write them on the command line and in batch files.

use crate::args::PlacedFile;
use iopt::{Access, Iova, Pasid, Requester, SourceId};
use std::path::Path;

/// What a message says was expected and found.
fn wrong<T>(expected: &str, found: &str) -> Result<T, String> {
    Err(format!("expected {expected}, found {found:?}"))
}

/// `u64::from_str_radix` would take a sign.
fn digits(text: &str, radix: u32) -> Option<u64> {
    let plain = text.chars().all(|digit| digit.is_digit(radix));
    plain.then(|| u64::from_str_radix(text, radix).ok())?
}

fn hexadecimal(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

fn number(text: &str) -> Option<u64> {
    match hexadecimal(text) {
        Some(text) => digits(text, 16),
        None => digits(text, 10),
    }
}

/// `0x…` or decimal.
pub fn address(text: &str) -> Result<u64, String> {
    number(text).map_or_else(|| wrong("a 64-bit address, 0x… or decimal", text), Ok)
}

/// `FILE`, or `FILE@ADDR` where no file has all of that as its name.
pub fn placed_file(text: &str) -> Result<PlacedFile, String> {
    let placed = text.rsplit_once('@').filter(|_| !Path::new(text).exists());
    let (path, base) = match placed.map(|(path, base)| (path, number(base))) {
        Some((path, Some(base))) => (path, Some(base)),
        Some((_, None)) if placed.is_some_and(|(_, base)| hexadecimal(base).is_some()) => {
            return wrong("a file, and behind @ a 64-bit address, 0x… or decimal", text);
        }
        _ => (text, None),
    };
    if path.is_empty() { wrong("the path of a file", text) } else { Ok(PlacedFile { path: path.into(), base }) }
}

/// Hexadecimal, with or without `0x`.
pub fn register(text: &str) -> Result<u64, String> {
    let value = digits(hexadecimal(text).unwrap_or(text), 16);
    value.map_or_else(|| wrong("a 64-bit register value in hexadecimal", text), Ok)
}

pub fn pasid(text: &str) -> Result<Pasid, String> {
    let value = number(text).filter(|&value| value < 1 << 20).and_then(|value| u32::try_from(value).ok());
    value.map_or_else(|| wrong("a PASID of 20 bits, 0x… or decimal", text), |value| Ok(Pasid(value)))
}

/// `bb:dd.f`, or `ssss:bb:dd.f` of segment 0.
pub fn source_id(text: &str) -> Result<SourceId, String> {
    let Some((segment, source_id)) = segment_and_source_id(text) else {
        return wrong("a device as bb:dd.f or ssss:bb:dd.f in hexadecimal", text);
    };
    if segment == 0 { Ok(source_id) } else { wrong("a device of segment 0, the only one here", text) }
}

fn segment_and_source_id(text: &str) -> Option<(u64, SourceId)> {
    let field = |text: &str, width: usize, last: u64| {
        digits(text, 16).filter(|&value| (1..=width).contains(&text.len()) && value <= last)
    };
    let (front, function) = text.rsplit_once('.')?;
    let (front, device) = front.rsplit_once(':')?;
    let (segment, bus) = front.split_once(':').unwrap_or(("0", front));
    let segment = field(segment, 4, 0xffff)?;
    let bus = u8::try_from(field(bus, 2, 0xff)?).ok()?;
    let devfn = field(device, 2, 0x1f)? << 3 | field(function, 1, 7)?;
    Some((segment, SourceId::new(bus, u8::try_from(devfn).ok()?)))
}

/// `bb:dd.f`, or `bb:dd.f@PASID` for requests that carry a PASID.
fn requester(text: &str) -> Result<Requester, String> {
    let (source, number) = text.split_once('@').map_or((text, None), |(source, number)| (source, Some(number)));
    Ok(Requester { source_id: source_id(source)?, pasid: number.map(pasid).transpose()? })
}

/// A request for memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    pub requester: Requester,
    pub iova: Iova,
    pub access: Access,
}

impl Request {
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
    pub fn from_line(line: &str) -> Result<Self, String> {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(source), Some(iova), Some(access), None) => Self::new(source, iova, access),
            _ => wrong("BDF[@PASID] IOVA r|w", shortened(line)),
        }
    }
}

/// A line of a file that is no batch at all can be endless.
fn shortened(line: &str) -> &str {
    let end = line.char_indices().nth(80).map_or(line.len(), |(end, _)| end);
    line.get(..end).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_hexadecimal_with_0x_and_decimal_without() {
        assert_eq!(address("0x98C000"), Ok(0x0098_c000));
        assert_eq!(address("4096"), Ok(4096));
        assert_eq!(address("18446744073709551615"), Ok(u64::MAX));
        for nonsense in ["", "0x", "98c000", "+5", "0x+5", "-1", "0x1_0", "18446744073709551616", "0x10000000000000000"]
        {
            assert!(address(nonsense).is_err(), "{nonsense:?}");
        }
    }

    #[test]
    fn a_register_is_always_hexadecimal() {
        assert_eq!(register("d2008c222f0606"), Ok(0x00d2_008c_222f_0606));
        assert_eq!(register("0xf42"), Ok(0xf42));
        assert!(register("f42h").is_err() && register("").is_err() && register("+1").is_err());
    }

    #[test]
    fn a_device_may_have_a_segment_of_0() {
        assert_eq!(source_id("00:1f.2"), Ok(SourceId(0xfa)));
        assert_eq!(source_id("0000:3a:1f.2"), Ok(SourceId(0x3afa)));
        assert!(source_id("0001:00:1f.2").is_err_and(|error| error.contains("segment 0")));
        for nonsense in
            ["", "00:1f", "00:20.0", "00:1f.8", "000:1f.2", "00:01f.2", "g0:1f.2", "0:0:0:0.0", "00000:00:1f.2"]
        {
            assert!(source_id(nonsense).is_err_and(|error| error.contains("bb:dd.f")), "{nonsense:?}");
        }
    }

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
