//! Precise damage: each kind of entry, with the fault that it should make, and nothing else.

use super::{DEVICE, MODES, Tables, one_device, told, with};
use iopt::builder::{At, Error, PageTable, Pasids, Target};
use iopt::memory::{Page, PageAllocator};
use iopt::vtd::FaultReason::{self, *};
use iopt::vtd::TranslationMode::{self, Legacy, Scalable};
use iopt::{Access, Iova, Pasid, PhysAddr};

const PASID: Pasid = Pasid(0);
const HOLE: PhysAddr = PhysAddr(0x4_0000_0000_0000);

/// An entry on the path of the one leaf of the one device.
struct Entry {
    at: At,
    /// A reserved bit.
    bit: u64,
    /// The reason when that is set, when the entry is not present, and when it points to a hole.
    reasons: [FaultReason; 3],
}

fn entries(mode: TranslationMode, table: PageTable) -> Vec<Entry> {
    let at = At::PageTable(table, Iova(0x20_0000), 3);
    let entry = |at, bit: u32, reasons| Entry { at, bit: 1_u64 << bit, reasons };
    match mode {
        Legacy => vec![
            entry(At::Root(DEVICE), 5, [RootReserved, RootNotPresent, ContextUnreadable]),
            // The top page-table entry can't be fetched.
            entry(At::Context(DEVICE), 4, [ContextReserved, ContextNotPresent, ContextInvalid]),
            entry(at, 62, [PageTableReserved, ReadDenied, PageTableUnreadable]),
        ],
        _ => vec![
            entry(At::Root(DEVICE), 5, [ScalableRootReserved, ScalableRootNotPresent, ScalableContextUnreadable]),
            entry(
                At::Context(DEVICE),
                5,
                [ScalableContextReserved, ScalableContextNotPresent, PasidDirectoryUnreadable],
            ),
            entry(
                At::PasidDirectory(DEVICE, PASID),
                2,
                [PasidDirectoryReserved, PasidDirectoryNotPresent, PasidEntryUnreadable],
            ),
            entry(At::Pasid(DEVICE, PASID), 10, [PasidEntryReserved, PasidEntryNotPresent, SecondStageTopUnreadable]),
            entry(at, 62, [SecondStageReserved, SecondStageDenied, SecondStageUnreadable]),
        ],
    }
}

/// Damages each entry on the path of a request, which is then refused for the reason of this number.
fn each(which: usize, damage: impl Fn(&mut Tables<'_, '_>, &Entry) -> Result<(), Error>) {
    for mode in MODES {
        for number in 0..if mode == Legacy { 3 } else { 5 } {
            with(mode, |tables| {
                let table = one_device(tables)?;
                assert_eq!(asked(tables), Ok(PhysAddr(0x8020_1234)));
                let entry = entries(mode, table).swap_remove(number);
                damage(tables, &entry)?;
                assert_eq!(asked(tables), Err(entry.reasons[which]), "{}", entry.at);
                assert!(!told(tables).iter().any(|line| line.contains("->")), "{}", entry.at);
                Ok(())
            })
            .unwrap();
        }
    }
}

/// What becomes of a request, after a walk that is held against the twin.
fn asked(tables: &Tables<'_, '_>) -> Result<PhysAddr, FaultReason> {
    told(tables);
    let asked =
        tables.unit().translate(tables.pages(), DEVICE, Iova(0x20_1234), Access::Read, &mut Page::ZERO.clone(), |_| ());
    asked.map(|found| found.phys).map_err(|fault| fault.reason.unwrap())
}

#[test]
fn reserved_bits_are_set() {
    each(0, |tables, Entry { at, bit, .. }| tables.set(*at, *bit));
}

#[test]
fn entries_are_made_absent() {
    each(1, |tables, Entry { at, .. }| tables.clear(*at, 3_u64));
}

#[test]
fn entries_point_to_a_hole() {
    each(2, |tables, Entry { at, .. }| tables.point(*at, HOLE));
}

