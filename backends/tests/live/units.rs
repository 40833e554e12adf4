//! The units of a machine and their registers.

use crate::machine::{BASE, Machine, register, registers};
use iopt::PhysAddr;
use iopt_backends::live::{ErrorKind, Paths, Registers, Units};
use serde_json::json;
use std::fs;

fn units(machine: &Machine) -> Units {
    Units::read(&Paths::in_folder(machine.folder())).unwrap()
}

#[test]
fn registers_are_those_of_each_capture() {
    for case in ["legacy-48", "intremap", "scalable", "kdump-on"] {
        let machine = Machine::new();
        machine.unit(case);
        let found = units(&machine);
        assert_eq!((found.host_address_width, found.units.len(), found.malformed.len()), (48, 1, 0));
        let unit = &found.units[0];
        assert_eq!((unit.base, unit.segment), (PhysAddr(BASE), 0));
        let got = unit.registers.as_ref().unwrap();
        let expected = registers(case);
        let expected = |name| register(&expected, name);
        assert_eq!(u64::from(got.version), expected("VER"), "{case}");
        assert_eq!(got.cap.0, expected("CAP"), "{case}");
        assert_eq!(got.ecap.0, expected("ECAP"), "{case}");
        assert_eq!(u64::from(got.gsts.0), expected("GSTS"), "{case}");
        assert_eq!(got.rtaddr.0, expected("RTADDR"), "{case}");
        assert_eq!(u64::from(got.fault_status), expected("FSTS"), "{case}");
        assert_eq!(u64::from(got.protected_memory), expected("PMEN"), "{case}");
        assert_eq!(got.irta.0, expected("IRTA"), "{case}");
        assert!(got.gsts.translation_enabled());
        assert_eq!(got.gsts.interrupt_remapping_enabled(), expected("IRTA") != 0);
    }
}

/// Registers that differ in every byte, so that none can be taken for a neighbour.
#[test]
fn each_register_is_read_at_its_own_place() {
    let machine = Machine::new();
    let values = json!({
        "VER": "0x11121314", "CAP": "0x2122232425262728", "ECAP": "0x3132333435363738", "GSTS": "0x41424344",
        "RTADDR": "0x5152535455565758", "FSTS": "0x61626364", "PMEN": "0x71727374", "IRTA": "0x8182838485868788",
    });
    machine.registers(0x3000, &values);
    let got = Registers::read(machine.path("dev/mem"), PhysAddr(0x3000)).unwrap();
    assert_eq!((got.version, got.gsts.0, got.fault_status), (0x1112_1314, 0x4142_4344, 0x6162_6364));
    assert_eq!((got.protected_memory, got.cap.0), (0x7172_7374, 0x2122_2324_2526_2728));
    assert_eq!((got.ecap.0, got.rtaddr.0), (0x3132_3334_3536_3738, 0x5152_5354_5556_5758));
    assert_eq!(got.irta.0, 0x8182_8384_8586_8788);
}

#[test]
fn registers_that_are_none_are_refused() {
    let machine = Machine::new();
    let mem = machine.path("dev/mem");
    let read = |base| Registers::read(&mem, PhysAddr(base)).unwrap_err();
    assert!(matches!(read(0).kind, ErrorKind::Open { .. }), "there is no file");
    machine.registers(0, &registers("legacy-48"));
    machine.file("dev/mem").set_len(0x1fff).unwrap();
    assert!(Registers::read(&mem, PhysAddr(0)).is_ok());
    assert!(matches!(read(0x800).kind, ErrorKind::RegistersMisaligned(PhysAddr(0x800))));
    for behind_end in [0x1000, 0x2000, !0xfff] {
        assert!(matches!(read(behind_end).kind, ErrorKind::Map { .. }), "{behind_end:#x}");
    }
    fs::write(&mem, [0xff; 0x1000]).unwrap();
    assert!(matches!(read(0).kind, ErrorKind::NoRegisters(PhysAddr(0))));
    fs::remove_file(&mem).unwrap();
    fs::create_dir(&mem).unwrap();
    assert_eq!(read(0).to_string().lines().count(), 1);
}

#[test]
fn a_table_that_is_none_is_refused_and_a_damaged_one_read_as_far_as_it_goes() {
    let machine = Machine::new();
    let paths = Paths::in_folder(machine.folder());
    let error = Units::read(&paths).unwrap_err();
    assert!(error.to_string().contains("no Intel IOMMU"), "{error}");
    machine.unit("intremap");
    let whole = fs::read(&paths.dmar).unwrap();
    fs::write(&paths.dmar, &whole[..40]).unwrap();
    assert!(matches!(Units::read(&paths).unwrap_err().kind, ErrorKind::Dmar(_)));
    // The last structure ends behind the table.
    let mut cut = whole[..whole.len() - 8].to_vec();
    let length = cut.len() as u32;
    cut[4..8].copy_from_slice(&length.to_le_bytes());
    fs::write(&paths.dmar, &cut).unwrap();
    let found = units(&machine);
    assert_eq!(found.malformed.len() + found.units.len(), 1 + usize::from(found.units.len() == 1), "{found:?}");
    assert!(!found.malformed.is_empty());
}

/// An RMRR of 24 bytes and an ATSR of 8, which are no units.
#[test]
fn other_structures_of_the_table_are_passed_by() {
    let machine = Machine::new();
    machine.unit("intremap");
    let paths = Paths::in_folder(machine.folder());
    let mut table = fs::read(&paths.dmar).unwrap();
    let alone = units(&machine);
    let region = [&[1, 0, 24, 0, 0, 0, 0, 0][..], &0x7000_0000_u64.to_le_bytes(), &0x7000_0fff_u64.to_le_bytes()];
    table.extend(region.concat());
    table.extend([2, 0, 8, 0, 1, 0, 0, 0]);
    let length = table.len() as u32;
    table[4..8].copy_from_slice(&length.to_le_bytes());
    table[9] = 0;
    table[9] = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg();
    fs::write(&paths.dmar, &table).unwrap();
    let found = units(&machine);
    assert_eq!((found.units.len(), found.malformed.len()), (alone.units.len(), 0), "{found:?}");
}
