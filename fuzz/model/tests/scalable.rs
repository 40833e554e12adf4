//! Hand-made tables of scalable mode: each fault reason on the way to page tables, beside what it comes from.

mod unit;

use iopt_model::{Device, Fault, Found, Kind, Space, Twin};
use unit::*;

#[test]
fn valid_paths_translate_whatever_is_known() {
    for known in [NOTHING, ALL] {
        let none = go(known, &[], None, IOVA + 0x123, true).unwrap();
        assert_eq!((none.phys, none.page_size, none.read, none.write), (PHYS + 0x123, 4096, true, true));
        let kinds: Vec<_> = none.path.iter().map(|step| (step.kind, step.table, step.index)).collect();
        let way = [(Kind::Root, ROOT, 1), (Kind::Context, LOWER, 0x13), (Kind::Directory, DIRECTORY, 1)];
        let levels = [(4, 5), (3, 6), (2, 7), (1, 8)].map(|(level, index)| (Kind::First(level), index));
        let tables = FIRST.into_iter().zip(levels).map(|(table, (kind, index))| (kind, table, index));
        let all: Vec<_> = way.into_iter().chain([(Kind::Pasids, PASIDS, 6)]).chain(tables).collect();
        assert_eq!(kinds, all);
        assert_eq!(go(known, &[], Some(PASID[0]), IOVA + 0x123, true).unwrap(), none);

        let second = go(known, &[], Some(PASID[1]), IOVA, true).unwrap();
        assert_eq!((second.phys, second.path.len()), (PHYS, 8));
        let directory = second.path[2];
        assert_eq!((directory.table, directory.index, directory.entry[0]), (DIRECTORY, 512, MORE_PASIDS | 1));
        assert_eq!(second.path[7].kind, Kind::Second(1));
    }
}

#[test]
fn halves_of_root_entries() {
    with(ALL, &[], |twin| assert_eq!(twin.translate(FAR_SOURCE, IOVA, true).unwrap().path[1].table, UPPER));
    assert_eq!(read(ALL, &[(HALF[0], LOWER)]), (0x39, 1));
    // The other half matters to nobody.
    for bit in 0..64 {
        assert_eq!(read(ALL, &[(HALF[1], 1 << bit)]).0, 0, "bit {}", 64 + bit);
    }
    for bit in 1..12 {
        assert_eq!(read(NOTHING, &[(HALF[0], LOWER | 1 << bit | 1)]), (0x3a, 1), "bit {bit}");
    }
    assert_eq!(read(ALL, &[(HALF[0], 1 << 46 | LOWER | 1)]), (0x3a, 1));
    assert_eq!(read(NOTHING, &[(HALF[0], 1 << 46 | LOWER | 1)]), (0x40, 1));
    with(ALL, &[(HALF[1], UPPER | 3)], |twin| {
        assert_eq!(twin.translate(FAR_SOURCE, IOVA, true).unwrap_err().code, 0x3a);
        assert!(twin.translate(SOURCE, IOVA, true).is_ok());
        let nowhere = Twin { rtaddr: 0x99_0400, ..twin };
        assert_eq!(nowhere.translate(SOURCE, IOVA, true), Err(Fault { code: 0x38, suppressed: false, path: vec![] }));
    });
    assert_eq!(read(lacking(43), &[]), (0x30, 0));
}

#[test]
fn context_entries() {
    let low = DIRECTORY | 3 << 9 | 8;
    assert_eq!(read(ALL, &[(CONTEXT[0], low)]), (0x41, 2));
    assert_eq!(read(ALL, &[(CONTEXT[0], low | 0x20)]), (0x41, 2));
    for bit in 0..256 {
        let (word, mask) = (bit / 64, 1 << (bit % 64));
        let valid = [low | 1, PASID[0].into(), 0, 0][word as usize];
        let code = match bit {
            5..=8 | 85.. => 0x42,
            _ => 0,
        };
        let found = read(NOTHING, &[(CONTEXT[0] + 8 * word, valid | mask)]).0;
        assert_eq!(found == 0x42, code == 0x42, "bit {bit}: {found:#x}");
    }
    assert_eq!(read(ALL, &[(CONTEXT[0], 1 << 46 | low | 1)]), (0x42, 2));
    assert_eq!(read(NOTHING, &[(CONTEXT[0], 1 << 46 | low | 1)]), (0x50, 2));
}

