//! Streams around an image: decompressed whole into memory, since pages are asked for in any order.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "xz")]
mod xz;
#[cfg(feature = "zlib")]
mod zlib;
#[cfg(feature = "zstd")]
mod zstd;

use crate::error::OpenErrorKind;
use crate::sink::{Sink, Stop};
use std::fmt;

/// How many bytes a compressed image may decompress to, and a pipe may give, unless told otherwise: 16 GiB.
///
/// A few kilobytes of xz can hold terabytes of zeros. The limit is on the image alone; while it runs, a
/// decompressor needs up to 256 MiB (xz) or some hundred MiB (zstd) more.
pub const DEFAULT_DECOMPRESSED_LIMIT: u64 = 16 << 30;

const GZIP: &[u8] = b"\x1f\x8b";

/// A compression around an image. [`Display`](fmt::Display) writes its name, like `xz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// The .xz file format, any number of streams.
    Xz,
    /// Zstandard, any number of frames, without a dictionary.
    Zstd,
    /// The .gz file format, any number of members.
    Gzip,
    /// One zlib stream, as LiME writes it with `compress=1`.
    ///
    /// Its first bytes are too common to tell it from a raw image. So bytes are taken for it only if they start with a
    /// zlib header and what they decompress to starts like a LiME image, or another format that is known by its first
    /// bytes. A raw image in a zlib stream is therefore not recognised, and without the feature `zlib` none at all is.
    Zlib,
}

impl Compression {
    /// The name, as `iopt info` tells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xz => "xz",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Zlib => "zlib",
        }
    }

    /// The compression that `bytes` starts with, where that is enough to know it.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xfd7zXZ\0") {
            Some(Self::Xz)
        } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
            Some(Self::Zstd)
        } else if bytes.starts_with(GZIP) {
            Some(Self::Gzip)
        } else {
            None
        }
    }

    /// What the first bytes are in a zlib stream, if `bytes` look like one.
    #[cfg(feature = "zlib")]
    pub(crate) fn start_of_zlib(bytes: &[u8]) -> Option<[u8; 16]> {
        zlib::start(bytes)
    }

    /// It takes zlib to know it.
    #[cfg(not(feature = "zlib"))]
    pub(crate) fn start_of_zlib(_bytes: &[u8]) -> Option<[u8; 16]> {
        None
    }

    /// Puts all that `bytes` hold into `to`.
    pub(crate) fn decompress(self, bytes: &[u8], mut to: Sink) -> Result<Vec<u8>, OpenErrorKind> {
        let done = match self {
            #[cfg(feature = "xz")]
            Self::Xz => xz::decompress(bytes, &mut to),
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::decompress(bytes, &mut to),
            #[cfg(feature = "gzip")]
            Self::Gzip => gzip::decompress(bytes, &mut to),
            #[cfg(feature = "zlib")]
            Self::Zlib => zlib::decompress(bytes, &mut to),
            #[allow(unreachable_patterns, reason = "unless a feature is off")]
            _ => return Err(OpenErrorKind::FeatureOff { feature: self.name() }),
        };
        match done {
            Ok(()) => Ok(to.bytes),
            Err(Stop::Failed(error)) => Err(OpenErrorKind::Damaged { compression: self, error }),
            Err(Stop::Window(limit)) => Err(OpenErrorKind::WindowTooLarge { compression: self, limit }),
            Err(Stop::Limit) => Err(OpenErrorKind::TooLarge { compression: self, limit: to.limit }),
            Err(Stop::Memory) => Err(OpenErrorKind::OutOfMemory { compression: self, bytes: to.bytes.len() }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What went wrong, with the place in the file.
#[cfg(any(feature = "gzip", feature = "xz", feature = "zlib"))]
fn at(whole: &[u8], rest: &[u8], error: std::io::Error) -> Stop {
    let offset = whole.len().saturating_sub(rest.len());
    Stop::Failed(std::io::Error::new(error.kind(), format!("at offset {offset:#x}: {error}")))
}
