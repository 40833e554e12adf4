//! DMAR tables that firmware of virtual machines wrote, against what their kernels said of them; and damaged ones.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used, reason = "a panic is a red test")]
#![allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "a panic is a red test")]

use iopt::SourceId;
use iopt::vtd::dmar::{Dmar, Drhd, ScopeType, Structure};

struct Case {
    bytes: &'static [u8],
    /// Lines of the kernel's log. The length and revision are in the first, in hexadecimal.
    log: [&'static str; 3],
    /// `IOAPIC id … under DRHD base …`, which a kernel writes that remaps interrupts.
    ioapic: Option<&'static str>,
    /// The PCI devices that the kernel listed, as far as the table names them.
    devices: &'static [&'static str],
}

const WIDTH: &str = "DMAR: Host address width 48";
const UNIT: &str = "DMAR: DRHD base: 0x000000fed90000 flags: 0x0";
const IOAPIC: &str = "DMAR-IR: IOAPIC id 0 under DRHD base  0xfed90000 IOMMU 0";
const SMALL: &[&str] = &["00:00.0", "00:03.0", "00:04.0", "00:05.0", "00:06.0", "00:1f.0", "00:1f.2", "00:1f.3"];
const VFIO: &[&str] = &[
    "00:00.0", "00:03.0", "00:04.0", "00:05.0", "00:06.0", "00:08.0", "00:09.0", "00:0a.0", "00:1f.0", "00:1f.2",
    "00:1f.3",
];

macro_rules! case {
    ($name:literal, $table:literal, $ioapic:expr, $devices:expr) => {
        Case {
            bytes: include_bytes!(concat!("data/dmar/", $name, ".bin")),
            log: [$table, WIDTH, UNIT],
            ioapic: $ioapic,
            devices: $devices,
        }
    };
}

