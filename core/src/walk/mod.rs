//! A whole unit: root table → context tables → page tables, as a pipeline that visits everything in the
//! order of unit, source-id and IOVA.
//!
//! [`UnitWalk`] is pulled with [`next`](UnitWalk::next), or pushed through a [`Visitor`] by [`visit`](UnitWalk::visit). Whatever can't be followed is a [`Fault`] with its place, and
//! the rest is walked all the same.

mod devices;
mod memo;
mod tables;
mod unit;

pub use memo::{MemoSlot, Met, Shared};
pub(crate) use unit::{Event, RunAt};
pub use unit::{Scratch, UnitWalk};

use crate::radix::{Run, Table};
use crate::vtd::{Device, Fault};

/// What a walk comes to.
#[derive(Clone, Copy, Debug)]
pub enum Step<'p> {
    /// A device that has an address space; what follows concerns it.
    Device(&'p Device),
    /// A page table of the current device was read.
    Table(Table),
    /// A page table of the current device is one that the walk came to before, so it is not walked again; only a walk
    /// with a [memo](UnitWalk::memo) tells.
    Shared(Shared),
    /// A run of leaves of the current device.
    Run(Run<'p>),
    /// Something that can't be followed, of the current device or on the way to the next.
    Fault(Fault),
}

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on with what lies below.
    Enter,
    /// Leave out what lies below this device or table.
    Skip,
    /// End the walk.
    Stop,
}

/// Receives what a walk comes to. Each method decides how to go on; by default that is [`Flow::Enter`].
pub trait Visitor {
    /// A device that has an address space.
    fn device(&mut self, device: &Device) -> Flow {
        let _ = device;
        Flow::Enter
    }

    /// A page table of the current device was read.
    fn table(&mut self, table: &Table) -> Flow {
        let _ = table;
        Flow::Enter
    }

    /// A page table of the current device is one that the walk came to before; only a walk with a
    /// [memo](UnitWalk::memo) tells. There is nothing below it to leave out: [`Flow::Skip`] leaves out the rest of the
    /// table that leads to it.
    fn shared(&mut self, shared: &Shared) -> Flow {
        let _ = shared;
        Flow::Enter
    }

    /// A run of leaves of the current device.
    fn run(&mut self, run: &Run<'_>) -> Flow;

    /// Something that can't be followed.
    fn fault(&mut self, fault: &Fault) -> Flow {
        let _ = fault;
        Flow::Enter
    }
}
