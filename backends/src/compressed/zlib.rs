use super::at;
use crate::sink::{Sink, Stop};
use flate2::bufread::ZlibDecoder;
use flate2::{Decompress, FlushDecompress};
use std::io;

/// The one stream that `bytes` are (RFC 1950).
pub(super) fn decompress(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
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
