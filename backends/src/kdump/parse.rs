//! The two headers (makedumpfile, `diskdump_mod.h`: `disk_dump_header`, `kdump_sub_header`; libkdumpfile,
//! `diskdump.c`).

use super::compression::PageCompression;
use super::error::{KdumpError, KdumpErrorKind, KdumpPart};
use super::header::KdumpHeader;
use super::layout::{Fields, Layout, SubFields, is_wide, is_x86_32};
use super::source::Source;
use std::ops::Range;

const SIGNATURES: [&[u8; 8]; 2] = [b"KDUMP   ", b"DISKDUMP"];
/// Up to `nr_cpus`, on a 64-bit machine.
const HEADER: u64 = 464;
/// Up to `max_mapnr_64`, however long fields are.
const SUB_HEADER: u64 = 104;
/// The newest `header_version`.
const NEWEST: u32 = 6;
const MACHINE: Range<usize> = 272..337;
/// The `utsname` of the kernel, six names of 65 bytes.
const NAMES: Range<usize> = 12..402;
const RELEASE: Range<usize> = 142..207;
const SIZES: Range<u64> = 4096..65537;

/// The header, and where things are.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) header: KdumpHeader,
    /// The bitmaps, which are one in old dumps.
    pub(super) bitmap: u64,
    pub(super) bitmap_bytes: u64,
    pub(super) single: bool,
    pub(super) descriptors: u64,
    /// Offset and size of the VMCOREINFO.
    pub(super) vmcoreinfo: Option<(u64, u64)>,
    /// Offset and size of the notes.
    pub(super) notes: Option<(u64, u64)>,
}

pub(super) fn parse(source: &Source) -> Result<Parsed, KdumpError> {
    let length = source.available(0, HEADER);
    let bytes = source.get(0, length).unwrap_or_default();
    let mut found = [0; 8];
    found.iter_mut().zip(bytes.iter()).for_each(|(to, from)| *to = *from);
    if !SIGNATURES.contains(&&found) {
        return Err(KdumpError { offset: 0, kind: KdumpErrorKind::Signature { found } });
    }
    if length < HEADER {
        return Err(truncated(0, KdumpPart::Header, HEADER, length));
    }
    let machine = text(&bytes, MACHINE);
    let fits = |layout: &Layout| is_wide(&machine).is_none_or(|wide| wide == layout.wide);
    // Another width than the machine's comes last: by chance, a time stamp can look like a page size.
    let key = |(layout, result): &(Layout, Result<Parsed, KdumpError>)| match result {
        Ok(_) => (true, fits(layout), 0),
        Err(error) => (false, fits(layout), depth(&error.kind, version(&bytes, *layout))),
    };
    let tried = Layout::ALL.map(|layout| (layout, main(source, &bytes, layout, &machine)));
    // The first that is sane, or failing that the first that comes farthest; of equals, this takes the last.
    let best = tried.into_iter().rev().max_by_key(key);
    best.map_or(Err(KdumpError { offset: 0, kind: KdumpErrorKind::Signature { found } }), |(_, result)| result)
}

/// How far a header was read before it made no sense.
fn depth(kind: &KdumpErrorKind, version: u32) -> u8 {
    match kind {
        KdumpErrorKind::BlockSize { .. } if version > NEWEST => 0,
        KdumpErrorKind::BlockSize { .. } | KdumpErrorKind::Version { .. } => 1,
        KdumpErrorKind::SubHeaderSize => 2,
        KdumpErrorKind::BitmapTooShort { .. } => 3,
        _ => 4,
    }
}

fn version(bytes: &[u8], layout: Layout) -> u32 {
    Fields { bytes, big_endian: layout.big_endian }.u32(8)
}

