//! Where in physical memory the new tables are.

use crate::error::Error;
use crate::human;
use iopt::address::PAGE_SIZE;
use iopt::memory::{PhysReader, ranges};
use iopt::{PhysAddr, PhysRange};
use std::fmt;

const GIB: u64 = 1 << 30;
/// Page-table entries have no room for more address bits.
const MOST_BITS: u8 = 52;

/// Where the pages start. How many there are is known only with the plan.
#[derive(Debug)]
pub struct Placement {
    pub base: PhysAddr,
    /// How many bits an address may have.
    width: u8,
}

impl Placement {
    /// At `base`, or in the first GiB that is free above all of the image's memory.
    pub fn new(base: Option<u64>, image: &impl PhysReader, width: Option<u8>) -> Result<Self, Error> {
        let width = width.unwrap_or(MOST_BITS).min(MOST_BITS);
        let base = match base {
            // A table at address 0 is taken for none.
            Some(base) if base == 0 || base & 0xfff != 0 => {
                let expected = format!("expected --base to be a multiple of {PAGE_SIZE:#x} above 0");
                return Err(Error::Use(format!("{expected}, found {base:#x}")));
            }
            Some(base) => base,
            None => {
                let last = ranges(image).last().map_or(0, |range| range.last().0);
                (last | GIB.wrapping_sub(1)).checked_add(1).ok_or_else(|| {
                    let message = format!("expected --base ADDR, found none: the image has memory up to {last:#x}");
                    Error::Use(message)
                })?
            }
        };
        let placement = Self { base: PhysAddr(base), width };
        placement.check(1, image)?;
        Ok(placement)
    }

    /// Whether there is room for so many pages.
    pub fn check(&self, pages: u64, image: &impl PhysReader) -> Result<(), Error> {
        let Self { base, width } = *self;
        let bytes = pages.saturating_mul(PAGE_SIZE);
        let wrong = |found: &dyn fmt::Display| {
            let size = human::size(bytes.into());
            Err(Error::Use(format!("new tables at {base} (--base): expected {size} of free addresses, found {found}")))
        };
        let last = base.checked_add(bytes.saturating_sub(1)).filter(|last| last.0 >> width == 0);
        let Some(range) = last.and_then(|last| PhysRange::new(base, last)) else {
            return wrong(&format_args!("that addresses have {width} bits"));
        };
        match image.next_range(base).and_then(|memory| memory.intersection(&range)) {
            Some(memory) => wrong(&format_args!("memory of the image at {memory}")),
            None => Ok(()),
        }
    }
}
