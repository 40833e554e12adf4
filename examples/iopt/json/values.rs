//! How single values are written.

use iopt::vtd::{Bits, Cause, FaultReason, Structure};
use iopt::{Access, SourceId};
use serde::{Serialize, Serializer};
use std::fmt;

/// A number as `"0x…"`. It is put together without the formatting machinery, which would take half of the time of a
/// large listing.
#[derive(Clone, Copy, Debug)]
pub struct Hex(pub u128);

impl<T: Into<u64>> From<T> for Hex {
    fn from(value: T) -> Self {
        Self(value.into().into())
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'0'; 34];
        let mut rest = self.0;
        let mut start = text.len();
        for place in text.iter_mut().rev() {
            let digit = usize::try_from(rest & 0xf).unwrap_or(0);
            *place = DIGITS.get(digit).copied().unwrap_or(b'?');
            start = start.saturating_sub(1);
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        let start = start.saturating_sub(2);
        if let Some(x) = text.get_mut(start.saturating_add(1)) {
            *x = b'x';
        }
        let text = text.get(start..).and_then(|text| std::str::from_utf8(text).ok());
        serializer.serialize_str(text.unwrap_or_default())
    }
}

/// A source-id as `"bb:dd.f"`.
#[derive(Clone, Copy, Debug)]
pub struct Bdf(pub SourceId);

impl Serialize for Bdf {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).and_then(|digit| u8::try_from(digit).ok());
        let digit = |value: u8| digit(value).unwrap_or(b'?');
        let (bus, device, function) = (self.0.bus(), self.0.device(), self.0.function());
        let text =
            [digit(bus >> 4), digit(bus & 0xf), b':', digit(device >> 4), digit(device & 0xf), b'.', digit(function)];
        serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// A fault reason as `"0x06"`.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub FaultReason);

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#04x}", self.0.code()))
    }
}

/// The name of a table on the way to a device, or the number of a page table's level, of either stage.
#[derive(Clone, Copy, Debug)]
pub struct Level(pub Structure);

impl Serialize for Level {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Structure::Root => serializer.serialize_str("root"),
            Structure::Context => serializer.serialize_str("context"),
            Structure::PasidDirectory => serializer.serialize_str("pasid-directory"),
            Structure::PasidTable => serializer.serialize_str("pasid-table"),
            Structure::FirstStage(level) | Structure::SecondStage(level) => serializer.serialize_u8(level),
        }
    }
}

/// A whole entry, however wide, as one number.
#[derive(Clone, Copy, Debug)]
pub struct Entry(pub Bits);

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:#x}", self.0))
    }
}

/// `"r"` or `"w"`.
#[derive(Clone, Copy, Debug)]
pub struct ReadOrWrite(pub Access);

impl Serialize for ReadOrWrite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self.0 {
            Access::Read => "r",
            Access::Write => "w",
        })
    }
}

/// What is wrong, in words.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub Cause);

impl Serialize for Words {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A value as its display form.
#[derive(Clone, Copy, Debug)]
pub struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

pub fn page_size(log2: u8) -> Option<u64> {
    1u64.checked_shl(u32::from(log2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn numbers_and_devices_read_as_their_display_forms() {
        for value in [0, 1, 0xf, 0x10, 0x98c000, u128::from(u64::MAX), u128::MAX] {
            assert_eq!(json(Hex(value)), format!("\"{value:#x}\""));
        }
        for source_id in [0, 0x40, 0xfa, 0xffff].map(SourceId) {
            assert_eq!(json(Bdf(source_id)), format!("\"{source_id}\""));
        }
        assert_eq!(json(Code(FaultReason::ReadDenied)), "\"0x06\"");
        assert_eq!(json(Entry(Bits::from([0x49, 2, 0x5000, 0]))), "\"0x500000000000000000020000000000000049\"");
    }
}
