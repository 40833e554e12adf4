//! Tables made by hand: each field alone, and the malformed twin of each structure.

use super::*;
use crate::address::{PhysAddr, SourceId};
use std::format;
use std::vec::Vec;

const HEADER: usize = 48;

/// A table of these structures, with a right length and checksum.
fn table(structures: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"DMAR\0\0\0\0\x01\0OEM-IDOEMTABLE\x04\x03\x02\x01MAKE\x05\0\0\0\x2e\0".to_vec();
    bytes.resize(HEADER, 0);
    bytes.extend(structures.concat());
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

/// A structure of `kind` with these bytes behind type and length.
fn structure(kind: u16, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let length = u16::try_from(rest.len() + 4).unwrap();
    [&kind.to_le_bytes()[..], &length.to_le_bytes(), &rest].concat()
}

fn scope(kind: u8, id: u8, bus: u8, path: &[u8]) -> Vec<u8> {
    let length = u8::try_from(path.len() + 6).unwrap();
    [&[kind, length, 0, 0, id, bus], path].concat()
}

fn drhd(flags: u8, segment: u8, base: u64, scopes: &[&[u8]]) -> Vec<u8> {
    structure(0, &[&[flags, 0, segment, 0], &base.to_le_bytes(), &scopes.concat()])
}

/// The only structure of a table.
fn only(bytes: &[u8]) -> Structure<'_> {
    let mut structures = Dmar::parse(bytes).unwrap().structures();
    let first = structures.next().unwrap().unwrap();
    assert_eq!(structures.next(), None);
    first
}

/// What is wrong in a table of these structures, and how many structures are whole.
fn told(structures: &[&[u8]]) -> (Vec<DmarError>, usize) {
    let bytes = table(structures);
    let all: Vec<_> = Dmar::parse(&bytes).unwrap().structures().collect();
    let errors: Vec<_> = all.iter().filter_map(|one| one.err()).collect();
    let whole = all.len() - errors.len();
    (errors, whole)
}

#[test]
fn the_header_is_read() {
    let mut bytes = table(&[]);
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!((dmar.revision(), dmar.host_address_width(), dmar.flags()), (1, 47, 0));
    assert_eq!((dmar.oem_id(), dmar.oem_table_id(), dmar.oem_revision()), (b"OEM-ID", b"OEMTABLE", 0x0102_0304));
    assert!(dmar.checksum_valid() && dmar.structures().next().is_none());

    for flag in 0..8 {
        bytes[37] = 1 << flag;
        let dmar = Dmar::parse(&bytes).unwrap();
        let flags = [dmar.interrupt_remapping(), dmar.x2apic_opt_out(), dmar.dma_control_opt_in()];
        assert_eq!(flags, [0, 1, 2].map(|bit| bit == flag));
        assert_eq!(dmar.flags(), 1 << flag);
        assert!(!dmar.checksum_valid(), "a wrong checksum is told, not refused");
        assert_eq!(dmar.expected_checksum(), dmar.checksum().wrapping_sub(1 << flag));
    }
    for (width, bits) in [(0, 1), (38, 39), (51, 52), (254, 255), (255, 255)] {
        bytes[36] = width;
        assert_eq!(Dmar::parse(&bytes).unwrap().host_address_width(), bits);
    }
    bytes.extend(drhd(1, 0, 0x1000, &[]));
    assert_eq!(Dmar::parse(&bytes).unwrap().structures().count(), 0, "bytes behind the table are none of it");
    assert_eq!(Dmar::parse(&bytes).unwrap().as_bytes().len(), HEADER);
}

#[test]
fn invalid_header() {
    let good = table(&[]);
    let refused = |bytes: &[u8]| format!("{}", Dmar::parse(bytes).unwrap_err());
    let with_length = |length: u32| [&good[..4], &length.to_le_bytes(), &good[8..]].concat();
    for (bytes, message) in [
        (&b""[..], "DMAR table, offset 0: expected a header of 48 bytes, found 0"),
        (b"DMA", "DMAR table, offset 0: expected a header of 48 bytes, found 3"),
        (b"FACP0000", "DMAR table, offset 0: expected signature \"DMAR\", found \"FACP\""),
        (&good[..47], "DMAR table, offset 0: expected a header of 48 bytes, found 47"),
        (&with_length(47), "DMAR table, offset 4: expected a table length of 48 to 48 bytes, found 47"),
        (&with_length(49), "DMAR table, offset 4: expected a table length of 48 to 48 bytes, found 49"),
        (&with_length(u32::MAX), "DMAR table, offset 4: expected a table length of 48 to 48 bytes, found 4294967295"),
    ] {
        assert_eq!(refused(bytes), message);
    }
}

