//! DMAR tables of any bytes: they parse or say why not, and all that is found lies where it should.

use iopt::SourceId;
use iopt::vtd::dmar::{DeviceScope, Dmar, Doubt, Drhd, Structure};
use std::ops::RangeInclusive;

/// Reads `bytes` as a DMAR table: as they are, behind a header that is right, and as the plan of a table that mostly
/// is right.
///
/// # Panics
/// If an invariant does not hold.
pub fn check_dmar(bytes: &[u8]) {
    check(bytes);
    for structures in [bytes.to_vec(), plan(bytes)] {
        let mut table = b"DMAR".to_vec();
        table.extend((48 + structures.len() as u32).to_le_bytes());
        table.resize(48, 0);
        table.extend(structures);
        assert!(Dmar::parse(&table).is_ok());
        check(&table);
        // The sum of all bytes is right once the byte for it says so.
        table[Dmar::CHECKSUM_OFFSET] = Dmar::parse(&table).expect("as before").expected_checksum();
        assert!(Dmar::parse(&table).expect("as before").checksum_valid());
    }
}

/// Structures out of any bytes: most of them have a type that is known and a length that is right.
fn plan(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.iter().copied();
    let mut structures = Vec::new();
    while let Some(what) = bytes.next() {
        let kind = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7][usize::from(what) % 11];
        let fixed = [16, 24, 8, 20, 8, 8, 8, 9][usize::from(kind)];
        let start = structures.len();
        structures.extend([kind, 0, 0, 0]);
        structures.extend(bytes.by_ref().take(fixed - 4));
        structures.resize(start + fixed, 0);
        if kind == 0 || kind == 2 || kind == 5 {
            // One of two segments.
            structures[start + 6] &= 1;
            structures[start + 7] = 0;
        }
        for _ in 0..bytes.next().unwrap_or(0) % 4 {
            let [kind, steps, bus] = [(); 3].map(|()| bytes.next().unwrap_or(0));
            let steps = [1, 1, 1, 2, 2, 3, 0][usize::from(steps) % 7];
            let wrong = u8::from(bus == 0xfe);
            structures.extend([
                [1, 1, 2, 2, 3, 4, 5, 6][usize::from(kind) % 8],
                6 + 2 * steps + wrong,
                0,
                0,
                0,
                bus & 3,
            ]);
            for _ in 0..steps {
                let step = bytes.next().unwrap_or(0);
                // Rarely a device that no bus has.
                structures.extend([step >> 3 | if step == 0x77 { 32 } else { 0 }, step & 7]);
            }
        }
        let length = (structures.len() - start) as u16;
        // Rarely too short, or too long.
        let length = match bytes.next().unwrap_or(0) {
            0xff => length.wrapping_sub(3),
            0xfe => length + 40,
            0xfd => 2,
            _ => length,
        };
        structures[start + 2..start + 4].copy_from_slice(&length.to_le_bytes());
    }
    structures
}

