//! What the first implementation got wrong: units, sizes and what the caller gives.

use crate::builder::Builder;
use crate::common::{CONTEXT, CONTEXT_ENTRY, ROOT, ROOT_ENTRY, RW, SOURCE, TOP, Tables, Words, unit};
use crate::ledger::{Book, Failing, Ledger, NEW, Old};
use crate::rows::{TO_TOP, scalable, words};
use crate::trial::{ADOPT, Bench, COPY, KEEP, Trial, copy};
use iopt::PhysAddr;
use iopt::copy::{self, Error, Options, Problem};
use iopt::memory::AllocErrorKind;
use iopt::vtd::{Cap, Cause, Ecap, Rtaddr, Structure, TranslationMode, Unit};

fn one_page() -> Words {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    words(&tables)
}

#[test]
fn row_16_there_may_be_any_number_of_units() {
    let mut tables = one_page();
    let mut units = vec![unit()];
    for number in 1..40u64 {
        // Each has a root and a context table of its own; the page table is shared by all.
        let (root, context) = (0x100_0000 + 0x4000 * number, 0x100_0000 + 0x4000 * number + 0x2000);
        tables.set(root + 16, context | 1).set(context, TOP | 1).set(context + 8, (number % 3) << 8 | 1);
        units.push(Unit::new(Rtaddr(root)).unwrap());
    }
    let trial = Trial::new(&tables, &units, &COPY).unwrap();
    assert_eq!((trial.plan.pages, trial.plan.shared, trial.plan.domains), (40 * 2 + 3, 39, 40));
    assert_eq!(trial.problems, []);
    for number in 1..40 {
        let key = (number, number as u16 % 3);
        assert_eq!(trial.iovas.ranges[&key].len(), 1, "domain-ids are each unit's own");
    }
    let mut roots = trial.roots.clone();
    roots.dedup();
    assert_eq!(roots.len(), 40);
}

/// A page table that one unit reads with other capabilities is another table, and has its own copy.
#[test]
fn row_16_units_that_read_a_shared_table_differently_do_not_share_its_copy() {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW);
    // A large page to one, and to the other a pointer with a reserved bit.
    let large = tables.at(2, 0x20_0000);
    tables.set(large, 0x40_0000 | crate::common::LARGE | RW);
    let mut tables = words(&tables);
    tables.set(0x100_0010, CONTEXT | 1);
    let with = |rtaddr, cap| Unit::new(Rtaddr(rtaddr)).unwrap().with_capabilities(Some(Cap(cap)), None);
    let (small, all) = (6 << 8 | 47 << 16 | 6, 6 << 8 | 47 << 16 | 6 | 3 << 34);
    for caps in [[small, all], [all, small]] {
        let units = [with(ROOT, caps[0]), with(0x100_0000, caps[1])];
        let trial = Trial::new(&tables, &units, &COPY).unwrap();
        for (root, cap) in trial.roots.iter().zip(caps) {
            let at = [ROOT_ENTRY - ROOT, CONTEXT_ENTRY - CONTEXT, 0, 8];
            let mut word = root.root_table().0;
            for offset in at {
                word = trial.pages.word((word & crate::ADDRESS) + offset);
            }
            assert_eq!(word & crate::ADDRESS, if cap == all { 0x40_0000 } else { 0 });
        }
    }
}

#[test]
fn row_17_a_retry_after_a_failure_is_a_fresh_copy() {
    let tables = one_page();
    let fresh = Trial::new(&tables, &[unit()], &COPY).unwrap();
    let mut bench = Bench::new(64);
    let (mut pages, mut iovas) = (Ledger::new(), Book::default());
    pages.allocations = Failing::at(3);
    tables.with(|memory| {
        let (units, mut roots, mut work) = ([unit()], [Rtaddr(0)], bench.work());
        let plan = copy::plan(memory, &units, &COPY, &mut work, |_, problem| panic!("{problem}")).unwrap();
        let failed = plan.execute(memory, &units, &mut pages, &mut iovas, &mut work, &mut roots);
        assert!(matches!(failed, Err(Error::Pages { .. })), "{failed:?}");
        assert_eq!((pages.balance(), iovas.is_empty()), (0, true));
        let done = plan.execute(memory, &units, &mut pages, &mut iovas, &mut work, &mut roots).unwrap();
        assert_eq!((done, pages.balance() as u64), (fresh.done, plan.pages));
        assert_eq!((&iovas.domains, &iovas.ranges), (&fresh.iovas.domains, &fresh.iovas.ranges));
        let verified = copy::verify(memory, &units, &roots, &pages, &COPY, &mut work).unwrap();
        assert_eq!((verified, verified.tables), (fresh.verified, 5));
    });
}

