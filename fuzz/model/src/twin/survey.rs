//! Every device that a unit knows, and what can't be followed on the way to one.

use super::bits::{self, PRESENT};
use super::{Kind, Space, Step, Twin, Way, Who, entry_in, obeys_fpd, scalable};

/// A device: in legacy mode a present context entry, in scalable mode a PASID of one.
///
/// The entry of RID_PASID is a device even if it is absent, since the device can send requests all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Bus, device and function.
    pub source: u16,
    /// The PASID whose entry it is; `None` in legacy mode.
    pub pasid: Option<u32>,
    /// Whether it is a PASID that requests have to carry, and not that of requests without one.
    pub with_pasid: bool,
    /// The entries that lead to it, root first; of an absent directory entry no PASID table entry follows.
    pub path: Vec<Step>,
    /// Whether FPD of one of them keeps its faults from being recorded.
    pub suppressed: bool,
    /// What its addresses mean, or the reason with which every request faults before a page table is looked at.
    pub space: Result<Space, u8>,
}

/// Something that can't be followed on the way to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Whose requests fault; `None` for those of a whole bus, or of half of one.
    pub source: Option<u16>,
    /// The first PASID that it concerns; `None` where it concerns all.
    pub pasid: Option<u32>,
    /// The last entry on the way; `None` for the root table itself.
    pub at: Option<Step>,
    /// The reason.
    pub code: u8,
    /// Whether FPD keeps it from being recorded.
    pub suppressed: bool,
}

/// What there is to find, in the order of source-id and PASID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A device.
    Device(Device),
    /// Something else.
    Lost(Lost),
}

impl Device {
    /// Who sends its requests.
    pub fn who(&self) -> Who {
        Who { source: self.source, pasid: self.pasid.filter(|_| self.with_pasid) }
    }

    /// The reason with which every request faults before a page table is looked at, if there is one.
    pub fn code(&self) -> Option<u8> {
        self.space.err()
    }
}

impl Way {
    fn lost(&self, source: Option<u16>, pasid: Option<u32>, code: u8) -> Found {
        let suppressed = self.suppressed && obeys_fpd(code);
        Found::Lost(Lost { source, pasid, at: self.path.last().copied(), code, suppressed })
    }

    fn device(self, source: u16, pasid: Option<u32>, with_pasid: bool, space: Result<Space, u8>) -> Found {
        let Self { path, suppressed } = self;
        Found::Device(Device { source, pasid, with_pasid, path, suppressed, space })
    }

    /// This way and one step more.
    fn and(&self, kind: Kind, table: u64, index: u64, words: &[u64]) -> Self {
        let mut further = Self { path: self.path.clone(), suppressed: self.suppressed };
        further.see(kind, table, index, words);
        further
    }
}

