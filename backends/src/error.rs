#[cfg(feature = "avml")]
use crate::avml::AvmlError;
use crate::compressed::Compression;
use crate::detect::{Format, UnsupportedFormat};
use crate::elf::ElfError;
use crate::flattened::{FlattenedError, FlattenedErrorKind};
use crate::kdump::KdumpError;
use crate::lime::LimeError;
use crate::progress::Stage;
use crate::sink::{Sink, Stop};
use iopt::PhysAddr;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// An image could not be opened.
#[derive(Debug, Error)]
#[error("{}{kind}", path.as_ref().map(|path| format!("{}: ", path.display())).unwrap_or_default())]
pub struct OpenError {
    /// The file, unless the image was given as bytes.
    pub path: Option<PathBuf>,
    /// Why not.
    pub kind: OpenErrorKind,
}

/// Why an image could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenErrorKind {
    /// The operating system did not let us at the file.
    #[error("can't be opened: {0}")]
    Open(io::Error),
    /// A directory or a device.
    #[error("expected a regular file or a pipe, found something else (a directory or device)")]
    NotAFile,
    /// The file could not be mapped. It is not read into memory instead: an image may be larger than memory.
    #[error("can't be mapped into memory: {0}")]
    Map(io::Error),
    /// There are no bytes, or none are left after decompression.
    #[error("expected a raw, LiME, AVML, ELF or kdump image, found an empty file")]
    Empty,
    /// A format that is recognised, but not read.
    #[error("this is {0}, which iopt does not read yet; expected a raw, LiME, AVML, ELF or kdump image")]
    Unsupported(UnsupportedFormat),
    /// A format or compression that is read, but not in this build.
    #[error("this is {feature}, which this build of iopt-backends does not read: its feature `{feature}` is off")]
    FeatureOff {
        /// The feature, which has the name of the format or compression.
        feature: &'static str,
    },
    /// What was decompressed is compressed again.
    #[error(
        "expected a raw, LiME, AVML, ELF or kdump image in the {outer} stream, found {inner}: only one compression is \
         undone"
    )]
    CompressedTwice {
        /// What the file is.
        outer: Compression,
        /// What is inside.
        inner: Compression,
    },
    /// The compressed stream is damaged or cut short.
    #[error("the {compression} stream is damaged or cut short: {error}")]
    Damaged {
        /// What the file is.
        compression: Compression,
        /// What the decompressor says.
        error: io::Error,
    },
    /// To decompress the stream takes too large a window (also called dictionary), whatever the image's size.
    #[error("the {compression} stream needs a window of more than {limit} bytes to decompress")]
    WindowTooLarge {
        /// What the file is.
        compression: Compression,
        /// The largest window that is taken, in bytes.
        limit: u64,
    },
    /// The stream holds more than is allowed.
    #[error("the {compression} stream decompresses to more than the limit of {limit} bytes")]
    TooLarge {
        /// What the file is.
        compression: Compression,
        /// The limit, in bytes.
        limit: u64,
    },
    /// There is no memory to decompress into.
    #[error("out of memory after {bytes} decompressed bytes of the {compression} stream")]
    OutOfMemory {
        /// What the file is.
        compression: Compression,
        /// How many bytes were decompressed so far.
        bytes: usize,
    },
    /// An address is given for the first byte of an image that is not raw.
    #[error("expected a raw image, to be put at {base}, found the format {format}, which has addresses of its own")]
    NotRaw {
        /// The address.
        base: PhysAddr,
        /// What the file is.
        format: Format,
    },
    /// A raw image does not fit into the address space where it is put.
    #[error("expected an image that ends in 64 bits, found {size} bytes from the address {base} on")]
    BeyondAddresses {
        /// Where its first byte is.
        base: PhysAddr,
        /// How many bytes it has.
        size: usize,
    },
    /// A pipe gives, or a flattened file holds, more than is allowed.
    #[error("{stage} the image gives more than the limit of {limit} bytes")]
    StreamTooLarge {
        /// What was being done.
        stage: Stage,
        /// The limit, in bytes.
        limit: u64,
    },
    /// There is no memory for what a pipe gives or a flattened file holds.
    #[error("{stage} the image: out of memory after {bytes} bytes")]
    StreamOutOfMemory {
        /// What was being done.
        stage: Stage,
        /// How many bytes there were so far.
        bytes: usize,
    },
    /// A pipe, or another source of bytes, could not be read to its end.
    #[error("can't be read: {0}")]
    Read(io::Error),
    /// The file is flattened, and its records are malformed.
    #[error("at offset {offset:#x}: {kind}")]
    Flattened {
        /// Where in the (decompressed) file, in bytes.
        offset: u64,
        /// What is wrong there.
        kind: FlattenedErrorKind,
    },
    /// The LiME image is malformed.
    #[error(transparent)]
    Lime(#[from] LimeError),
    /// The AVML image is malformed, or too large.
    #[cfg(feature = "avml")]
    #[error(transparent)]
    Avml(#[from] AvmlError),
    /// The ELF image is malformed, or holds no physical memory.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The kdump-compressed image is malformed.
    #[error(transparent)]
    Kdump(#[from] KdumpError),
}

impl From<FlattenedError> for OpenErrorKind {
    fn from(error: FlattenedError) -> Self {
        Self::Flattened { offset: u64::try_from(error.offset).unwrap_or(u64::MAX), kind: error.kind }
    }
}

impl OpenErrorKind {
    /// Why `stage` could not fill `sink`.
    pub(crate) fn stream(stage: Stage, stop: Stop, sink: &Sink) -> Self {
        match stop {
            Stop::Failed(error) => Self::Read(error),
            Stop::Window(limit) => Self::StreamTooLarge { stage, limit },
            Stop::Limit => Self::StreamTooLarge { stage, limit: sink.limit },
            Stop::Memory => Self::StreamOutOfMemory { stage, bytes: sink.bytes.len() },
        }
    }
}
