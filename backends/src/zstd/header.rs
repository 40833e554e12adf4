use super::error::DamageKind;
use super::{byte, number, take};

/// What a frame starts with.
pub(super) enum Start {
    /// Bytes to skip, which are skipped.
    Skip,
    Frame(Header),
}

/// The header of a frame (RFC 8878, 3.1.1.1).
pub(super) struct Header {
    /// The size of the window, in bytes.
    pub(super) window: u64,
    /// How many bytes the frame says that it gives, if it does.
    pub(super) content: Option<u64>,
    /// Whether there is a checksum at the end.
    pub(super) checksum: bool,
}

/// Takes the header off `from`, or all of a frame to skip.
pub(super) fn read(from: &mut &[u8]) -> Result<Start, DamageKind> {
    let mut rest = *from;
    let magic = number(&mut rest, 4, "the magic number of a frame")?;
    let start = match magic {
        0xfd2f_b528 => Start::Frame(header(&mut rest)?),
        0x184d_2a50..=0x184d_2a5f => {
            let length = number(&mut rest, 4, "the size of a skippable frame")?;
            take(&mut rest, usize::try_from(length).unwrap_or(usize::MAX), "the whole of a skippable frame")?;
            Start::Skip
        }
        _ => return Err(DamageKind::Magic),
    };
    *from = rest;
    Ok(start)
}

fn header(rest: &mut &[u8]) -> Result<Header, DamageKind> {
    const WHAT: &str = "the header of a frame";
    let descriptor = byte(rest, WHAT)?;
    if descriptor & 8 != 0 {
        return Err(DamageKind::Reserved(descriptor));
    }
    let is_single_segment = descriptor & 0x20 != 0;
    let window = if is_single_segment { 0 } else { window(byte(rest, WHAT)?) };
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => number(rest, 1, WHAT)?,
        2 => number(rest, 2, WHAT)?,
        _ => number(rest, 4, WHAT)?,
    };
    if dictionary != 0 {
        return Err(DamageKind::Dictionary(dictionary));
    }
    let content = match descriptor >> 6 {
        0 if !is_single_segment => None,
        0 => Some(number(rest, 1, WHAT)?),
        1 => Some(number(rest, 2, WHAT)?.saturating_add(256)),
        2 => Some(number(rest, 4, WHAT)?),
        _ => Some(number(rest, 8, WHAT)?),
    };
    let window = content.filter(|_| is_single_segment).unwrap_or(window);
    Ok(Header { window, content, checksum: descriptor & 4 != 0 })
}

/// The size in a window descriptor: at most 3.75 TiB.
fn window(descriptor: u8) -> u64 {
    let base = 1024u64 << (descriptor >> 3);
    base.saturating_add((base >> 3).saturating_mul(u64::from(descriptor & 7)))
}
