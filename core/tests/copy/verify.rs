//! Copies that were tampered with.

use crate::builder::{Builder, first_stage};
use crate::common::{CONTEXT, CONTEXT_ENTRY, ROOT, ROOT_ENTRY, RW, SOURCE, TOP, Tables, unit};
use crate::inject::with_pasids;
use crate::rows::{OTHER_ENTRY, TO_TOP, scalable, words};
use crate::trial::{ADOPT, Bench, COPY, KEEP, Trial};
use iopt::copy::{self, Difference};
use iopt::vtd::Rtaddr;
use iopt::{Pasid, PhysAddr};

/// A copy, where each context entry and each table is, and what tables it is of.
fn shared() -> (crate::common::Words, Tables) {
    let mut tables = Tables::new(3);
    tables.map(1, 0x5000, 0x7000 | RW).map(1, 0x4000_0000, 0x7000 | RW);
    tables.set(OTHER_ENTRY, TOP | 1).set(OTHER_ENTRY + 8, 7 << 8 | 1);
    (words(&tables), tables)
}

/// Where in the copy the last entry of this path is.
fn at(trial: &Trial, path: &[u64]) -> u64 {
    let (last, path) = path.split_last().unwrap();
    let table = if path.is_empty() { trial.roots[0].root_table().0 } else { trial.word(path) & crate::ADDRESS };
    table + last
}

#[test]
fn every_word_of_every_table_counts() {
    for (words, unit) in [(shared().0, unit()), with_pasids()] {
        for options in [COPY, ADOPT, KEEP] {
            let mut trial = Trial::new(&words, &[unit], &options).unwrap();
            assert_eq!((trial.verified.tables, trial.verified.missing), (trial.plan.pages, 0));
            let pages: Vec<_> = trial.pages.pages().collect();
            for (number, page) in (0..).zip(pages) {
                for word in 0..512 {
                    // All bits come round.
                    let bit = (word * 5 + number * 11) % 64;
                    let was = trial.pages.word(page + 8 * word);
                    trial.pages.tamper(page + 8 * word, was ^ 1 << bit);
                    assert!(trial.verify(&words).is_err(), "word {word} of {page:#x}, bit {bit}");
                    trial.pages.tamper(page + 8 * word, was);
                }
            }
            assert_eq!(trial.verify(&words), Ok(trial.verified));
        }
    }
}

#[test]
fn every_bit_of_an_entry_that_leads_on_counts() {
    let (words, _) = shared();
    let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
    let [root, context] = TO_TOP;
    let paths: [&[u64]; 6] =
        [&[root], &[root + 8], &[root, context], &[root, context + 8], &[root, context, 0], &[root, context, 0, 0, 40]];
    for path in paths {
        let addr = at(&trial, path);
        let was = trial.pages.word(addr);
        for bit in 0..64 {
            trial.pages.tamper(addr, was ^ 1 << bit);
            assert!(trial.verify(&words).is_err(), "{path:x?}, bit {bit}");
        }
        trial.pages.tamper(addr, was);
    }
}

#[test]
fn a_pointer_into_old_memory_is_told_with_its_place() {
    let (words, _) = shared();
    let [root, context] = TO_TOP;
    let paths: [(&[u64], u64); 3] =
        [(&[root], ROOT_ENTRY), (&[root, context], CONTEXT_ENTRY), (&[root, context, 0], TOP)];
    for (path, old) in paths {
        let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
        let addr = at(&trial, path);
        trial.pages.tamper(addr, words.get(old));
        let Err(Difference::OldMemory { old: place, table }) = trial.verify(&words) else { panic!("{path:x?}") };
        assert_eq!((place.table.0, table.0), (old & !0xfff, words.get(old) & crate::ADDRESS));
    }
}

#[test]
fn a_table_with_two_copies_is_told() {
    let (words, _) = shared();
    let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
    let addr = at(&trial, &[ROOT_ENTRY - ROOT, OTHER_ENTRY - CONTEXT]);
    let one = trial.pages.word(addr) & crate::ADDRESS;
    let other = trial.pages.duplicate(one);
    trial.pages.tamper(addr, other | 1);
    let Err(Difference::Twice { one: found, other: twice, old }) = trial.verify(&words) else { panic!("equal") };
    assert_eq!((found, twice, old.table), (PhysAddr(one), PhysAddr(other), PhysAddr(CONTEXT)));
}

/// An entry that lacks its table is a difference, but for one that a partial copy may lack: and that is counted.
#[test]
fn a_missing_entry_is_told_or_counted() {
    let (words, _) = shared();
    let [root, context] = TO_TOP;
    for (path, kept) in [(vec![root], 1u64), (vec![root, context], 1), (vec![root, context, 0], 0)] {
        let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
        let addr = at(&trial, &path);
        trial.pages.tamper(addr, trial.pages.word(addr) & !(crate::ADDRESS | RW));
        assert!(matches!(trial.verify(&words), Err(Difference::Missing { .. })), "{path:x?}");
        trial.options = KEEP;
        assert_eq!(trial.verify(&words).map(|verified| verified.missing), Ok(1), "{kept}");
    }
}

#[test]
fn an_adopted_page_table_is_the_old_one() {
    let (words, _) = shared();
    let mut trial = Trial::new(&words, &[unit()], &ADOPT).unwrap();
    let addr = at(&trial, &TO_TOP);
    assert_eq!((trial.pages.word(addr), trial.plan.pages), (TOP | 1, 2));
    let first = trial.pages.pages().next().unwrap();
    let elsewhere = trial.pages.duplicate(first);
    for wrong in [elsewhere | 1, (TOP + 0x1000) | 1, TOP] {
        trial.pages.tamper(addr, wrong);
        let Err(Difference::Entry { old, .. }) = trial.verify(&words) else { panic!("{wrong:#x}") };
        assert_eq!((old.table, old.index), (PhysAddr(CONTEXT), 0x13));
    }
}

