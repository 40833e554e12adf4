//! Entries of an interrupt remapping table.

use super::{Bdf, Code, Hex, Text};
use iopt::vtd::{IndexedEntry, Interrupt, InterruptCause, InterruptFault, SourceValidation};
use serde::Serialize;

/// The keys of [`Malformed`], for an entry of the interrupt remapping table. `table` is where that begins, so that
/// the entry is at `table + 16 * index`.
#[derive(Debug, Serialize)]
pub struct MalformedInterrupt {
    malformed: Text<InterruptCause>,
    fault: Option<Code>,
    level: &'static str,
    table: Option<Hex>,
    index: Option<u32>,
    entry: Option<Hex>,
    source_id: Option<Bdf>,
    pasid: Option<u32>,
    iova: Option<Hex>,
}

impl MalformedInterrupt {
    pub fn new(fault: &InterruptFault) -> Self {
        let place = fault.place;
        Self {
            malformed: Text(fault.cause),
            fault: fault.reason.map(Code),
            level: "interrupt",
            table: place.map(|place| place.table.into()),
            index: place.map(|place| place.index),
            entry: place.and_then(|place| place.entry).map(Hex),
            source_id: fault.source_id.map(Bdf),
            pasid: None,
            iova: None,
        }
    }
}

/// What one format lacks is null there.
#[derive(Debug, Serialize)]
pub struct InterruptLine {
    index: u32,
    format: &'static str,
    vector: u8,
    destination: Option<Hex>,
    delivery: Option<String>,
    trigger: Option<String>,
    source_id: Bdf,
    validation: &'static str,
    source_mask: Option<Hex>,
    buses: Option<Buses>,
    destination_mode: Option<String>,
    redirection_hint: Option<bool>,
    urgent: Option<bool>,
    descriptor: Option<Hex>,
    available: u8,
    fault_disabled: bool,
    entry: Hex,
}

#[derive(Debug, Serialize)]
struct Buses {
    first: u8,
    last: u8,
}

impl InterruptLine {
    pub fn new(found: &IndexedEntry, extended: bool) -> Self {
        let entry = &found.entry;
        let (validation, source_mask, buses) = match entry.validation() {
            SourceValidation::None => ("none", None, None),
            SourceValidation::SourceId { mask, .. } => ("source-id", Some(Hex::from(mask)), None),
            SourceValidation::BusRange { first, last } => ("bus-range", None, Some(Buses { first, last })),
            SourceValidation::Reserved => ("reserved", None, None),
        };
        let line = Self {
            index: found.index,
            format: "posted",
            vector: 0,
            destination: None,
            delivery: None,
            trigger: None,
            source_id: Bdf(entry.source_id()),
            validation,
            source_mask,
            buses,
            destination_mode: None,
            redirection_hint: None,
            urgent: None,
            descriptor: None,
            available: entry.available(),
            fault_disabled: entry.fault_disabled(),
            entry: Hex(entry.raw()),
        };
        match entry.interrupt(extended) {
            Interrupt::Remapped { destination_mode, redirection_hint, trigger, delivery, vector, destination } => {
                Self {
                    format: "remapped",
                    vector,
                    destination: Some(destination.into()),
                    delivery: Some(delivery.to_string()),
                    trigger: Some(trigger.to_string()),
                    destination_mode: Some(destination_mode.to_string()),
                    redirection_hint: Some(redirection_hint),
                    ..line
                }
            }
            Interrupt::Posted { urgent, vector, descriptor } => {
                Self { vector, urgent: Some(urgent), descriptor: Some(descriptor.into()), ..line }
            }
        }
    }
}
