//! Hundreds of units whose tables hold a bit of everything, against the [naive](crate::naive) twin.

use crate::builder::{Builder, PASS_THROUGH, ROOT, first_stage, second_stage};
use crate::naive::{INTERRUPT, Naive};
use crate::numbers::Random;
use crate::{CAP, ECAP, FSTS, LARGE, NEST, PASIDE, PT, RPS, SC, SSTS};
use iopt::memory::{Page, PhysReader};
use iopt::vtd::{AddressSpace, Cap, Device, Ecap, FaultReason, Rtaddr, Unit};
use iopt::walk::{Scratch, Step};
use iopt::{Access, Iova, Pasid, Permissions, Requester, SourceId};
use std::collections::BTreeSet;

/// A unit and its tables.
struct Sample {
    tables: Builder,
    random: Random,
    cap: Option<u64>,
    ecap: Option<u64>,
    host: Option<u8>,
    requesters: Vec<Requester>,
    /// Addresses at which something is.
    iovas: BTreeSet<u64>,
    /// How many page tables may still be made.
    room: u32,
}

impl Sample {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let known = !random.one_in(3);
        let sizes = random.word() & (3 << 34 | 1 << 56 | 1 << 60);
        let sagaw = random.of(&[0xe, 0x4, 0x6, 0xc]) << 8;
        let mgaw = random.of(&[38, 47, 56]) << 16;
        let lacking = random.of(&[0, 0, FSTS, SSTS, PT, RPS, SC, NEST]);
        let host = random.of(&[None, Some(46), Some(40)]);
        let mut sample = Self {
            tables: Builder::new(),
            random,
            cap: known.then_some(CAP & 6 | sagaw | mgaw | sizes),
            ecap: known.then_some(ECAP & !lacking),
            host,
            requesters: vec![],
            iovas: BTreeSet::from([0, 0xfff, 0xfee0_0000, 0xfee1_2345, 1 << 38, 1 << 47, 1 << 56, 1 << 63, u64::MAX]),
            room: 40,
        };
        for _ in 0..=sample.random.below(3) {
            sample.device();
        }
        sample
    }

    fn device(&mut self) {
        let bus = self.random.of(&[0, 1, 0xff]);
        let source = SourceId::new(bus, self.random.of(&[0, 0x13, 0x7f, 0x80, 0xa5, 0xff]));
        let pdts = self.random.below(4);
        let pool = [0, 1, 0x3f, 0x40, 0x1c3, 0x1fff, 0x2000, 0x7fff, 0x8001, 0xffff];
        let pasids: Vec<_> = pool.into_iter().filter(|pasid| pasid >> (pdts + 13) == 0).collect();
        let (rid, absent) = (self.random.of(&pool), self.random.of(&pool));
        let at = self.tables.context_at(source);
        if self.tables.words.get(at) == 0 {
            let flags = if self.random.one_in(4) { 1 } else { PASIDE | 1 };
            self.tables.context(source, pdts, flags, rid);
            for _ in 0..=self.random.below(4) {
                let pasid = Pasid(self.random.of(&pasids) as u32);
                self.pasid(source, pasid);
            }
            if self.random.one_in(20) {
                self.tables.words.set(at + 24, 1);
            }
            if self.random.one_in(20) {
                let entry = self.tables.directory_at(source, Pasid(rid as u32));
                self.tables.words.set(entry, 0x99_9000 | self.random.of(&[1, 5]));
            }
        }
        let asked = [None, Some(Pasid(absent as u32)), Some(Pasid(rid as u32))];
        self.requesters.extend(asked.map(|pasid| Requester { source_id: source, pasid }));
    }

    fn pasid(&mut self, source: SourceId, pasid: Pasid) {
        let top = self.tables.table(1);
        let first = self.random.one_in(2);
        let levels = if first { self.random.of(&[4, 4, 5]) } else { self.random.of(&[3, 4, 4, 5]) };
        let mut entry = if first { first_stage(top, levels) } else { second_stage(top, levels) };
        entry[2] |= u64::from(self.random.one_in(2)) << 5;
        match self.random.below(20) {
            0 | 1 => entry = PASS_THROUGH,
            2 => entry[1] |= 1 << 20,
            3 => entry[0] ^= 7 << 6,
            4 => entry[0] &= !1,
            // A top table that is not there.
            5 => entry[if first { 2 } else { 0 }] ^= 0x4000_0000,
            _ => {}
        }
        self.tables.pasid(source, pasid, entry);
        self.requesters.push(Requester { source_id: source, pasid: Some(pasid) });
        self.grow(first, levels, levels, top, 0);
    }

    /// Fills a table: neighbours here and there, and the ends of both halves at the top.
    fn grow(&mut self, first: bool, levels: u8, level: u8, table: u64, base: u64) {
        let start = self.random.below(500);
        let run = if level == 1 { self.random.below(12) } else { 2 };
        let ends = if self.random.one_in(2) { vec![0, 255, 256, 511] } else { vec![] };
        let mut phys = self.random.word() & 0x3f_ffff_f000;
        for index in (start..=start + run).chain(ends) {
            let shift = 3 + 9 * u32::from(level);
            let iova = base + (index << shift);
            let mut raw =
                if first { self.random.of(&[7, 7, 7, 7, 5, 3, 1, 6]) } else { self.random.of(&[3, 3, 3, 1, 2, 4]) };
            let leaf = level == 1 || level <= 3 && self.random.one_in(3);
            if leaf {
                phys = if self.random.one_in(3) { self.random.word() & 0x3f_ffff_f000 } else { phys + (1 << shift) };
                raw |= phys >> shift << shift | if level > 1 { LARGE } else { 0 };
                // Memory attributes and what is ignored.
                raw |= self.random.of(&[0, 0, 0x18, 0x60, 1 << 52, 1 << 61]);
            } else if self.room > 0 && !self.random.one_in(12) {
                self.room -= 1;
                let next = self.tables.table(1);
                raw |= next;
                self.grow(first, levels, level - 1, next, iova);
            } else {
                raw |= 0x77_7000;
            }
            raw |= match self.random.below(40) {
                0 => 1 << 62,
                1 => 1 << 63,
                2 => 1 << 11,
                3 => 1 << 12,
                4 => 1 << 13,
                5 => 1 << 45,
                6 => LARGE,
                _ => 0,
            };
            self.tables.words.set(table + 8 * index, raw);
            let sign = 11 + 9 * u32::from(levels);
            let iova = if first && iova >> sign & 1 == 1 { iova | u64::MAX << sign } else { iova };
            let last = iova | !(!0 << shift);
            for sample in
                [iova, iova + 0x123, last, iova + (1 << (shift - 1)), iova.wrapping_sub(1), last.wrapping_add(1)]
            {
                self.iovas.insert(sample);
            }
        }
    }

    fn unit(&self) -> Unit {
        let unit = Unit::new(Rtaddr(ROOT | 1 << 10)).unwrap();
        unit.with_capabilities(self.cap.map(Cap), self.ecap.map(Ecap)).with_host_address_width(self.host)
    }

    fn naive(&self) -> Naive<'_> {
        Naive { words: &self.tables.words, cap: self.cap, ecap: self.ecap, host: self.host }
    }
}

