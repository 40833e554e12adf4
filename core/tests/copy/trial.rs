//! Plan, execute and verify, in one go.

use crate::common::Words;
use crate::ledger::{Book, Ledger, Old};
use iopt::copy::{
    self, Difference, Error, MemoSlot, Mode, Options, Partial, Plan, Problem, Reserve, Room, Verified, Workspace,
};
use iopt::memory::PhysReader;
use iopt::radix::Budget;
use iopt::vtd::{Rtaddr, Unit};

pub const COPY: Options = Options {
    mode: Mode::Copy,
    partial: Partial::Refuse,
    reserve: Reserve::Ranges,
    translation_mode: None,
    budget: Budget::UNLIMITED,
    max_rereads: 1 << 10,
};
pub const ADOPT: Options = Options { mode: Mode::Adopt, ..COPY };
pub const KEEP: Options = Options { partial: Partial::Keep, ..COPY };

/// Room to work in.
pub struct Bench {
    memo: Vec<MemoSlot>,
    room: Box<Room>,
}

impl Bench {
    pub fn new(slots: usize) -> Self {
        Self { memo: vec![MemoSlot::EMPTY; slots], room: Box::default() }
    }

    pub fn work(&mut self) -> Workspace<'_> {
        Workspace::new(&mut self.memo, &mut self.room)
    }
}

/// What came of a copy.
#[derive(Debug)]
pub struct Trial {
    pub units: Vec<Unit>,
    pub options: Options,
    pub problems: Vec<Problem>,
    pub plan: Plan,
    pub done: Plan,
    pub roots: Vec<Rtaddr>,
    pub pages: Ledger,
    pub iovas: Book,
    pub verified: Verified,
}

/// Plans for what is in `old`, and copies it.
pub fn copy<R: PhysReader>(
    old: &R,
    units: &[Unit],
    options: &Options,
    pages: &mut Ledger,
    iovas: &mut Book,
) -> Result<(Plan, Plan, Vec<Rtaddr>, Vec<Problem>), Error> {
    let mut bench = Bench::new(1 << 12);
    let mut work = bench.work();
    let mut problems = Vec::new();
    let plan = copy::plan(old, units, options, &mut work, |_, problem| problems.push(*problem))?;
    let mut roots = vec![Rtaddr(0); units.len()];
    let done = plan.execute(old, units, pages, iovas, &mut work, &mut roots)?;
    Ok((plan, done, roots, problems))
}

impl Trial {
    /// Copies, and proves that what was planned was done, page for page.
    pub fn new(words: &Words, units: &[Unit], options: &Options) -> Result<Self, Error> {
        let (mut pages, mut iovas) = (Ledger::new(), Book::default());
        let (plan, done, roots, problems) =
            words.with(|memory| copy(&Old::new(memory, true), units, options, &mut pages, &mut iovas))?;
        assert_eq!((plan.pages, plan.domains, plan.ranges), (done.pages, done.domains, done.ranges));
        assert_eq!((pages.balance() as u64, pages.order.len() as u64), (plan.pages, plan.pages));
        assert!(pages.all_flushed());
        assert_eq!(pages.order.last().copied(), roots.last().map(|root| root.root_table().0), "the root is last");
        let (units, options) = (units.to_vec(), *options);
        let mut trial =
            Self { units, options, problems, plan, done, roots, pages, iovas, verified: Verified::default() };
        trial.verified = trial.verify(words).unwrap_or_else(|difference| panic!("{difference}"));
        Ok(trial)
    }

    pub fn verify(&self, words: &Words) -> Result<Verified, Difference> {
        let mut bench = Bench::new(1 << 12);
        words.with(|memory| {
            copy::verify(memory, &self.units, &self.roots, &self.pages, &self.options, &mut bench.work())
        })
    }

    /// A word of the copy: follows these byte offsets from the root table on.
    pub fn word(&self, path: &[u64]) -> u64 {
        let (last, path) = path.split_last().unwrap();
        let mut table = self.roots[0].root_table().0;
        for offset in path {
            table = self.pages.word(table + offset) & super::ADDRESS;
        }
        self.pages.word(table + last)
    }

    pub fn losses(&self) -> usize {
        self.problems.iter().filter(|problem| problem.is_loss()).count()
    }
}
