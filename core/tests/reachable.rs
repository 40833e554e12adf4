//! The interrupt address range parts what tables map: a page is in a part exactly if a request to it is let through.

#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a panic is a red test")]

mod common;

use common::{LARGE, R, RW, SOURCE, Tables, unit};
use iopt::coalesce::DeviceRange;
use iopt::memory::Page;
use iopt::vtd::{Cause, Fault, FaultReason};
use iopt::walk::Scratch;
use iopt::{Access, Iova, IovaRange};

/// The ranges, and what parts them, in the order in which they come.
fn ranges(tables: &Tables) -> Vec<Result<DeviceRange, (IovaRange, Fault)>> {
    tables.with(|memory| {
        let device = unit().device(memory, SOURCE, &mut { Page::ZERO }, |_| ()).unwrap();
        let ranges = unit().ranges(memory, &mut Scratch::new()).map(Result::unwrap).collect::<Vec<_>>();
        ranges.into_iter().flat_map(|range| device.reachable(range)).collect()
    })
}

/// Page by page from `first` to `last`: in a range if it translates, to the same memory.
fn agrees_with_translation(tables: &Tables, first: u64, last: u64) {
    let found = ranges(tables);
    let starts: Vec<u64> =
        found.iter().map(|item| item.map_or_else(|(gap, _)| gap.first().0, |range| range.iova.first().0)).collect();
    assert!(starts.is_sorted(), "{starts:x?}");
    tables.with(|memory| {
        let mut copy = Page::ZERO;
        for iova in (first..=last).step_by(0x1000) {
            let listed: Vec<u64> = found
                .iter()
                .filter_map(|item| item.ok())
                .filter(|range| range.iova.contains(Iova(iova)))
                .map(|range| range.phys.unwrap().0 + (iova - range.iova.first().0))
                .collect();
            let translated = unit().translate(memory, SOURCE, Iova(iova), Access::Read, &mut copy, |_| ());
            let expected: Vec<u64> = translated.iter().map(|translation| translation.phys.0).collect();
            assert_eq!(listed, expected, "{iova:#x}");
        }
    });
}

fn causes(tables: &Tables) -> Vec<(u64, Option<FaultReason>, Cause)> {
    let fault = |(gap, fault): (IovaRange, Fault)| {
        assert_eq!(fault.place.iova, Some(gap.first()));
        (gap.first().0, fault.reason, fault.cause)
    };
    ranges(tables).into_iter().filter_map(|item| item.err().map(fault)).collect()
}

#[test]
fn a_range_over_the_interrupt_addresses_is_parted_there() {
    let mut tables = Tables::new(4);
    // From 0xfec0_0000 on, all of the interrupt range and more; the memory lies elsewhere.
    for (page, iova) in (0xfec0_0000..0xff20_0000).step_by(0x20_0000).enumerate() {
        tables.map(2, iova, (0x1_0000_0000 + page as u64 * 0x20_0000) | LARGE | RW);
    }
    agrees_with_translation(&tables, 0xfeb0_0000, 0xff30_0000);
    assert_eq!(causes(&tables), [(0xfee0_0000, None, Cause::InterruptRequest)]);
    assert_eq!(ranges(&tables).len(), 3);
}

#[test]
fn single_pages_at_its_edges_are_judged_by_themselves() {
    for iova in [0xfedf_f000, 0xfee0_0000, 0xfeef_f000, 0xfef0_0000] {
        let mut tables = Tables::new(4);
        tables.map(1, iova, 0x1234_5000 | R);
        agrees_with_translation(&tables, iova - 0x2000, iova + 0x2000);
        let inside = (0xfee0_0000..=0xfeef_ffff).contains(&iova);
        assert_eq!(causes(&tables).len(), usize::from(inside), "{iova:#x}");
    }
}

#[test]
fn what_leads_into_it_is_told_and_left_out() {
    let mut tables = Tables::new(4);
    for page in 0..0x300 {
        tables.map(1, 0x10_0000 + page * 0x1000, (0xfed8_0000 + page * 0x1000) | RW);
    }
    agrees_with_translation(&tables, 0, 0x50_0000);
    let [(iova, reason, cause)] = causes(&tables)[..] else { panic!("one gap") };
    assert_eq!((iova, reason), (0x18_0000, Some(FaultReason::InterruptRangeOutput)));
    assert_eq!(cause, Cause::InterruptRangeOutput(iopt::PhysAddr(0xfee0_0000)));
}

#[test]
fn a_large_page_that_overlaps_it_is_out_as_a_whole() {
    let mut tables = Tables::new(4);
    tables.map(2, 0x40_0000, 0xfec0_0000 | LARGE | RW).map(2, 0x60_0000, 0xfee0_0000 | LARGE | RW);
    tables.map(2, 0x80_0000, 0xff00_0000 | LARGE | RW);
    agrees_with_translation(&tables, 0x30_0000, 0xb0_0000);
    assert_eq!(causes(&tables).len(), 1);
}

#[test]
fn an_identity_map_over_it_is_parted_once() {
    let mut tables = Tables::new(4);
    for gib in 0..5 {
        tables.map(3, gib << 30, gib << 30 | LARGE | RW);
    }
    let found = causes(&tables);
    // A page of 1 GiB that overlaps the range leads into it wherever it is entered, but for the interrupts themselves.
    assert_eq!(found.first().map(|gap| gap.0), Some(0xc000_0000));
    tables.with(|memory| {
        let mut copy = Page::ZERO;
        for iova in [0, 0xbfff_f000, 0xc000_0000, 0xfee0_0000, 0xffff_f000, 0x1_0000_0000] {
            let translated = unit().translate(memory, SOURCE, Iova(iova), Access::Read, &mut copy, |_| ());
            let listed = ranges(&tables).iter().flatten().any(|range| range.iova.contains(Iova(iova)));
            assert_eq!(listed, translated.is_ok(), "{iova:#x}");
        }
    });
}

/// Interrupt addresses that come as input, and 1 MiB further on those that the memory behind it has.
#[test]
fn both_kinds_of_gaps_come_in_the_order_of_their_addresses() {
    for (behind, first) in [(0x10_0000, Cause::InterruptRequest), (0, Cause::InterruptRequest)] {
        let mut tables = Tables::new(4);
        for iova in (0xfec0_0000..0xff20_0000).step_by(0x1000) {
            tables.map(1, iova, (iova - behind) | RW);
        }
        agrees_with_translation(&tables, 0xfeb0_0000, 0xff30_0000);
        let found: Vec<_> = causes(&tables).into_iter().map(|(iova, _, cause)| (iova, cause)).collect();
        assert_eq!(found.first(), Some(&(0xfee0_0000, first)), "{behind:#x}");
        let second = (0xfef0_0000, Cause::InterruptRangeOutput(iopt::PhysAddr(0xfee0_0000)));
        assert_eq!(found.get(1), (behind != 0).then_some(&second));
    }
}

#[test]
fn a_range_without_interrupts_in_it_comes_as_it_is() {
    let mut tables = Tables::new(4);
    tables.map(1, 0x1000, 0x5000 | RW).map(1, 0xfeda_0000, 0x7000 | RW);
    assert!(causes(&tables).is_empty());
    assert_eq!(ranges(&tables).len(), 2);
}
