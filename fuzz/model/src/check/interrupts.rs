//! Interrupt remapping tables of any bytes: a listing is what lookups by index find.

use super::Copying;
use super::torn::check_torn_interrupts;
use iopt::memory::{Page, PhysReader, Slot, SparseMemory, Word};
use iopt::vtd::{Interrupt, InterruptFault, Irta, Msi, Remapped, SourceValidation};
use iopt::{PhysAddr, SourceId};

/// Reads `bytes` as the interrupt remapping table of a unit; the first eight are its register, which only says how
/// large the table is and whether it is in extended mode. The table may be longer than the memory.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_interrupts(bytes: &[u8]) {
    let (register, bytes) = bytes.split_at(bytes.len().min(8));
    let register = register.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    // Four pages of it are more than enough to look at one by one.
    let irta = Irta(TABLE | register & 0x800 | (register & 0xf).min(9));
    let pages = bytes.len().div_ceil(Page::SIZE).min(4);
    let mut slots = vec![Slot::EMPTY; pages];
    let mut memory = SparseMemory::new(&mut slots);
    for (number, chunk) in bytes.chunks(Page::SIZE).take(pages).enumerate() {
        let mut page = Page::ZERO;
        for (at, (word, bytes)) in page.words_mut().iter_mut().zip(chunk.chunks(8)).enumerate() {
            let mut raw = [0; 8];
            raw[..bytes.len()].copy_from_slice(bytes);
            *word = Word::new(tame(u64::from_le_bytes(raw), at % 2 == 1));
        }
        memory.write_page(PhysAddr(TABLE + number as u64 * 4096), &page).expect("there is a slot for each page");
    }

    let mut copy = Page::ZERO;
    let listed: Vec<_> = irta.entries(&memory, &mut copy).collect();
    assert_eq!(irta.entries(&Copying::new(&memory), &mut copy).collect::<Vec<_>>(), listed);
    let mut listed = listed.into_iter().peekable();
    for index in 0..irta.entry_count() {
        let page = PhysAddr(TABLE + u64::from(index / 256) * 4096);
        let words = memory.lend_page(page).map(|page| {
            let at = index as usize % 256 * 2;
            [page.words()[at].get(), page.words()[at + 1].get()]
        });
        let is_here = |found: &Result<_, InterruptFault>| match found {
            Ok(iopt::vtd::IndexedEntry { index: found, .. }) => *found == index,
            Err(fault) => fault.place.is_some_and(|place| place.index == index),
        };
        let told = listed.next_if(is_here);
        // A page that is not there is told of once, and an absent entry not at all.
        let expected = words.map_or(index % 256 == 0, |words| words[0] & 1 == 1);
        assert_eq!(told.is_some(), expected, "{index}: {told:?}");
        let sources = words.map_or(vec![0], |words| sources(words[1]));
        for source in sources.into_iter().map(SourceId) {
            check_lookup(irta, &memory, index, source, words, told.as_ref());
        }
    }
    assert_eq!(listed.next(), None);
    check_torn_interrupts(irta, &memory, register ^ bytes.len() as u64);
    let beyond = irta.lookup(&memory, SourceId(0), irta.entry_count(), &mut copy);
    assert_eq!(beyond.map_err(|fault| fault.reason.map(|reason| reason.code())), Err(Some(0x21)));
}

/// Where the table is.
const TABLE: u64 = 0x80_0000;

/// Most reserved bits are cleared, most of the time: nearly every random entry would be malformed. The descriptors of
/// posted interrupts come to lie about the table.
fn tame(raw: u64, high: bool) -> u64 {
    match (raw >> 60, high) {
        (0, _) => raw,
        (_, true) => raw & if raw >> 59 & 1 == 0 { 0xf_ffff } else { 0x7_ffff },
        (_, false) if raw & 1 << 15 != 0 => raw & 0x0000_3fc0_00ff_cf03 | TABLE << 32,
        (_, false) => raw & 0x0000_ff00_00ff_8fff,
    }
}

