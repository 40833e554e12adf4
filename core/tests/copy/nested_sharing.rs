//! Devices behind one second stage, each with a first stage of its own: in the domain, the addresses of all are in use.

use crate::builder::{Builder, first_stage, second_stage};
use crate::common::SOURCE;
use crate::rows::{OTHER, scalable};
use crate::trial::{ADOPT, COPY, Trial};
use iopt::copy::{Error, Options, Problem};
use iopt::radix::{Bound, Budget};
use iopt::{Pasid, SourceId};

const DOMAIN: u16 = 7;
const USER: u64 = 7;
/// Of each device alone, and what both map: first and last byte.
const OWN: [(u64, u64); 2] = [(0x5000, 0x5fff), (0x7fff_ffff_f000, 0x7fff_ffff_ffff)];
const BOTH: (u64, u64) = (0x20_0000, 0x20_0fff);

/// A second stage that maps the first GiB, where all tables are, to itself.
fn second(tables: &mut Builder) -> u64 {
    let top = tables.table(1);
    tables.map((top, 3), 3, 0, 0x80 | 3, 3);
    top
}

/// Gives a PASID of `source` a first stage that maps these pages, behind `second`.
fn nest(tables: &mut Builder, source: SourceId, pasid: Pasid, second: u64, pages: &[(u64, u64)]) {
    tables.context(source, 0, 8 | 1, 0);
    let top = tables.table(1);
    for (first, _) in pages {
        tables.map((top, 4), 1, *first, 0x7000 | USER, USER);
    }
    let [word, ..] = second_stage(second, 3);
    let [_, domain, third] = first_stage(top, 4);
    tables.pasid(source, pasid, [word & !(7 << 6) | 3 << 6, domain, third]);
}

