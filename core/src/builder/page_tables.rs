use super::stage::shift;
use super::{At, Error, Leaves, PageTable, Stage, UnitBuilder, entry};
use crate::address::{Iova, PhysAddr};
use crate::format::levels::ADDRESS;
use crate::memory::PageAllocator;

impl<A: PageAllocator + ?Sized> UnitBuilder<'_, A> {
    /// An empty first-stage page table of 4 or 5 levels, for units in scalable mode.
    ///
    /// # Errors
    /// [`Error::Level`] and [`Error::Allocate`].
    pub fn first_stage(&mut self, levels: u8) -> Result<PageTable, Error> {
        self.page_table(Stage::First, levels)
    }

    /// An empty second-stage page table of 2 to 6 levels.
    ///
    /// # Errors
    /// [`Error::Level`] and [`Error::Allocate`].
    pub fn second_stage(&mut self, levels: u8) -> Result<PageTable, Error> {
        self.page_table(Stage::Second, levels)
    }

    fn page_table(&mut self, stage: Stage, levels: u8) -> Result<PageTable, Error> {
        let (least, most) = stage.levels();
        if !(least..=most).contains(&levels) {
            return Err(Error::Level { stage, level: levels, least, most });
        }
        Ok(PageTable { stage, levels, top: self.allocate(1)? })
    }

    /// Maps leaves. Tables on the way are made as needed, and let everything through.
    ///
    /// # Errors
    /// [`Error`] when an address does not fit or is not aligned, when there is no such leaf, when something is there
    /// already, or when there is no page for a table.
    pub fn map(&mut self, table: PageTable, leaves: Leaves) -> Result<(), Error> {
        let Leaves { level, count, permissions, .. } = leaves;
        let stage = table.stage;
        let rights = stage.leaf_bits(permissions).ok_or(Error::Permissions { stage, permissions })?;
        let large = if level > 1 { stage.large_bit() } else { 0 };
        let size = 1_u64.checked_shl(shift(level)).unwrap_or(0);
        for addr in [leaves.iova.0, leaves.phys.0] {
            if addr & size.wrapping_sub(1) != 0 {
                return Err(Error::Misaligned { addr, size });
            }
        }
        let before_last = count.saturating_sub(1).checked_mul(size);
        if before_last.and_then(|bytes| leaves.iova.0.checked_add(bytes)).is_none() {
            return Err(Error::PastEnd { iova: leaves.iova, count, size });
        }
        let (mut iova, mut phys) = (leaves.iova, leaves.phys);
        for _ in 0..count {
            if phys.0 & !ADDRESS != 0 {
                return Err(Error::Phys { phys });
            }
            let addr = self.make(table, iova, level)?;
            self.put_new(addr, phys.0 | rights | large | leaves.bits)?;
            iova = Iova(iova.0.wrapping_add(size));
            phys = PhysAddr(phys.0.wrapping_add(size));
        }
        Ok(())
    }

    /// Makes the entry of `iova` at `level` point to the table at `to`, and let everything through. Tables on the way
    /// are made as needed. It may be a table of another path or page table, one [above](Self::table) it, or a hole.
    ///
    /// # Errors
    /// [`Error`] when an address does not fit, when an entry is there already, or when there is no page for a table.
    pub fn link(&mut self, table: PageTable, iova: Iova, level: u8, to: PhysAddr) -> Result<(), Error> {
        if to.0 & !ADDRESS != 0 {
            return Err(match to.page() == to {
                true => Error::Phys { phys: to },
                false => Error::Misaligned { addr: to.0, size: 0x1000 },
            });
        }
        let addr = self.make(table, iova, level)?;
        self.put_new(addr, to.0 | table.stage.table_bits())
    }

    fn put_new(&mut self, addr: PhysAddr, word: u64) -> Result<(), Error> {
        match self.word(addr)? {
            0 => self.put(addr, word),
            found => Err(Error::Occupied { addr, entry: found.into() }),
        }
    }

    /// Where the entry of `iova` at `level` is. Tables on the way are made.
    pub(super) fn make(&mut self, table: PageTable, iova: Iova, level: u8) -> Result<PhysAddr, Error> {
        loop {
            match self.find(table, iova, level)? {
                (above, addr) if above > level => {
                    let below = self.allocate(1)?;
                    self.put(addr, below.0 | table.stage.table_bits())?;
                }
                (_, addr) => return Ok(addr),
            }
        }
    }

    /// Where the entry of `iova` at `level` is.
    pub(super) fn find_entry(&self, table: PageTable, iova: Iova, level: u8) -> Result<PhysAddr, Error> {
        match self.find(table, iova, level)? {
            (above, _) if above > level => Err(Error::NoTable { at: At::PageTable(table, iova, above) }),
            (_, addr) => Ok(addr),
        }
    }

    /// The lowest entry on the path of `iova` down to `level`, and its own level: above it, if it is 0.
    fn find(&self, table: PageTable, iova: Iova, level: u8) -> Result<(u8, PhysAddr), Error> {
        table.check(iova, level)?;
        let (mut page, mut above) = (table.top, table.levels);
        loop {
            let index = iova.0.checked_shr(shift(above)).unwrap_or(0) & 0x1ff;
            let addr = entry(page, index, 8);
            if above <= level {
                return Ok((above, addr));
            }
            let raw = self.word(addr)?;
            if raw == 0 {
                return Ok((above, addr));
            }
            if above <= 3 && raw & table.stage.large_bit() != 0 {
                return Err(Error::Leaf { addr, level: above, entry: raw });
            }
            page = PhysAddr(raw & ADDRESS);
            above = above.saturating_sub(1);
        }
    }
}