#[test]
fn tables_are_lost() {
    each(2, |tables, Entry { at, .. }| {
        let table = tables.table(*at)?;
        tables.free(*at)?;
        assert!(tables.pages().page(table).is_err());
        Ok(())
    });
}

#[test]
fn what_was_damaged_is_mended() {
    for mode in MODES {
        for number in 0..if mode == Legacy { 3 } else { 5 } {
            with(mode, |tables| {
                let table = one_device(tables)?;
                let Entry { at, bit, .. } = entries(mode, table).swap_remove(number);
                let (whole, lower) = (tables.entry(at)?, tables.table(at)?);
                tables.set(at, bit)?;
                tables.clear(at, bit)?;
                tables.clear(at, 1_u64)?;
                tables.set(at, 1_u64)?;
                tables.point(at, HOLE)?;
                tables.point(at, lower)?;
                assert_eq!(tables.entry(at), Ok(whole), "{at}");
                tables.write(at, 0_u64)?;
                assert_eq!(tables.entry(at), Ok(0_u64.into()), "{at}");
                tables.write(at, whole)?;
                assert_eq!(asked(tables), Ok(PhysAddr(0x8020_1234)), "{at}");
                Ok(())
            })
            .unwrap();
        }
    }
}

#[test]
fn every_bit_of_an_entry_can_be_set_and_none_beyond() {
    with(Scalable, |tables| {
        let table = one_device(tables)?;
        let bits = [128, 256, 64, 512, 64];
        for (Entry { at, .. }, bits) in entries(Scalable, table).into_iter().zip(bits) {
            let whole = tables.entry(at)?;
            for bit in 0..512_usize {
                let mut words = [0; 8];
                words[bit / 64] = 1 << (bit % 64);
                if bit >= bits {
                    let error = Error::TooManyBits { at, bits: bits as u16, found: words.into() };
                    assert_eq!(tables.set(at, words), Err(error));
                    assert_eq!(tables.clear(at, words), Err(error));
                    continue;
                }
                tables.set(at, words)?;
                let with_bit: Vec<_> = whole.words().iter().zip(words).map(|(whole, bit)| whole | bit).collect();
                assert_eq!(tables.entry(at)?.words()[..], with_bit);
                tables.write(at, words)?;
                assert_eq!(tables.entry(at)?, words.into());
                tables.clear(at, words)?;
                assert_eq!(tables.entry(at)?, 0_u64.into());
                tables.write(at, whole)?;
            }
        }
        Ok(())
    })
    .unwrap();
}

#[test]
fn the_pointer_of_a_pasid_is_that_of_its_first_stage_if_it_has_no_other() {
    with(Scalable, |tables| {
        let (first, second) = (tables.first_stage(5)?, tables.second_stage(4)?);
        for (pasid, target, expected) in [
            (0, Target::first_stage(first), first.top),
            (1, Target::second_stage(second), second.top),
            (2, Target::nested(first, second), second.top),
        ] {
            let at = At::Pasid(DEVICE, Pasid(pasid));
            tables.pasid(DEVICE, Pasid(pasid), target)?;
            assert_eq!(tables.table(at)?, expected);
            tables.point(at, HOLE)?;
            assert_eq!(tables.table(at)?, HOLE);
        }
        let told = told(tables);
        assert_eq!(told.iter().filter(|line| line.contains(" at ")).count(), 3, "{told:?}");
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_directory_is_lost_with_all_its_pages() {
    with(Scalable, |tables| {
        tables.pasids(DEVICE, Pasids::new().directory_size(5))?;
        let directory = tables.table(At::Context(DEVICE))?;
        let pages = |tables: &Tables<'_, '_>| {
            (0..9).filter(|page| tables.pages().page(PhysAddr(directory.0 + page * 4096)).is_ok()).count()
        };
        assert_eq!(pages(tables), 8);
        tables.free(At::Context(DEVICE))?;
        assert_eq!(pages(tables), 0);
        Ok(())
    })
    .unwrap();
}