#[test]
fn pasids_and_rid_pasid() {
    let context = |low: u64| (CONTEXT[0], DIRECTORY | low | 1);
    let ask = |changes: &[(u64, u64)], pasid| outcome(go(ALL, changes, pasid, IOVA, false));
    // PASIDE concerns requests with PASID only, and comes before the size of the directory.
    assert_eq!(ask(&[context(3 << 9)], Some(PASID[0])), (0x45, 2));
    assert_eq!(ask(&[context(3 << 9)], Some(u32::MAX)), (0x45, 2));
    assert_eq!(ask(&[context(3 << 9)], None), (0, 8));
    for size in 0..8_u32 {
        let end = 1_u32 << (size + 13);
        assert_eq!(ask(&[context(u64::from(size) << 9 | 8)], Some(end)), (0x46, 2), "PDTS {size}");
        assert_ne!(ask(&[context(u64::from(size) << 9 | 8)], Some(end - 1)).0, 0x46, "PDTS {size}");
        let rid = (CONTEXT[0] + 8, u64::from(end));
        assert_eq!(ask(&[context(u64::from(size) << 9 | 8), rid], None).0, if size == 7 { 0x51 } else { 0x48 });
    }
    // Without ECAP.RPS the field is nothing, and the PASID is 0.
    assert_eq!(read(lacking(49), &[]), (0x51, 3));
    assert_eq!(read(lacking(49), &[(DIRECTORY, PASIDS | 1)]), (0x59, 4));
    // The page behind the directory's first one, and the end of the address space.
    assert_eq!(ask(&[(CONTEXT[0], 0x5000 | 3 << 9 | 8 | 1)], Some(0)), (0x59, 4));
    assert_eq!(ask(&[(CONTEXT[0], 0xf000 | 3 << 9 | 8 | 1)], Some(64 * 1023)).0, 0x51);
    assert_eq!(ask(&[(CONTEXT[0], 0x11000 | 3 << 9 | 8 | 1)], Some(64 * 1023)), (0x50, 2));
    let end = [(CONTEXT[0], !0xfff | 3 << 9 | 8 | 1), (!0xfff, 0)];
    assert_eq!(outcome(go(NOTHING, &end, Some(64 * 512), IOVA, false)), (0x50, 2));
}

#[test]
fn directory_and_pasid_entries() {
    assert_eq!(read(ALL, &[(IN_DIRECTORY, PASIDS)]), (0x51, 3));
    for bit in 2..12 {
        assert_eq!(read(ALL, &[(IN_DIRECTORY, PASIDS | 1 << bit | 1)]), (0x52, 3), "bit {bit}");
    }
    // Beyond the host address width is no reserved bit here, but no memory either.
    assert_eq!(read(ALL, &[(IN_DIRECTORY, 1 << 46 | PASIDS | 1)]), (0x58, 3));
    assert_eq!(read(ALL, &[(ENTRY[0], 1 << 6)]), (0x59, 4));
    let bit = |known, bit: u64| {
        let valid = [1 << 6 | 1, 0, FIRST[0], 0, 0, 0, 0, 0][bit as usize / 64];
        read(known, &[(ENTRY[0] + bit / 64 * 8, valid | 1 << (bit % 64))]).0
    };
    for number in 0..512 {
        let pat = (96..128).contains(&number) && number % 4 == 3;
        let reserved = pat || matches!(number, 10 | 11 | 80..=86 | 136..=139 | 192..);
        assert_eq!(bit(ALL, number) == 0x5a, reserved, "bit {number}");
        assert_eq!(bit(NOTHING, number) == 0x5a, reserved, "bit {number}");
    }
    let needs = [(5, 30), (9, 45), (87, 48), (88, 7), (90, 25), (93, 25), (128, 31), (129, 30), (135, 34)];
    for (number, capability) in needs {
        assert_eq!(bit(lacking(capability), number), 0x5a, "bit {number}");
    }
}

