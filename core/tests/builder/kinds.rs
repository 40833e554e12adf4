//! Every kind of unit, device, page table and leaf.

use super::{DEVICE, MODES, one_device, steps, told, with};
use iopt::builder::{At, Leaves, Pasids, Target, UnitBuilder};
use iopt::memory::{Slot, SparseMemory};
use iopt::vtd::TranslationMode::{Legacy, Scalable};
use iopt::vtd::{Cap, Ecap};
use iopt::{DomainId, Iova, Pasid, Permissions, PhysAddr, SourceId};
use iopt_model::Built;
use iopt_model::check::check_unit;

const READ: Permissions = Permissions::READ;
const WRITE: Permissions = Permissions::WRITE;

#[test]
fn an_empty_unit_has_no_devices() {
    for mode in MODES {
        assert_eq!(with(mode, |tables| Ok(told(tables))).unwrap(), [""; 0]);
    }
}

#[test]
fn second_stages_have_2_to_6_levels_and_leaves_up_to_their_last_address() {
    for mode in MODES {
        for levels in 2..=6_u8 {
            let last = u64::MAX >> (64 - (12 + 9 * u32::from(levels)).min(64)) & !0xfff;
            let made = with(mode, |tables| {
                let table = tables.second_stage(levels)?;
                tables.map(table, Leaves::of_4k(Iova(0), PhysAddr(0x7000)).times(3).permissions(READ))?;
                tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x40_0000)).permissions(WRITE))?;
                tables.map(table, Leaves::of_4k(Iova(last), PhysAddr(0xf_ffff_ffff_f000)))?;
                tables.device(DEVICE, Target::second_stage(table).domain(DomainId(9)))?;
                Ok(told(tables))
            });
            let pasid = if mode == Scalable { "@0" } else { "" };
            let expected = [
                format!("00:01.0{pasid} second/{levels} in 9"),
                "0x0 -> 0x7000 r- x3".into(),
                "0x200000 -> 0x400000 -w x1".into(),
                format!("{last:#x} -> 0xffffffffff000 rw x1"),
            ];
            assert_eq!(made.unwrap(), expected, "{mode:?}");
        }
    }
}

#[test]
fn first_stages_have_4_or_5_levels_and_two_halves() {
    for (levels, upper) in [(4, 0xffff_8000_0000_0000_u64), (5, 0xff00_0000_0000_0000)] {
        let made = with(Scalable, |tables| {
            let table = tables.first_stage(levels)?;
            tables.map(table, Leaves::of_1g(Iova(0x4000_0000), PhysAddr(0x8000_0000)).times(2).permissions(READ))?;
            tables.map(table, Leaves::of_2m(Iova(upper), PhysAddr(0x40_0000)))?;
            tables.map(table, Leaves::of_4k(Iova(!0xfff), PhysAddr(0x1000)))?;
            tables.device(DEVICE, Target::first_stage(table))?;
            Ok(told(tables))
        });
        let expected = [
            format!("00:01.0@0 first/{levels} in 1"),
            "0x40000000 -> 0x80000000 r- x2".into(),
            format!("{upper:#x} -> 0x400000 rw x1"),
            "0xfffffffffffff000 -> 0x1000 rw x1".into(),
        ];
        assert_eq!(made.unwrap(), expected);
    }
}

#[test]
fn a_first_stage_goes_through_a_second_one() {
    let made = with(Scalable, |tables| {
        let (first, second) = (tables.first_stage(5)?, tables.second_stage(4)?);
        tables.map(first, Leaves::of_4k(Iova(0x5000), PhysAddr(0x4000_3000)).times(2))?;
        // Where tables are nothing changes, and the rest is 1 GiB higher.
        tables.map(second, Leaves::of_2m(Iova(0), PhysAddr(0)))?;
        tables.map(second, Leaves::of_1g(Iova(0x4000_0000), PhysAddr(0x8000_0000)).permissions(READ))?;
        tables.device(DEVICE, Target::nested(first, second))?;
        Ok(told(tables))
    });
    assert_eq!(made.unwrap(), ["00:01.0@0 nested/5/4 in 1", "0x5000 -> 0x80003000 r- x2"]);
}

