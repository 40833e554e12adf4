use super::Kdump;
use super::bitmap::{self, Ranks, is_set};
use super::cache::Cache;
use super::compression::PageCompression;
use super::layout::Fields;
use super::page::{DESCRIPTOR, Descriptor};
use super::page_error::{KdumpPageError, KdumpPageErrorKind};
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use zerocopy::little_endian::U64;
use zerocopy::{IntoBytes, transmute_ref};

impl Kdump {
    /// As [`read_page`](PhysReader::read_page), with more about why a page is not there.
    ///
    /// # Errors
    /// [`KdumpPageErrorKind`] tells why not.
    pub fn read(&self, addr: PhysAddr, page: &mut Page) -> Result<(), KdumpPageError> {
        self.fill(addr, page).map_err(|kind| KdumpPageError { pfn: self.pfn(addr), kind })
    }

    fn fill(&self, addr: PhysAddr, page: &mut Page) -> Result<(), KdumpPageErrorKind> {
        let descriptor = self.descriptor(self.pfn(addr))?;
        let compression = self.compression(&descriptor)?;
        let (size, block_size) = (descriptor.size, self.header.block_size);
        let offset = descriptor.offset;
        let missing = || KdumpPageErrorKind::DataMissing { offset, size, end: self.source.end() };
        let Some(compression) = compression else {
            let offset = offset.checked_add(self.inside(addr)).ok_or_else(missing)?;
            return self.source.read_at(offset, page.as_mut_bytes()).ok_or_else(missing);
        };
        let mut cache = self.cache();
        if let Some(block) = cache.get(&descriptor) {
            return self.copy(block, addr, page).ok_or_else(missing);
        }
        let mut work = cache.work(usize::try_from(block_size).map_err(|_| missing())?);
        // Nobody waits while this is decompressed; at worst two do the same.
        drop(cache);
        work.fill(&self.source, (offset, size), compression)?;
        self.decompressions.fetch_add(1, Ordering::Relaxed);
        self.copy(&work.page, addr, page).ok_or_else(missing)?;
        self.cache().insert(descriptor, work);
        Ok(())
    }

    /// How a page is compressed, if it is, where its descriptor makes sense.
    pub(super) fn compression(&self, page: &Descriptor) -> Result<Option<PageCompression>, KdumpPageErrorKind> {
        let compression = page.compression().map_err(|flags| KdumpPageErrorKind::Compression { flags })?;
        let (size, block_size, plain) = (page.size, self.header.block_size, compression.is_none());
        if size > block_size || (plain && size != block_size) {
            return Err(KdumpPageErrorKind::Size { size, block_size, plain });
        }
        Ok(compression)
    }

    /// Copies out of a block the page that holds `addr`.
    fn copy(&self, block: &[u8], addr: PhysAddr, page: &mut Page) -> Option<()> {
        let inside = usize::try_from(self.inside(addr)).ok()?;
        let bytes = block.get(inside..)?.get(..Page::SIZE)?;
        page.as_mut_bytes().copy_from_slice(bytes);
        Some(())
    }

    pub(super) fn descriptor(&self, pfn: u64) -> Result<Descriptor, KdumpPageErrorKind> {
        let words = self.words();
        if !self.part.contains(&pfn) || !is_set(words, pfn) {
            return Err(self.absence(pfn));
        }
        let ranks = self.ranks.get_or_init(|| Ranks::new(words, self.part.start));
        let rank = ranks.rank(words, pfn);
        let offset = rank.and_then(|rank| rank.checked_mul(DESCRIPTOR)?.checked_add(self.descriptors));
        let offset = offset.unwrap_or(u64::MAX);
        let missing = KdumpPageErrorKind::DescriptorMissing { offset, end: self.source.end() };
        let bytes = self.source.get(offset, DESCRIPTOR).ok_or(missing)?;
        let fields = Fields { bytes: &bytes, big_endian: self.header.big_endian };
        let descriptor = Descriptor { offset: fields.u64(0), size: fields.u32(8), flags: fields.u32(12) };
        if descriptor.offset == 0 {
            return Err(KdumpPageErrorKind::Lost);
        }
        Ok(descriptor)
    }

    /// Why a page frame that is not in this file is not.
    fn absence(&self, pfn: u64) -> KdumpPageErrorKind {
        if pfn >= self.header.max_mapnr || !is_set(self.memory.words(&self.source), pfn) {
            return KdumpPageErrorKind::NotMemory;
        }
        match &self.header.part {
            Some(part) if !part.contains(&pfn) => KdumpPageErrorKind::OtherPart { start: part.start, end: part.end },
            _ => KdumpPageErrorKind::Excluded,
        }
    }

    pub(super) fn words(&self) -> &[U64] {
        self.dumped.as_ref().unwrap_or(&self.memory).words(&self.source)
    }

    fn pfn(&self, addr: PhysAddr) -> u64 {
        addr.0.wrapping_shr(self.shift)
    }

    /// The place in its block of the page that holds `addr`.
    fn inside(&self, addr: PhysAddr) -> u64 {
        addr.page().0 & u64::from(self.header.block_size.saturating_sub(1))
    }

    /// Whoever panicked with the lock left a cache that is whole.
    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page frames from `first` up to `end`, which is behind the last.
    pub(super) fn range(&self, first: u64, end: u64) -> Option<PhysRange> {
        let last = end.checked_sub(1)?.wrapping_shl(self.shift) | u64::from(self.header.block_size.saturating_sub(1));
        PhysRange::new(PhysAddr(first.wrapping_shl(self.shift)), PhysAddr(last))
    }
}

impl PhysReader for Kdump {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        self.fill(addr, page).map_err(|kind| ReadError::new(addr, kind.into()))
    }

    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let descriptor = self.descriptor(self.pfn(addr)).ok()?;
        if descriptor.flags != 0 || descriptor.size != self.header.block_size {
            return None;
        }
        let offset = descriptor.offset.checked_add(self.inside(addr))?;
        let page: &[u8; Page::SIZE] = self.source.borrow(offset, Page::SIZE)?.first_chunk()?;
        Some(transmute_ref!(page))
    }

    /// The ranges of the pages that are in the file.
    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let words = self.words();
        let found = bitmap::next(words, self.pfn(from).max(self.part.start), true);
        let found = found.filter(|found| *found < self.part.end)?;
        let first = bitmap::run_start(words, found).max(self.part.start);
        let end = bitmap::next(words, found, false).unwrap_or(u64::MAX).min(self.part.end);
        self.range(first, end)
    }
}

impl From<KdumpPageErrorKind> for ReadErrorKind {
    fn from(kind: KdumpPageErrorKind) -> Self {
        match kind {
            KdumpPageErrorKind::NotMemory => Self::Hole,
            KdumpPageErrorKind::Excluded | KdumpPageErrorKind::OtherPart { .. } => Self::Excluded,
            KdumpPageErrorKind::File { code, .. } => Self::Io(code.unwrap_or(0)),
            _ => Self::Io(0),
        }
    }
}