#[test]
fn translation_types_widths_and_modes() {
    let ask = |known, low: u64| {
        let words = [(ENTRY[0], SECOND[0] | low | 1), (ENTRY[0] + 16, FIRST[0])];
        read(known, &words).0
    };
    for reserved in [0, 5, 6, 7] {
        assert_eq!(ask(NOTHING, reserved << 6 | 2 << 2), 0x5b);
    }
    for (kind, capability) in [(1, 47), (2, 46), (3, 26), (3, 46), (3, 47), (4, 6)] {
        assert_ne!(ask(ALL, kind << 6 | 2 << 2), 0x5b);
        assert_eq!(ask(lacking(capability), kind << 6 | 2 << 2), 0x5b, "PGTT {kind}");
    }
    for (kind, width, code) in [(2, 0, 0x5b), (2, 4, 0x5b), (2, 2, 0), (3, 0, 0x5b), (1, 0, 0), (4, 7, 0)] {
        assert_eq!(ask(ALL, kind << 6 | width << 2), code, "PGTT {kind}, AW {width}");
    }
    for width in [5, 6, 7] {
        assert_eq!(ask(NOTHING, 2 << 6 | width << 2), 0x5b);
    }
    let mode = |known, mode: u64| read(known, &[(ENTRY[0] + 16, FIRST[0] | mode << 2)]).0;
    assert_eq!((mode(ALL, 2), mode(ALL, 3)), (0x5b, 0x5b));
    // Five levels: the top table is one that has nothing for the address.
    assert_eq!((mode(ALL, 1), mode(NOTHING, 1)), (0x71, 0x71));
    assert_eq!(mode(Known { cap: Some(CAP & !(1 << 60)), ..ALL }, 1), 0x5b);
}

#[test]
fn fault_processing_disable_of_any_entry_on_the_way() {
    let suppressed = |changes: &[(u64, u64)]| go(ALL, changes, None, 0, false).map_err(|fault| fault.suppressed);
    assert_eq!(suppressed(&[]), Err(false));
    for (at, word) in [(CONTEXT[0], DIRECTORY | 3 << 9 | 8 | 3), (IN_DIRECTORY, PASIDS | 3), (ENTRY[0], 1 << 6 | 3)] {
        assert_eq!(suppressed(&[(at, word)]), Err(true));
        assert_eq!(suppressed(&[(at, word & !1)]), Err(true));
    }
    // That of an entry behind the fault is not known yet.
    assert_eq!(suppressed(&[(IN_DIRECTORY, PASIDS), (ENTRY[0], 1 << 6 | 3)]), Err(false));
}

#[test]
fn what_there_is_to_find_comes_in_order() {
    let told = |changes: &[(u64, u64)]| -> Vec<(Option<u16>, Option<u32>, u8)> {
        with(ALL, changes, |twin| {
            let found = twin.survey().into_iter().map(|found| match found {
                Found::Device(Device { source, pasid, space, .. }) => (Some(source), pasid, space.err().unwrap_or(0)),
                Found::Lost(lost) => (lost.source, lost.pasid, lost.code),
            });
            found.collect()
        })
    };
    let of = |source, codes: [u8; 3]| {
        let pasids = [PASID[0], PASID[2], PASID[1]];
        pasids.iter().zip(codes).map(|(pasid, code)| (Some(source), Some(*pasid), code)).collect::<Vec<_>>()
    };
    assert_eq!(told(&[]), [of(SOURCE, [0; 3]), of(FAR_SOURCE, [0; 3])].concat());
    let context = |low: u64, high: u64| [(CONTEXT[0], DIRECTORY | low | 1), (CONTEXT[0] + 8, high)];
    let disabled = told(&context(3 << 9, 71));
    assert_eq!(disabled[..3], of(SOURCE, [0x45, 0, 0x45]));
    // Of RID_PASID even an absent entry is told; beyond the directory it is a fault of the context entry.
    assert_eq!(told(&context(3 << 9 | 8, 72))[2], (Some(SOURCE), Some(72), 0x59));
    assert_eq!(told(&context(3 << 9 | 8, 9))[0], (Some(SOURCE), Some(9), 0x51));
    assert_eq!(told(&context(3 << 9 | 8, 0x1_0000))[0], (Some(SOURCE), None, 0x48));
    // The third and fourth page of the directory are PASID tables, whose entries have reserved bits there.
    let larger = told(&context(4 << 9 | 8, 70));
    assert!(larger[3..].starts_with(&[(Some(SOURCE), Some(64 * (1024 + 48)), 0x52)]), "{larger:x?}");
    assert_eq!(told(&[(HALF[0], LOWER | 3), (HALF[1], 0x99_0001)]), [(None, None, 0x3a), (None, None, 0x40)]);
    assert_eq!(told(&[(IN_DIRECTORY, 0x99_0001)])[0], (Some(SOURCE), Some(64), 0x58));
    with(ALL, &[], |twin| {
        let devices = twin.devices();
        assert!(!devices[0].with_pasid && devices[1].with_pasid && matches!(devices[1].space, Ok(Space::Nested(..))));
    });
}