#[test]
fn devices_of_legacy_mode_are_anywhere_and_have_the_bits_they_are_given() {
    let made = with(Legacy, |tables| {
        let table = tables.second_stage(3)?;
        tables.device(SourceId::new(0, 0), Target::pass_through())?;
        tables.device(SourceId::new(0, 0xff), Target::second_stage(table).device_tlb())?;
        tables
            .device(SourceId::new(0xff, 0x80), Target::second_stage(table).domain(DomainId(0xffff)).fault_disabled())?;
        tables.device(SourceId::new(3, 1), Target::blocked())?;
        tables.device(SourceId::new(3, 2), Target::second_stage(table).address_width(4))?;
        tables.device(SourceId::new(3, 3), Target::pass_through().address_width(7))?;
        Ok(told(tables))
    });
    let expected = [
        "00:00.0 passes in 1",
        "00:1f.7 second/3 in 1 ATS",
        "03:00.2 second/6 in 1",
        "0x3 at context 3",
        "ff:10.0 second/3 in 65535 FPD",
    ];
    assert_eq!(made.unwrap(), expected, "a context entry that is not present is no device");
}

#[test]
fn devices_of_scalable_mode_have_pasids_in_directories_of_every_size() {
    for size in 0..8 {
        let last = (1 << (size + 13)) - 1;
        let (lower, upper) = (SourceId::new(0, 0x7f), SourceId::new(0, 0x80));
        let made = with(Scalable, |tables| {
            let (first, second) = (tables.first_stage(4)?, tables.second_stage(2)?);
            tables.pasids(lower, Pasids::new().directory_size(size).rid_pasid(Pasid(last - 1)))?;
            tables.device(lower, Target::pass_through().device_tlb())?;
            tables.pasid(lower, Pasid(last), Target::first_stage(first).domain(DomainId(7)))?;
            tables.pasid(upper, Pasid(0x41), Target::second_stage(second).fault_disabled())?;
            Ok(told(tables))
        });
        let expected = [
            format!("00:0f.7@{} passes in 1 ATS", last - 1),
            format!("00:0f.7@{last} first/4 in 7 ATS"),
            "00:10.0@0 blocked 0x51".into(),
            "00:10.0@65 second/2 in 1 FPD".into(),
        ];
        assert_eq!(made.unwrap(), expected);
    }
}

#[test]
fn the_flags_of_a_scalable_context_entry_are_told_apart() {
    let made = with(Scalable, |tables| {
        for (bus, pasids) in (0..).zip([
            Pasids::new(),
            Pasids::new().enabled(),
            Pasids::new().device_tlb(),
            Pasids::new().fault_disabled(),
        ]) {
            tables.pasids(SourceId::new(bus, 0), pasids)?;
        }
        (0..4).map(|bus| Ok(tables.entry(At::Context(SourceId::new(bus, 0)))?.words()[0] & 0xfff)).collect()
    });
    let entries: Vec<u64> = made.unwrap();
    assert_eq!(entries, [1, 9, 5, 3]);
}

#[test]
fn a_blocked_pasid_is_refused() {
    let made = with(Scalable, |tables| {
        tables.device(DEVICE, Target::blocked().domain(DomainId(3)))?;
        Ok((told(tables), tables.entry(At::Pasid(DEVICE, Pasid(0)))?))
    });
    let (told, entry) = made.unwrap();
    assert_eq!(told, ["00:01.0@0 blocked 0x59"]);
    assert_eq!(entry, [0, 3].into());
}

#[test]
fn leaves_have_the_bits_they_are_given() {
    let made = with(Legacy, |tables| {
        let table = tables.second_stage(3)?;
        tables.map(table, Leaves::of_2m(Iova(0), PhysAddr(0x40_0000)).bits(1 << 11))?;
        tables.map(table, Leaves::of_1g(Iova(1 << 30), PhysAddr(0)).times(0))?;
        let empty = tables.entry(At::PageTable(table, Iova(1 << 30), 3))?;
        Ok((tables.entry(At::PageTable(table, Iova(0x1f_ffff), 2))?, empty))
    });
    assert_eq!(made.unwrap(), (0x40_0883_u64.into(), 0_u64.into()));
}

