//! The public builder of tables: what it makes is walked, and held against the brute-force twin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod broken;
mod errors;
mod kinds;
mod leaves;
mod sharing;

use iopt::builder::{Error, Leaves, Target, UnitBuilder};
use iopt::memory::{Slot, SparseMemory};
use iopt::vtd::{AddressSpace, Fault, TranslationMode, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Iova, PhysAddr, SourceId};
use iopt_model::Built;
use iopt_model::check::check_unit;

/// 00:01.0.
const DEVICE: SourceId = SourceId::new(0, 8);
const MODES: [TranslationMode; 2] = [TranslationMode::Legacy, TranslationMode::Scalable];

type Tables<'t, 'm> = UnitBuilder<'t, SparseMemory<'m>>;

/// Lets `make` make the tables of a unit.
fn with<T>(mode: TranslationMode, make: impl FnOnce(&mut Tables<'_, '_>) -> Result<T, Error>) -> Result<T, Error> {
    let mut slots = vec![Slot::EMPTY; 400];
    let mut memory = SparseMemory::new(&mut slots);
    make(&mut UnitBuilder::new(&mut memory, mode)?)
}

/// What a walk tells of each device, range and fault. Everything that holds of any unit is checked, too.
fn told(tables: &Tables<'_, '_>) -> Vec<String> {
    let unit = tables.unit();
    check_unit(&Built { rtaddr: unit.rtaddr().0, cap: None, ecap: None, haw: None }, tables.pages());
    steps(tables, &unit)
}

fn steps(tables: &Tables<'_, '_>, unit: &Unit) -> Vec<String> {
    let mut scratch = Scratch::new();
    let mut walk = unit.walk(tables.pages(), &mut scratch);
    let mut told = vec![];
    while let Some(step) = walk.next() {
        match step {
            Step::Table(_) | Step::Shared(_) => {}
            Step::Fault(fault) => told.push(short(&fault)),
            Step::Run(run) => {
                let leaves = run.leaves().count();
                told.push(format!(
                    "{:#x} -> {:#x} {} x{leaves}",
                    run.iova.0,
                    run.leaves().next().unwrap().phys.0,
                    run.permissions
                ));
            }
            Step::Device(device) => {
                let kind = match &device.space {
                    AddressSpace::PassThrough { .. } => "passes".to_string(),
                    AddressSpace::SecondStage(second) => format!("second/{}", second.levels()),
                    AddressSpace::FirstStage(first) => format!("first/{}", first.levels()),
                    AddressSpace::Nested(first, second) => format!("nested/{}/{}", first.levels(), second.levels()),
                    AddressSpace::Blocked(reason) => format!("blocked {:#x}", reason.code()),
                };
                let pasid = device.pasid.map_or(String::new(), |pasid| format!("@{pasid}"));
                let domain = device.domain().map_or(String::new(), |domain| format!(" in {domain}"));
                let flags = [(device.fault_disabled(), " FPD"), (device.device_tlb(), " ATS")];
                let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
                told.push(format!("{}{pasid} {kind}{domain}{flags}", device.source_id));
            }
        }
    }
    told
}

/// Its reason, and the entry that it is about.
fn short(fault: &Fault) -> String {
    let reason = fault.reason.map_or("no reason".to_string(), |reason| format!("{:#x}", reason.code()));
    format!("{reason} at {} {}", fault.place.structure, fault.place.index)
}

/// A device that can reach 2 MiB.
fn one_device(tables: &mut Tables<'_, '_>) -> Result<iopt::builder::PageTable, Error> {
    let table = tables.second_stage(3)?;
    tables.map(table, Leaves::of_2m(Iova(0x20_0000), PhysAddr(0x8020_0000)))?;
    tables.device(DEVICE, Target::second_stage(table))?;
    Ok(table)
}
