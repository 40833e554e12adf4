//! What a command reads: an image, or the running machine.

use iopt::memory::{Page, PhysReader, ReadError};
use iopt::{PhysAddr, PhysRange};
use iopt_backends::Stack;
#[cfg(target_os = "linux")]
use iopt_backends::live;

#[derive(Debug)]
pub enum Memory {
    Image(Stack),
    #[cfg(target_os = "linux")]
    Live(live::Memory),
}

impl PhysReader for Memory {
    fn read_page(&self, addr: PhysAddr, page: &mut Page) -> Result<(), ReadError> {
        match self {
            Self::Image(image) => image.read_page(addr, page),
            #[cfg(target_os = "linux")]
            Self::Live(memory) => memory.read_page(addr, page),
        }
    }

    #[inline]
    fn lend_page(&self, addr: PhysAddr) -> Option<&Page> {
        match self {
            Self::Image(image) => image.lend_page(addr),
            #[cfg(target_os = "linux")]
            Self::Live(_) => None,
        }
    }

    #[inline]
    fn prefetch(&self, addr: PhysAddr, bytes: usize) {
        match self {
            Self::Image(image) => image.prefetch(addr, bytes),
            #[cfg(target_os = "linux")]
            Self::Live(_) => {}
        }
    }

    fn next_range(&self, from: PhysAddr) -> Option<PhysRange> {
        match self {
            Self::Image(image) => image.next_range(from),
            #[cfg(target_os = "linux")]
            Self::Live(memory) => memory.next_range(from),
        }
    }
}