fn main(source: &Source, bytes: &[u8], layout: Layout, machine: &str) -> Result<Parsed, KdumpError> {
    let fields = Fields { bytes, big_endian: layout.big_endian };
    let refuse = |offset, kind| Err(KdumpError { offset, kind });
    let at = |offset| layout.main(offset);
    let block_size = fields.u32(at(428));
    if !block_size.is_power_of_two() || !SIZES.contains(&u64::from(block_size)) {
        return refuse(at(428), KdumpErrorKind::BlockSize { found: block_size });
    }
    let version = version(bytes, layout);
    if version > NEWEST {
        return refuse(8, KdumpErrorKind::Version { found: version });
    }
    let sub_blocks = fields.u32(at(432));
    if sub_blocks == 0 {
        return refuse(at(432), KdumpErrorKind::SubHeaderSize);
    }
    // 32 bits of blocks of at most 16 bits: nothing overflows 64.
    let blocks = |count: u64| count.saturating_mul(u64::from(block_size));
    let bitmap_blocks = u64::from(fields.u32(at(436)));
    let bitmap_bytes = blocks(bitmap_blocks);
    let bits = bitmap_bytes.saturating_mul(8);
    let max_mapnr = u64::from(fields.u32(at(440)));
    if version < 6 && max_mapnr > bits {
        return refuse(at(440), KdumpErrorKind::BitmapTooShort { max_mapnr, bits });
    }
    let sub = sub_header(source, u64::from(block_size), version, layout, machine)?;
    let (max_mapnr_at, max_mapnr) = sub.max_mapnr.unwrap_or((at(440), max_mapnr));
    if max_mapnr > bits {
        return refuse(max_mapnr_at, KdumpErrorKind::BitmapTooShort { max_mapnr, bits });
    }
    if max_mapnr == 0 {
        return refuse(max_mapnr_at, KdumpErrorKind::NoMemory);
    }
    let header = KdumpHeader {
        version,
        is_64_bit: layout.wide,
        big_endian: layout.big_endian,
        machine: machine.to_owned(),
        release: text(bytes, RELEASE),
        timestamp: layout.timestamp(fields),
        names: bytes.get(NAMES).unwrap_or_default().to_vec(),
        block_size,
        max_mapnr,
        incomplete: fields.u32(at(424)) & 0x8 != 0,
        compression: PageCompression::of(fields.u32(at(424))),
        part: sub.part,
    };
    let bitmap = blocks(u64::from(sub_blocks).saturating_add(1));
    Ok(Parsed {
        header,
        bitmap,
        bitmap_bytes,
        single: max_mapnr > bits / 2,
        descriptors: bitmap.saturating_add(bitmap_bytes),
        vmcoreinfo: sub.vmcoreinfo,
        notes: sub.notes,
    })
}

/// A text that ends with the first zero.
fn text(bytes: &[u8], place: Range<usize>) -> String {
    let name = bytes.get(place).and_then(|name| name.split(|byte| *byte == 0).next()).unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

struct SubHeader {
    part: Option<Range<u64>>,
    vmcoreinfo: Option<(u64, u64)>,
    notes: Option<(u64, u64)>,
    /// With its place.
    max_mapnr: Option<(u64, u64)>,
}

/// Fields that are newer than the header's version hold anything, and are not looked at.
fn sub_header(
    source: &Source,
    offset: u64,
    version: u32,
    layout: Layout,
    machine: &str,
) -> Result<SubHeader, KdumpError> {
    let found = source.available(offset, SUB_HEADER);
    let bytes = source.get(offset, found).filter(|bytes| bytes.len() as u64 == SUB_HEADER);
    let bytes = bytes.ok_or(truncated(offset, KdumpPart::SubHeader, SUB_HEADER, found))?;
    let fields = Fields { bytes: &bytes, big_endian: layout.big_endian };
    let aligned = !is_x86_32(machine) && is_wide(machine).is_some();
    let mut sub = SubFields { fields, at: 0, wide: layout.wide, aligned };
    let (_phys_base, _dump_level, split) = (sub.long(), sub.int(), sub.int());
    let mut part_at = sub.at;
    let (mut start, mut end) = (sub.long(), sub.long());
    let vmcoreinfo = (sub.long_long(), sub.long());
    let (notes, _eraseinfo) = ((sub.long_long(), sub.long()), (sub.long_long(), sub.long()));
    let mut max_mapnr = None;
    if version >= 6 {
        part_at = sub.at;
        (start, end) = (sub.long_long(), sub.long_long());
        let value = sub.long_long();
        max_mapnr = Some((offset.saturating_add(sub.at.saturating_sub(8)), value));
    }
    let part = (version >= 2 && split != 0).then_some(start..end);
    if part.is_some() && start > end {
        let offset = offset.saturating_add(part_at);
        return Err(KdumpError { offset, kind: KdumpErrorKind::Part { start, end } });
    }
    let place = |since, place| Some(place).filter(|&(offset, size)| version >= since && offset != 0 && size != 0);
    Ok(SubHeader { part, vmcoreinfo: place(3, vmcoreinfo), notes: place(4, notes), max_mapnr })
}

pub(super) fn truncated(offset: u64, part: KdumpPart, expected: u64, found: u64) -> KdumpError {
    KdumpError { offset, kind: KdumpErrorKind::Truncated { part, expected, found } }
}
