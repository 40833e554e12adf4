use crate::error::OpenErrorKind;
use crate::mapping;
use memmap2::Mmap;
use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File};
use std::path::Path;

/// The bytes of an image, wherever they are kept.
pub(crate) enum Bytes {
    Mapped(Mmap),
    Memory(Cow<'static, [u8]>),
}

impl Bytes {
    pub(crate) fn map(path: &Path) -> Result<Self, OpenErrorKind> {
        // Asked before opening: to open a pipe waits for a writer.
        let metadata = fs::metadata(path).map_err(OpenErrorKind::Open)?;
        if !metadata.is_file() {
            return Err(OpenErrorKind::NotAFile);
        }
        if metadata.len() == 0 {
            return Err(OpenErrorKind::Empty);
        }
        let file = File::open(path).map_err(OpenErrorKind::Open)?;
        mapping::map(&file).map(Self::Mapped).map_err(OpenErrorKind::Map)
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Memory(bytes) => bytes,
        }
    }
}

/// Where and how many; the contents may be gigabytes.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            Self::Mapped(_) => "mapped",
            Self::Memory(Cow::Owned(_)) => "owned",
            Self::Memory(Cow::Borrowed(_)) => "static",
        };
        write!(f, "{} bytes, {place}", self.as_slice().len())
    }
}