const SEEDS: u64 = 300;

fn flags(permissions: Permissions) -> (bool, bool) {
    (permissions.read(), permissions.write())
}

#[test]
fn single_translations_are_the_naive_ones() {
    let mut outcomes = BTreeSet::new();
    for seed in 0..SEEDS {
        let sample = Sample::new(seed);
        let (unit, naive) = (sample.unit(), sample.naive());
        sample.tables.words.with(|memory| {
            let mut copy = Page::ZERO;
            for (&requester, access) in
                sample.requesters.iter().flat_map(|who| [(who, Access::Read), (who, Access::Write)])
            {
                for &iova in &sample.iovas {
                    let expected = naive.translate(requester, iova, access);
                    let found = unit
                        .translate(memory, requester, Iova(iova), access, &mut copy, |_| ())
                        .map(|found| (found.phys.0, u32::from(found.page_size_log2), flags(found.permissions)))
                        .map_err(|fault| fault.reason.map_or(INTERRUPT, FaultReason::code));
                    assert_eq!(found, expected, "seed {seed}: {requester} {access} {iova:#x}");
                    outcomes.insert(expected.err());
                }
            }
        });
    }
    // Let through, and nearly everything that can be wrong.
    assert!(outcomes.len() >= 26, "{outcomes:x?}");
}

fn requester(device: &Device) -> Requester {
    Requester { source_id: device.source_id, pasid: device.pasid.filter(|_| device.with_pasid) }
}

