//! One request through its page tables.

use super::bits;
use super::{Space, Stage, Tables, Twin, Way, Who};

/// First byte and last byte of the interrupt range.
const INTERRUPTS: (u64, u64) = (0xfee0_0000, 0xfeef_ffff);

/// Host address, page size, and whether reads and writes are let through.
type Reached = (u64, u64, bool, bool);

impl Twin<'_> {
    pub(super) fn request(
        &self,
        space: &Space,
        who: Who,
        iova: u64,
        write: bool,
        way: &mut Way,
    ) -> Result<Reached, u8> {
        let reached = match space {
            Space::PassThrough => {
                if self.haw.is_some_and(|haw| iova & !bits::low(haw.into()) != 0) {
                    return Err(self.code(0x04, 0x83));
                }
                let identity = (iova, 4096, true, true);
                // A request without PASID to the interrupt range is an interrupt, and none of the twin's business.
                if who.pasid.is_none() {
                    return Ok(identity);
                }
                identity
            }
            Space::Tables(tables) => self.follow(tables, iova, write, way)?,
            Space::Nested(first, second) => self.nested(first, second, iova, write, way)?,
        };
        let (phys, size, ..) = reached;
        let page = phys & !(size - 1);
        if page <= INTERRUPTS.1 && page + (size - 1) >= INTERRUPTS.0 {
            return Err(self.code(0x0e, 0x87));
        }
        Ok(reached)
    }

    /// The code in legacy mode, or that of scalable mode.
    pub(super) fn code(&self, legacy: u8, scalable: u8) -> u8 {
        if self.is_scalable() { scalable } else { legacy }
    }

    /// Through the tables of one stage.
    pub(super) fn follow(&self, tables: &Tables, iova: u64, write: bool, way: &mut Way) -> Result<Reached, u8> {
        if !tables.accepts(iova) {
            return Err(self.beyond(tables.stage));
        }
        let (mut readable, mut writable) = (true, true);
        let mut table = tables.top;
        for level in (1..=tables.levels).rev() {
            let shift = bits::entry_shift(level);
            let index = iova >> shift & 0x1ff;
            let [entry] = self.entry(table, index).ok_or(self.unreadable(tables, level))?;
            way.see(tables.kind(level), table, index, &[entry]);
            self.permit(tables, entry, write)?;
            if tables.reserved(entry, level) {
                return Err(self.reserved(tables.stage));
            }
            readable &= tables.reads(entry);
            writable &= tables.writes(entry);
            if bits::is_leaf(entry, level) {
                let size = 1 << shift;
                let page = entry & bits::ADDRESS & !(size - 1);
                return Ok((page | iova & (size - 1), size, readable, writable));
            }
            table = entry & bits::ADDRESS;
        }
        unreachable!("an entry at level 1 is a leaf")
    }

    /// Through the first stage, whose tables and results are addresses that go through the second.
    fn nested(&self, first: &Tables, second: &Tables, iova: u64, write: bool, way: &mut Way) -> Result<Reached, u8> {
        if !first.accepts(iova) {
            return Err(0x80);
        }
        let (mut readable, mut writable) = (true, true);
        let mut table = first.top;
        for level in (1..=first.levels).rev() {
            if !second.accepts(table) {
                return Err(0x74);
            }
            let located = self.follow(second, table, false, way);
            let denied = if level == first.levels { 0x75 } else { 0x76 };
            let (at, _, _, may_update) = located.map_err(|code| if code == 0x79 { denied } else { code })?;
            let shift = bits::entry_shift(level);
            let index = iova >> shift & 0x1ff;
            let [entry] = self.entry(at, index).ok_or(self.unreadable(first, level))?;
            way.see(first.kind(level), at, index, &[entry]);
            self.permit(first, entry, write)?;
            if first.reserved(entry, level) {
                return Err(self.reserved(first.stage));
            }
            readable &= first.reads(entry);
            writable &= first.writes(entry);
            let leaf = bits::is_leaf(entry, level);
            let marks = bits::ACCESSED
                | if first.eafe { bits::EXTENDED_ACCESSED } else { 0 }
                | if leaf && write { bits::DIRTY } else { 0 };
            if entry & marks != marks && !may_update {
                return Err(0x77);
            }
            if leaf {
                let size = 1 << shift;
                let guest = entry & bits::ADDRESS & !(size - 1) | iova & (size - 1);
                let (phys, behind, read, write) = self.follow(second, guest, write, way)?;
                return Ok((phys, size.min(behind), readable && read, writable && write));
            }
            table = entry & bits::ADDRESS;
        }
        unreachable!("an entry at level 1 is a leaf")
    }

    /// Where in memory a table of the first stage is, if the second lets it be read.
    pub(crate) fn locate(&self, second: &Tables, table: u64) -> Option<u64> {
        self.follow(second, table, false, &mut Way::default()).ok().map(|(at, ..)| at)
    }

    /// Whether an entry, which may be absent, lets the request through.
    fn permit(&self, tables: &Tables, entry: u64, write: bool) -> Result<(), u8> {
        let first = tables.stage == Stage::First;
        if first && !tables.present(entry) {
            return Err(0x71);
        }
        if first && !tables.lets_in(entry) {
            return Err(0x81);
        }
        if write && !tables.writes(entry) {
            return Err(if first { 0x85 } else { self.code(0x05, 0x79) });
        }
        if !write && !tables.reads(entry) {
            return Err(self.code(0x06, 0x79));
        }
        Ok(())
    }

    /// The address has too many bits.
    pub(super) fn beyond(&self, stage: Stage) -> u8 {
        if stage == Stage::First { 0x80 } else { self.code(0x04, 0x84) }
    }

    /// A table of this level is not in memory.
    pub(super) fn unreadable(&self, tables: &Tables, level: u8) -> u8 {
        match (tables.stage, level == tables.levels) {
            (Stage::First, true) => 0x73,
            (Stage::First, false) => 0x70,
            (Stage::Second, true) => self.code(0x03, 0x7b),
            (Stage::Second, false) => self.code(0x07, 0x78),
        }
    }

    /// A reserved bit is set.
    pub(super) fn reserved(&self, stage: Stage) -> u8 {
        if stage == Stage::First { 0x72 } else { self.code(0x0c, 0x7a) }
    }
}
