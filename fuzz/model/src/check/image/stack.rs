//! Several images as one.

use super::{LIMIT, check_reader, one_line, open};
use iopt::PhysAddr;
use iopt::memory::{Page, PhysReader, ranges};
use iopt_backends::{Format, Image, Stack};

/// Where the first bytes of raw images are: they share a page, overlap, or lie apart.
const BASES: [u64; 4] = [0, 0x1800, 0x1000, u64::MAX - LIMIT];

/// As up to four images of the same memory.
///
/// The first byte says how many there are, the next two of each how long, little-endian; then come their bytes. What
/// does not open is left out.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_stack(bytes: &[u8]) {
    let Some((count, mut rest)) = bytes.split_first() else { return };
    let mut lengths = Vec::new();
    for _ in 0..1 + count % 4 {
        let Some((length, behind)) = rest.split_first_chunk() else { return };
        lengths.push(usize::from(u16::from_le_bytes(*length)));
        rest = behind;
    }
    let mut images = Vec::new();
    for (length, base) in lengths.into_iter().zip(BASES) {
        let (image, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        let opened = match open(image, None) {
            Ok(raw) if raw.format() == Format::Raw => open(image, Some(PhysAddr(base))),
            opened => opened,
        };
        images.extend(opened);
    }
    match Stack::new(images) {
        Ok(stack) => check(&stack),
        Err(error) => one_line(&error),
    }
}

fn check(stack: &Stack) {
    check_reader(stack, stack.images().iter().all(|image| image.kdump().is_none()));
    let read = |reader: &dyn PhysReader, addr| {
        let mut page = Page::ZERO;
        reader.read_page(addr, &mut page).ok().map(|()| page)
    };
    let of_images =
        |image: &Image| ranges(image).take(8).flat_map(|range| [range.first(), range.last()]).collect::<Vec<_>>();
    for addr in stack.images().iter().flat_map(of_images) {
        let expected = stack.images().iter().find_map(|image| read(image, addr));
        let found = read(stack, addr);
        assert!(expected.is_none_or(|expected| found.is_some_and(|found| found.words() == expected.words())), "{addr}");
    }
    let parts = stack.missing_parts();
    assert!(parts.iter().all(|part| part.start < part.end) && parts.windows(2).all(|two| two[0].end < two[1].start));
}
