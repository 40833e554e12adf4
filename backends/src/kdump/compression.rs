use std::fmt;

/// How a page is compressed. [`Display`](fmt::Display) writes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PageCompression {
    /// A zlib stream (RFC 1950).
    Zlib,
    /// A block of LZO1X.
    Lzo,
    /// A block of snappy, without framing.
    Snappy,
    /// A frame of Zstandard (RFC 8878).
    Zstd,
}

impl PageCompression {
    /// The one that is set in these flags of a page, or in the status of a dump, if it is one.
    pub(super) fn of(flags: u32) -> Option<Self> {
        match flags & 0x27 {
            0x1 => Some(Self::Zlib),
            0x2 => Some(Self::Lzo),
            0x4 => Some(Self::Snappy),
            0x20 => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for PageCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Zlib => "zlib",
            Self::Lzo => "LZO",
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        })
    }
}