#[test]
fn drhd_fields() {
    for (flags, include_all) in [(1, true), (0xfe, false)] {
        let bytes = table(&[&drhd(flags, 0, 0, &[])]);
        let Structure::Drhd(unit) = only(&bytes) else { panic!() };
        assert_eq!((unit.flags, unit.include_all()), (flags, include_all));
    }
    let bytes = table(&[&structure(0, &[&[0, 0x13, 0x34, 0x12], &0x0123_4567_89ab_c000u64.to_le_bytes()])]);
    let Structure::Drhd(unit) = only(&bytes) else { panic!() };
    assert_eq!((unit.offset, unit.segment, unit.base), (HEADER, 0x1234, PhysAddr(0x0123_4567_89ab_c000)));
    assert_eq!((unit.size, unit.register_bytes()), (0x13, 8 * 4096), "bits 7:4 of the size are reserved");
    assert!(unit.scopes().next().is_none());
}

#[test]
fn rmrr_fields() {
    let endpoint = scope(1, 0, 0, &[0x1d, 0]);
    let region = |base: u64, limit: u64| {
        table(&[&structure(1, &[&[0, 0, 0x34, 0x12], &base.to_le_bytes(), &limit.to_le_bytes(), &endpoint])])
    };
    let bytes = region(0x7b80_0000, 0x7fff_ffff);
    let Structure::Rmrr(rmrr) = only(&bytes) else { panic!() };
    assert_eq!((rmrr.segment, rmrr.base, rmrr.limit), (0x1234, PhysAddr(0x7b80_0000), PhysAddr(0x7fff_ffff)));
    assert_eq!(rmrr.region().unwrap().size(), 0x480_0000, "the limit is inclusive");
    assert_eq!(rmrr.scopes().next().unwrap().unwrap().offset, HEADER + 24);
    assert_eq!(only(&bytes).objection(), None);
    assert_eq!(Dmar::parse(&bytes).unwrap().reserved_memory().count(), 1);

    assert_eq!(only(&region(5, 5)).objection(), None, "one byte");
    let bytes = region(0x2000, 0x1fff);
    let Structure::Rmrr(rmrr) = only(&bytes) else { panic!() };
    assert_eq!((rmrr.region(), rmrr.scopes().count()), (None, 1));
    let message = "expected a region whose limit is not below its base 0x2000, found limit 0x1fff";
    assert_eq!(format!("{}", only(&bytes).objection().unwrap().problem), message);
}

#[test]
fn atsr_satc_and_sidp_fields() {
    let endpoint = scope(1, 0, 3, &[4, 5]);
    for (flags, set) in [(1, true), (0xfe, false)] {
        let body: [&[u8]; 2] = [&[flags, 0, 0x34, 0x12], &endpoint];
        let bytes = table(&[&structure(2, &body), &structure(5, &body), &structure(6, &body)]);
        let all: Result<Vec<_>, _> = Dmar::parse(&bytes).unwrap().structures().collect();
        let [Structure::Atsr(atsr), Structure::Satc(satc), Structure::Sidp(sidp)] = all.unwrap()[..] else { panic!() };
        assert_eq!([atsr.all_ports(), satc.atc_required()], [set; 2]);
        assert_eq!([atsr.flags, satc.flags], [flags; 2]);
        assert_eq!([atsr.segment, satc.segment, sidp.segment], [0x1234; 3]);
        assert_eq!([atsr.offset, satc.offset, sidp.offset], [48, 64, 80]);
        for scopes in [atsr.scopes(), satc.scopes(), sidp.scopes()] {
            let scopes: Result<Vec<_>, _> = scopes.collect();
            assert_eq!(scopes.unwrap()[0].source_id(|_| None), Ok(SourceId::new(3, 0x25)));
        }
    }
}

