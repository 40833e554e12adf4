//! A twin of the unit that is right at a glance: one request at a time, straight from the specification's text.

use crate::builder::ROOT;
use crate::common::Words;
use crate::{ADDRESS, FSTS, NEST, PT, RPRIVS, RPS, SMTS, SSTS};
use iopt::{Access, Pasid, Requester};

/// What is known of the unit.
#[derive(Clone, Copy, Debug)]
pub struct Naive<'w> {
    pub words: &'w Words,
    pub cap: Option<u64>,
    pub ecap: Option<u64>,
    pub host: Option<u8>,
}

/// Where an address leads: memory, log2 of the leaf's size, reads and writes.
pub type Found = (u64, u32, (bool, bool));

/// What a PASID table entry makes of addresses: the page tables with their top, or none.
#[derive(Clone, Copy, Debug)]
pub enum Space {
    PassThrough,
    First { top: u64, levels: u8, nxe: bool },
    Second { top: u64, levels: u8 },
}

/// Interrupts have no fault code.
pub const INTERRUPT: u8 = 0;

fn check(good: bool, code: u8) -> Result<(), u8> {
    if good { Ok(()) } else { Err(code) }
}

impl Naive<'_> {
    fn read(&self, addr: u64, code: u8) -> Result<u64, u8> {
        if self.words.holds(addr) { Ok(self.words.get(addr)) } else { Err(code) }
    }

    fn lacks(&self, ecap: u64) -> bool {
        self.ecap.is_some_and(|known| known & ecap == 0)
    }

    fn lacks_cap(&self, cap: u64) -> bool {
        self.cap.is_some_and(|known| known & cap == 0)
    }

    /// No bit of an address from the host's width on, up to `top`.
    fn within_host(&self, word: u64, top: u32) -> bool {
        (u32::from(self.host.unwrap_or(64))..top).all(|bit| word >> bit & 1 == 0)
    }

    pub fn rid_pasid(&self, context: u64) -> Pasid {
        Pasid(if self.lacks(RPS) { 0 } else { (self.words.get(context + 8) & 0xf_ffff) as u32 })
    }

    /// What the addresses of a requester mean.
    pub fn space(&self, requester: Requester) -> Result<Space, u8> {
        check(!self.lacks(SMTS), 0x30)?;
        let (bus, devfn) = (u64::from(requester.source_id.bus()), u64::from(requester.source_id.devfn()));
        let root = self.read(ROOT + 16 * bus + 8 * (devfn / 128), 0x38)?;
        check(root & 1 == 1, 0x39)?;
        check(root & 0xffe == 0 && self.within_host(root, 64), 0x3a)?;

        let at = (root & !0xfff) + 32 * (devfn % 128);
        let context = self.read(at, 0x40)?;
        check(context & 1 == 1, 0x41)?;
        check(context & 0x1e0 == 0 && self.within_host(context, 64), 0x42)?;
        check(self.words.get(at + 8) >> 21 == 0, 0x42)?;
        check(self.words.get(at + 16) == 0 && self.words.get(at + 24) == 0, 0x42)?;
        let limit = (128 * 64) << (context >> 9 & 7);
        let pasid = match requester.pasid {
            Some(pasid) => {
                check(context & 8 != 0, 0x45)?;
                check(pasid.0 < limit, 0x46)?;
                pasid.0
            }
            None => {
                check(self.rid_pasid(at).0 < limit, 0x48)?;
                self.rid_pasid(at).0
            }
        };

        let directory = self.read((context & !0xfff) + 8 * u64::from(pasid / 64), 0x50)?;
        check(directory & 1 == 1, 0x51)?;
        check(directory & 0xffc == 0, 0x52)?;
        let entry = (directory & !0xfff) + 64 * u64::from(pasid % 64);
        let low = self.read(entry, 0x58)?;
        check(low & 1 == 1, 0x59)?;
        let supervisor = requester.pasid.is_none() && self.words.get(at + 8) >> 20 & 1 == 1 && !self.lacks(RPRIVS);
        assert!(!supervisor, "no such tables are made here");
        self.pasid_entry(entry, low)
    }

    /// Of the bits that depend on a capability only those are looked at that the tables here can have.
    fn pasid_entry(&self, entry: u64, low: u64) -> Result<Space, u8> {
        let [second, third] = [self.words.get(entry + 8), self.words.get(entry + 16)];
        check(low & 0xc00 == 0 && second & 0x8888_8888_007f_0000 == 0 && third & 0xf00 == 0, 0x5a)?;
        check((3..8).all(|word| self.words.get(entry + 8 * word) == 0), 0x5a)?;
        match low >> 6 & 7 {
            1 => {
                check(!self.lacks(FSTS), 0x5b)?;
                let mode = third >> 2 & 3;
                check(mode == 0 || mode == 1 && !self.lacks_cap(1 << 60), 0x5b)?;
                Ok(Space::First { top: third & !0xfff, levels: 4 + mode as u8, nxe: third >> 5 & 1 == 1 })
            }
            2 => {
                check(!self.lacks(SSTS), 0x5b)?;
                let aw = low >> 2 & 7;
                check(aw <= 4 && !self.lacks_cap(1 << (8 + aw)), 0x5b)?;
                Ok(Space::Second { top: low & !0xfff, levels: 2 + aw as u8 })
            }
            3 => Err(if self.lacks(NEST) || self.lacks(FSTS) || self.lacks(SSTS) { 0x5b } else { unreachable!() }),
            4 => {
                check(!self.lacks(PT), 0x5b)?;
                Ok(Space::PassThrough)
            }
            _ => Err(0x5b),
        }
    }

    pub fn translate(&self, requester: Requester, iova: u64, access: Access) -> Result<Found, u8> {
        if requester.pasid.is_none() && iova >> 20 == 0xfee {
            return Err(INTERRUPT);
        }
        let found = match self.space(requester)? {
            Space::PassThrough => {
                check(self.within_host(iova, 64), 0x83)?;
                (iova, 12, (true, true))
            }
            Space::First { top, levels, nxe } => {
                let sign = 11 + 9 * levels;
                check(iova >> sign == 0 || iova >> sign == u64::MAX >> sign, 0x80)?;
                self.first_stage(top, levels, nxe, iova, access)?
            }
            Space::Second { top, levels } => {
                check(iova & !self.second_stage_reach(levels) == 0, 0x84)?;
                self.second_stage(top, levels, iova, access)?
            }
        };
        let (first, last) = (found.0 >> found.1 << found.1, found.0 | ((1 << found.1) - 1));
        check(last < 0xfee0_0000 || first > 0xfeef_ffff, 0x87)?;
        Ok(found)
    }

    /// The last address that a second stage takes.
    pub fn second_stage_reach(&self, levels: u8) -> u64 {
        let unit = self.cap.map_or(64, |cap| (cap >> 16 & 0x3f) + 1);
        u64::MAX >> (64 - unit.min(12 + 9 * u64::from(levels)).min(64))
    }

    fn first_stage(&self, top: u64, levels: u8, nxe: bool, iova: u64, access: Access) -> Result<Found, u8> {
        let (mut table, mut write) = (top, true);
        for level in (1..=levels).rev() {
            let shift = 3 + 9 * u32::from(level);
            let entry = self.read(table + (iova >> shift & 0x1ff) * 8, if level == levels { 0x73 } else { 0x70 })?;
            check(entry & 1 == 1, 0x71)?;
            check(entry & 4 == 4, 0x81)?;
            check(access == Access::Read || entry & 2 == 2, 0x85)?;
            write &= entry & 2 == 2;
            let leaf = self.first_stage_leaf(level, entry);
            check(self.first_stage_valid(level, entry, leaf, nxe), 0x72)?;
            if leaf {
                return Ok((entry & ADDRESS & (!0 << shift) | iova & !(!0 << shift), shift, (true, write)));
            }
            table = entry & ADDRESS;
        }
        unreachable!("level 1 has leaves only")
    }

    pub fn first_stage_leaf(&self, level: u8, entry: u64) -> bool {
        match level {
            1 => true,
            2 => entry >> 7 & 1 == 1,
            3 => entry >> 7 & 1 == 1 && !self.lacks_cap(1 << 56),
            _ => false,
        }
    }

    pub fn first_stage_valid(&self, level: u8, entry: u64, leaf: bool, nxe: bool) -> bool {
        // Bit 12 of a large page is PAT.
        let inside = if leaf && level > 1 { (1 << (3 + 9 * u32::from(level))) - 0x2000 } else { 0 };
        let size = if !leaf { 1 << 7 } else { 0 };
        self.within_host(entry, 52) && entry & (inside | size) == 0 && (nxe || entry >> 63 == 0)
    }

    fn second_stage(&self, top: u64, levels: u8, iova: u64, access: Access) -> Result<Found, u8> {
        let (mut table, mut granted) = (top, 3);
        let wanted = if access == Access::Read { 1 } else { 2 };
        for level in (1..=levels).rev() {
            let shift = 3 + 9 * u32::from(level);
            let entry = self.read(table + (iova >> shift & 0x1ff) * 8, if level == levels { 0x7b } else { 0x78 })?;
            check(entry & wanted != 0, 0x79)?;
            granted &= entry;
            let leaf = self.second_stage_leaf(level, entry);
            check(self.second_stage_valid(level, entry, leaf), 0x7a)?;
            if leaf {
                let permissions = (granted & 1 != 0, granted & 2 != 0);
                return Ok((entry & ADDRESS & (!0 << shift) | iova & !(!0 << shift), shift, permissions));
            }
            table = entry & ADDRESS;
        }
        unreachable!("level 1 has leaves only")
    }

    pub fn second_stage_leaf(&self, level: u8, entry: u64) -> bool {
        match level {
            1 => true,
            2 => entry >> 7 & 1 == 1 && !self.lacks_cap(1 << 34),
            3 => entry >> 7 & 1 == 1 && !self.lacks_cap(1 << 35),
            _ => false,
        }
    }

    pub fn second_stage_valid(&self, level: u8, entry: u64, leaf: bool) -> bool {
        let inside = if leaf && level > 1 { (1 << (3 + 9 * u32::from(level))) - 0x1000 } else { 0 };
        let pointer = if leaf { 0 } else { 1 << 7 | 1 << 11 };
        self.within_host(entry, 52) && entry & (inside | pointer | 1 << 62) == 0
    }

    /// Every leaf of a space, by address: first address, memory, log2 of the size, reads and writes.
    pub fn leaves(&self, space: Space) -> Vec<(u64, Found)> {
        let mut leaves = vec![];
        match space {
            Space::PassThrough => {}
            Space::First { top, levels, .. } => self.collect(space, top, levels, 0, (true, true), &mut leaves),
            Space::Second { top, levels } => self.collect(space, top, levels, 0, (true, true), &mut leaves),
        }
        if let Space::First { levels, .. } = space {
            let bits = 12 + 9 * u32::from(levels);
            for (iova, _) in leaves.iter_mut().filter(|(iova, _)| iova >> (bits - 1) & 1 == 1) {
                *iova |= u64::MAX << bits;
            }
        }
        if let Space::Second { levels, .. } = space {
            leaves.retain(|(iova, _)| iova & !self.second_stage_reach(levels) == 0);
        }
        leaves
    }

    fn collect(
        &self,
        space: Space,
        table: u64,
        level: u8,
        base: u64,
        (read, write): (bool, bool),
        leaves: &mut Vec<(u64, Found)>,
    ) {
        for index in (0..512).filter(|_| self.words.holds(table)) {
            let (entry, shift) = (self.words.get(table + 8 * index), 3 + 9 * u32::from(level));
            let (present, leaf, valid, permissions) = match space {
                Space::First { nxe, .. } => {
                    let leaf = self.first_stage_leaf(level, entry);
                    let read = entry & 5 == 5;
                    let permissions = (read, read && entry & 2 == 2);
                    (entry & 1 == 1, leaf, self.first_stage_valid(level, entry, leaf, nxe), permissions)
                }
                _ => {
                    let leaf = self.second_stage_leaf(level, entry);
                    let permissions = (entry & 1 == 1, entry & 2 == 2);
                    (entry & 3 != 0, leaf, self.second_stage_valid(level, entry, leaf), permissions)
                }
            };
            let permissions = (read && permissions.0, write && permissions.1);
            let iova = base + (index << shift);
            if present && valid && leaf {
                leaves.push((iova, (entry & ADDRESS & (!0 << shift), shift, permissions)));
            } else if present && valid {
                self.collect(space, entry & ADDRESS, level - 1, iova, permissions, leaves);
            }
        }
    }
}
