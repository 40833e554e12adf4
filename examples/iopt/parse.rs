//! Numbers, addresses and names as people write them on the command line and in batch files.
//!
//! Where one is wrong, the error says what was expected and what was found.

use crate::args::PlacedFile;
use clap::builder::{OsStringValueParser, TypedValueParser};
use iopt::{Pasid, SourceId};
use iopt_backends::{Format, UnknownFormat};
use std::ffi::OsStr;
use std::path::Path;

/// Reads a word that need not be UTF-8: then what is read has characters in it that nothing has that is expected.
pub(crate) fn text<T: Clone + Send + Sync + 'static>(
    parse: fn(&str) -> Result<T, String>,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |word| parse(&word.to_string_lossy()))
}

/// What a message says was expected and found.
pub(crate) fn wrong<T>(expected: &str, found: &str) -> Result<T, String> {
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

/// `0x…` or decimal.
pub fn count(text: &str) -> Result<u64, String> {
    number(text).map_or_else(|| wrong("a number of 64 bits, 0x… or decimal", text), Ok)
}

/// How many bits an address has, `0x…` or decimal.
pub fn width(text: &str) -> Result<u8, String> {
    let width = number(text).and_then(|width| u8::try_from(width).ok()).filter(|width| (1..=64).contains(width));
    width.map_or_else(|| wrong("a number of bits in 1..=64", text), Ok)
}

/// The name of a format.
pub fn format(text: &str) -> Result<Format, String> {
    text.parse().map_err(|unknown: UnknownFormat| unknown.to_string())
}

/// `FILE`, or `FILE@ADDR` where no file has all of that as its name.
pub fn placed_file(word: &OsStr) -> Result<PlacedFile, String> {
    let text = word.to_string_lossy();
    let placed = text.rsplit_once('@').filter(|(_, base)| is_like_number(base) && !Path::new(word).exists());
    let (path, base) = match placed.map(|(path, base)| (path, number(base))) {
        None => (word, None),
        // A path that is not UTF-8 can't be cut in two without unsafe code.
        Some(_) if word.to_str().is_none() => return wrong("UTF-8 where @ and an address are behind a file", &text),
        Some((path, Some(base))) => (OsStr::new(path), Some(base)),
        Some((_, None)) => return wrong("a file, and behind @ a 64-bit address, 0x… or decimal", &text),
    };
    if path.is_empty() { wrong("the path of a file", &text) } else { Ok(PlacedFile { path: path.into(), base }) }
}

/// Whether whoever wrote that meant a number.
fn is_like_number(text: &str) -> bool {
    hexadecimal(text).is_some() || !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

/// Hexadecimal, with or without `0x`.
pub fn register(text: &str) -> Result<u64, String> {
    let value = digits(hexadecimal(text).unwrap_or(text), 16);
    value.map_or_else(|| wrong("a 64-bit register value in hexadecimal", text), Ok)
}

/// 20 bits, `0x…` or decimal.
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
}
