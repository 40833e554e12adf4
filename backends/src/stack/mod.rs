mod parts;

pub use parts::{StackError, StackErrorKind};

use crate::image::Image;
use crate::missing::Covered;
use iopt::memory::{Page, PhysReader, ReadError, ReadErrorKind};
use iopt::{PhysAddr, PhysRange};
use zerocopy::IntoBytes;

/// Several images of the same memory, read as one: the files of a split dump, low and high memory in a file each, or
/// any mix.
///
/// Each page is that of the first image that has it; whether another one has the same is not looked at. A page
/// that no image has whole is put together, at each byte from the first image that has it. If that can't be done
/// either, it reads as the image says that knows most: [`Io`](ReadErrorKind::Io) before
/// [`Excluded`](ReadErrorKind::Excluded) before [`Hole`](ReadErrorKind::Hole).
///
/// ```
/// use iopt::{PhysAddr, memory::PhysReader};
/// use iopt_backends::{OpenOptions, Stack};
///
/// let low = OpenOptions::new().from_bytes(&[0; 4096])?;
/// let high = OpenOptions::new().raw_base(PhysAddr(0x1_0000_0000)).from_bytes(&[0; 4096])?;
/// let memory = Stack::new(vec![low, high])?;
/// assert!(memory.lend_page(PhysAddr(0)).is_some());
/// assert!(memory.lend_page(PhysAddr(0x1_0000_0000)).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Stack {
    images: Vec<Image>,
}

impl Stack {
    /// All of `images` as one, those before others in their order.
    ///
    /// # Errors
    /// Files of split dumps must be of the same dump, and have a part of it each.
    pub fn new(images: Vec<Image>) -> Result<Self, StackError> {
        let stack = Self { images };
        stack.check_parts()?;
        Ok(stack)
    }

    /// The images, in their order.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The page out of an image behind the first, if no image before it has it in another way.
    #[inline(never)]
    fn lend_other(&self, addr: PhysAddr) -> Option<&Page> {
        let mut copy = Page::ZERO;
        for image in &self.images {
            if let Some(page) = image.lend_page(addr) {
                return Some(page);
            }
            if image.read_page(addr, &mut copy).is_ok() {
                return None;
            }
        }
        None
    }

    /// Puts a page together that no image has whole.
    fn assemble(&self, addr: PhysAddr, page: &mut Page) -> Option<()> {
        let mut covered = Covered::default();
        let first = addr.page();
        for image in &self.images {
            image.add_parts(first, page.as_mut_bytes(), &mut covered)?;
        }
        covered.add(first.0..=first.0 | 0xfff).is_empty().then_some(())
    }
}

/// Whichever tells more about a page that is not there.
fn more_telling(one: ReadErrorKind, other: ReadErrorKind) -> ReadErrorKind {
    let weight = |kind| match kind {
        ReadErrorKind::Hole => 0,
        ReadErrorKind::Excluded => 1,
        _ => 2,
    };
    if weight(other) > weight(one) { other } else { one }
}

impl PhysReader for Stack {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        let mut kind = ReadErrorKind::Hole;
        for image in &self.images {
            match image.read_page(addr, page) {
                Ok(()) => return Ok(()),
                Err(error) => kind = more_telling(kind, error.kind),
            }
        }
        // Alone, an image has told.
        let several = self.images.len() > 1;
        several.then(|| self.assemble(addr, page)).flatten().ok_or(ReadError::new(addr, kind))
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        let (first, rest) = self.images.split_first()?;
        match first.lend_page(addr) {
            Some(page) => Some(page),
            None if rest.is_empty() => None,
            None => self.lend_other(addr),
        }
    }

    #[inline]
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        // Of no use to the others: which of them lends the page is not known before it is asked for.
        if let Some(first) = self.images.first() {
            first.prefetch(addr, bytes);
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        let nearest = self.images.iter().filter_map(|image| image.next_range(from)).min_by_key(PhysRange::first)?;
        let (mut first, mut last) = (nearest.first(), nearest.last());
        let at = |addr: PhysAddr| {
            let here = move |range: &PhysRange| range.first() <= addr;
            self.images.iter().filter_map(move |image| image.next_range(addr).filter(here))
        };
        while let Some(below) =
            first.0.checked_sub(1).and_then(|below| at(PhysAddr(below)).map(|range| range.first()).min())
        {
            first = below;
        }
        while let Some(above) = last.checked_add(1).and_then(|above| at(above).map(|range| range.last()).max()) {
            last = above;
        }
        PhysRange::new(first, last)
    }
}