const CASES: [Case; 7] = [
    case!("intremap", "000088 (v01 BOCHS  BXPC     00000001 BXPC 00000001)", Some(IOAPIC), SMALL),
    case!(
        "kdump-on",
        "0000B0 (v01 BOCHS  BXPC     00000001 BXPC 00000001)",
        Some(IOAPIC),
        &[
            "00:00.0", "00:03.0", "00:04.0", "00:05.0", "00:06.0", "00:08.0", "00:09.0", "00:0a.0", "00:1c.0",
            "00:1d.0", "00:1f.0", "00:1f.2", "00:1f.3",
        ]
    ),
    case!("legacy-48", "000088 (v01 BOCHS  BXPC     00000001 BXPC 00000001)", None, SMALL),
    case!("legacy-pt", "000088 (v01 BOCHS  BXPC     00000001 BXPC 00000001)", None, SMALL),
    case!("scalable-first-stage", "0000A0 (v01 BOCHS  BXPC     00000001 BXPC 00000001)", Some(IOAPIC), VFIO),
    case!("scalable", "0000A0 (v01 BOCHS  BXPC     00000001 BXPC 00000001)", None, VFIO),
    case!("vfio-48", "0000A0 (v01 BOCHS  BXPC     00000001 BXPC 00000001)", None, VFIO),
];

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn only_unit(dmar: &Dmar<'static>) -> Drhd<'static> {
    let all: Result<Vec<_>, _> = dmar.structures().collect();
    // "No RMRR found", "No ATSR found", "No SATC found".
    let [Structure::Drhd(unit)] = all.unwrap()[..] else { panic!("one unit and nothing else") };
    unit
}

#[test]
fn real_tables_say_what_their_kernels_logged() {
    for case in &CASES {
        let dmar = Dmar::parse(case.bytes).unwrap();
        assert!(dmar.checksum_valid());
        let table = format!(
            "{:06X} (v{:02} {} {} {:08}",
            dmar.as_bytes().len(),
            dmar.revision(),
            text(dmar.oem_id()),
            text(dmar.oem_table_id()),
            dmar.oem_revision()
        );
        assert!(case.log[0].starts_with(&table), "{table}");
        assert_eq!(format!("DMAR: Host address width {}", dmar.host_address_width()), case.log[1]);
        assert_eq!(dmar.interrupt_remapping(), case.ioapic.is_some());
        assert!(!dmar.x2apic_opt_out() && !dmar.dma_control_opt_in());

        let unit = only_unit(&dmar);
        assert_eq!(format!("DMAR: DRHD base: {:#016x} flags: {:#x}", unit.base.0, unit.flags), case.log[2]);
        assert_eq!((unit.segment, unit.register_bytes(), unit.include_all()), (0, 4096, false));

        let scopes: Result<Vec<_>, _> = unit.scopes().collect();
        let scopes = scopes.unwrap();
        assert_eq!(scopes[0].kind, ScopeType::IoApic);
        assert_eq!(scopes[0].source_id(|_| None), Ok(SourceId(0xff00)));
        if let Some(line) = case.ioapic {
            let id = scopes[0].enumeration_id;
            assert_eq!(format!("DMAR-IR: IOAPIC id {id} under DRHD base  {:#x} IOMMU 0", unit.base.0), line);
        }
        assert!(scopes[1..].iter().all(|scope| scope.kind == ScopeType::PciEndpoint));
        let devices: Vec<_> = scopes[1..].iter().map(|scope| scope.source_id(|_| None).unwrap().to_string()).collect();
        assert_eq!(devices, case.devices);

        for scope in &scopes {
            let owner = dmar.unit_of(0, scope.source_id(|_| None).unwrap(), |_| None);
            assert_eq!((owner.unit, owner.scope, owner.doubt), (Some(unit), Some(*scope), None));
        }
        assert_eq!(dmar.unit_of(0, SourceId(0x0100), |_| None).unit, None);
        assert_eq!(dmar.unit_of(1, SourceId(0), |_| None).unit, None);
    }
}

/// Reads everything that can be read, and counts it.
fn read(bytes: &[u8]) -> usize {
    let Ok(dmar) = Dmar::parse(bytes) else { return 0 };
    let mut seen = usize::from(dmar.checksum_valid()) + usize::from(dmar.host_address_width());
    let mut offset = 0;
    for structure in dmar.structures() {
        let at = match structure {
            Ok(structure) => {
                seen += structure.objection().map_or(0, |error| error.to_string().len());
                let scopes = match structure {
                    Structure::Drhd(unit) => unit.scopes(),
                    Structure::Rmrr(region) => region.scopes(),
                    Structure::Atsr(ports) => ports.scopes(),
                    Structure::Satc(devices) => devices.scopes(),
                    Structure::Sidp(devices) => devices.scopes(),
                    Structure::Andd(device) => {
                        seen += device.name().len();
                        continue;
                    }
                    _ => continue,
                };
                for scope in scopes {
                    seen += match scope {
                        Ok(scope) => {
                            scope.source_id(|bridge| Some(bridge.bus().wrapping_add(1))).map_or(1, |id| id.0.into())
                        }
                        Err(error) => error.to_string().len(),
                    };
                }
                structure.offset()
            }
            Err(error) => {
                seen += error.to_string().len();
                error.offset
            }
        };
        assert!(offset < at && at < bytes.len(), "every step gets on");
        offset = at;
    }
    let owner = dmar.unit_of(0, SourceId(0x0018), |bridge| Some(bridge.bus()..=0xff));
    seen + usize::from(owner.unit.is_some())
}

/// A table with every type of structure, for damage: the bytes of `scopes` serve each.
fn every_type() -> Vec<u8> {
    let scopes = [1, 8, 0, 0, 0, 0, 3, 0, 2, 10, 0, 0, 0, 0, 1, 0, 2, 0, 4, 8, 0, 0, 1, 0xfe, 0x1f, 7];
    let mut bytes = CASES[0].bytes[..48].to_vec();
    for (kind, fixed, has_scopes) in [
        (0u16, 16, true),
        (1, 24, true),
        (2, 8, true),
        (3, 20, false),
        (4, 12, false),
        (5, 8, true),
        (6, 8, true),
        (9, 5, false),
    ] {
        let tail = if has_scopes { &scopes[..] } else { &[] };
        bytes.extend(kind.to_le_bytes());
        bytes.extend(((fixed + tail.len()) as u16).to_le_bytes());
        bytes.resize(bytes.len() + fixed - 4, 0);
        bytes.extend(tail);
    }
    let length = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[test]
fn damaged_tables_are_read_to_their_end() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let all = every_type();
    let dmar = Dmar::parse(&all).unwrap();
    assert_eq!(dmar.structures().filter(Result::is_ok).count(), 8);
    assert_eq!((dmar.units().count(), dmar.reserved_memory().count()), (1, 1));
    let tables = CASES.iter().map(|case| case.bytes).chain([&all[..]]);
    for table in tables {
        for length in 0..=table.len() {
            assert_eq!(read(&table[..length]) != 0, length == table.len());
            // Cut short, with a header that fits.
            if length >= 48 {
                let mut cut = table[..length].to_vec();
                cut[4..8].copy_from_slice(&(length as u32).to_le_bytes());
                assert!(read(&cut) != 0);
            }
        }
        for at in 0..table.len() {
            for value in [0, 1, 2, 3, 5, 7, 0x7f, 0x80, 0xff] {
                let mut bytes = table.to_vec();
                bytes[at] = value;
                read(&bytes);
            }
        }
        for _ in 0..20_000 {
            let mut bytes = table.to_vec();
            for _ in 0..=random(4) {
                let at = 48 + random(bytes.len() - 48);
                bytes[at] = random(256) as u8;
            }
            read(&bytes);
        }
    }
}