/// Senders that an entry may or may not be for.
fn sources(high: u64) -> Vec<u16> {
    let own = high as u16;
    vec![own, own ^ 1, own ^ 4, own ^ 0x100, own.swap_bytes(), own & 0xff00 | 0x0f, own.wrapping_sub(0x100)]
}

fn check_lookup(
    irta: Irta,
    memory: &SparseMemory<'_>,
    index: u32,
    source: SourceId,
    words: Option<[u64; 2]>,
    told: Option<&Result<iopt::vtd::IndexedEntry, InterruptFault>>,
) {
    let mut copy = Page::ZERO;
    let found = irta.lookup(memory, source, index, &mut copy);
    assert_eq!(irta.lookup(&Copying::new(memory), source, index, &mut copy), found);
    // The handle of a message is the index, and so is the sum of handle and subhandle.
    let address = |handle: u32| 0xfee0_0010 | u64::from(handle & 0x7fff) << 5 | u64::from(handle >> 15 & 1) << 2;
    let half = index / 2;
    let with_subhandle = Msi { address: address(half) | 1 << 3, data: index - half };
    for msi in [Msi { address: address(index), data: 0xffff }, with_subhandle] {
        assert_eq!(irta.lookup_msi(memory, source, msi, &mut copy), found.map(Remapped::Entry), "{msi:?}");
    }

    let code = match &found {
        Ok(_) => 0,
        Err(fault) => {
            assert!(fault.source_id == Some(source) && !fault.to_string().is_empty());
            fault.reason.map_or(0xff, |reason| reason.code())
        }
    };
    let Some(words) = words else { return assert_eq!(code, 0x23, "{index}") };
    if let Some(place) = found.as_ref().err().and_then(|fault| fault.place) {
        assert_eq!((place.index, place.entry), (index, Some(u128::from(words[1]) << 64 | u128::from(words[0]))));
    }
    if words[0] & 1 == 0 {
        return assert_eq!(code, 0x22, "{index}");
    }
    let told = told.expect("a present entry is told of");
    let Ok(told) = told else { return assert_eq!(code, 0x24, "{index}: {told:?}") };
    assert_eq!(told.entry.raw(), u128::from(words[1]) << 64 | u128::from(words[0]));
    if !lets_in(words[1], source.0) {
        return assert_eq!(code, 0x26, "{index} {source}");
    }
    assert!(!matches!(told.entry.validation(), SourceValidation::Reserved));
    match told.entry.interrupt(irta.extended()) {
        Interrupt::Posted { descriptor, .. } => {
            assert_eq!(descriptor.0, words[1] & 0xffff_ffff_0000_0000 | words[0] >> 32 & 0xffff_ffc0);
            let page = memory.lend_page(descriptor);
            let reserved = |page: &Page| {
                let masks = [0xff00_fffc, !0, !0, !0];
                let first = descriptor.0 as usize % 4096 / 8 + 4;
                page.words()[first..].iter().zip(masks).any(|(word, mask)| word.get() & mask != 0)
            };
            assert_eq!(code, page.map_or(0x27, |page| if reserved(page) { 0x28 } else { 0 }), "{index}");
        }
        Interrupt::Remapped { .. } => assert_eq!(code, 0, "{index}"),
    }
}

/// Whether a well-formed entry is for interrupts of this source: SVT and SQ, as the specification lists them.
fn lets_in(high: u64, source: u16) -> bool {
    let own = high as u16;
    match (high >> 18 & 3, high >> 16 & 3) {
        (0, _) => true,
        (1, 0) => own == source,
        (1, 1) => own | 0b100 == source | 0b100,
        (1, 2) => own | 0b110 == source | 0b110,
        (1, _) => own | 0b111 == source | 0b111,
        _ => (own >> 8..=own & 0xff).contains(&(source >> 8)),
    }
}
