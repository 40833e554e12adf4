use crate::compressed::Compression;
use crate::magic;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// How an image says which physical address a byte has.
///
/// [`Display`](fmt::Display) and [`FromStr`] use the names `raw`, `lime`, `avml`, `elf` and `kdump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The offset in the file is the physical address, or how far that is behind
    /// [`raw_base`](crate::OpenOptions::raw_base).
    Raw,
    /// LiME, version 1: each range behind a header with its addresses.
    Lime,
    /// AVML, version 2: LiME's headers and compressed blocks, decompressed into memory.
    ///
    /// Its writer leaves out blocks of up to 16 MiB that hold nothing but zeros, and nothing in the file tells them
    /// from addresses without memory: they read as [`Hole`](iopt::memory::ReadErrorKind::Hole). What the same tool
    /// writes as version 1, and without compression, is LiME.
    Avml,
    /// ELF core file of physical memory, as `/proc/vmcore` gives and makedumpfile, QEMU and virsh write: a header for
    /// each range says where it is. One in a flattened stream is put together in memory.
    ///
    /// Ranges may overlap: of what the file stores for an address, the first header counts. Headers without an address
    /// (all ones) are left out; a file that has address 0 in all of them and no VMCOREINFO is refused. What the file
    /// should have and has not, [`Image::missing`](crate::Image::missing) tells.
    Elf,
    /// kdump-compressed, also called diskdump, as makedumpfile and QEMU write it; also in a flattened stream. See
    /// [`Kdump`](crate::Kdump).
    Kdump,
}

impl Format {
    const ALL: [Self; 5] = [Self::Raw, Self::Lime, Self::Avml, Self::Elf, Self::Kdump];

    /// The name, as on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Lime => "lime",
            Self::Avml => "avml",
            Self::Elf => "elf",
            Self::Kdump => "kdump",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// No format has this name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected raw, lime, avml, elf or kdump as the format, found {0:?}")]
pub struct UnknownFormat(pub String);

/// A format that is recognised by its first bytes, but not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum UnsupportedFormat {
    /// Windows crash dump.
    #[error("a Windows crash dump")]
    Windows,
    /// State of a virtual machine of VMware (vmss, vmsn). A vmem file beside it is raw, with a gap.
    #[error("the state of a VMware machine")]
    Vmware,
    /// Dump of the Linux Kernel Crash Dump project.
    #[error("an LKCD dump")]
    Lkcd,
    /// A swap partition with a hibernated Linux.
    #[error("a hibernation image")]
    Hibernation,
    /// A compressed file or an archive.
    #[error("a {0} file")]
    Archive(&'static str),
}

const KDUMP: [&[u8]; 3] = [b"KDUMP   ", b"DISKDUMP", b"makedumpfile"];

const UNSUPPORTED: [(&[u8], UnsupportedFormat); 12] = [
    (b"PAGEDU64", UnsupportedFormat::Windows),
    (b"PAGEDUMP", UnsupportedFormat::Windows),
    (b"\xd0\xbe\xd2\xbe", UnsupportedFormat::Vmware),
    (b"\xd1\xba\xd1\xba", UnsupportedFormat::Vmware),
    (b"\xd2\xbe\xd2\xbe", UnsupportedFormat::Vmware),
    (b"\xd3\xbe\xd3\xbe", UnsupportedFormat::Vmware),
    (b"\xed\x23\x8f\x61\x73\x01\x19\xa8", UnsupportedFormat::Lkcd),
    (b"\xa8\x19\x01\x73\x61\x8f\x23\xed", UnsupportedFormat::Lkcd),
    (b"BZh", UnsupportedFormat::Archive("bzip2")),
    (b"\x04\x22\x4d\x18", UnsupportedFormat::Archive("lz4")),
    (b"PK\x03\x04", UnsupportedFormat::Archive("zip")),
    (b"7z\xbc\xaf\x27\x1c", UnsupportedFormat::Archive("7z")),
];

/// At the end of the first page of a swap partition that Linux hibernated to.
const HIBERNATION: (usize, &[u8]) = (4086, b"S1SUSPEND\0");

/// What the first bytes of a file say it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Compressed(Compression),
    Image(Format),
    Unsupported(UnsupportedFormat),
}

impl Content {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if let Some(known) = Self::known(bytes) {
            return known;
        }
        // Many a raw image starts like a zlib stream; few of them go on as a stream of something that is known.
        let inside = Compression::start_of_zlib(bytes).and_then(|start| Self::known(&start));
        match inside {
            Some(Self::Image(_) | Self::Unsupported(_)) => Self::Compressed(Compression::Zlib),
            Some(Self::Compressed(_)) | None => Self::Image(Format::Raw),
        }
    }

    /// What the first bytes say without a doubt.
    fn known(bytes: &[u8]) -> Option<Self> {
        if let Some(compression) = Compression::of(bytes) {
            return Some(Self::Compressed(compression));
        }
        // The big-endian twin is LiME too: its parser refuses it by name.
        if bytes.starts_with(&magic::LIME) || bytes.starts_with(&magic::BIG_ENDIAN_LIME) {
            return Some(Self::Image(Format::Lime));
        }
        if bytes.starts_with(&magic::AVML) {
            return Some(Self::Image(Format::Avml));
        }
        if bytes.starts_with(&magic::ELF) {
            return Some(Self::Image(Format::Elf));
        }
        // A flattened stream may hold an ELF file: that is seen when its records are read.
        if KDUMP.iter().any(|magic| bytes.starts_with(magic)) {
            return Some(Self::Image(Format::Kdump));
        }
        let unsupported = UNSUPPORTED.iter().find(|(magic, _)| bytes.starts_with(magic));
        if bytes.get(HIBERNATION.0..).is_some_and(|end| end.starts_with(HIBERNATION.1)) {
            return Some(Self::Unsupported(UnsupportedFormat::Hibernation));
        }
        unsupported.map(|(_, format)| Self::Unsupported(*format))
    }
}