#[test]
fn row_18_the_mode_is_no_part_of_the_address_is_kept_and_cannot_change() {
    let mut tables = Builder::new();
    tables.context(SOURCE, 0, 1, 0);
    let trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
    assert_eq!((trial.roots[0].mode(), trial.roots[0].reserved()), (TranslationMode::Scalable, 0));
    let legacy = Trial::new(&one_page(), &[unit()], &COPY).unwrap();
    assert_eq!(legacy.roots[0].0 & 0xfff, 0);

    let wish = |mode| Options { translation_mode: Some(mode), ..COPY };
    assert!(Trial::new(&tables.words, &[scalable()], &wish(TranslationMode::Scalable)).is_ok());
    let without = scalable().with_capabilities(None, Some(Ecap(0)));
    let trial = Trial::new(&tables.words, &[without], &COPY).unwrap();
    let [Problem::Refused(fault)] = trial.problems.as_slice() else { panic!("{:?}", trial.problems) };
    assert_eq!(fault.cause, Cause::ModeUnsupported(TranslationMode::Scalable), "the unit is known not to have it");
    for (words, unit, new) in
        [(one_page(), unit(), TranslationMode::Scalable), (tables.words, scalable(), TranslationMode::Legacy)]
    {
        let Err(error) = Trial::new(&words, &[unit], &wish(new)) else { panic!("the mode changes") };
        assert_eq!(error, Error::ModeChange { unit: 0, old: unit.rtaddr().mode(), new });
        let text = error.to_string();
        assert!(text.contains("legacy mode") && text.contains("scalable mode"), "{text}");
    }
    for (value, name) in [(0x1800, "extended mode"), (0x1c00, "abort-DMA mode"), (0x1001, "reserved bits 0x1")] {
        let error = Unit::new(Rtaddr(value)).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn row_19_the_top_table_of_six_levels_has_128_entries() {
    let mut tables = Tables::new(6);
    tables.map(1, 0x5000, 0x7000 | RW).map(1, u64::MAX - 0xfff, 0x7000 | RW);
    // Behind the last entry is nothing that anyone follows.
    for index in 128..512 {
        tables.set(TOP + 8 * index, (0x70_0000 + (index << 12)) | RW);
    }
    let trial = Trial::new(&words(&tables), &[unit()], &COPY).unwrap();
    assert_eq!((trial.problems.len(), trial.plan.pages), (0, 2 + 1 + 2 * 5));
    assert_eq!(trial.iovas.of(7), [(0x5000, 0x5fff), (u64::MAX - 0xfff, u64::MAX)]);
    let [root, context] = TO_TOP;
    for index in 128..512 {
        assert_eq!(trial.word(&[root, context, 8 * index]), (0x70_0000 + (index << 12)) | RW);
    }
}

#[test]
fn row_20_a_table_at_address_0_is_one_if_the_image_says_that_page_0_is_ram() {
    for ram in [false, true] {
        // In a context entry, and in a page table.
        for at in [CONTEXT_ENTRY, TOP + 8] {
            let mut tables = one_page();
            tables.set(at, if at == TOP + 8 { RW } else { 1 });
            if ram {
                tables.set(0, 0);
            }
            let refused = Trial::new(&tables, &[unit()], &COPY);
            assert_eq!(refused.is_ok(), ram, "at {at:#x}");
            let trial = Trial::new(&tables, &[unit()], &KEEP).unwrap();
            let Problem::NullTable(place) = trial.problems[0] else { panic!("{:?}", trial.problems) };
            let structure = if at == CONTEXT_ENTRY { Structure::Context } else { Structure::SecondStage(3) };
            assert_eq!((place.structure, trial.losses()), (structure, usize::from(!ram)));
        }
    }
}

/// The original looked for each domain-id in a list of all; that a context costs the same however many there are is
/// shown where domains are remembered.
#[test]
fn row_21_each_of_65536_contexts_has_its_domain() {
    let mut tables = Words::default();
    tables.set(TOP, 0x4000 | RW).set(0x4000, 0x5000 | RW).set(0x5000, 0x7000 | RW);
    for bus in 0..256u64 {
        let context = 0x100_0000 + (bus << 12);
        tables.set(ROOT + 16 * bus, context | 1);
        for devfn in 0..256 {
            tables.set(context + 16 * devfn, TOP | 1).set(context + 16 * devfn + 8, (bus << 8 | devfn) << 8 | 1);
        }
    }
    let mut bench = Bench::new(3 << 16);
    let (mut pages, mut iovas) = (Ledger::new(), Book::default());
    tables.with(|memory| {
        let (units, mut roots, mut work) = ([unit()], [Rtaddr(0)], bench.work());
        let plan = copy::plan(memory, &units, &COPY, &mut work, |_, problem| panic!("{problem}")).unwrap();
        assert_eq!((plan.domains, plan.devices, plan.ranges), (1 << 16, 1 << 16, 1 << 16));
        assert_eq!((plan.tables, plan.pages, plan.shared), (257 + 3, 257 + 3, (1 << 16) - 1));
        plan.execute(memory, &units, &mut pages, &mut iovas, &mut work, &mut roots).unwrap();
        copy::verify(memory, &units, &roots, &pages, &COPY, &mut work).unwrap();
    });
    assert_eq!((iovas.domains.len(), iovas.devices.len()), (1 << 16, 1 << 16));
}

#[test]
fn row_22_what_the_allocator_and_the_reserver_refuse_is_passed_on_and_everything_given_back() {
    let tables = one_page();
    for options in [COPY, ADOPT] {
        let (mut pages, mut iovas) = (Ledger::new(), Book::default());
        pages.allocations = Failing::at(1);
        let run = |pages: &mut _, iovas: &mut _| {
            tables.with(|memory| copy(&Old::new(memory, true), &[unit()], &options, pages, iovas))
        };
        let Err(Error::Pages { unit: 0, error, .. }) = run(&mut pages, &mut iovas) else { panic!("success") };
        assert_eq!((error.kind, pages.balance(), iovas.is_empty()), (AllocErrorKind::OutOfPages, 0, true));
        let (mut pages, mut iovas) = (Ledger::new(), Book::default());
        // Opened, noted as in use, and then its range.
        iovas.calls = Failing::at(2);
        let Err(Error::Reserve { unit: 0, requester, .. }) = run(&mut pages, &mut iovas) else { panic!("success") };
        assert_eq!((requester.source_id, pages.balance(), iovas.is_empty()), (SOURCE, 0, true));
    }
    let trial = Trial::new(&tables, &[unit()], &COPY).unwrap();
    assert!(trial.roots[0].root_table() >= PhysAddr(NEW));
}

#[test]
fn there_must_be_a_place_for_each_new_root_and_may_be_more() {
    let tables = one_page();
    tables.with(|memory| {
        let (units, mut bench) = ([unit()], Bench::new(64));
        let plan = copy::plan(memory, &units, &COPY, &mut bench.work(), |_, problem| panic!("{problem}")).unwrap();
        for count in 0..3 {
            let (mut pages, mut iovas) = (Ledger::new(), Book::default());
            let mut roots = vec![Rtaddr(0); count];
            let done = plan.execute(memory, &units, &mut pages, &mut iovas, &mut bench.work(), &mut roots);
            let expected = if count == 0 { Err(Error::Roots { units: 1, roots: 0 }) } else { Ok(plan.pages) };
            assert_eq!(done.map(|done| done.pages), expected);
            assert_eq!(pages.balance() as u64, if count == 0 { 0 } else { plan.pages });
            let written: Vec<bool> = roots.iter().map(|root| root.0 != 0).collect();
            assert_eq!(written, [true, false][..count.min(2)]);
        }
    });
}
