//! The one place that maps a file.

use memmap2::Mmap;
use std::fs::File;
use std::io;

/// Maps the whole of `file`, to read.
#[expect(unsafe_code, reason = "mapping a file is unsafe because the file can change underneath")]
pub(crate) fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: The mapping is read-only and `Mmap` owns it: no slice of it outlives it, and its length is that of
    // the file now, so every slice is backed by the file as long as nobody else changes the file. That last
    // condition no program can enforce: it is what the documentation of `open` asks of the caller. If it is
    // broken by truncation, a read past the new end gets SIGBUS and the process dies: nothing is read out of
    // bounds. If it is broken by writing, the bytes behind a shared reference change, which the language calls
    // a data race. We don't make that worse: headers are parsed once and their offsets kept apart from the
    // mapping, every access is checked against the mapping's own length, and any bytes are a valid `Page`.
    unsafe { Mmap::map(file) }
}