#[test]
fn rhsa_andd_and_unknown_fields() {
    let bytes = table(&[&structure(3, &[&[0; 4], &0xfed9_0000u64.to_le_bytes(), &0x0102_0304u32.to_le_bytes()])]);
    let expected = Rhsa { offset: 48, base: PhysAddr(0xfed9_0000), proximity_domain: 0x0102_0304 };
    assert_eq!(only(&bytes), Structure::Rhsa(expected));

    let bytes = table(&[&structure(4, &[&[0, 0, 0, 7], b"\\_SB.UAR0\0\0\0"])]);
    let Structure::Andd(andd) = only(&bytes) else { panic!() };
    assert_eq!((andd.acpi_device_number, andd.name()), (7, &b"\\_SB.UAR0"[..]));
    assert_eq!(only(&bytes).objection(), None);
    for (text, name) in [(&b"\\_SB"[..], &b"\\_SB"[..]), (b"", b"")] {
        let bytes = table(&[&structure(4, &[&[0, 0, 0, 7], text])]);
        let Structure::Andd(andd) = only(&bytes) else { panic!() };
        assert_eq!(andd.name(), name);
        assert_eq!(only(&bytes).objection().unwrap().problem, Problem::Unterminated);
    }

    let bytes = table(&[&structure(0x1234, &[b"kept"])]);
    assert_eq!(only(&bytes), Structure::Unknown { offset: 48, kind: 0x1234, bytes: b"\x34\x12\x08\0kept" });
    let bytes = table(&[&structure(7, &[])]);
    assert_eq!(only(&bytes), Structure::Unknown { offset: 48, kind: 7, bytes: b"\x07\0\x04\0" });
}

/// One byte less than the fixed part: an error, and what follows is read.
#[test]
fn invalid_structures_are_told_and_passed() {
    let good = drhd(1, 0, 0x1000, &[]);
    for (kind, size, name) in [
        (0, 16, "DRHD"),
        (1, 24, "RMRR"),
        (2, 8, "ATSR"),
        (3, 20, "RHSA"),
        (4, 8, "ANDD"),
        (5, 8, "SATC"),
        (6, 8, "SIDP"),
    ] {
        for length in [4, size - 1] {
            let (errors, whole) = told(&[&good, &structure(kind, &[&[0; 24][..length - 4]]), &good]);
            assert_eq!(whole, 2);
            let expected = format!(
                "DMAR table, offset 64: {name} structure: expected a length of at least {size} bytes, found {length}"
            );
            assert_eq!(errors.iter().map(|error| format!("{error}")).collect::<Vec<_>>(), [expected]);
        }
        let (errors, whole) = told(&[&good, &structure(kind, &[&[0; 24][..size - 4]]), &good]);
        assert_eq!((errors.len(), whole), (0, 3));
    }
}

#[test]
fn invalid_lengths_end_the_structures() {
    let good = drhd(1, 0, 0x1000, &[]);
    for (last, message) in [
        (&[0, 0, 0, 0, 0, 0][..], "DRHD structure: expected a length of at least 4 bytes, found 0"),
        (&[9, 0, 3, 0, 0, 0], "remapping structure of type 9: expected a length of at least 4 bytes, found 3"),
        (&[1, 0, 7, 0, 0, 0], "RMRR structure: expected a length within the 6 bytes that are left, found 7"),
        (&[1, 0, 24], "expected the 4-byte header of a remapping structure, found 3 bytes"),
        (&[1], "expected the 4-byte header of a remapping structure, found 1 byte"),
    ] {
        let (errors, whole) = told(&[&good, last]);
        assert_eq!((errors.len(), whole), (1, 1));
        assert_eq!((errors[0].offset, format!("{}", errors[0].problem)), (64, message.into()));
    }
}

