//! What the bits of single entries mean.

use crate::Case;
use crate::numbers::Random;
use crate::twin::Bit;
use iopt::radix::{Entry, Format, Level};
use iopt::{Iova, Permissions, PhysAddr};
use std::collections::BTreeSet;

/// Levels with their numbers.
fn levels<F: Format>(case: &Case<F>) -> impl Iterator<Item = (u8, &Level)> {
    (1..).zip(case.format.levels())
}

pub fn geometry<F: Format>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let input_bits = twin.input_bits();
    assert_eq!(format.levels().len(), usize::from(twin.levels()), "{name}");
    let mut covered = 12;
    for (number, level) in levels(case) {
        assert_eq!(u32::from(level.size_log2), covered, "{name}: level {number}");
        assert_eq!(u32::from(level.size_log2), twin.shift(number), "{name}: level {number}");
        assert_eq!(level.size(), 1 << covered, "{name}: level {number}");
        assert_eq!(level.entries() as u64, twin.entries(number), "{name}: level {number}");
        assert!((1..=9).contains(&level.index_bits), "{name}: level {number} is a page");
        covered += u32::from(level.index_bits);
    }
    assert_eq!(covered, input_bits, "{name}");
    assert_eq!(u32::from(format.input_bits()), input_bits, "{name}");
    assert_eq!(format.sign_extended(), twin.signed(), "{name}");

    let mut random = Random(1);
    for _ in 0..1000 {
        let iova = random.word();
        let parts: u64 = levels(case).map(|(_, level)| (level.index(iova) as u64) << level.size_log2).sum();
        assert_eq!(parts, twin.offset(iova) & !0xfff, "{name}: {iova:#x}");
    }
    let half = 1u64 << (input_bits - 1);
    let edges = [0, half - 1, half, half.wrapping_mul(2), half.wrapping_mul(2).wrapping_sub(1), half.wrapping_neg()];
    for iova in edges.into_iter().flat_map(|edge| [edge.wrapping_sub(1), edge, edge.wrapping_add(1)]) {
        let canonical = twin.iova(twin.offset(iova)) == iova;
        assert_eq!(format.accepts(Iova(iova)), canonical, "{name}: {iova:#x}");
    }
}

pub fn masks<F: Format>(case: &Case<F>) {
    let Case { name, twin, .. } = case;
    for (number, level) in levels(case) {
        for leaf in twin.kinds(number) {
            let access = level.present | level.permissions;
            let (address, reserved, attributes) = if leaf {
                (level.leaf_address, level.leaf_reserved, level.attributes)
            } else {
                (level.table_address, level.table_reserved, 0)
            };
            let told = [
                (Bit::Access, access),
                // Where all entries are leaves, what makes an entry present makes it a leaf.
                (Bit::Leaf, level.leaf & !access),
                (Bit::Address, address),
                (Bit::Reserved, reserved),
                (Bit::Attribute, attributes),
            ];
            let ignored = !told.iter().fold(0, |all, (_, mask)| all | mask);
            for bit in 0..64 {
                let here: Vec<Bit> = told
                    .iter()
                    .chain(&[(Bit::Ignored, ignored)])
                    .filter(|(_, mask)| mask >> bit & 1 == 1)
                    .map(|(kind, _)| *kind)
                    .collect();
                let expected = twin.bit(number, leaf, bit);
                assert_eq!(here, [expected], "{name}: level {number}, leaf: {leaf}, bit {bit}");
            }
        }
        if !twin.has_leaves(number) {
            assert_eq!(level.leaf, 0, "{name}: level {number}");
        }
    }
}

/// Everything that is to be known of an entry.
type Judged = (Entry, Permissions, Option<u64>);

fn judge<F: Format>(case: &Case<F>, number: u8, level: &Level, raw: u64) -> Judged {
    let Case { name, format, twin } = case;
    let judged = format.decode(level, raw);
    assert_eq!(judged, twin.decode(number, raw), "{name}: {raw:#x} at level {number}");
    let (read, write) = twin.permissions(raw);
    let permissions = format.permissions(raw);
    if judged != Entry::Absent {
        assert_eq!(permissions, Permissions::new(read, write), "{name}: {raw:#x}");
    }
    let attributes = matches!(judged, Entry::Leaf(_)).then(|| format.attributes(level, raw));
    if let Some(attributes) = attributes {
        assert_eq!(attributes, twin.attributes(number, raw), "{name}: {raw:#x} at level {number}");
    }
    (judged, permissions, attributes)
}

