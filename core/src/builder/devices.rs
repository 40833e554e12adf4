use super::pasids::{DEVICE_TLB, PASID_ENABLE};
use super::{At, Error, PRESENT, Pasids, Target, UnitBuilder, at};
use crate::address::{Pasid, PhysAddr, SourceId};
use crate::memory::PageAllocator;

impl<A: PageAllocator + ?Sized> UnitBuilder<'_, A> {
    /// Says what becomes of the device's requests without PASID: in scalable mode in the entry of its RID_PASID,
    /// and with [`Pasids::new`] if it has no context entry yet. Tables on the way are made as needed.
    ///
    /// # Errors
    /// [`Error`] when the entry is there already, the unit's mode has no such target, or there is no page for a table.
    pub fn device(&mut self, device: SourceId, target: Target) -> Result<(), Error> {
        if !self.unit.is_scalable() {
            return self.put_entry(At::Context(device), &target.context()?);
        }
        let context = self.context_or_new(device)?;
        let rid_pasid = u32::try_from(self.word(at::word(context, 1))? & 0xf_ffff).unwrap_or(0);
        self.put_pasid(device, Pasid(rid_pasid), &target, 0)
    }

    /// Says what becomes of the device's requests with this PASID, in scalable mode: sets PASIDE, and is
    /// [`device`](Self::device) for the rest.
    ///
    /// # Errors
    /// As [`device`](Self::device), and [`Error::Pasid`] when the device's directory is too small.
    pub fn pasid(&mut self, device: SourceId, pasid: Pasid, target: Target) -> Result<(), Error> {
        if !self.unit.is_scalable() {
            return Err(Error::Legacy);
        }
        self.context_or_new(device)?;
        self.put_pasid(device, pasid, &target, PASID_ENABLE)
    }

    /// Makes the device's context entry and an empty PASID directory, in scalable mode.
    ///
    /// # Errors
    /// [`Error::Legacy`], [`Error::Occupied`] when it has a context entry, and [`Error::Allocate`].
    pub fn pasids(&mut self, device: SourceId, pasids: Pasids) -> Result<(), Error> {
        if !self.unit.is_scalable() {
            return Err(Error::Legacy);
        }
        self.make_table(At::Root(device))?;
        let context = self.locate(At::Context(device))?.addr;
        self.check_empty(context, 4)?;
        let directory = self.allocate(pasids.directory_pages())?;
        self.put_words(context, &pasids.context(directory))
    }

    /// Where the context entry of scalable mode is.
    fn context_or_new(&mut self, device: SourceId) -> Result<PhysAddr, Error> {
        self.make_table(At::Root(device))?;
        let context = self.locate(At::Context(device))?.addr;
        if self.word(context)? == 0 {
            self.pasids(device, Pasids::new())?;
        }
        Ok(context)
    }

    /// Puts a PASID table entry, and these flags into the context entry.
    fn put_pasid(&mut self, device: SourceId, pasid: Pasid, target: &Target, flags: u64) -> Result<(), Error> {
        self.put_entry(At::Pasid(device, pasid), &target.pasid()?)?;
        let flags = if target.device_tlb { flags | DEVICE_TLB } else { flags };
        self.set(At::Context(device), flags)
    }

    /// Makes an entry that is not there yet.
    fn put_entry(&mut self, at: At, words: &[u64]) -> Result<(), Error> {
        let addr = self.reach(at)?;
        self.check_empty(addr, words.len())?;
        self.put_words(addr, words)
    }

    pub(super) fn put_words(&mut self, addr: PhysAddr, words: &[u64]) -> Result<(), Error> {
        (0..).zip(words).try_for_each(|(number, word)| self.put(at::word(addr, number), *word))
    }

    /// Where an entry is. Tables on the way are made.
    pub(super) fn reach(&mut self, at: At) -> Result<PhysAddr, Error> {
        match at {
            At::Root(_) => {}
            At::Context(device) => self.make_table(At::Root(device))?,
            At::PasidDirectory(device, _) | At::Pasid(device, _) => {
                if !self.unit.is_scalable() {
                    return Err(Error::Legacy);
                }
                self.context_or_new(device)?;
                if let At::Pasid(_, pasid) = at {
                    self.make_table(At::PasidDirectory(device, pasid))?;
                }
            }
            At::PageTable(table, iova, level) => return self.make(table, iova, level),
        }
        Ok(self.locate(at)?.addr)
    }

    /// Makes the table that an entry points to, unless it has a pointer already.
    fn make_table(&mut self, at: At) -> Result<(), Error> {
        let pointer = self.locate(at)?.pointer();
        if self.word(pointer)? == 0 {
            let table = self.allocate(1)?;
            self.put(pointer, table.0 | PRESENT)?;
        }
        Ok(())
    }
}
