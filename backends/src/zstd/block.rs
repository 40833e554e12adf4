use super::error::DamageKind;
use super::fse::{self, Table};
use super::sequences::Sequences;
use super::{byte, number, take};

/// What a block gives.
pub(super) struct Block {
    /// In bytes.
    pub(super) size: u64,
    pub(super) is_last: bool,
}

/// The blocks of a frame (RFC 8878, 3.1.1.2), with what one leaves to the next.
pub(super) struct Blocks {
    /// The most that each gives, in bytes.
    most: u64,
    sequences: Sequences,
}

impl Blocks {
    pub(super) fn new(most: u64) -> Self {
        Self { most, sequences: Sequences::default() }
    }

    /// Takes the next one off `from`.
    pub(super) fn next(&mut self, from: &mut &[u8]) -> Result<Block, DamageKind> {
        let header = number(from, 3, "the header of a block")?;
        let (kind, field) = (header >> 1 & 3, header >> 3);
        if kind == 3 {
            return Err(DamageKind::BlockType);
        }
        self.fits(field)?;
        let length = if kind == 1 { 1 } else { usize::try_from(field).unwrap_or(usize::MAX) };
        let bytes = take(from, length, "the whole of a block")?;
        let size = if kind == 2 { self.compressed(bytes)? } else { field };
        Ok(Block { size, is_last: header & 1 != 0 })
    }

    fn fits(&self, size: u64) -> Result<(), DamageKind> {
        if size > self.most { Err(DamageKind::Block { most: self.most, found: size }) } else { Ok(()) }
    }

    /// How many bytes a compressed block gives: its literals, and the matches of its sequences.
    fn compressed(&mut self, mut block: &[u8]) -> Result<u64, DamageKind> {
        let literals = literals(&mut block)?;
        self.fits(literals)?;
        self.sequences.size(block, literals, self.most)
    }
}

/// Takes the literals off a block, and says how many there are (RFC 8878, 3.1.1.3.1).
fn literals(block: &mut &[u8]) -> Result<u64, DamageKind> {
    const WHAT: &str = "the header of the literals of a block";
    let first = *block.first().ok_or(DamageKind::CutShort(WHAT))?;
    let (kind, format) = (first & 3, first >> 2 & 3);
    let (header, bits) = match (kind, format) {
        (0 | 1, 0 | 2) => (1, 5),
        (0 | 1, 1) => (2, 12),
        (0 | 1, _) => (3, 20),
        (_, 0 | 1) => (3, 10),
        (_, 2) => (4, 14),
        _ => (5, 18),
    };
    let sizes = number(block, header, WHAT)? >> if bits == 5 { 3 } else { 4 };
    // No more than 18 bits.
    let low = |number: u64| number & !(u64::MAX << bits);
    let literals = low(sizes);
    let stored = match kind {
        0 => literals,
        1 => 1,
        _ => low(sizes >> bits),
    };
    let stored = usize::try_from(stored).unwrap_or(usize::MAX);
    let stored = take(block, stored, "the literals of a block")?;
    if kind == 2 {
        weights(stored)?;
    }
    Ok(literals)
}

/// Whether the Huffman tree in front of compressed literals has a table of weights that is no larger than it may be
/// (RFC 8878, 4.2.1.1): for one that is not, the decoder would take memory.
fn weights(mut literals: &[u8]) -> Result<(), DamageKind> {
    const WHAT: &str = "the Huffman tree of a block's literals";
    let length = byte(&mut literals, WHAT)?;
    if length < 128 {
        let mut tree = take(&mut literals, usize::from(length), WHAT)?;
        Table::read(&mut tree, fse::WEIGHTS)?;
    }
    Ok(())
}
