//! From the headers to the memory. What is stored comes before what is missing; otherwise the first in the file wins.

use super::layout::{Layout, Layout32, Layout64, ProgramHeader};
use super::{Core, Elf, ElfError, ElfErrorKind, Kept, Source, in_file};
use crate::extents::Extents;
use crate::magic::ELF as MAGIC;
use crate::missing::{Covered, Missing, MissingReason};
use crate::segments::{Segment, Segments};
use iopt::{PhysAddr, PhysRange};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::ops::Range;
use zerocopy::FromBytes;
use zerocopy::byteorder::{BigEndian, LittleEndian};

const IDENT_SIZE: u64 = 16;
const CORE: u16 = 4;
const LOAD: u32 = 1;
const NOTE: u32 = 4;
/// In e_phnum: there are too many to say it here (PN_XNUM).
const NUMBER_ELSEWHERE: u16 = 0xffff;
/// In e_flags: makedumpfile could not write all (DUMP_ELF_INCOMPLETE).
const INCOMPLETE: u32 = 1;

/// Reads a file that is in memory, of which `file` is kept as `extents` say. Its start must be there.
pub(crate) fn read(file: &[u8], extents: &Extents) -> Result<Core, ElfError> {
    let core = read_headers(&Kept { file, extents })?;
    core.check_addresses(core.elf.vmcoreinfo(file).is_some())?;
    Ok(core)
}

/// Reads the headers, wherever they are, and leaves [`Core::check_addresses`] to the caller.
pub(crate) fn read_headers<S: Source>(file: &S) -> Result<Core, S::Error> {
    let at = |offset, kind| Err(S::Error::from(ElfError { offset, kind }));
    let start = file.bytes(0, IDENT_SIZE)?;
    if let Some(&found) = start.first_chunk().filter(|found| **found != MAGIC) {
        return at(0, ElfErrorKind::BadMagic { found });
    }
    let &[_, _, _, _, class, byte_order, version, ..] = &*start else {
        let kind = ElfErrorKind::TruncatedHeader { expected: IDENT_SIZE, found: in_file(start.len()) };
        return at(0, kind);
    };
    if version != 1 {
        return at(6, ElfErrorKind::Version { found: version });
    }
    match (class, byte_order) {
        (1, 1) => Ok(Reader::<Layout32<LittleEndian>, S>::new(file)?.read()?),
        (1, 2) => Ok(Reader::<Layout32<BigEndian>, S>::new(file)?.read()?),
        (2, 1) => Ok(Reader::<Layout64<LittleEndian>, S>::new(file)?.read()?),
        (2, 2) => Ok(Reader::<Layout64<BigEndian>, S>::new(file)?.read()?),
        (1 | 2, found) => at(5, ElfErrorKind::ByteOrder { found }),
        (found, _) => at(4, ElfErrorKind::Class { found }),
    }
}

/// A file of which the table of program headers is known to be there.
struct Reader<'f, L: Layout, S> {
    file: &'f S,
    /// The table.
    headers: Cow<'f, [u8]>,
    /// Where the table is.
    start: u64,
    machine: u16,
    flags: u32,
    layout: PhantomData<L>,
}

/// What the program headers say, each list in the order of the file.
#[derive(Default)]
struct Found {
    present: Vec<Segment>,
    missing: Vec<Missing>,
    notes: Vec<Range<usize>>,
    notes_covered: Covered,
    expected_size: u64,
    any_addr: bool,
}

impl<'f, L: Layout, S: Source> Reader<'f, L, S> {
    fn new(file: &'f S) -> Result<Self, S::Error> {
        let expected = in_file(size_of::<L::FileHeader>());
        let start = file.bytes(0, expected)?;
        let (raw, _) = L::FileHeader::read_from_prefix(&start).map_err(|_| {
            let found = in_file(start.len());
            ElfError { offset: 0, kind: ElfErrorKind::TruncatedHeader { expected, found } }
        })?;
        let header = raw.into();
        if header.kind != CORE {
            return Err(ElfError { offset: L::FIELDS.kind, kind: ElfErrorKind::NotACore { found: header.kind } }.into());
        }
        let mut number = u32::from(header.program_header_number);
        if header.program_header_number == NUMBER_ELSEWHERE {
            let found = header.section_headers;
            let kind = ElfErrorKind::NoSectionHeader { found };
            let missing = ElfError { offset: L::FIELDS.section_headers, kind };
            if found == 0 {
                return Err(missing.into());
            }
            let bytes = file.bytes(found, in_file(size_of::<L::SectionHeader>()))?;
            let (section, _) = L::SectionHeader::read_from_prefix(&bytes).map_err(|_| missing)?;
            number = section.into().info;
        }
        let size = in_file(size_of::<L::ProgramHeader>());
        if number != 0 && u64::from(header.program_header_size) != size {
            let kind = ElfErrorKind::ProgramHeaderSize { expected: size, found: header.program_header_size };
            return Err(ElfError { offset: L::FIELDS.program_header_size, kind }.into());
        }
        let start = header.program_headers;
        let expected = size.saturating_mul(number.into());
        let headers = if number == 0 { Cow::Borrowed(&[][..]) } else { file.bytes(start, expected)? };
        let found = in_file(headers.len());
        if found != expected {
            let end = file.end().unwrap_or(start.saturating_add(found));
            let kind = ElfErrorKind::TruncatedProgramHeaders { number, size, start, end };
            return Err(ElfError { offset: L::FIELDS.program_headers, kind }.into());
        }
        let (machine, flags) = (header.machine, header.flags);
        Ok(Self { file, headers, start, machine, flags, layout: PhantomData })
    }