#[test]
fn every_scope_type_is_read() {
    use ScopeType::*;
    let kinds = [PciEndpoint, PciSubHierarchy, IoApic, Hpet, AcpiNamespaceDevice, Unknown(6), Unknown(0)];
    for (kind, code) in kinds.into_iter().zip([1, 2, 3, 4, 5, 6, 0]) {
        assert_eq!((ScopeType::new(code), kind.code()), (kind, code));
        let bytes = table(&[&drhd(0, 0, 0, &[&scope(code, 2, 0xf0, &[0x1f, 7])])]);
        let Structure::Drhd(unit) = only(&bytes) else { panic!() };
        let path = &[PathStep { device: 0x1f, function: 7 }][..];
        let expected = DeviceScope { offset: 64, kind, flags: 0, enumeration_id: 2, start_bus: 0xf0, path };
        assert_eq!(unit.scopes().collect::<Vec<_>>(), [Ok(expected)]);
    }
    let bytes = table(&[&drhd(0, 0, 0, &[&[1, 8, 0x5a, 0, 0, 0, 0, 0]])]);
    let Structure::Drhd(unit) = only(&bytes) else { panic!() };
    assert_eq!(unit.scopes().next().unwrap().unwrap().flags, 0x5a);
}

#[test]
fn invalid_scopes_are_told_in_their_place() {
    let good = scope(1, 0, 0, &[1, 0]);
    for (wrong, behind, message) in [
        (&[1, 2][..], 1, "device scope (PCI endpoint): expected a length of at least 6 bytes, found 2"),
        (&[3, 5, 0, 0, 0], 1, "device scope (IOAPIC): expected a length of at least 6 bytes, found 5"),
        (
            &[9, 7, 0, 0, 0, 0, 1],
            1,
            "device scope (unknown type 9): expected a length of 6 bytes and 2 for each pair of its path, found 7",
        ),
        (&[2, 1, 0, 0], 0, "device scope (PCI sub-hierarchy): expected a length of at least 2 bytes, found 1"),
        (&[4, 0], 0, "device scope (MSI-capable HPET): expected a length of at least 2 bytes, found 0"),
        (
            &[5, 255],
            0,
            "device scope (ACPI namespace device): expected a length within the 10 bytes that are left, found 255",
        ),
    ] {
        let bytes = table(&[&drhd(0, 0, 0, &[&good, wrong, &good]), &drhd(1, 0, 0, &[])]);
        let mut structures = Dmar::parse(&bytes).unwrap().structures();
        let Some(Ok(Structure::Drhd(unit))) = structures.next() else { panic!() };
        let scopes: Vec<_> = unit.scopes().collect();
        assert!(scopes[0].is_ok() && scopes.len() == 2 + behind, "{scopes:?}");
        let error = scopes[1].unwrap_err();
        assert_eq!((error.offset, format!("{}", error.problem)), (72, message.into()));
        assert!(scopes[2..].iter().all(Result::is_ok));
        assert_eq!(structures.count(), 1, "a scope does not hide the next structure");
    }
    let bytes = table(&[&drhd(0, 0, 0, &[&good, &[1]])]);
    let Structure::Drhd(unit) = only(&bytes) else { panic!() };
    let error = unit.scopes().nth(1).unwrap().unwrap_err();
    assert_eq!(error.problem, Problem::Fragment { what: "device scope", expected: 2, found: 1 });
}

#[test]
fn a_path_leads_over_bridges() {
    let resolve = |path: &[u8], buses: &[(u16, u8)]| {
        let bytes = table(&[&drhd(0, 0, 0, &[&scope(1, 0, 2, path)])]);
        let Structure::Drhd(unit) = only(&bytes) else { panic!() };
        let bus = |bridge: SourceId| buses.iter().find_map(|&(id, bus)| (id == bridge.0).then_some(bus));
        unit.scopes().next().unwrap().unwrap().source_id(bus)
    };
    assert_eq!(resolve(&[3, 1], &[]), Ok(SourceId(0x0219)));
    assert_eq!(resolve(&[3, 1, 4, 2], &[(0x0219, 5)]), Ok(SourceId(0x0522)));
    assert_eq!(resolve(&[3, 1, 4, 2, 0, 7], &[(0x0219, 5), (0x0522, 9)]), Ok(SourceId(0x0907)));
    assert_eq!(resolve(&[3, 1, 4, 2, 0, 7], &[(0x0219, 5)]), Err(Unresolved::Bridge(SourceId(0x0522))));
    assert_eq!(resolve(&[], &[]), Err(Unresolved::NoPath));
    for (device, function) in [(32, 0), (0, 8)] {
        let step = PathStep { device, function };
        assert_eq!(resolve(&[device, function], &[]), Err(Unresolved::NoDevice(step)));
        assert_eq!(resolve(&[3, 1, device, function], &[(0x0219, 5)]), Err(Unresolved::NoDevice(step)));
    }
}

