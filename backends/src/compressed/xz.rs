use crate::sink::{Sink, Stop};
use lzma_rust2::XzReader;
use std::io;

/// The largest window, four times that of `xz -9`. It bounds what a header can make the decompressor allocate.
const WINDOW: u64 = 256 << 20;
/// The largest window, and what the decoder counts on top of it.
const MEMORY_KIB: u32 = (256 << 10) + (1 << 10);

/// All streams.
pub(super) fn decompress(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
    to.fill(XzReader::new_mem_limit(bytes, true, MEMORY_KIB)).map_err(|stop| match stop {
        // So the library tells that a block exceeds its memory limit.
        Stop::Failed(error) if error.kind() == io::ErrorKind::OutOfMemory => Stop::Window(WINDOW),
        stop => stop,
    })
}
