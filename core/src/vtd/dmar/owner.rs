use super::{DeviceScope, Dmar, DmarError, Drhd, Part, Problem, ScopeType, Structure, Unresolved};
use crate::address::SourceId;
use core::ops::RangeInclusive;

/// Which unit remaps the requests of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The unit; `None` if the table has none for the device.
    pub unit: Option<Drhd<'a>>,
    /// The scope that names the device. Without one, the unit is that with INCLUDE_PCI_ALL.
    pub scope: Option<DeviceScope<'a>>,
    /// The first thing in the table that can't be judged and could name the device for another unit. There is none
    /// where a scope names the device.
    pub doubt: Option<Doubt<'a>>,
}

/// Why the owner of a device is not certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt<'a> {
    /// It is not known what this scope of this unit covers.
    Scope(Drhd<'a>, DeviceScope<'a>, Unresolved),
    /// A structure or a scope is malformed.
    Malformed(DmarError),
}

impl<'a> Dmar<'a> {
    /// Which unit remaps the requests that `source_id` in PCI `segment` sends.
    ///
    /// The scopes of all units come first: a sub-hierarchy names its bridge and every bus behind it, any other scope
    /// of a known type names one source-id (for an IOAPIC or HPET, that of its interrupt requests). What no scope
    /// names belongs to the unit with INCLUDE_PCI_ALL.
    ///
    /// `buses_behind` gives the buses behind a bridge of that segment, from its secondary to its subordinate bus,
    /// or `None` if it can't; what would hang on them is then told as a [doubt](Owner::doubt).
    pub fn unit_of(
        &self,
        segment: u16,
        source_id: SourceId,
        mut buses_behind: impl FnMut(SourceId) -> Option<RangeInclusive<u8>>,
    ) -> Owner<'a> {
        let mut rest = Owner::default();
        for structure in self.structures() {
            let unit = match structure {
                Ok(Structure::Drhd(unit)) if unit.segment == segment => unit,
                Ok(_) => continue,
                // Only the type of another structure rules out that this was a unit.
                Err(DmarError { problem: Problem::Short { part: Part::Structure(1..), .. }, .. }) => continue,
                Err(error) => {
                    rest.doubt = rest.doubt.or(Some(Doubt::Malformed(error)));
                    continue;
                }
            };
            for scope in unit.scopes() {
                let doubt = match scope {
                    Ok(scope) => match covers(&scope, source_id, &mut buses_behind) {
                        Ok(true) => return Owner { unit: Some(unit), scope: Some(scope), doubt: None },
                        Ok(false) => continue,
                        Err(unresolved) => Doubt::Scope(unit, scope, unresolved),
                    },
                    Err(error) => Doubt::Malformed(error),
                };
                rest.doubt = rest.doubt.or(Some(doubt));
            }
            if unit.include_all() {
                rest.unit = rest.unit.or(Some(unit));
            }
        }
        rest
    }
}

fn covers(
    scope: &DeviceScope<'_>,
    source_id: SourceId,
    buses_behind: &mut impl FnMut(SourceId) -> Option<RangeInclusive<u8>>,
) -> Result<bool, Unresolved> {
    if let ScopeType::Unknown(code) = scope.kind {
        return Err(Unresolved::Type(code));
    }
    let named = scope.source_id(|bridge| buses_behind(bridge).map(|buses| *buses.start()))?;
    if named == source_id || scope.kind != ScopeType::PciSubHierarchy {
        return Ok(named == source_id);
    }
    Ok(buses_behind(named).ok_or(Unresolved::Bridge(named))?.contains(&source_id.bus()))
}
