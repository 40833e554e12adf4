use crate::error::OpenErrorKind;
use crate::mapping;
use crate::progress::Stage;
use crate::sink::Sink;
use memmap2::Mmap;
use std::borrow::Cow;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;

/// The bytes of an image, wherever they are kept.
pub(crate) enum Bytes {
    Mapped(Mmap, File),
    Memory(Cow<'static, [u8]>),
}

impl Bytes {
    /// The file at `path`, mapped; or all that the pipe there gives, read into `sink`.
    pub(crate) fn open(path: &Path, sink: Sink) -> Result<Self, OpenErrorKind> {
        // Asked before opening, which can wait or have effects for what is neither file nor pipe.
        let metadata = fs::metadata(path).map_err(OpenErrorKind::Open)?;
        if is_pipe(&metadata) {
            return Self::gather(File::open(path).map_err(OpenErrorKind::Open)?, sink);
        }
        if !metadata.is_file() {
            return Err(OpenErrorKind::NotAFile);
        }
        if metadata.len() == 0 {
            return Err(OpenErrorKind::Empty);
        }
        let file = File::open(path).map_err(OpenErrorKind::Open)?;
        let map = mapping::map(&file).map_err(OpenErrorKind::Map)?;
        Ok(Self::Mapped(map, file))
    }

    /// All that `from` gives, read into `sink`.
    pub(crate) fn gather(from: impl Read, mut sink: Sink) -> Result<Self, OpenErrorKind> {
        match sink.fill(from) {
            Ok(()) => Ok(Self::Memory(sink.bytes.into())),
            Err(stop) => Err(OpenErrorKind::stream(Stage::Reading, stop, &sink)),
        }
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map, _) => map,
            Self::Memory(bytes) => bytes,
        }
    }

    /// Bytes that are wanted once, as many as `room` has. They are read out of a file, not mapped, where that can be:
    /// at each first touch of a mapping the system maps 64 KiB, which then count as the memory of the process.
    /// `None` if they are not all there.
    pub(crate) fn read<'a>(&'a self, offset: usize, room: &'a mut [u8]) -> Option<io::Result<&'a [u8]>> {
        let bytes = self.as_slice().get(offset..)?.get(..room.len())?;
        match self {
            #[cfg(unix)]
            Self::Mapped(_, file) => {
                let offset = u64::try_from(offset).ok()?;
                Some(std::os::unix::fs::FileExt::read_exact_at(file, room, offset).map(|()| &*room))
            }
            _ => Some(Ok(bytes)),
        }
    }
}

#[cfg(unix)]
fn is_pipe(metadata: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&metadata.file_type())
}

/// Elsewhere a pipe has no path.
#[cfg(not(unix))]
fn is_pipe(_metadata: &Metadata) -> bool {
    false
}

/// Where and how many; the contents may be gigabytes.
impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            Self::Mapped(..) => "mapped",
            Self::Memory(Cow::Owned(_)) => "owned",
            Self::Memory(Cow::Borrowed(_)) => "static",
        };
        write!(f, "{} bytes, {place}", self.as_slice().len())
    }
}