/// What is reserved in the domain, each range once, ascending.
fn reserved(trial: &Trial) -> Vec<(u64, u64)> {
    let mut ranges = trial.iovas.of(DOMAIN);
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

#[test]
fn what_is_reserved_is_the_union_of_all_first_stages_behind_one_second() {
    let two_devices = [(SOURCE, Pasid(0)), (OTHER, Pasid(0))];
    let one_device = [(SOURCE, Pasid(0)), (SOURCE, Pasid(5))];
    for requesters in [two_devices, one_device] {
        for own in [OWN, [OWN[1], OWN[0]]] {
            let mut tables = Builder::new();
            let second = second(&mut tables);
            for ((source, pasid), own) in requesters.into_iter().zip(own) {
                nest(&mut tables, source, pasid, second, &[own, BOTH]);
            }
            for options in [COPY, ADOPT] {
                let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
                assert_eq!(reserved(&trial), [OWN[0], BOTH, OWN[1]], "{options:?}");
                // One second stage under one domain-id is no conflict.
                assert_eq!((trial.problems.as_slice(), trial.plan.domains, trial.plan.devices), (&[][..], 1, 2));
                for (source, _) in requesters {
                    assert!(trial.iovas.devices.contains(&(0, source, DOMAIN)));
                }
            }
        }
    }
}

/// The second stage itself is in use too where a device has no other.
#[test]
fn a_device_with_the_second_stage_alone_uses_all_of_it() {
    for plain_first in [false, true] {
        let mut tables = Builder::new();
        let second = second(&mut tables);
        let (plain, nested) = if plain_first { (SOURCE, OTHER) } else { (OTHER, SOURCE) };
        nest(&mut tables, nested, Pasid(0), second, &[OWN[1]]);
        tables.context(plain, 0, 8 | 1, 0);
        tables.pasid(plain, Pasid(0), second_stage(second, 3));
        for options in [COPY, ADOPT] {
            let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
            assert_eq!(reserved(&trial), [(0, 0x3fff_ffff), OWN[1]], "{options:?}, plain first: {plain_first}");
            assert_eq!((trial.problems.as_slice(), trial.plan.domains), (&[][..], 1));
        }
    }
}

/// Its first stage lets a supervisor do what a plain second stage does.
#[test]
fn a_supervisor_behind_the_second_stage_does_not_stand_for_it() {
    let mut tables = Builder::new();
    let second = second(&mut tables);
    nest(&mut tables, SOURCE, Pasid(0), second, &[OWN[1]]);
    let context = tables.context_at(SOURCE);
    // RID_PRIV; NXE and SRE.
    tables.words.set(context + 8, 1 << 20);
    let directory = tables.directory_at(SOURCE, Pasid(0));
    let third = (tables.words.get(directory) & crate::ADDRESS) + 16;
    let entry = tables.words.get(third);
    tables.words.set(third, entry | 1 << 5 | 1);
    tables.context(OTHER, 0, 1, 0);
    tables.pasid(OTHER, Pasid(0), second_stage(second, 3));
    let trial = Trial::new(&tables.words, &[scalable()], &COPY).unwrap();
    assert_eq!(reserved(&trial), [(0, 0x3fff_ffff), OWN[1]]);
}

/// What is mapped through a loop is not reserved, and that is told, wherever the loop is.
#[test]
fn loops_of_tables_that_stay_are_told() {
    let mut tables = Builder::new();
    let second = second(&mut tables);
    nest(&mut tables, SOURCE, Pasid(0), second, &[OWN[1]]);
    let is_loop = |problem: &Problem| matches!(problem, Problem::Loop(_));
    for options in [COPY, ADOPT] {
        let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
        assert!(!trial.problems.iter().any(is_loop), "{:?}", trial.problems);
    }
    let directory = tables.directory_at(SOURCE, Pasid(0));
    let third = (tables.words.get(directory) & crate::ADDRESS) + 16;
    let top = tables.words.get(third) & crate::ADDRESS;
    tables.words.set(top + 8, top | 0x27);
    for options in [COPY, ADOPT] {
        let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
        assert_eq!(trial.problems.iter().filter(|problem| is_loop(problem)).count(), 1, "{:?}", trial.problems);
    }
}

/// A loop of the second stage is met by each walk through it, and told when it is copied.
#[test]
fn a_loop_of_the_second_stage_is_told_once() {
    let mut tables = Builder::new();
    let second = second(&mut tables);
    nest(&mut tables, SOURCE, Pasid(0), second, &[OWN[1]]);
    // What the first stage leads to lies behind the loop.
    let directory = tables.directory_at(SOURCE, Pasid(0));
    let third = (tables.words.get(directory) & crate::ADDRESS) + 16;
    let top = tables.words.get(third) & crate::ADDRESS;
    tables.map((top, 4), 1, BOTH.0, 0x4000_0000 | USER, USER);
    let two = tables.table(1);
    tables.words.set(second + 8, two | 3).set(two, second | 3);
    for options in [COPY, ADOPT] {
        let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
        let loops = trial.problems.iter().filter(|problem| matches!(problem, Problem::Loop(_))).count();
        assert_eq!(loops, 1, "{options:?}: {:?}", trial.problems);
    }
}

/// A budget is too small, or enough for all: nothing that is in use is missed.
#[test]
fn no_budget_leaves_a_part_unreserved() {
    let mut tables = Builder::new();
    let second = second(&mut tables);
    nest(&mut tables, SOURCE, Pasid(0), second, &[OWN[0], BOTH]);
    nest(&mut tables, OTHER, Pasid(0), second, &[OWN[1]]);
    for options in [COPY, ADOPT] {
        let mut enough = 0;
        for max_tables in 0..64 {
            match Trial::new(
                &tables.words,
                &[scalable()],
                &Options { budget: Budget { tables: max_tables, ..options.budget }, ..options },
            ) {
                Ok(trial) => {
                    assert_eq!(reserved(&trial), [OWN[0], BOTH, OWN[1]], "{max_tables}");
                    enough += 1;
                }
                Err(error) => {
                    assert_eq!((error, enough), (Error::Budget { unit: 0, bound: Bound::Tables(max_tables) }, 0))
                }
            }
        }
        assert!(enough > 0, "{options:?}");
    }
}

/// A first stage that is nested stays where it is. Where it has no memory the hardware has none, either.
#[test]
fn a_hole_in_a_nested_first_stage_loses_nothing() {
    let mut tables = Builder::new();
    let second = second(&mut tables);
    nest(&mut tables, SOURCE, Pasid(0), second, &[OWN[1], BOTH]);
    let directory = tables.directory_at(SOURCE, Pasid(0));
    let third = (tables.words.get(directory) & crate::ADDRESS) + 16;
    let top = tables.words.get(third) & crate::ADDRESS;
    let leaves = tables.at((top, 4), 1, OWN[1].0, USER) & !0xfff;
    tables.words.hole(leaves);
    for options in [COPY, ADOPT] {
        let trial = Trial::new(&tables.words, &[scalable()], &options).unwrap();
        assert!(matches!(trial.problems.as_slice(), [Problem::Refused(_)]), "{:?}", trial.problems);
        assert_eq!((reserved(&trial), trial.plan.lost), (vec![BOTH], 0), "{options:?}");
    }
}
