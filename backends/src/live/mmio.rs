//! The one place that reads registers.

use iopt::PhysAddr;
use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io::{self, ErrorKind};

/// A page of registers, mapped to read.
///
/// It is no slice of bytes: registers change by themselves, and each must be read whole, with one aligned load.
#[derive(Debug)]
pub(super) struct RegisterPage(MmapRaw);

const SIZE: usize = 4096;

impl RegisterPage {
    /// Maps the page of `file` at `base`, a multiple of its size. An ordinary file must not shrink afterwards.
    pub(super) fn map(file: &File, base: PhysAddr) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let end = base.0.checked_add(SIZE as u64).filter(|_| base == base.page()).ok_or(ErrorKind::InvalidInput)?;
        // A load behind the end of an ordinary file would end the process.
        if metadata.is_file() && metadata.len() < end {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        MmapOptions::new().offset(base.0).len(SIZE).map_raw_read_only(file).map(Self)
    }

    /// The 32-bit register at `OFFSET`.
    #[expect(unsafe_code, reason = "a register is read through a raw pointer")]
    pub(super) fn u32<const OFFSET: usize>(&self) -> u32 {
        const { assert!(OFFSET % 4 == 0 && OFFSET <= SIZE - 4, "a register lies aligned in its page") };
        // SAFETY: The mapping is of SIZE bytes, readable, and lives as long as `self`: `MmapRaw` owns it and gives it
        // back only when dropped. The assertion, made when this is compiled, keeps all 4 bytes inside of it and
        // aligned, as the mapping starts at a multiple of SIZE: the kernel maps whole pages of at least that size,
        // and `base` is a multiple of it. Any bits are a valid u32. Nobody has a reference to the bytes, and the
        // load is volatile, so that it may find whatever the hardware has there: it is made once and not split.
        u32::from_le(unsafe { self.0.as_ptr().add(OFFSET).cast::<u32>().read_volatile() })
    }

    /// The 64-bit register at `OFFSET`.
    #[expect(unsafe_code, reason = "a register is read through a raw pointer")]
    pub(super) fn u64<const OFFSET: usize>(&self) -> u64 {
        const { assert!(OFFSET % 8 == 0 && OFFSET <= SIZE - 8, "a register lies aligned in its page") };
        // SAFETY: As for `u32`, with 8 bytes. A processor of 32 bits makes two loads of it, both aligned and inside.
        u64::from_le(unsafe { self.0.as_ptr().add(OFFSET).cast::<u64>().read_volatile() })
    }
}