/// A and D are set, so that nothing has to be written into the tables.
#[test]
fn first_stage_entries_are_marked_as_used() {
    let made = with(Scalable, |tables| {
        let table = tables.first_stage(4)?;
        tables.map(table, Leaves::of_4k(Iova(0), PhysAddr(0x1000)))?;
        tables.map(table, Leaves::of_4k(Iova(0x1000), PhysAddr(0x1000)).permissions(READ))?;
        tables.map(table, Leaves::of_1g(Iova(1 << 30), PhysAddr(0)))?;
        let entry = |iova, level| Ok(tables.entry(At::PageTable(table, Iova(iova), level))?.words()[0] & 0xfff);
        [(0, 4), (0, 3), (0, 2), (0, 1), (0x1000, 1), (1 << 30, 3)]
            .map(|(iova, level)| entry(iova, level))
            .into_iter()
            .collect()
    });
    let entries: Vec<u64> = made.unwrap();
    assert_eq!(entries, [0x27, 0x27, 0x27, 0x67, 0x25, 0xe7]);
}

#[test]
fn a_unit_is_gone_on_with_and_two_share_one_memory() {
    let mut slots = vec![Slot::EMPTY; 32];
    let mut memory = SparseMemory::new(&mut slots);
    let mut one = UnitBuilder::new(&mut memory, Legacy).unwrap();
    let table = one_device(&mut one).unwrap();
    let unit = one.unit();
    let mut other = UnitBuilder::new(&mut memory, Scalable).unwrap();
    other.device(DEVICE, Target::second_stage(table)).unwrap();
    assert_eq!(told(&other), ["00:01.0@0 second/3 in 1", "0x200000 -> 0x80200000 rw x1"]);
    let mut one = UnitBuilder::resume(&mut memory, unit);
    one.device(SourceId::new(9, 0), Target::pass_through()).unwrap();
    assert_eq!(told(&one), ["00:01.0 second/3 in 1", "0x200000 -> 0x80200000 rw x1", "09:00.0 passes in 1"]);
}

#[test]
fn nothing_is_malformed_for_a_unit_of_which_everything_is_known() {
    let (mut slots, haw) = (vec![Slot::EMPTY; 32], Some(46));
    let mut memory = SparseMemory::new(&mut slots);
    // AW 1 to 3, 57 bits of MGAW, all large pages, 5 levels in the first stage; and everything in ECAP.
    let (cap, ecap) = (6 | 0xe << 8 | 56 << 16 | 3 << 34 | 1 << 56 | 1 << 60, u64::MAX);
    let mut tables = UnitBuilder::new(&mut memory, Scalable).unwrap();
    let (first, second) = (tables.first_stage(5).unwrap(), tables.second_stage(3).unwrap());
    for table in [first, second] {
        tables.map(table, Leaves::of_1g(Iova(0), PhysAddr(0))).unwrap();
        tables.map(table, Leaves::of_2m(Iova(0x4000_0000), PhysAddr(0x20_0000))).unwrap();
        tables.map(table, Leaves::of_4k(Iova(0x8000_0000), PhysAddr(0x3000))).unwrap();
    }
    tables.device(DEVICE, Target::nested(first, second).device_tlb()).unwrap();
    tables.pasid(DEVICE, Pasid(1), Target::first_stage(first)).unwrap();
    tables.pasid(DEVICE, Pasid(2), Target::second_stage(second)).unwrap();
    tables.pasid(DEVICE, Pasid(3), Target::pass_through()).unwrap();
    let unit = tables.unit().with_capabilities(Some(Cap(cap)), Some(Ecap(ecap))).with_host_address_width(haw);
    check_unit(&Built { rtaddr: unit.rtaddr().0, cap: Some(cap), ecap: Some(ecap), haw }, tables.pages());
    let told = steps(&tables, &unit);
    assert!(!told.iter().any(|line| line.contains(" at ") || line.contains("blocked")), "{told:?}");
    assert_eq!(told.iter().filter(|line| line.contains("->")).count(), 3 * 3, "{told:?}");
}
