//! What the copy of each unit takes.

use crate::error::Error;
use crate::output::Output;
use iopt::copy::{self, MemoSlot, Options, Plan, Problem, Room, Workspace};
use iopt::memory::PhysReader;
use iopt::vtd::Unit;
use std::io;

/// How much room there is for what has to be remembered, before it is known how much that is.
const FIRST_SLOTS: usize = 1 << 10;

/// A plan for all units together, who may share tables.
#[derive(Debug)]
pub struct Plans {
    pub total: Plan,
    /// What each unit takes that those before it don't: in all as much as the total.
    pub units: Vec<UnitPlan>,
}

#[derive(Clone, Copy, Debug)]
pub struct UnitPlan {
    pub pages: u64,
    pub shared: u64,
    pub domains: u64,
}

impl UnitPlan {
    fn between(before: &Plan, with: &Plan) -> Self {
        Self {
            pages: with.pages.saturating_sub(before.pages),
            shared: with.shared.saturating_sub(before.shared),
            domains: with.domains.saturating_sub(before.domains),
        }
    }
}

/// Plans, and tells every problem once, in however many attempts it is met.
#[derive(Debug)]
pub struct Planner<'o> {
    output: &'o mut Output,
    slots: Vec<MemoSlot>,
    room: Box<Room>,
    /// How many problems were told.
    told: u64,
    malformed: u64,
}

impl<'o> Planner<'o> {
    pub fn new(output: &'o mut Output) -> Self {
        let slots = vec![MemoSlot::EMPTY; FIRST_SLOTS];
        Self { output, slots, room: Box::new(Room::new()), told: 0, malformed: 0 }
    }

    pub fn output(&mut self) -> &mut Output {
        self.output
    }

    /// How many entries are lost or refused.
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Room that suffices for everything that was planned.
    pub fn workspace(&mut self) -> Workspace<'_> {
        Workspace::new(&mut self.slots, &mut self.room)
    }

    pub fn plan<R: PhysReader>(&mut self, old: &R, units: &[Unit], options: &Options) -> Result<Plans, Error> {
        let mut plans = Plans { total: self.plan_first(old, &[], options)?, units: Vec::new() };
        // Plans don't tell units apart, but one with another unit does.
        for with in 1..=units.len() {
            let total = self.plan_first(old, units.get(..with).unwrap_or(units), options)?;
            plans.units.push(UnitPlan::between(&plans.total, &total));
            plans.total = total;
        }
        Ok(plans)
    }

    /// A plan for these units, with as much room as that takes.
    fn plan_first<R: PhysReader>(&mut self, old: &R, units: &[Unit], options: &Options) -> Result<Plan, Error> {
        loop {
            let Self { output, slots, room, told, malformed } = self;
            let (mut met, mut outcome) = (0u64, Ok(()));
            let report = |_: usize, problem: &Problem| {
                met = met.saturating_add(1);
                if met > *told {
                    *told = met;
                    if outcome.is_ok() {
                        outcome = tell(output, malformed, problem);
                    }
                }
            };
            let plan = copy::plan(old, units, options, &mut Workspace::new(slots, room), report);
            outcome?;
            match plan {
                Err(copy::Error::MemoFull { .. }) => slots.resize(slots.len().saturating_mul(2), MemoSlot::EMPTY),
                Err(error) => return Err(Error::Copy(error)),
                Ok(plan) => return Ok(plan),
            }
        }
    }
}

/// What the copy lacks or the hardware refuses is a malformed entry, as for the commands that only read; the others
/// are remarks.
fn tell(output: &mut Output, malformed: &mut u64, problem: &Problem) -> io::Result<()> {
    match problem {
        Problem::Lost(fault) | Problem::Unreserved(fault) | Problem::Refused(fault) | Problem::Loop(fault) => {
            *malformed = malformed.saturating_add(1);
            output.problem(problem, fault)
        }
        remark => output.note(remark),
    }
}
