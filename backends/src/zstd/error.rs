use thiserror::Error;

/// Why a frame is not given to the decoder.
pub(crate) enum Refusal {
    /// It is malformed.
    Damaged(Damage),
    /// It takes a larger window than is allowed.
    Window,
    /// It gives more than is allowed.
    TooLarge,
}

impl Refusal {
    /// With the place of what is to blame, for which 0 stands so far.
    pub(super) fn placed(self, offset: usize) -> Self {
        match self {
            Self::Damaged(damage) => Self::Damaged(Damage { offset, ..damage }),
            refusal => refusal,
        }
    }
}

impl From<DamageKind> for Refusal {
    fn from(kind: DamageKind) -> Self {
        Self::Damaged(Damage { offset: 0, kind })
    }
}

/// A header or a block is malformed.
#[derive(Clone, Copy, Debug, Error)]
#[error("at offset {offset:#x}: {kind}")]
pub(crate) struct Damage {
    /// Where it starts, in bytes.
    pub(crate) offset: usize,
    /// What is wrong there.
    pub(crate) kind: DamageKind,
}

/// What is wrong with a header or a block.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum DamageKind {
    #[error("expected another frame or the end, found something else")]
    Magic,
    #[error("expected {0}, found the end")]
    CutShort(&'static str),
    #[error("expected zeros as reserved bits, found the byte {0:#04x}")]
    Reserved(u8),
    #[error("expected a frame without a dictionary, found one that needs the dictionary {0:#x}")]
    Dictionary(u64),
    #[error("expected a frame of {announced} bytes, as its header says, found {found}")]
    Content { announced: u64, found: u64 },
    #[error("expected a raw, RLE or compressed block, found the reserved type 3")]
    BlockType,
    #[error("expected a block of at most {most} bytes, found {found} or more")]
    Block { most: u64, found: u64 },
    #[error("expected an FSE table of 2^5 to 2^{most} states, found 2^{found}")]
    TableLog { most: u8, found: u8 },
    #[error("expected a code of at most {most} in an FSE table, found {found}")]
    Code { most: u8, found: usize },
    #[error("expected an FSE table in an earlier block of the frame, found none to repeat")]
    Repeat,
    #[error("expected sequences for {expected} literals at most, found {found}")]
    Literals { expected: u64, found: u64 },
    #[error("expected a set bit at the end of the sequences, found a zero byte or none")]
    Padding,
    #[error(
        "expected {sequences} sequences that use up their bits, found {}",
        if *over { "bits left over" } else { "too few bits" }
    )]
    Bits { sequences: u32, over: bool },
    #[error("expected the end behind a block without sequences, found {0} bytes")]
    Behind(usize),
}
