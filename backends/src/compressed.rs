//! Streams around an image: decompressed whole into memory, since pages are asked for in any order.

use crate::error::OpenErrorKind;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::fmt;
use std::io::{self, Read};

/// How many bytes a compressed image may decompress to, unless told otherwise: 16 GiB.
///
/// A few kilobytes of xz can hold terabytes of zeros. The limit is on the image alone; while it runs, a
/// decompressor needs up to 256 MiB (xz) or some hundred MiB (zstd) more.
pub const DEFAULT_DECOMPRESSED_LIMIT: u64 = 16 << 30;

/// The largest window of either format: four times that of `xz -9`, and what `zstd` itself takes without being
/// asked for more. It bounds what a header can make the decompressor allocate.
const XZ_WINDOW: u64 = 256 << 20;
const ZSTD_WINDOW: u64 = 128 << 20;
/// The largest window, and what the decoder counts on top of it.
const XZ_MEMORY_KIB: u32 = (256 << 10) + (1 << 10);

/// A compression around an image. [`Display`](fmt::Display) writes its name, `xz` or `zstd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compression {
    /// The .xz file format, any number of streams.
    Xz,
    /// Zstandard, any number of frames, without a dictionary.
    Zstd,
}

impl Compression {
    /// The name, as `iopt info` tells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// The compression that `bytes` starts with.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xfd7zXZ\0") {
            Some(Self::Xz)
        } else if bytes.starts_with(b"\x28\xb5\x2f\xfd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// All that `bytes` hold, if that is not more than `limit` bytes.
    pub(crate) fn decompress(self, bytes: &[u8], limit: u64) -> Result<Vec<u8>, OpenErrorKind> {
        let mut output = Output { bytes: Vec::new(), limit };
        let done = match self {
            Self::Xz => unxz(bytes, &mut output),
            Self::Zstd => unzstd(bytes, &mut output),
        };
        match done {
            Ok(()) => Ok(output.bytes),
            Err(Stop::Damaged(error)) => Err(OpenErrorKind::Damaged { compression: self, error }),
            Err(Stop::Window(limit)) => Err(OpenErrorKind::WindowTooLarge { compression: self, limit }),
            Err(Stop::Limit) => Err(OpenErrorKind::TooLarge { compression: self, limit }),
            Err(Stop::Memory) => Err(OpenErrorKind::OutOfMemory { compression: self, bytes: output.bytes.len() }),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why decompression ends early.
enum Stop {
    Damaged(io::Error),
    Window(u64),
    Limit,
    Memory,
}

impl From<FrameDecoderError> for Stop {
    fn from(error: FrameDecoderError) -> Self {
        Self::Damaged(io::Error::other(error))
    }
}

fn damaged(why: &str) -> Stop {
    Stop::Damaged(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// What is decompressed so far. It grows with the bytes that come, never by what a header promises.
struct Output {
    bytes: Vec<u8>,
    limit: u64,
}

impl Output {
    fn fill(&mut self, mut from: impl Read) -> Result<(), Stop> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = from.read(&mut buffer).map_err(Stop::Damaged)?;
            let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else { return Ok(()) };
            let total = self.bytes.len().saturating_add(length);
            if u64::try_from(total).is_ok_and(|total| total > self.limit) {
                return Err(Stop::Limit);
            }
            self.bytes.try_reserve(length).map_err(|_| Stop::Memory)?;
            self.bytes.extend_from_slice(piece);
        }
    }
}

fn unxz(bytes: &[u8], output: &mut Output) -> Result<(), Stop> {
    output.fill(XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB)).map_err(|stop| match stop {
        // So the library tells that a block exceeds its memory limit.
        Stop::Damaged(error) if error.kind() == io::ErrorKind::OutOfMemory => Stop::Window(XZ_WINDOW),
        stop => stop,
    })
}

/// Frame after frame. The library decodes one, and leaves its window and its checksum for us to judge.
fn unzstd(mut bytes: &[u8], output: &mut Output) -> Result<(), Stop> {
    while !bytes.is_empty() {
        let frame = bytes;
        let mut decoder = FrameDecoder::new();
        match decoder.init(&mut bytes) {
            Ok(()) => {}
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let length = usize::try_from(length).map_err(|_| Stop::Memory)?;
                bytes = bytes.get(length..).ok_or_else(|| damaged("the last skippable frame is cut short"))?;
                continue;
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::BadMagicNumber(_))) => {
                return Err(damaged("expected another frame or the end behind a frame, found something else"));
            }
            Err(error) => return Err(error.into()),
        }
        if window(frame, &decoder) > ZSTD_WINDOW {
            return Err(Stop::Window(ZSTD_WINDOW));
        }
        let mut stream = StreamingDecoder::new_with_decoder(frame, &mut decoder)?;
        output.fill(&mut stream)?;
        bytes = stream.into_inner();
        if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum)) {
            return Err(damaged("the checksum of a frame does not match its contents"));
        }
    }
    Ok(())
}

/// The window that a frame asks for, in bytes (RFC 8878, 3.1.1.1).
fn window(frame: &[u8], decoder: &FrameDecoder) -> u64 {
    match frame {
        [_, _, _, _, descriptor, ..] if descriptor & 0x20 != 0 => decoder.content_size(),
        [_, _, _, _, _, window, ..] => {
            let base = 1u64 << 10 << (window >> 3);
            base.saturating_add((base >> 3).saturating_mul(u64::from(window & 7)))
        }
        _ => 0,
    }
}
