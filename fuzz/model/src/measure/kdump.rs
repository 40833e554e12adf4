//! Kdump-compressed files of any size, to measure their reader on.

use crate::random_bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ranges};
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;

const BLOCK: u64 = 4096;
/// Flag of a descriptor whose page is a zlib stream.
const ZLIB: u32 = 1;
/// Behind the header and the sub header.
const BITMAPS: u64 = 2 * BLOCK;
const DESCRIPTOR: usize = 24;

/// Writes the memory of `reader` as a kdump-compressed file with zlib, as makedumpfile does: a page that does not
/// shrink is stored as it is. `filler` pages of noise come behind the last one; in the file they lie between the others,
/// as the rest of memory does in a real dump.
///
/// # Errors
/// What `out` gives, and a page of the memory that can't be read.
pub fn write_kdump<R: PhysReader, W: Write + Seek>(reader: &R, filler: u64, out: &mut W) -> io::Result<()> {
    let of_memory = ranges(reader).flat_map(|range| range.first().0 / BLOCK..=range.last().0 / BLOCK);
    let mut frames: Vec<u64> = of_memory.collect();
    let pages = frames.len();
    let first_filler = frames.last().map_or(0, |last| last + 1);
    frames.extend(first_filler..first_filler + filler);
    let end = first_filler + filler;
    let bitmap_blocks = end.div_ceil(8).div_ceil(BLOCK);
    let mut bitmap = vec![0_u8; (bitmap_blocks * BLOCK) as usize];
    for frame in &frames {
        bitmap[(frame / 8) as usize] |= 1 << (frame % 8);
    }
    out.write_all(&headers(end, 2 * bitmap_blocks))?;
    out.seek(SeekFrom::Start(BITMAPS))?;
    // What is memory, and what was dumped: all of it.
    out.write_all(&bitmap)?;
    out.write_all(&bitmap)?;
    let mut descriptors = Vec::with_capacity(frames.len() * DESCRIPTOR);
    let mut at = BITMAPS + 2 * bitmap_blocks * BLOCK + (frames.len() * DESCRIPTOR) as u64;
    out.seek(SeekFrom::Start(at))?;
    let mut store = |plain: &[u8], out: &mut W| {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain)?;
        let compressed = encoder.finish()?;
        let (stored, flags) = if compressed.len() < plain.len() { (&*compressed, ZLIB) } else { (plain, 0) };
        let mut descriptor = [0; DESCRIPTOR];
        descriptor[..8].copy_from_slice(&at.to_le_bytes());
        descriptor[8..12].copy_from_slice(&(stored.len() as u32).to_le_bytes());
        descriptor[12..16].copy_from_slice(&flags.to_le_bytes());
        at += stored.len() as u64;
        out.write_all(stored).map(|()| descriptor)
    };
    let mut page = Page::ZERO;
    let mut noise = Vec::new();
    for (number, frame) in (1..).zip(&frames[..pages]) {
        reader.read_page(PhysAddr(frame * BLOCK), &mut page).map_err(io::Error::other)?;
        let plain: Vec<u8> = page.words().iter().flat_map(|word| word.get().to_le_bytes()).collect();
        descriptors.extend(store(&plain, out)?);
        // An even share of the noise behind each.
        while noise.len() / DESCRIPTOR < number * (frames.len() - pages) / pages {
            noise.extend(store(&random_bytes(noise.len() as u64, BLOCK as usize), out)?);
        }
    }
    descriptors.extend(noise);
    out.seek(SeekFrom::Start(BITMAPS + 2 * bitmap_blocks * BLOCK))?;
    out.write_all(&descriptors)
}

/// The header and the sub header, version 6 for x86-64.
fn headers(frames: u64, bitmap_blocks: u64) -> Vec<u8> {
    let mut bytes = vec![0; 2 * BLOCK as usize];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"KDUMP   ");
    put(8, &6_u32.to_le_bytes());
    put(12, b"Linux");
    put(12 + 4 * 65, b"x86_64");
    // zlib; then the sizes: of a block, of the sub header and of the bitmaps, in blocks.
    put(424, &1_u32.to_le_bytes());
    put(428, &(BLOCK as u32).to_le_bytes());
    put(432, &1_u32.to_le_bytes());
    put(436, &(bitmap_blocks as u32).to_le_bytes());
    put(440, &(frames as u32).to_le_bytes());
    put(460, &1_u32.to_le_bytes());
    put(BLOCK as usize + 96, &frames.to_le_bytes());
    bytes
}

/// Where the bytes of pages of a file that [`write_kdump`] wrote are stored, and whether they are compressed: what a
/// reader has to decompress, found without it.
pub fn stored_pages(file: &[u8], pages: &[PhysAddr]) -> Vec<(Range<usize>, bool)> {
    let number = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"));
    let half = (number(436) as u32 as usize) / 2 * BLOCK as usize;
    let dumped = &file[BITMAPS as usize + half..][..half];
    let mut below = vec![0_usize];
    for byte in dumped {
        below.push(below[below.len() - 1] + byte.count_ones() as usize);
    }
    let stored = |page: &PhysAddr| {
        let frame = (page.0 / BLOCK) as usize;
        let rank = below[frame / 8] + (dumped[frame / 8] & ((1 << (frame % 8)) - 1)).count_ones() as usize;
        let descriptor = BITMAPS as usize + 2 * half + rank * DESCRIPTOR;
        let (offset, size) = (number(descriptor) as usize, number(descriptor + 8));
        (offset..offset + size as u32 as usize, size >> 32 == u64::from(ZLIB))
    };
    pages.iter().map(stored).collect()
}
