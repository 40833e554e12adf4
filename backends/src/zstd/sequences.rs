use super::bits::Backward;
use super::code::{LITERALS, MATCHES};
use super::error::DamageKind;
use super::fse::{self, Kind, Table};
use super::{byte, number};

/// The tables of the sequences of a block, which the next one can repeat (RFC 8878, 3.1.1.3.2).
#[derive(Default)]
pub(super) struct Sequences {
    literals: Option<Table>,
    offsets: Option<Table>,
    matches: Option<Table>,
}

impl Sequences {
    /// How many bytes a block gives that has so many `literals` and `section` behind them, which may be `most`.
    pub(super) fn size(&mut self, mut section: &[u8], literals: u64, most: u64) -> Result<u64, DamageKind> {
        let count = count(&mut section)?;
        if count == 0 {
            return if section.is_empty() { Ok(literals) } else { Err(DamageKind::Behind(section.len())) };
        }
        let modes = byte(&mut section, "the modes of sequences")?;
        if modes & 3 != 0 {
            return Err(DamageKind::Reserved(modes));
        }
        let lengths = table(&mut self.literals, modes >> 6, &mut section, fse::LITERALS)?;
        let offsets = table(&mut self.offsets, modes >> 4 & 3, &mut section, fse::OFFSETS)?;
        let matches = table(&mut self.matches, modes >> 2 & 3, &mut section, fse::MATCHES)?;

        let few = DamageKind::Bits { sequences: count, over: false };
        let mut bits = Backward::new(section).ok_or(DamageKind::Padding)?;
        let mut length = lengths.start(&mut bits).ok_or(few)?;
        let mut offset = offsets.start(&mut bits).ok_or(few)?;
        let mut matched = matches.start(&mut bits).ok_or(few)?;
        let (mut size, mut used) = (literals, 0u64);
        for left in (0..count).rev() {
            // An offset has as many bits as its code says.
            bits.take(offset.code).ok_or(few)?;
            size = size.saturating_add(MATCHES.value(matched.code, &mut bits).ok_or(few)?);
            used = used.saturating_add(LITERALS.value(length.code, &mut bits).ok_or(few)?);
            if size > most {
                return Err(DamageKind::Block { most, found: size });
            }
            if used > literals {
                return Err(DamageKind::Literals { expected: literals, found: used });
            }
            if left != 0 {
                length = lengths.next(length, &mut bits).ok_or(few)?;
                matched = matches.next(matched, &mut bits).ok_or(few)?;
                offset = offsets.next(offset, &mut bits).ok_or(few)?;
            }
        }
        if bits.is_empty() { Ok(size) } else { Err(DamageKind::Bits { sequences: count, over: true }) }
    }
}

/// How many sequences there are.
fn count(section: &mut &[u8]) -> Result<u32, DamageKind> {
    const WHAT: &str = "the number of sequences";
    let first = u32::from(byte(section, WHAT)?);
    match first {
        0..128 => Ok(first),
        128..255 => Ok((first & 127) << 8 | u32::from(byte(section, WHAT)?)),
        _ => {
            let more = u32::try_from(number(section, 2, WHAT)?).unwrap_or(u32::MAX);
            Ok(more.saturating_add(0x7f00))
        }
    }
}

/// The table that `mode` says: a predefined one, one of a single code, one that is described in `from`, or the one
/// that there was.
fn table<'t>(old: &'t mut Option<Table>, mode: u8, from: &mut &[u8], kind: Kind) -> Result<&'t Table, DamageKind> {
    let new = match mode {
        0 => Table::predefined(kind),
        1 => Table::single(byte(from, "the code of all sequences")?, kind)?,
        2 => Table::read(from, kind)?,
        _ => return old.as_ref().ok_or(DamageKind::Repeat),
    };
    Ok(old.insert(new))
}