/// Two units of segment 0, one of segment 1. Bridge 00:01.0 leads to buses 1 to 3.
#[test]
fn the_unit_of_a_device_is_the_one_that_names_it() {
    let bytes = table(&[
        &drhd(0, 0, 0x1000, &[&scope(1, 0, 0, &[2, 0]), &scope(2, 0, 0, &[1, 0])]),
        &drhd(1, 0, 0x2000, &[&scope(3, 0, 0xf0, &[0x1f, 0])]),
        &drhd(0, 1, 0x3000, &[&scope(1, 0, 0, &[5, 0])]),
    ]);
    let dmar = Dmar::parse(&bytes).unwrap();
    assert_eq!(dmar.units().count(), 3);
    let owner = |segment, id, known: bool| {
        let owner = dmar.unit_of(segment, SourceId(id), |bridge| (known && bridge.0 == 8).then_some(1..=3));
        let doubt = owner.doubt.map(|doubt| match doubt {
            Doubt::Scope(unit, _, Unresolved::Bridge(bridge)) => (unit.base.0, bridge.0),
            other => panic!("{other:?}"),
        });
        (owner.unit.map(|unit| unit.base.0), owner.scope.is_some(), doubt)
    };
    let open = Some((0x1000, 8));
    for (segment, id, known, expected) in [
        (0, 0x0010, true, (Some(0x1000), true, None)),
        (0, 0x0010, false, (Some(0x1000), true, None)),
        (0, 0x0008, false, (Some(0x1000), true, None)),
        (0, 0x0100, true, (Some(0x1000), true, None)),
        (0, 0x03ff, true, (Some(0x1000), true, None)),
        (0, 0x0400, true, (Some(0x2000), false, None)),
        (0, 0x0100, false, (Some(0x2000), false, open)),
        (0, 0xf0f8, false, (Some(0x2000), true, None)),
        (0, 0x0011, true, (Some(0x2000), false, None)),
        (1, 0x0028, true, (Some(0x3000), true, None)),
        (1, 0x0010, true, (None, false, None)),
        (2, 0x0010, true, (None, false, None)),
    ] {
        assert_eq!(owner(segment, id, known), expected, "{segment} {id:#x} {known}");
    }
}

#[test]
fn what_can_not_be_judged_is_a_doubt() {
    let short = structure(0, &[]);
    let half = [1, 7, 0, 0, 0, 0, 1];
    for (structures, offset) in [
        ([&short[..], &drhd(1, 0, 0x1000, &[])], Some(48)),
        ([&structure(1, &[])[..], &drhd(1, 0, 0x1000, &[])], None),
        ([&drhd(1, 0, 0x1000, &[])[..], &[1, 0, 0, 0]], Some(64)),
        ([&drhd(0, 0, 0, &[&half])[..], &drhd(1, 0, 0x1000, &[])], Some(64)),
        ([&drhd(0, 1, 0, &[&half])[..], &drhd(1, 0, 0x1000, &[])], None),
    ] {
        let bytes = table(&structures);
        let owner = Dmar::parse(&bytes).unwrap().unit_of(0, SourceId(8), |_| None);
        let doubt = owner.doubt.map(|doubt| match doubt {
            Doubt::Malformed(error) => error.offset,
            other => panic!("{other:?}"),
        });
        assert_eq!((owner.unit.map(|unit| unit.base.0), doubt), (Some(0x1000), offset));
    }
    let bytes = table(&[&drhd(1, 0, 0, &[&scope(6, 0, 0, &[1, 0])])]);
    let owner = Dmar::parse(&bytes).unwrap().unit_of(0, SourceId(8), |_| None);
    assert!(matches!(owner.doubt, Some(Doubt::Scope(_, _, Unresolved::Type(6)))));
}
