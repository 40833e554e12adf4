//! A look at a frame of Zstandard (RFC 8878) before it is decompressed: how many bytes it gives, exactly.
//!
//! The decoder for Rust 1.85 bounds neither a block nor a frame. So all that decides on lengths is decoded here first:
//! the headers, and the lengths in each sequence. It takes constant memory, and time in proportion to the frame.

mod bits;
mod block;
mod code;
mod error;
mod fse;
mod header;
mod sequences;

pub(crate) use error::{Damage, Refusal};

use block::Blocks;
use error::DamageKind;
use header::Header;

/// The most that any block gives (RFC 8878, 3.1.1.2.3).
const BLOCK: u64 = 128 << 10;

/// What a frame may take, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) window: u64,
    pub(crate) content: u64,
}

/// A frame that keeps to its limits.
pub(crate) struct Frame<'a> {
    pub(crate) bytes: &'a [u8],
    /// How many bytes it gives, `None` for one to skip.
    pub(crate) content: Option<u64>,
    /// What is behind it.
    pub(crate) rest: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The one that `whole` starts with.
    pub(crate) fn first(whole: &'a [u8], limits: Limits) -> Result<Self, Refusal> {
        let mut rest = whole;
        let content = content(&mut rest, limits).map_err(|refusal| refusal.placed(behind(whole, rest)))?;
        let (bytes, rest) = whole.split_at_checked(behind(whole, rest)).unwrap_or((whole, &[]));
        Ok(Self { bytes, content, rest })
    }
}

/// How many bytes of `whole` are before `rest`.
fn behind(whole: &[u8], rest: &[u8]) -> usize {
    whole.len().saturating_sub(rest.len())
}

/// How many bytes the frame gives. Of one that is refused, the block or header that is to blame is left in `rest`.
fn content(rest: &mut &[u8], limits: Limits) -> Result<Option<u64>, Refusal> {
    let header = match header::read(rest)? {
        header::Start::Skip => return Ok(None),
        header::Start::Frame(header) => header,
    };
    let Header { window, content: announced, checksum } = header;
    if window > limits.window {
        return Err(Refusal::Window);
    }
    if announced.is_some_and(|announced| announced > limits.content) {
        return Err(Refusal::TooLarge);
    }
    let mut blocks = Blocks::new(window.min(BLOCK));
    let mut found = 0u64;
    loop {
        let mut behind = *rest;
        let block = blocks.next(&mut behind)?;
        found = found.saturating_add(block.size);
        match announced {
            Some(announced) if found > announced => return Err(DamageKind::Content { announced, found }.into()),
            None if found > limits.content => return Err(Refusal::TooLarge),
            _ => *rest = behind,
        }
        if block.is_last {
            break;
        }
    }
    if let Some(announced) = announced.filter(|announced| *announced != found) {
        return Err(DamageKind::Content { announced, found }.into());
    }
    if checksum {
        take(rest, 4, "the checksum of the frame")?;
    }
    Ok(Some(found))
}

/// The next `length` bytes of `from`, which are `what`.
fn take<'a>(from: &mut &'a [u8], length: usize, what: &'static str) -> Result<&'a [u8], DamageKind> {
    let (taken, rest) = from.split_at_checked(length).ok_or(DamageKind::CutShort(what))?;
    *from = rest;
    Ok(taken)
}

/// The next byte of `from`.
fn byte(from: &mut &[u8], what: &'static str) -> Result<u8, DamageKind> {
    number(from, 1, what).map(|number| number.to_le_bytes()[0])
}

/// The next number of at most eight bytes, little-endian.
fn number(from: &mut &[u8], length: usize, what: &'static str) -> Result<u64, DamageKind> {
    Ok(take(from, length, what)?.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
