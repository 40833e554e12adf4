//! From a request to the address space of its PASID, in scalable mode.

use super::bits::{self, PRESENT};
use super::{Kind, Space, Twin, Way, Who};

/// ECAP bits, by what they let PASID entries have.
const SNOOP_CONTROL: u32 = 7;
const MEMORY_TYPES: u32 = 25;
const NESTING: u32 = 26;
const PASS_THROUGH: u32 = 6;
const EXECUTE: u32 = 30;
const SUPERVISOR: u32 = 31;
const EXTENDED_ACCESSED: u32 = 34;
const SCALABLE: u32 = 43;
const ACCESSED_DIRTY: u32 = 45;
const SECOND_STAGE: u32 = 46;
const FIRST_STAGE: u32 = 47;
const PAGE_WALK_SNOOP: u32 = 48;
const RID_PASID: u32 = 49;
const RID_PRIV: u32 = 53;

impl Twin<'_> {
    /// Whether the unit is known to lack something.
    fn lacks(&self, ecap_bit: u32) -> bool {
        self.ecap.is_some_and(|ecap| ecap >> ecap_bit & 1 == 0)
    }

    /// The fault of every request if the unit has no scalable mode.
    pub(super) fn mode_fault(&self) -> Option<u8> {
        (self.is_scalable() && self.lacks(SCALABLE)).then_some(0x30)
    }

    pub(super) fn scalable_space(&self, who: Who, way: &mut Way) -> Result<Space, u8> {
        if let Some(code) = self.mode_fault() {
            return Err(code);
        }
        let [bus, devfn] = who.source.to_be_bytes().map(u64::from);

        // One half of the root entry for each half of the bus.
        let table = self.rtaddr & bits::POINTER;
        let root: [u64; 2] = self.entry(table, bus).ok_or(0x38)?;
        way.see(Kind::Root, table, bus, &root);
        let half = root[usize::from(devfn >= 128)];
        if half & PRESENT == 0 {
            return Err(0x39);
        }
        if self.half_reserved(half) {
            return Err(0x3a);
        }

        let (table, index) = (half & bits::POINTER, devfn % 128);
        let context: [u64; 4] = self.entry(table, index).ok_or(0x40)?;
        way.see(Kind::Context, table, index, &context);
        if context[0] & PRESENT == 0 {
            return Err(0x41);
        }
        if self.scalable_context_reserved(context) {
            return Err(0x42);
        }
        let pasid = match who.pasid {
            Some(_) if !pasid_enable(context) => return Err(0x45),
            Some(pasid) if u64::from(pasid) >= pasids(context) => return Err(0x46),
            Some(pasid) => pasid,
            None if u64::from(self.rid_pasid(context)) >= pasids(context) => return Err(0x48),
            None => self.rid_pasid(context),
        };

        // The directory is contiguous: entry 512 is the first of the page behind.
        let (table, index) = (context[0] & bits::POINTER, u64::from(pasid / 64));
        let page = table.checked_add(index / 512 * 4096).ok_or(0x50)?;
        let directory: [u64; 1] = self.entry(page, index % 512).ok_or(0x50)?;
        way.see(Kind::Directory, table, index, &directory);
        if directory[0] & PRESENT == 0 {
            return Err(0x51);
        }
        if directory_reserved(directory[0]) {
            return Err(0x52);
        }

        let (table, index) = (directory[0] & bits::POINTER, u64::from(pasid % 64));
        let entry: [u64; 8] = self.entry(table, index).ok_or(0x58)?;
        way.see(Kind::Pasids, table, index, &entry);
        if entry[0] & PRESENT == 0 {
            return Err(0x59);
        }
        self.pasid_space(entry, who.pasid.is_none() && self.rid_privileged(context))
    }

    /// Reserved bits in the half of a root entry that is in use; those in the other half are not looked at.
    pub(super) fn half_reserved(&self, half: u64) -> bool {
        half & (0xffe | self.above_haw()) != 0
    }

    pub(super) fn scalable_context_reserved(&self, words: [u64; 4]) -> bool {
        words[0] & (0x1e0 | self.above_haw()) != 0
            || words[1] & 0xffff_ffff_ffe0_0000 != 0
            || words[2] != 0
            || words[3] != 0
    }

    fn above_haw(&self) -> u64 {
        self.haw.map_or(0, |haw| !bits::low(haw.into()))
    }

    /// The PASID of requests without one: bits 83:64, if the unit has the field.
    pub(super) fn rid_pasid(&self, context: [u64; 4]) -> u32 {
        if self.lacks(RID_PASID) { 0 } else { (context[1] & 0xf_ffff) as u32 }
    }

    /// Whether requests without PASID are those of a supervisor: bit 84, if the unit has the field.
    pub(super) fn rid_privileged(&self, context: [u64; 4]) -> bool {
        !self.lacks(RID_PRIV) && context[1] >> 20 & 1 == 1
    }

    /// What a present PASID table entry makes of addresses.
    pub(super) fn pasid_space(&self, words: [u64; 8], supervisor: bool) -> Result<Space, u8> {
        if self.pasid_reserved(words) {
            return Err(0x5a);
        }
        let (first, second) = (!self.lacks(FIRST_STAGE), !self.lacks(SECOND_STAGE));
        let supported = match words[0] >> 6 & 7 {
            1 => first,
            2 => second,
            3 => first && second && !self.lacks(NESTING),
            4 => !self.lacks(PASS_THROUGH),
            _ => false,
        };
        if !supported {
            return Err(0x5b);
        }
        match words[0] >> 6 & 7 {
            1 => Ok(Space::Tables(self.first_of(words, supervisor, self.haw)?)),
            2 => Ok(Space::Tables(self.second_of(words)?)),
            3 => {
                let second = self.second_of(words)?;
                // Its entries hold inputs of the second stage and no host addresses.
                Ok(Space::Nested(self.first_of(words, supervisor, None)?, second))
            }
            _ => Ok(Space::PassThrough),
        }
    }

    fn second_of(&self, words: [u64; 8]) -> Result<super::Tables, u8> {
        let width = words[0] >> 2 & 7;
        if !bits::address_width_supported(width, self.cap) {
            return Err(0x5b);
        }
        // The snoop bit is never reserved in scalable mode.
        Ok(self.second_stage(words[0] & bits::POINTER, width, false))
    }

    fn first_of(&self, words: [u64; 8], supervisor: bool, haw: Option<u8>) -> Result<super::Tables, u8> {
        // CAP.FS5LP.
        let five = self.cap.is_none_or(|cap| cap >> 60 & 1 == 1);
        match words[2] >> 2 & 3 {
            0 => {}
            1 if five => {}
            _ => return Err(0x5b),
        }
        // SRE. A unit that is not known to have RID_PRIV may make user requests of these, which need none.
        if supervisor && self.ecap.is_some() && words[2] & 1 == 0 {
            return Err(0x5d);
        }
        Ok(self.first_stage(words[2], supervisor, haw))
    }

    /// Reserved bits of a PASID table entry, among them fields that the unit is known not to have.
    fn pasid_reserved(&self, words: [u64; 8]) -> bool {
        let set = |first: usize, last: usize| (first..=last).any(|bit| words[bit / 64] >> (bit % 64) & 1 == 1);
        set(10, 11)
            || set(80, 86)
            // The top bit of each type in PAT.
            || (99..128).step_by(4).any(|bit| set(bit, bit))
            || set(136, 139)
            || set(192, 511)
            || set(5, 5) && self.lacks(EXECUTE)
            || set(9, 9) && self.lacks(ACCESSED_DIRTY)
            || set(87, 87) && self.lacks(PAGE_WALK_SNOOP)
            || set(88, 88) && self.lacks(SNOOP_CONTROL)
            || set(90, 93) && self.lacks(MEMORY_TYPES)
            || set(128, 128) && self.lacks(SUPERVISOR)
            || set(129, 129) && self.lacks(EXECUTE)
            || set(135, 135) && self.lacks(EXTENDED_ACCESSED)
    }
}

/// PASIDE.
pub(super) fn pasid_enable(context: [u64; 4]) -> bool {
    context[0] >> 3 & 1 == 1
}

/// How many PASIDs there can be: PDTS says that the directory has 2^(PDTS + 7) entries, and each is for 64.
pub(super) fn pasids(context: [u64; 4]) -> u64 {
    64 << ((context[0] >> 9 & 7) + 7)
}

pub(super) fn directory_reserved(entry: u64) -> bool {
    entry & 0xffc != 0
}