#[test]
fn a_root_table_in_old_memory_is_none() {
    let (words, _) = shared();
    let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
    trial.roots = vec![Rtaddr(ROOT)];
    assert_eq!(trial.verify(&words), Err(Difference::Root(PhysAddr(ROOT))));
}

/// A directory of 128 entries leaves the rest of its page to whatever is there: it is copied, and counts.
#[test]
fn what_lies_behind_a_short_directory_is_copied_and_counts() {
    let mut tables = Builder::new();
    tables.context(SOURCE, 0, 1, 0);
    let directory = tables.directory_at(SOURCE, Pasid(0));
    tables.words.set(directory + 8 * 300, 0x55_5001);
    let mut trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
    assert_eq!((trial.problems.len(), trial.plan.pages), (0, 3));
    let addr = at(&trial, &[16, 0x13 * 32, 8 * 300]);
    assert_eq!(trial.pages.word(addr), 0x55_5001);
    trial.pages.tamper(addr, 0x55_5000);
    assert!(matches!(trial.verify(&tables.words), Err(Difference::Entry { .. })));
}

#[test]
fn root_table_addresses_are_compared_in_number_and_mode() {
    let (words, _) = shared();
    let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
    let root = trial.roots[0];
    trial.roots[0] = Rtaddr(root.0 | 1 << 10);
    let Err(Difference::Mode { unit: 0, old, new }) = trial.verify(&words) else { panic!("another mode is no copy") };
    assert_eq!((old.0, new.0), (ROOT, root.0 | 1 << 10));
    trial.roots.clear();
    assert_eq!(trial.verify(&words), Err(Difference::Roots { units: 1, roots: 0 }));
}

/// A table of six levels has 128 entries on top. What lies behind them is none, and is kept as it is.
#[test]
fn what_lies_behind_the_entries_of_a_top_table_is_copied_and_counts() {
    for word in [0x55_5003, 1 << 62 | 0x55_5003] {
        let mut tables = Tables::new(6);
        tables.map(1, 0x5000, 0x7000 | RW).set(TOP + 8 * 128, word);
        let words = words(&tables);
        let mut trial = Trial::new(&words, &[unit()], &COPY).unwrap();
        assert_eq!((trial.problems.len(), trial.plan.pages), (0, 2 + 6));
        let addr = at(&trial, &[TO_TOP[0], TO_TOP[1], 8 * 128]);
        assert_eq!(trial.pages.word(addr), word);
        trial.pages.tamper(addr, word & !crate::ADDRESS);
        assert!(matches!(trial.verify(&words), Err(Difference::Entry { .. })), "{word:#x}");
    }
}

#[test]
fn too_small_a_memo_is_told_with_its_size() {
    let (words, unit) = with_pasids();
    let trial = Trial::new(&words, &[unit], &COPY).unwrap();
    for slots in 0..64 {
        let result = words.with(|memory| {
            let mut bench = Bench::new(slots);
            copy::verify(memory, &[unit], &trial.roots, &trial.pages, &COPY, &mut bench.work())
        });
        // The root table needs none, both pages of the directory have one, and one stays empty.
        let enough = slots as u64 > trial.verified.tables - 2;
        assert_eq!(result, if enough { Ok(trial.verified) } else { Err(Difference::MemoFull { slots }) }, "{slots}");
    }
}

/// Of a page of a directory that was lost, nothing may be in the copy.
#[test]
fn a_lost_page_of_a_directory_is_empty_in_the_copy() {
    let (mut words, unit) = with_pasids();
    let mut trial = Trial::new(&words, &[unit], &COPY).unwrap();
    let directory = trial.word(&[16, 0x13 * 32]) & crate::ADDRESS;
    let old = words.get(words.get(ROOT + 16) - 1 + 0x13 * 32) & crate::ADDRESS;
    assert!(trial.pages.word(directory + 0x1000) != 0, "a PASID table");
    words.hole(old + 0x1000);
    for options in [COPY, KEEP] {
        trial.options = options;
        assert!(matches!(trial.verify(&words), Err(Difference::Unreadable(_))), "{options:?}");
    }
    let mut trial = Trial::new(&words, &[unit], &KEEP).unwrap();
    assert_eq!(trial.verified.missing, 1);
    trial.options = COPY;
    assert!(matches!(trial.verify(&words), Err(Difference::Unreadable(_))));
}

/// The word of FSPTPTR has no P, and SRE in its place.
#[test]
fn a_first_stage_of_supervisors_is_compared_like_any_other() {
    for sre in [0, 1] {
        let mut tables = Builder::new();
        tables.context(SOURCE, 0, 1, 0);
        let top = tables.table(1);
        tables.map((top, 4), 1, 0x5000, 0x7027, 0x27);
        let [word, domain, third] = first_stage(top, 4);
        tables.pasid(SOURCE, Pasid(0), [word, domain, third | sre]);
        let mut trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
        let addr = at(&trial, &[16, 0x13 * 32, 0, 16]);
        assert_eq!(trial.pages.word(addr) & 0xfff, sre);
        trial.pages.tamper(addr, top | sre);
        assert!(matches!(trial.verify(&tables.words), Err(Difference::OldMemory { .. })), "{sre}");
        for options in [COPY, KEEP] {
            trial.options = options;
            trial.pages.tamper(addr, sre);
            assert!(trial.verify(&tables.words).is_err(), "{sre} {options:?}");
        }
    }
}
