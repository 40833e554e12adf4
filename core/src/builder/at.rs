use super::pasids::{directory_pages, pasid_limit};
use super::{Error, POINTER, PageTable, UnitBuilder, entry};
use crate::address::{Iova, Pasid, PhysAddr, SourceId};
use crate::format::levels::ADDRESS;
use crate::memory::PageAllocator;
use crate::vtd::{Bits, Half};
use core::fmt;

/// An entry of a unit's tables. It is found by the pointers that lead to it, present or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    /// The root entry of the device's bus, 128 bits. Its pointer is that of the device's half in scalable mode.
    Root(SourceId),
    /// The context entry of the device, 128 bits, and 256 in scalable mode.
    Context(SourceId),
    /// The entry for the PASID in the device's PASID directory, 64 bits.
    PasidDirectory(SourceId, Pasid),
    /// The PASID table entry, 512 bits. Its pointer is that of the first stage if that is all it has (PGTT = 001b), of
    /// the second stage otherwise.
    Pasid(SourceId, Pasid),
    /// The entry of the address in its table of this level, 64 bits.
    PageTable(PageTable, Iova, u8),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(device) => write!(f, "root entry of bus {:02x}", device.bus()),
            Self::Context(device) => write!(f, "context entry of {device}"),
            Self::PasidDirectory(device, pasid) => write!(f, "PASID directory entry of {device}@{pasid}"),
            Self::Pasid(device, pasid) => write!(f, "PASID table entry of {device}@{pasid}"),
            Self::PageTable(table, iova, level) => {
                write!(f, "level {level} entry of {iova} below the top table {}", table.top)
            }
        }
    }
}

/// Where an entry is, and what of it is a pointer.
pub(super) struct Located {
    pub(super) addr: PhysAddr,
    /// How many words it has.
    words: u16,
    pointer_word: u64,
    /// The bits of the pointer.
    mask: u64,
}

impl Located {
    /// An entry that has its pointer in its first word.
    fn new(addr: PhysAddr, words: u16) -> Self {
        Self { addr, words, pointer_word: 0, mask: POINTER }
    }

    /// The address of the word that has the pointer.
    pub(super) fn pointer(&self) -> PhysAddr {
        word(self.addr, self.pointer_word)
    }
}

/// The address of a word of the entry at `addr`.
pub(super) fn word(addr: PhysAddr, number: u64) -> PhysAddr {
    entry(addr, number, 8)
}

