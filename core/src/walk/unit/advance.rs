//! From one event of a walk to the next.

use super::{Event, RunAt, Stage, UnitWalk};
use crate::memory::PhysReader;
use crate::radix::{self, Found, Malformed, NestedFound};
use crate::vtd::{Cause, Fault};

impl<R: PhysReader + ?Sized> UnitWalk<'_, R> {
    #[inline]
    pub(crate) fn advance(&mut self) -> Option<Event> {
        loop {
            let found = match self.stage {
                Stage::Second => self.tables.inner().advance(),
                Stage::First => self.tables.outer().advance(),
                _ => match self.advance_elsewhere() {
                    Some(event) => return Some(event),
                    None if self.stage == Stage::Done => return None,
                    None => continue,
                },
            };
            return Some(match found {
                Some(Found::Run(extent)) if self.stage == Stage::First => Event::Run(RunAt::First(extent)),
                Some(Found::Run(extent)) => Event::Run(RunAt::Second(extent)),
                Some(Found::Table(table)) => self.table(table),
                Some(Found::Malformed(malformed)) => {
                    let stage = if self.stage == Stage::First { radix::Stage::Outer } else { radix::Stage::Inner };
                    let fault = self.malformed(stage, &malformed)?;
                    self.fault(fault)
                }
                None => {
                    self.leave_tables();
                    continue;
                }
            });
        }
    }

    /// Takes a step in nested page tables.
    fn advance_nested(&mut self) -> Option<Event> {
        match self.tables.advance() {
            Some(NestedFound::Table(table)) => Some(self.table(table)),
            Some(NestedFound::Run(extent)) => Some(Event::Run(RunAt::Nested(extent))),
            Some(NestedFound::Malformed(stage, malformed)) => {
                let fault = self.malformed(stage, &malformed)?;
                Some(self.fault(fault))
            }
            None => {
                self.stage = Stage::Device;
                None
            }
        }
    }

    /// Takes a step outside of the page tables, or in nested ones.
    fn advance_elsewhere(&mut self) -> Option<Event> {
        match self.stage {
            Stage::Device => match self.devices.next(&mut (self.reader, self.tables.begin_inner())) {
                Some(Ok(device)) => {
                    self.device = Some(device);
                    self.stage = Stage::Enter;
                    Some(Event::Device)
                }
                Some(Err(fault)) => Some(self.fault(fault)),
                None => {
                    self.stage = Stage::Done;
                    None
                }
            },
            Stage::Enter => match self.enter_tables()? {
                Ok(event) => Some(event),
                Err(fault) => Some(self.fault(fault)),
            },
            Stage::Beyond => match self.find_beyond() {
                Some(fault) => Some(self.fault(fault)),
                None => {
                    self.stage = Stage::Device;
                    None
                }
            },
            Stage::Nested => self.advance_nested(),
            Stage::First | Stage::Second | Stage::Done => None,
        }
    }

    pub(in crate::walk) fn malformed(&self, stage: radix::Stage, malformed: &Malformed) -> Option<Fault> {
        Some(self.device.as_ref()?.defect(stage, malformed))
    }

    /// An event, and the end of the walk if the budget is used up.
    #[cold]
    fn fault(&mut self, fault: Fault) -> Event {
        let fault = match self.budget.bound_faults(self.faults) {
            Some(bound) if !matches!(fault.cause, Cause::Budget(_)) => {
                Fault { reason: None, cause: Cause::Budget(bound), ..fault }
            }
            _ => fault,
        };
        if let Cause::Budget(_) = fault.cause {
            self.stage = Stage::Done;
        }
        self.faults = self.faults.wrapping_add(1);
        Event::Fault(fault)
    }
}