    fn read(&self) -> Result<Core, ElfError> {
        let mut found = Found::default();
        let size = in_file(size_of::<L::ProgramHeader>());
        let raw_headers = self.headers.chunks_exact(size_of::<L::ProgramHeader>());
        for (index, raw) in (0u64..).zip(raw_headers.filter_map(|raw| L::ProgramHeader::read_from_bytes(raw).ok())) {
            let header: ProgramHeader = raw.into();
            match header.kind {
                LOAD if header.addr != L::MAX_ADDRESS && (header.memory_size, header.file_size) != (0, 0) => {
                    let offset = self.start.saturating_add(index.saturating_mul(size));
                    self.load(&header, &mut found)
                        .map_err(|(field, kind)| ElfError { offset: offset.saturating_add(field), kind })?;
                }
                NOTE => self.note(&header, &mut found),
                _ => {}
            }
        }
        let Found { present, missing, notes, expected_size, any_addr, .. } = found;
        let table = self.start;
        if present.is_empty() && missing.is_empty() {
            let number = in_file(self.headers.len()).checked_div(size).and_then(|number| u32::try_from(number).ok());
            let kind = ElfErrorKind::NoMemory { number: number.unwrap_or(u32::MAX) };
            return Err(ElfError { offset: table, kind });
        }
        let incomplete = self.flags & INCOMPLETE != 0;
        let (class, byte_order) = (L::CLASS, L::BYTE_ORDER);
        let elf = Elf {
            class,
            byte_order,
            machine: self.machine,
            incomplete,
            expected_size,
            file_size: self.file.end().unwrap_or(expected_size),
            flattened: false,
            stream_truncated: false,
            notes,
        };
        Ok(Core { segments: Segments::overlaid(present, missing), elf, any_addr, table })
    }

    /// Memory: first what is stored, then what the end of the file takes away, then what is not stored.
    fn load(&self, header: &ProgramHeader, found: &mut Found) -> Result<(), (u64, ElfErrorKind)> {
        let &ProgramHeader { addr, file_size, memory_size, .. } = header;
        if file_size > memory_size {
            return Err((L::FIELDS.file_size, ElfErrorKind::FileSize { file_size, memory_size }));
        }
        let behind_first = memory_size.saturating_sub(1);
        if addr.checked_add(behind_first).is_none() {
            let (start, size) = (PhysAddr(addr), memory_size);
            return Err((L::FIELDS.addr, ElfErrorKind::Wraps { start, size }));
        }
        found.any_addr |= addr != 0;
        let stored = self.stored(header, found);
        let stored_size = in_file(stored.len());
        if let Some(range) = part(addr, 0, stored_size) {
            found.present.push(Segment { range, offset: stored.start });
        }
        let end = header.offset.checked_add(file_size);
        let is_in_file = end.is_some_and(|end| self.file.end().is_none_or(|file| end <= file));
        let lost = if is_in_file { MissingReason::Lost } else { MissingReason::Truncated };
        let missing =
            [(part(addr, stored_size, file_size), lost), (part(addr, file_size, memory_size), MissingReason::Excluded)];
        found.missing.extend(missing.into_iter().filter_map(|(range, reason)| Some(Missing { range: range?, reason })));
        Ok(())
    }

    /// Notes that overlap earlier ones are left out: a file of many headers would have them read again and again.
    fn note(&self, header: &ProgramHeader, found: &mut Found) {
        let stored = self.stored(header, found);
        if let Some(last) = stored.end.checked_sub(1).filter(|_| !stored.is_empty()) {
            let whole = in_file(stored.start)..=in_file(last);
            if found.notes_covered.add(whole.clone()) == [whole] {
                found.notes.push(stored);
            }
        }
    }

    /// Which bytes a segment has, up to the end of the file or a gap.
    fn stored(&self, header: &ProgramHeader, found: &mut Found) -> Range<usize> {
        if header.file_size == 0 {
            return 0..0;
        }
        let end = header.offset.saturating_add(header.file_size);
        found.expected_size = found.expected_size.max(end);
        self.file.find(header.offset, header.file_size)
    }
}

/// The memory from `from` to `to`, exclusive, behind `addr`; `None` if that is none.
fn part(addr: u64, from: u64, to: u64) -> Option<PhysRange> {
    let last = to.checked_sub(1).filter(|last| from <= *last)?;
    PhysRange::new(PhysAddr(addr.checked_add(from)?), PhysAddr(addr.checked_add(last)?))
}