impl<A: PageAllocator + ?Sized> UnitBuilder<'_, A> {
    /// The whole entry.
    ///
    /// # Errors
    /// [`Error`] when no pointers lead to it.
    pub fn entry(&self, at: At) -> Result<Bits, Error> {
        let Located { addr, words, .. } = self.locate(at)?;
        let mut entry = [0; 8];
        for (number, value) in (0..words).zip(&mut entry) {
            *value = self.word(word(addr, number.into()))?;
        }
        Ok(entry.into())
    }

    /// The table that the entry points to.
    ///
    /// # Errors
    /// [`Error::NoTable`] when it points to none, and [`Error`] when no pointers lead to it.
    pub fn table(&self, at: At) -> Result<PhysAddr, Error> {
        self.follow(at, &self.locate(at)?)
    }

    /// Sets bits of an entry: of one word, or of `[u64; N]` words from the lowest on.
    ///
    /// # Errors
    /// [`Error`] when no pointers lead to it, or it has not so many bits.
    pub fn set(&mut self, at: At, bits: impl Into<Bits>) -> Result<(), Error> {
        self.change(at, bits.into(), |word, bits| word | bits)
    }

    /// Clears bits of an entry.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn clear(&mut self, at: At, bits: impl Into<Bits>) -> Result<(), Error> {
        self.change(at, bits.into(), |word, bits| word & !bits)
    }

    /// Replaces a whole entry; 0 makes room for something else.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn write(&mut self, at: At, bits: impl Into<Bits>) -> Result<(), Error> {
        self.change(at, bits.into(), |_, bits| bits)
    }

    /// Replaces the pointer of an entry, and leaves everything else of it as it is.
    ///
    /// # Errors
    /// [`Error`] when no pointers lead to it, or `to` is no such pointer.
    pub fn point(&mut self, at: At, to: PhysAddr) -> Result<(), Error> {
        let located = self.locate(at)?;
        if to.page() != to {
            return Err(Error::Misaligned { addr: to.0, size: 0x1000 });
        }
        if to.0 & !located.mask != 0 {
            return Err(Error::Phys { phys: to });
        }
        let word = self.word(located.pointer())?;
        self.put(located.pointer(), word & !located.mask | to.0)
    }

    /// Makes the entry `to`, which is not there yet, a copy of `from`: both lead to the same tables. Tables on the way
    /// are made as needed.
    ///
    /// Of root entries that is all devices of a bus, of context entries all PASIDs of a device.
    ///
    /// # Errors
    /// [`Error`] when they are of different kinds, `to` is there already, or there is no page for a table.
    pub fn share(&mut self, from: At, to: At) -> Result<(), Error> {
        let same = match (from, to) {
            (At::PageTable(from, ..), At::PageTable(to, ..)) => from.stage == to.stage,
            _ => core::mem::discriminant(&from) == core::mem::discriminant(&to),
        };
        if !same {
            return Err(Error::Kind { from, to });
        }
        let entry = self.entry(from)?;
        let addr = self.reach(to)?;
        let words = usize::from(self.locate(to)?.words);
        self.check_empty(addr, words)?;
        self.put_words(addr, entry.words().get(..words).unwrap_or_default())
    }

    /// Gives back the table that the entry points to, with all its pages: the entry now points to a hole.
    ///
    /// # Errors
    /// [`Error`] when there is no table.
    pub fn free(&mut self, at: At) -> Result<(), Error> {
        let located = self.locate(at)?;
        let table = self.follow(at, &located)?;
        self.word(table)?;
        let pages = match at {
            At::Context(_) if self.unit.is_scalable() => directory_pages(self.word(located.pointer())?),
            _ => 1,
        };
        self.pages.free(table, pages);
        Ok(())
    }

    fn change(&mut self, at: At, bits: Bits, change: fn(u64, u64) -> u64) -> Result<(), Error> {
        let Located { addr, words, .. } = self.locate(at)?;
        if bits.words().iter().skip(words.into()).any(|word| *word != 0) {
            return Err(Error::TooManyBits { at, bits: words.saturating_mul(64), found: bits });
        }
        for (number, bits) in (0..words).zip(bits.words()) {
            let at = word(addr, number.into());
            let changed = change(self.word(at)?, *bits);
            self.put(at, changed)?;
        }
        Ok(())
    }

    pub(super) fn check_empty(&self, addr: PhysAddr, words: usize) -> Result<(), Error> {
        let mut entry = [0; 8];
        for (number, value) in (0..).zip(entry.iter_mut().take(words)) {
            *value = self.word(word(addr, number))?;
        }
        match entry {
            [0, 0, 0, 0, 0, 0, 0, 0] => Ok(()),
            entry => Err(Error::Occupied { addr, entry: entry.into() }),
        }
    }

    pub(super) fn locate(&self, at: At) -> Result<Located, Error> {
        match at {
            At::Root(device) => Ok(self.root_entry(device)),
            At::Context(device) => self.context_entry(device),
            At::PasidDirectory(device, pasid) => self.directory_entry(device, pasid),
            At::Pasid(device, pasid) => self.pasid_entry(device, pasid),
            At::PageTable(table, iova, level) => {
                Ok(Located { mask: ADDRESS, ..Located::new(self.find_entry(table, iova, level)?, 1) })
            }
        }
    }

    fn root_entry(&self, device: SourceId) -> Located {
        let upper = self.unit.is_scalable() && Half::of(device) == Half::Upper;
        let addr = entry(self.unit.rtaddr().root_table(), device.bus().into(), 16);
        Located { pointer_word: upper.into(), ..Located::new(addr, 2) }
    }

    fn context_entry(&self, device: SourceId) -> Result<Located, Error> {
        let table = self.follow(At::Root(device), &self.root_entry(device))?;
        let devfn = u64::from(device.devfn());
        Ok(match self.unit.is_scalable() {
            true => Located::new(entry(table, devfn & 0x7f, 32), 4),
            false => Located::new(entry(table, devfn, 16), 2),
        })
    }

    fn directory_entry(&self, device: SourceId, pasid: Pasid) -> Result<Located, Error> {
        if !self.unit.is_scalable() {
            return Err(Error::Legacy);
        }
        let context = self.context_entry(device)?;
        let directory = self.follow(At::Context(device), &context)?;
        let limit = pasid_limit(self.word(context.pointer())?);
        if pasid.0 >= limit {
            return Err(Error::Pasid { pasid, limit });
        }
        Ok(Located::new(entry(directory, (pasid.0 >> 6).into(), 8), 1))
    }

    fn pasid_entry(&self, device: SourceId, pasid: Pasid) -> Result<Located, Error> {
        let directory = self.directory_entry(device, pasid)?;
        let table = self.follow(At::PasidDirectory(device, pasid), &directory)?;
        let located = Located::new(entry(table, (pasid.0 & 0x3f).into(), 64), 8);
        let first_stage = self.word(located.addr)? >> 6 & 7 == 1;
        Ok(Located { pointer_word: if first_stage { 2 } else { 0 }, ..located })
    }

    /// The table that the entry points to.
    fn follow(&self, at: At, located: &Located) -> Result<PhysAddr, Error> {
        match self.word(located.pointer())? & located.mask {
            0 => Err(Error::NoTable { at }),
            table => Ok(PhysAddr(table)),
        }
    }
}
