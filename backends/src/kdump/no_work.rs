//! The place of what decompresses pages, where the feature `kdump` is off and there are none.

use super::compression::PageCompression;
use super::page_error::KdumpPageErrorKind;
use super::source::Source;

#[derive(Debug)]
pub(super) struct Work {
    pub(super) page: Box<[u8]>,
}

impl Work {
    pub(super) fn new(block_size: usize) -> Self {
        Self { page: vec![0; block_size].into_boxed_slice() }
    }

    pub(super) fn fill(
        &mut self,
        _: &Source,
        (offset, _): (u64, u32),
        compression: PageCompression,
    ) -> Result<(), KdumpPageErrorKind> {
        let block_size = u32::try_from(self.page.len()).unwrap_or(0);
        Err(KdumpPageErrorKind::Damaged { compression, offset, block_size })
    }
}