pub fn meaning<F: Format>(case: &Case<F>) {
    let Case { name, twin, .. } = case;
    let mut random = Random(2);
    for (number, level) in levels(case) {
        for leaf in twin.kinds(number) {
            for _ in 0..50 {
                let raw = random.fields(&**twin, number, leaf).encode(&**twin);
                let before = judge(case, number, level, raw);
                for bit in 0..64 {
                    let context = format!("{name}: bit {bit} of {raw:#x} at level {number}");
                    let after = judge(case, number, level, raw ^ 1 << bit);
                    match twin.bit(number, leaf, bit) {
                        Bit::Ignored => assert_eq!(before, after, "{context}"),
                        Bit::Reserved => assert_eq!(after.0, Entry::Malformed(1 << bit), "{context}"),
                        Bit::Address => {
                            assert_eq!((before.1, before.2), (after.1, after.2), "{context}");
                            assert_ne!(before.0, after.0, "{context}");
                        }
                        Bit::Attribute => {
                            assert_eq!((before.0, before.1), (after.0, after.1), "{context}");
                            assert_ne!(before.2, after.2, "{context}");
                        }
                        Bit::Leaf => assert_ne!(before.0, after.0, "{context}"),
                        // What these do, the twin has told.
                        Bit::Access => {}
                    }
                }
                let reserved = twin.mask(number, leaf, Bit::Reserved);
                if reserved != 0 {
                    assert_eq!(judge(case, number, level, raw | reserved).0, Entry::Malformed(reserved), "{name}");
                }
            }
        }
        // Most of these are malformed or absent.
        for _ in 0..1000 {
            let _ = judge(case, number, level, random.word());
            let _ = judge(case, number, level, random.word() & random.word() & random.word());
        }
        let _ = (judge(case, number, level, 0), judge(case, number, level, u64::MAX));
    }
}

pub fn round_trip<F: Format>(case: &Case<F>) {
    let Case { name, twin, .. } = case;
    let mut random = Random(3);
    for (number, level) in levels(case) {
        for leaf in twin.kinds(number) {
            for _ in 0..500 {
                let fields = random.fields(&**twin, number, leaf);
                let raw = fields.encode(&**twin);
                let (entry, permissions, attributes) = judge(case, number, level, raw);
                let address = PhysAddr(fields.address);
                assert_eq!(
                    entry,
                    if leaf { Entry::Leaf(address) } else { Entry::Table(address) },
                    "{name}: {fields:x?}"
                );
                assert_eq!(address.0 & (if leaf { level.size() } else { 4096 } - 1), 0, "{name}: {fields:x?}");
                let (read, write) = twin.permissions(fields.access);
                assert_eq!(permissions, Permissions::new(read, write), "{name}: {fields:x?}");
                assert_eq!(attributes.is_some(), leaf, "{name}: {fields:x?}");
            }
        }
    }
    assert_eq!(Bit::ALL.iter().map(|kind| twin.mask(1, true, *kind).count_ones()).sum::<u32>(), 64, "{name}");
}

pub fn attributes<F: Format>(case: &Case<F>) {
    let Case { name, format, twin } = case;
    let mut first = None;
    for (number, level) in levels(case).filter(|(number, _)| twin.has_leaves(*number)) {
        let mut random = Random(4);
        let mask = twin.mask(number, true, Bit::Attribute);
        // Enough to come to all of them: there are few such bits.
        let values: BTreeSet<u64> = (0..1000).map(|_| format.attributes(level, random.word())).collect();
        assert_eq!(values.len(), 1 << mask.count_ones(), "{name}: level {number}");
        assert_eq!(values, *first.get_or_insert_with(|| values.clone()), "{name}: level {number}");
    }
    let small = &format.levels()[0];
    assert_eq!(format.attributes(small, u64::MAX), small.attributes, "{name}");
}

pub fn run_mask<F: Format>(case: &Case<F>) {
    let Case { name, twin, .. } = case;
    let mut random = Random(5);
    for (number, level) in levels(case).filter(|(number, _)| twin.has_leaves(*number)) {
        for _ in 0..2000 {
            let leaf = random.fields(&**twin, number, true).encode(&**twin);
            let mask = level.run_mask();
            let other = leaf & mask | random.word() & !mask;
            let (entry, permissions, attributes) = judge(case, number, level, other);
            assert!(matches!(entry, Entry::Leaf(_)), "{name}: {leaf:#x} and {other:#x} at level {number}");
            let first = judge(case, number, level, leaf);
            assert_eq!((permissions, attributes), (first.1, first.2), "{name}: {leaf:#x} and {other:#x}");
        }
    }
}
