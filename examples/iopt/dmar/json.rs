//! Structures as lines of JSON: their keys, in the order in which they are written.

use super::scopes;
use crate::json::Hex;
use crate::output::Output;
use iopt::SourceId;
use iopt::vtd::dmar::{DeviceScope, DmarError, PathStep, ScopeType, Structure};
use serde::{Serialize, Serializer};
use std::fmt;
use std::io;

#[derive(Debug, Serialize)]
pub struct Malformed {
    pub malformed: String,
    pub offset: usize,
}

impl From<DmarError> for Malformed {
    fn from(error: DmarError) -> Self {
        Self { malformed: error.problem.to_string(), offset: error.offset }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DMAR table, offset {}: {}", self.offset, self.malformed)
    }
}

/// A structure, and what its values are found wrong in.
pub fn structure(structure: &Result<Structure<'_>, DmarError>, output: &mut Output) -> io::Result<()> {
    match structure {
        Ok(structure) => {
            output.json(&Line::new(structure))?;
            structure.objection().map_or(Ok(()), |error| output.json(&Malformed::from(error)))
        }
        Err(error) => output.json(&Malformed::from(*error)),
    }
}

#[derive(Debug, Serialize)]
struct Line {
    structure: &'static str,
    offset: usize,
    #[serde(flatten)]
    fields: Fields,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<Entry>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Fields {
    Drhd { segment: u16, base: Hex, size: u64, flags: Hex, include_all: bool },
    Rmrr { segment: u16, base: Hex, limit: Hex },
    Atsr { segment: u16, flags: Hex, all_ports: bool },
    Rhsa { base: Hex, proximity_domain: u32 },
    Andd { acpi_device_number: u8, name: String },
    Satc { segment: u16, flags: Hex, atc_required: bool },
    Sidp { segment: u16 },
    Unknown { r#type: u16, bytes: String },
}

impl Line {
    fn new(structure: &Structure<'_>) -> Self {
        let (name, segment, fields) = match structure {
            Structure::Drhd(unit) => {
                let (base, size, flags) = (unit.base.into(), unit.register_bytes(), Hex::from(unit.flags));
                let segment = unit.segment;
                ("drhd", segment, Fields::Drhd { segment, base, size, flags, include_all: unit.include_all() })
            }
            Structure::Rmrr(region) => {
                let (segment, base, limit) = (region.segment, region.base.into(), region.limit.into());
                ("rmrr", segment, Fields::Rmrr { segment, base, limit })
            }
            Structure::Atsr(ports) => {
                let (segment, flags) = (ports.segment, Hex::from(ports.flags));
                ("atsr", segment, Fields::Atsr { segment, flags, all_ports: ports.all_ports() })
            }
            Structure::Rhsa(unit) => {
                let proximity_domain = unit.proximity_domain;
                ("rhsa", 0, Fields::Rhsa { base: unit.base.into(), proximity_domain })
            }
            Structure::Andd(device) => {
                let name = String::from_utf8_lossy(device.name()).into_owned();
                ("andd", 0, Fields::Andd { acpi_device_number: device.acpi_device_number, name })
            }
            Structure::Satc(devices) => {
                let (segment, flags) = (devices.segment, Hex::from(devices.flags));
                ("satc", segment, Fields::Satc { segment, flags, atc_required: devices.atc_required() })
            }
            Structure::Sidp(devices) => ("sidp", devices.segment, Fields::Sidp { segment: devices.segment }),
            Structure::Unknown { kind, bytes, .. } => {
                let bytes = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                ("unknown", 0, Fields::Unknown { r#type: *kind, bytes })
            }
        };
        let entry = |scope: Result<DeviceScope<'_>, DmarError>| match scope {
            Ok(scope) => Entry::Scope(Scope::new(&scope, segment)),
            Err(error) => Entry::Malformed(error.into()),
        };
        let scopes = scopes(structure).map(|scopes| scopes.map(entry).collect());
        Self { structure: name, offset: structure.offset(), fields, scopes }
    }
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Scope(Scope),
    Malformed(Malformed),
}

#[derive(Debug, Serialize)]
struct Scope {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    type_code: Option<u8>,
    flags: Hex,
    enumeration_id: u8,
    start_bus: u8,
    path: Vec<Step>,
    source_id: Option<Device>,
}

impl Scope {
    fn new(scope: &DeviceScope<'_>, segment: u16) -> Self {
        let (name, type_code) = match scope.kind {
            ScopeType::PciEndpoint => ("pci-endpoint", None),
            ScopeType::PciSubHierarchy => ("pci-sub-hierarchy", None),
            ScopeType::IoApic => ("ioapic", None),
            ScopeType::Hpet => ("msi-capable-hpet", None),
            ScopeType::AcpiNamespaceDevice => ("acpi-namespace-device", None),
            ScopeType::Unknown(code) => ("unknown", Some(code)),
        };
        Self {
            r#type: name,
            type_code,
            flags: scope.flags.into(),
            enumeration_id: scope.enumeration_id,
            start_bus: scope.start_bus,
            path: scope.path.iter().map(Step::from).collect(),
            // The table alone does not tell which buses are behind a bridge.
            source_id: scope.source_id(|_| None).ok().map(|source_id| Device(segment, source_id)),
        }
    }
}

#[derive(Debug, Serialize)]
struct Step {
    device: u8,
    function: u8,
}

impl From<&PathStep> for Step {
    fn from(step: &PathStep) -> Self {
        Self { device: step.device, function: step.function }
    }
}

/// A source-id, with its segment unless that is 0.
#[derive(Clone, Copy, Debug)]
pub struct Device(pub u16, pub SourceId);

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(0, source_id) => source_id.fmt(f),
            Self(segment, source_id) => write!(f, "{segment:04x}:{source_id}"),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
