use crate::bytes::Bytes;
use crate::compressed::DEFAULT_DECOMPRESSED_LIMIT;
use crate::detect::Format;
use crate::error::OpenError;
use crate::image::Image;
use crate::progress::{Progress, Stage};
use iopt::PhysAddr;
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

/// Opens the memory image at `path`; its format is found from its content.
///
/// A plain image is mapped and lent out of the mapping, so even a large one opens at once. A compressed one is
/// decompressed into memory, up to [`DEFAULT_DECOMPRESSED_LIMIT`].
///
/// A pipe, also as `/dev/stdin`, is waited for and read into memory to its end, up to the same limit.
///
/// The file must not change while the [`Image`] lives. If somebody truncates a mapped file, the next access to a page
/// behind its new end ends the whole process with SIGBUS (on Windows, truncation is refused); if somebody writes to
/// it, pages change while they are lent, and results mean nothing. Open a copy of a file that is still being written.
///
/// ```
/// use iopt::{PhysAddr, memory::PhysReader};
///
/// let image = iopt_backends::open("tests/corpus/legacy-48/mem.lime.xz")?;
/// assert_eq!(image.format().to_string(), "lime");
/// let root_table = PhysAddr(0x8f7000);
/// let page = image.lend_page(root_table).ok_or("the root table is not in the image")?;
/// // Bus 0 has a context table: its root entry is present.
/// assert_eq!(page.word(0), 0x9aa001);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`OpenErrorKind`](crate::OpenErrorKind) tells why not, [`OpenError`] also for which file: it can't be opened, mapped
/// or read, is empty, is of a format that is recognised but not read, is malformed, or does not decompress.
pub fn open(path: impl AsRef<Path>) -> Result<Image, OpenError> {
    OpenOptions::new().open(path)
}

/// Opens the memory image at `path` as `format`, whatever its content looks like.
///
/// A compression around it is undone all the same. [`Format::Raw`] takes any bytes, also those of a format that
/// [`open`] would read otherwise or refuse.
///
/// # Errors
/// As [`open`].
pub fn open_as(path: impl AsRef<Path>, format: Format) -> Result<Image, OpenError> {
    OpenOptions::new().format(format).open(path)
}

/// How to open an image, where [`open`] does not fit.
///
/// ```
/// use iopt_backends::{Format, OpenOptions};
///
/// let options = OpenOptions::new().format(Format::Lime).decompressed_limit(1 << 20);
/// let image = options.open("tests/corpus/legacy-pt/mem.lime.xz")?;
/// # Ok::<(), iopt_backends::OpenError>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct OpenOptions {
    pub(crate) format: Option<Format>,
    pub(crate) decompressed_limit: u64,
    pub(crate) raw_base: Option<PhysAddr>,
    pub(crate) progress: Option<fn(Progress)>,
}

impl OpenOptions {
    /// The format found from the content, and [`DEFAULT_DECOMPRESSED_LIMIT`].
    pub const fn new() -> Self {
        Self { format: None, decompressed_limit: DEFAULT_DECOMPRESSED_LIMIT, raw_base: None, progress: None }
    }

    /// Takes the image for `format`, whatever its content looks like; see [`open_as`].
    pub const fn format(self, format: Format) -> Self {
        Self { format: Some(format), ..self }
    }

    /// Refuses an image that decompresses to more than `bytes` bytes, or a pipe that gives more.
    pub const fn decompressed_limit(self, bytes: u64) -> Self {
        Self { decompressed_limit: bytes, ..self }
    }

    /// Puts the first byte of a raw image at the physical address `base`, not at 0. An image of another format, which
    /// says itself where its bytes are, is refused.
    ///
    /// ```
    /// use iopt::{PhysAddr, PhysRange, memory::ranges};
    /// use iopt_backends::OpenOptions;
    ///
    /// let high = OpenOptions::new().raw_base(PhysAddr(0x1_0000_0000)).from_bytes(&[0; 8192])?;
    /// assert!(ranges(&high).eq(PhysRange::new(PhysAddr(0x1_0000_0000), PhysAddr(0x1_0000_1fff))));
    /// # Ok::<(), iopt_backends::OpenError>(())
    /// ```
    pub const fn raw_base(self, base: PhysAddr) -> Self {
        Self { raw_base: Some(base), ..self }
    }

    /// Has `tell` called while a compressed image is decompressed or a pipe is read: ten times a second at most, and
    /// not at all if that is over sooner.
    pub const fn progress(self, tell: fn(Progress)) -> Self {
        Self { progress: Some(tell), ..self }
    }

    /// Opens the file at `path`. The file must not change meanwhile: see [`open`].
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<Image, OpenError> {
        let path = path.as_ref();
        let image = Bytes::open(path, self.sink(Stage::Reading)).and_then(|bytes| self.image(bytes));
        image.map_err(|kind| OpenError { path: Some(path.to_owned()), kind })
    }

    /// Opens an image that is in memory already: see [`Image::from_bytes`].
    ///
    /// # Errors
    /// As [`Image::from_bytes`].
    pub fn from_bytes(self, bytes: impl Into<Cow<'static, [u8]>>) -> Result<Image, OpenError> {
        self.image(Bytes::Memory(bytes.into())).map_err(|kind| OpenError { path: None, kind })
    }

    /// Opens an image that comes as a stream, such as the standard input. It is read into memory to its end, up to
    /// [`decompressed_limit`](Self::decompressed_limit) bytes.
    ///
    /// # Errors
    /// As [`Image::from_bytes`], and if the stream can't be read or gives more than that.
    pub fn from_reader(self, from: impl Read) -> Result<Image, OpenError> {
        let bytes = Bytes::gather(from, self.sink(Stage::Reading));
        bytes.and_then(|bytes| self.image(bytes)).map_err(|kind| OpenError { path: None, kind })
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl Image {
    /// Opens an image that is in memory already, such as one built into a program with `include_bytes!`.
    ///
    /// It is the same as [`open`](crate::open()), without a file: the format is found from the content, and a
    /// compressed image is decompressed.
    ///
    /// ```
    /// let sample: &'static [u8] = include_bytes!("../tests/corpus/legacy-pt/mem.lime.xz");
    /// let image = iopt_backends::Image::from_bytes(sample)?;
    /// assert_eq!(image.format().name(), "lime");
    /// # Ok::<(), iopt_backends::OpenError>(())
    /// ```
    ///
    /// # Errors
    /// As [`open`](crate::open()), except for those about files.
    pub fn from_bytes(bytes: impl Into<Cow<'static, [u8]>>) -> Result<Self, OpenError> {
        OpenOptions::new().from_bytes(bytes)
    }
}
