//! gzip and zlib: the same streams in different envelopes.

use crate::sink::{Sink, Stop};
use flate2::bufread::{GzDecoder, ZlibDecoder};
use flate2::{Decompress, FlushDecompress};
use std::io;

/// All members of a gzip file (RFC 1952).
pub(super) fn gunzip(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
    let mut rest = bytes;
    while !rest.is_empty() {
        if !rest.starts_with(super::GZIP) {
            let why = io::Error::new(io::ErrorKind::InvalidData, "expected another member or the end");
            return Err(at(bytes, rest, why));
        }
        let mut member = GzDecoder::new(rest);
        to.fill(&mut member).map_err(|stop| stop.placed(|error| at(bytes, member.get_ref(), error)))?;
        rest = member.into_inner();
    }
    Ok(())
}

/// The one stream that `bytes` are (RFC 1950).
pub(super) fn inflate(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
    let mut stream = ZlibDecoder::new(bytes);
    to.fill(&mut stream).map_err(|stop| stop.placed(|error| at(bytes, stream.get_ref(), error)))?;
    match stream.into_inner() {
        [] => Ok(()),
        rest => Err(at(bytes, rest, io::Error::new(io::ErrorKind::InvalidData, "expected the end behind the stream"))),
    }
}

/// The first bytes of what `bytes` decompress to, if they start with a zlib header.
pub(super) fn start(bytes: &[u8]) -> Option<[u8; 16]> {
    let &[method, flags, ..] = bytes else { return None };
    // RFC 1950, 2.2: deflate, a window of at most 32 KiB, no dictionary, and the check bits.
    let is_header = method & 0xf == 8 && method >> 4 <= 7 && flags & 0x20 == 0;
    if !is_header || u16::from_be_bytes([method, flags]) % 31 != 0 {
        return None;
    }
    let mut start = [0; 16];
    // Not by `ZlibDecoder`, which looks far ahead: damage there must not make a stream look like a raw image.
    let mut stream = Decompress::new(true);
    // What was written before an error counts.
    let _ = stream.decompress(bytes, &mut start, FlushDecompress::None);
    (stream.total_out() == 16).then_some(start)
}

/// What went wrong, with the place in the file.
fn at(whole: &[u8], rest: &[u8], error: io::Error) -> Stop {
    let offset = whole.len().saturating_sub(rest.len());
    Stop::Failed(io::Error::new(error.kind(), format!("at offset {offset:#x}: {error}")))
}
