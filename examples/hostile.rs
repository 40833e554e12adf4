//! What a walk costs of tables that take next to no memory and have more paths than could ever be followed: exact until
//! the budget is used up, and with a memo. Run it with `cargo run --release --example hostile`.

#![allow(clippy::arithmetic_side_effects, clippy::expect_used, reason = "the tables are its own")]

#[path = "../core/tests/bounds/shapes.rs"]
mod shapes;

use iopt::memory::{Slot, SparseMemory};
use iopt::radix::Budget;
use iopt::vtd::Cause;
use iopt::walk::{MemoSlot, Scratch, Step, UnitWalk};
use shapes::{MEMORY, TOP, diamonds, full, memory, table, unit};
use std::time::Instant;

fn main() {
    println!(
        "{:<44}{:<7}{:>9}{:>9}{:>9}{:>9}{:>9}  ms",
        "tables", "walk", "devices", "tables", "runs", "shared", "faults"
    );
    for levels in 4..=6 {
        let [one, two] = [0, 1].map(|side| table(levels - 1, side));
        let own = [full(TOP, levels, &[one]), full(one, levels, &[one])].concat();
        look(&format!("{levels} levels, one that leads to itself"), levels, own);
        let pair = [full(TOP, levels, &[one, two]), full(one, levels, &[two]), full(two, levels, &[one])].concat();
        look(&format!("{levels} levels, two that lead to each other"), levels, pair);
        look(&format!("{levels} levels, diamonds, full of one"), levels, diamonds(levels, 1));
        look(&format!("{levels} levels, diamonds, of two in turn"), levels, diamonds(levels, 2));

        let at = |level| if level == levels { TOP } else { table(level, 0) };
        let path = (2..=levels).map(|level| (at(level), at(level - 1) | 3)).chain(full(at(1), 1, &[MEMORY]));
        let buses = (0..256).map(|bus| (0x1000 + bus * 16, 0x2001));
        let context =
            |devfn: u64| [(0x2000 + devfn * 16, TOP | 1), (0x2008 + devfn * 16, 0x100 | u64::from(levels - 2))];
        let words = path.chain(buses).chain((0..256).flat_map(context)).collect();
        look(&format!("{levels} levels, one path for 65,536 devices"), levels, words);
    }
}

/// Walks the page table that is made of `words`.
fn look(name: &str, levels: u8, words: Vec<(u64, u64)>) {
    let mut slots = vec![Slot::EMPTY; 32];
    let memory = memory(&mut slots, levels, words);
    let (mut scratch, mut memo) = (Box::new(Scratch::new()), vec![MemoSlot::EMPTY; 64]);
    let budget = Budget { tables: 1 << 20, ..Budget::default() };
    count(name, "exact", unit().walk(&memory, &mut scratch).budget(budget));
    count("", "memo", unit().walk(&memory, &mut scratch).budget(budget).memo(&mut memo));
}

fn count(name: &str, kind: &str, mut walk: UnitWalk<'_, SparseMemory<'_>>) {
    let (mut devices, mut shared, mut end) = (0_u64, 0_u64, String::new());
    let start = Instant::now();
    while let Some(step) = walk.next() {
        match step {
            Step::Device(_) => devices += 1,
            Step::Shared(_) => shared += 1,
            Step::Fault(fault) if matches!(fault.cause, Cause::Budget(_)) => end = format!("  {}", fault.cause),
            _ => {}
        }
    }
    let elapsed = start.elapsed().as_secs_f64() * 1000.0;
    let done = walk.statistics();
    println!(
        "{name:<44}{kind:<7}{devices:>9}{:>9}{:>9}{shared:>9}{:>9}  {elapsed:.1}{end}",
        done.tables, done.runs, done.faults
    );
}
