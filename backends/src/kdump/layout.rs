//! Where fields are. The dumped machine wrote its own C structures, so byte order, width of `long` and alignment
//! differ, and nothing in the file names them.

/// One way to read the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) wide: bool,
    pub(super) big_endian: bool,
}

impl Layout {
    /// In the order in which they are tried.
    pub(super) const ALL: [Self; 4] = [
        Self { wide: false, big_endian: false },
        Self { wide: false, big_endian: true },
        Self { wide: true, big_endian: false },
        Self { wide: true, big_endian: true },
    ];

    /// The offset of a field of the main header that a 64-bit machine has at `offset`, behind the time stamp.
    pub(super) fn main(self, offset: u64) -> u64 {
        if self.wide { offset } else { offset.saturating_sub(12) }
    }

    /// The time stamp of the main header: seconds and microseconds.
    pub(super) fn timestamp(self, fields: Fields) -> (u64, u64) {
        match self.wide {
            true => (fields.u64(408), fields.u64(416)),
            false => (fields.u32(404).into(), fields.u32(408).into()),
        }
    }
}

/// Numbers among bytes; 0 where there are none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
}

impl Fields<'_> {
    pub(super) fn u32(self, offset: u64) -> u32 {
        let bytes = self.at(offset).unwrap_or_default();
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    pub(super) fn u64(self, offset: u64) -> u64 {
        let bytes = self.at(offset).unwrap_or_default();
        if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) }
    }

    fn at<const N: usize>(self, offset: u64) -> Option<[u8; N]> {
        self.bytes.get(usize::try_from(offset).ok()?..)?.first_chunk().copied()
    }
}

/// The sub header, from which fields are taken in order.
#[derive(Debug)]
pub(super) struct SubFields<'a> {
    pub(super) fields: Fields<'a>,
    pub(super) at: u64,
    pub(super) wide: bool,
    /// Whether 64-bit numbers are aligned to 8 bytes: on all machines but 32-bit x86.
    pub(super) aligned: bool,
}

impl SubFields<'_> {
    pub(super) fn int(&mut self) -> u32 {
        let value = self.fields.u32(self.at);
        self.at = self.at.saturating_add(4);
        value
    }

    /// An `unsigned long`.
    pub(super) fn long(&mut self) -> u64 {
        if self.wide { self.long_long() } else { u64::from(self.int()) }
    }

    /// 64 bits on every machine.
    pub(super) fn long_long(&mut self) -> u64 {
        if self.aligned {
            self.at = self.at.saturating_add(7) & !7;
        }
        let value = self.fields.u64(self.at);
        self.at = self.at.saturating_add(8);
        value
    }
}

/// Whether `long` has 64 bits on the machine that `uname -m` calls `machine`, if that is known.
pub(super) fn is_wide(machine: &str) -> Option<bool> {
    if machine.contains("64") || matches!(machine, "s390x" | "alpha") {
        return Some(true);
    }
    let known = ["arm", "mips", "ppc", "s390", "m68k", "sh", "riscv32"];
    (is_x86_32(machine) || known.iter().any(|known| machine.starts_with(known))).then_some(false)
}

/// Whether `machine` is `i386` to `i686`.
pub(super) fn is_x86_32(machine: &str) -> bool {
    matches!(machine.as_bytes(), [b'i', b'3'..=b'6', b'8', b'6'])
}