fn check(bytes: &[u8]) {
    let dmar = match Dmar::parse(bytes) {
        Ok(dmar) => dmar,
        Err(error) => return assert!(!error.to_string().is_empty() && error.offset <= bytes.len()),
    };
    let table = dmar.as_bytes();
    assert!(table.len() >= 48 && bytes.starts_with(table));
    let found: Vec<_> = dmar.structures().collect();
    // Each takes four bytes at least, and errors end the list or take as many.
    assert!(found.len() <= 1 + table.len() / 4);
    let mut at = 48;
    for structure in &found {
        let offset = match structure {
            Ok(structure) => structure.offset(),
            Err(error) => error.offset,
        };
        assert_eq!(offset, at, "{structure:?}");
        let length = table[at..].get(2..4).map_or(0, |length| usize::from(length[0]) | usize::from(length[1]) << 8);
        match structure {
            Ok(structure) => {
                let end = at + length;
                assert!(length >= 4 && end <= table.len(), "{structure:?} lies inside of the table");
                check_structure(table, structure, end);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        at += length;
    }
    check_owners(&dmar, &found);
}

/// What a structure says is what its bytes say, up to `end`.
fn check_structure(table: &[u8], structure: &Structure<'_>, end: usize) {
    let start = structure.offset();
    let number = |from: usize, count: usize| -> u64 {
        (0..count).map(|byte| u64::from(table[start + from + byte]) << (8 * byte)).sum()
    };
    let kind = number(0, 2);
    let (scopes, first) = match structure {
        Structure::Drhd(unit) => {
            assert_eq!((kind, unit.base.0, u64::from(unit.segment)), (0, number(8, 8), number(6, 2)));
            (unit.scopes(), 16)
        }
        Structure::Rmrr(region) => {
            assert_eq!((kind, region.base.0, region.limit.0), (1, number(8, 8), number(16, 8)));
            assert_eq!(region.region().is_some(), region.base <= region.limit);
            (region.scopes(), 24)
        }
        Structure::Atsr(ports) => (ports.scopes(), 8),
        Structure::Satc(devices) => (devices.scopes(), 8),
        Structure::Sidp(devices) => (devices.scopes(), 8),
        Structure::Rhsa(unit) => {
            assert_eq!((kind, unit.base.0, u64::from(unit.proximity_domain)), (3, number(8, 8), number(16, 4)));
            return;
        }
        Structure::Andd(device) => {
            let name = &table[start + 8..end];
            let length = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            assert_eq!((kind, device.name()), (4, &name[..length]));
            return;
        }
        Structure::Unknown { bytes, kind: told, .. } => {
            assert!(kind > 6 && kind == u64::from(*told));
            return assert_eq!(*bytes, &table[start..end]);
        }
    };
    let mut at = start + first;
    for scope in scopes {
        let length = table[at..end].get(1).map_or(0, |length| usize::from(*length));
        match scope {
            Ok(scope) => {
                assert_eq!(scope.offset, at);
                assert!(at + length <= end && length == 6 + 2 * scope.path.len(), "{scope:?}");
                assert_eq!((scope.kind.code(), scope.start_bus), (table[at], table[at + 5]));
                let path: Vec<u8> = scope.path.iter().flat_map(|step| [step.device, step.function]).collect();
                assert_eq!(path, table[at + 6..at + length]);
            }
            Err(error) => assert!(error.offset == at && !error.to_string().is_empty()),
        }
        at += length;
    }
}

/// The buses behind a bridge: any rule will do, as long as some have none.
fn buses_behind(bridge: SourceId) -> Option<RangeInclusive<u8>> {
    let first = bridge.bus().wrapping_add(1 + bridge.device() % 4);
    (bridge.function() < 6 && first != 0).then(|| first..=first.saturating_add(bridge.function()))
}

/// Whether a scope is for a device; `None` if that can't be known.
fn covers(scope: &DeviceScope<'_>, source: SourceId) -> Option<bool> {
    if !(1..=5).contains(&scope.kind.code()) {
        return None;
    }
    let mut bus = scope.start_bus;
    let mut named = None;
    for step in scope.path {
        if let Some(bridge) = named {
            bus = *buses_behind(bridge)?.start();
        }
        if step.device >= 32 || step.function >= 8 {
            return None;
        }
        named = Some(SourceId::new(bus, step.device * 8 + step.function));
    }
    let named = named?;
    if named == source {
        return Some(true);
    }
    Some(scope.kind.code() == 2 && buses_behind(named)?.contains(&source.bus()))
}

/// Whose unit a device is behind: the first that names it, or else the first that has all the rest.
fn check_owners(dmar: &Dmar<'_>, found: &[Result<Structure<'_>, iopt::vtd::dmar::DmarError>]) {
    let units: Vec<Drhd<'_>> = dmar.units().collect();
    let good = found.iter().filter(|found| matches!(found, Ok(Structure::Drhd(_)))).count();
    assert_eq!(units.len(), good);
    let segments = units.iter().map(|unit| unit.segment).chain([0]);
    let mut segments: Vec<u16> = segments.collect();
    segments.sort_unstable();
    segments.dedup();
    let mut sources = vec![0, 0xf8, 0x1234, 0xffff];
    for scope in units.iter().flat_map(Drhd::scopes).flatten().take(40) {
        sources.extend(scope.source_id(|bridge| Some(*buses_behind(bridge)?.start())).ok().map(|source| source.0));
        sources.push(u16::from(scope.start_bus.wrapping_add(2)) << 8);
    }
    for segment in segments.into_iter().take(8) {
        for source in sources.iter().map(|source| SourceId(*source)) {
            let mine = units.iter().filter(|unit| unit.segment == segment);
            let scopes = mine.clone().flat_map(|unit| unit.scopes().flatten().map(move |scope| (*unit, scope)));
            let named = scopes.clone().find(|(_, scope)| covers(scope, source) == Some(true));
            let rest = mine.clone().find(|unit| unit.flags & 1 == 1).copied();
            let owner = dmar.unit_of(segment, source, buses_behind);
            assert_eq!(owner.unit, named.map(|(unit, _)| unit).or(rest), "{segment} {source}");
            assert_eq!(owner.scope, named.map(|(_, scope)| scope));
            match owner.doubt {
                None => {
                    let unknown = scopes.clone().any(|(_, scope)| covers(&scope, source).is_none());
                    let malformed = mine.clone().flat_map(Drhd::scopes).any(|scope| scope.is_err());
                    assert!(named.is_some() || !unknown && !malformed, "{segment} {source}");
                }
                Some(Doubt::Scope(unit, scope, why)) => {
                    assert!(named.is_none() && unit.segment == segment && !why.to_string().is_empty());
                    assert_eq!(covers(&scope, source), None);
                }
                Some(Doubt::Malformed(error)) => assert!(named.is_none() && !error.to_string().is_empty()),
            }
        }
    }
}
