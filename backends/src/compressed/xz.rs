use super::at;
use crate::sink::{Sink, Stop};
use lzma_rust2::XzReader;
use std::io::{self, ErrorKind};

/// The largest window, four times that of `xz -9`. It bounds what a header can make the decompressor allocate.
const WINDOW: u64 = 256 << 20;
/// The largest window, and what the decoder counts on top of it.
const MEMORY_KIB: u32 = (256 << 10) + (1 << 10);

/// All streams.
pub(super) fn decompress(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
    let mut rest = bytes;
    let filled = to.fill(XzReader::new_mem_limit(&mut rest, true, MEMORY_KIB));
    filled.map_err(|stop| {
        stop.placed(|error| match error.kind() {
            // So the library tells that a block exceeds its memory limit.
            ErrorKind::OutOfMemory => Stop::Window(WINDOW),
            kind @ ErrorKind::UnexpectedEof => {
                at(bytes, rest, io::Error::new(kind, "expected more of the stream, found the end"))
            }
            _ => at(bytes, rest, error),
        })
    })
}