impl Twin<'_> {
    /// Every device, whether its requests get anywhere or not.
    pub fn devices(&self) -> Vec<Device> {
        let found = self.survey().into_iter();
        found.filter_map(|found| if let Found::Device(device) = found { Some(device) } else { None }).collect()
    }

    /// All that there is to find.
    pub fn survey(&self) -> Vec<Found> {
        let start = Way::default();
        let table = self.rtaddr & bits::POINTER;
        if let Some(code) = self.mode_fault() {
            return vec![start.lost(None, None, code)];
        }
        let Some(page) = self.page(table) else { return vec![start.lost(None, None, self.code(0x08, 0x38))] };
        let mut found = Vec::new();
        for bus in 0..=255 {
            let root: [u64; 2] = entry_in(&page, bus.into());
            let way = start.and(Kind::Root, table, bus.into(), &root);
            if self.is_scalable() {
                self.survey_half(&mut found, &way, root[0], bus, 0);
                self.survey_half(&mut found, &way, root[1], bus, 128);
            } else {
                self.survey_bus(&mut found, &way, root, bus);
            }
        }
        found
    }

    /// The devices of a bus in legacy mode.
    fn survey_bus(&self, found: &mut Vec<Found>, way: &Way, root: [u64; 2], bus: u8) {
        if root[0] & PRESENT == 0 {
            return;
        }
        if bits::root_reserved(root, self.haw) {
            return found.push(way.lost(None, None, 0x0a));
        }
        let table = root[0] & bits::POINTER;
        let Some(page) = self.page(table) else { return found.push(way.lost(None, None, 0x09)) };
        for devfn in 0..=255 {
            let words: [u64; 2] = entry_in(&page, devfn.into());
            if words[0] & PRESENT != 0 {
                let way = way.and(Kind::Context, table, devfn.into(), &words);
                found.push(way.device(u16::from_be_bytes([bus, devfn]), None, false, self.context_space(words)));
            }
        }
    }

    /// The devices of half a bus in scalable mode.
    fn survey_half(&self, found: &mut Vec<Found>, way: &Way, half: u64, bus: u8, first: u8) {
        if half & PRESENT == 0 {
            return;
        }
        if self.half_reserved(half) {
            return found.push(way.lost(None, None, 0x3a));
        }
        let table = half & bits::POINTER;
        let Some(page) = self.page(table) else { return found.push(way.lost(None, None, 0x40)) };
        for index in 0..128 {
            let words: [u64; 4] = entry_in(&page, index.into());
            if words[0] & PRESENT != 0 {
                let way = way.and(Kind::Context, table, index.into(), &words);
                self.survey_context(found, &way, words, u16::from_be_bytes([bus, first + index]));
            }
        }
    }

    /// The PASIDs of a device.
    fn survey_context(&self, found: &mut Vec<Found>, way: &Way, context: [u64; 4], source: u16) {
        if self.scalable_context_reserved(context) {
            return found.push(way.lost(Some(source), None, 0x42));
        }
        let (end, rid_pasid) = (scalable::pasids(context), self.rid_pasid(context));
        if u64::from(rid_pasid) >= end {
            found.push(way.lost(Some(source), None, 0x48));
        }
        let table = context[0] & bits::POINTER;
        for first_of_page in (0..end as u32).step_by(512 * 64) {
            let page = table.checked_add(u64::from(first_of_page) / (512 * 64) * 4096).and_then(|at| self.page(at));
            let Some(page) = page else {
                found.push(way.lost(Some(source), Some(first_of_page), 0x50));
                continue;
            };
            for first in (first_of_page..end as u32).step_by(64).take(512) {
                let index = u64::from(first / 64);
                let [entry] = entry_in(&page, index % 512);
                let rid_is_here = (first..first + 64).contains(&rid_pasid);
                if entry & PRESENT == 0 && !rid_is_here {
                    continue;
                }
                let way = way.and(Kind::Directory, table, index, &[entry]);
                if entry & PRESENT == 0 {
                    found.push(way.device(source, Some(rid_pasid), false, Err(0x51)));
                } else if scalable::directory_reserved(entry) {
                    found.push(way.lost(Some(source), Some(first), 0x52));
                } else {
                    self.survey_pasids(found, &way, (source, context), entry & bits::POINTER, first);
                }
            }
        }
    }

    /// The 64 PASIDs of one table.
    fn survey_pasids(
        &self,
        found: &mut Vec<Found>,
        way: &Way,
        (source, context): (u16, [u64; 4]),
        table: u64,
        first: u32,
    ) {
        let Some(page) = self.page(table) else { return found.push(way.lost(Some(source), Some(first), 0x58)) };
        for index in 0..64 {
            let words: [u64; 8] = entry_in(&page, index.into());
            let pasid = first + index;
            let with_pasid = pasid != self.rid_pasid(context);
            let present = words[0] & PRESENT != 0;
            let space = match (present, with_pasid) {
                (false, true) => continue,
                (false, false) => Err(0x59),
                (true, true) if !scalable::pasid_enable(context) => Err(0x45),
                (true, _) => self.pasid_space(words, !with_pasid && self.rid_privileged(context)),
            };
            let way = way.and(Kind::Pasids, table, index.into(), &words);
            found.push(way.device(source, Some(pasid), with_pasid, space));
        }
    }
}