/// Devices in their order, each with its leaves: first address, memory, log2 of the size, permissions.
type Listed = Vec<(Device, Vec<(u64, (u64, u32, (bool, bool)))>)>;

fn list<R: PhysReader>(unit: &Unit, reader: &R) -> Listed {
    let mut scratch = Scratch::new();
    let mut walk = unit.walk(reader, &mut scratch);
    let mut listed = Listed::new();
    while let Some(step) = walk.next() {
        match step {
            Step::Device(device) => listed.push((*device, vec![])),
            Step::Run(run) => {
                let (size, permissions) = (u32::from(run.page_size_log2), flags(run.permissions));
                let leaves = run.leaves().map(|leaf| (leaf.iova.0, (leaf.phys.0, size, permissions)));
                listed.last_mut().unwrap().1.extend(leaves);
            }
            Step::Table(_) | Step::Shared(_) | Step::Fault(_) => {}
        }
    }
    listed
}

#[test]
fn a_walk_finds_the_naive_leaves_of_every_pasid() {
    let (mut leaves, mut blocked) = (0, 0);
    for seed in 0..SEEDS {
        let sample = Sample::new(seed);
        let (unit, naive) = (sample.unit(), sample.naive());
        let listed = sample.tables.words.with(|memory| list(&unit, memory));
        assert!(listed.is_sorted_by_key(|(device, _)| (device.source_id, device.pasid)), "seed {seed}");
        for (device, found) in &listed {
            match (device.space, naive.space(requester(device))) {
                (AddressSpace::Blocked(reason), Err(code)) => {
                    assert_eq!((reason.code(), found.len()), (code, 0), "seed {seed}: {device:?}");
                    blocked += 1;
                }
                (_, space) => {
                    let mut expected = naive.leaves(space.unwrap());
                    expected.sort_unstable();
                    assert_eq!(*found, expected, "seed {seed}: {device:?}");
                    leaves += found.len();
                }
            }
        }
        // Nobody is missing. One who names RID_PASID is there without it.
        for &asked in sample.requesters.iter().filter(|&&asked| naive.space(asked).is_ok()) {
            let found = |named: &Device| {
                named.source_id == asked.source_id && (requester(named) == asked || named.pasid == asked.pasid)
            };
            assert!(listed.iter().any(|(device, _)| found(device)), "seed {seed}: {asked}");
        }
    }
    assert!(leaves > 5000 && blocked > 50, "{leaves}, {blocked}");
}

/// Every page of a range leads where the range says, one by one where they are few; and no page is left out.
#[test]
fn ranges_say_what_the_naive_translation_of_each_page_says() {
    let mut pages = 0;
    for seed in 0..SEEDS {
        let sample = Sample::new(seed);
        let (unit, naive) = (sample.unit(), sample.naive());
        let (listed, ranges) = sample.tables.words.with(|memory| {
            let ranges: Vec<_> = unit.ranges(memory, &mut Scratch::new()).filter_map(Result::ok).collect();
            (list(&unit, memory), ranges)
        });
        for (device, leaves) in &listed {
            let own = ranges.iter().filter(|range| (range.source_id, range.pasid) == (device.source_id, device.pasid));
            let mut covered = 0;
            for range in own.filter(|range| range.page_size_log2.is_some()) {
                let (first, last) = (range.iova.first().0, range.iova.last().0);
                covered += range.iova.size();
                let step = 0x1000.max(((last - first) / 64) & !0xfff);
                for iova in (0..=(last - first) / step).map(|page| first + page * step).chain([last]) {
                    let access = if range.permissions.read() { Access::Read } else { Access::Write };
                    match naive.translate(requester(device), iova, access) {
                        // What a range says holds of memory, not of what an address is taken for.
                        Err(INTERRUPT | 0x87) => {}
                        found => {
                            let (phys, _, permissions) = found.unwrap();
                            assert_eq!(permissions, flags(range.permissions), "seed {seed}: {range} {iova:#x}");
                            assert_eq!(range.phys.unwrap().0 + (iova - first), phys, "seed {seed}: {range} {iova:#x}");
                        }
                    }
                    pages += 1;
                }
            }
            let mapped: u128 = leaves.iter().filter(|leaf| leaf.1.2 != (false, false)).map(|leaf| 1 << leaf.1.1).sum();
            assert_eq!(covered, mapped, "seed {seed}: {device:?}");
        }
    }
    assert!(pages > 5000, "{pages}");
}
