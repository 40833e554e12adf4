//! Streams of Zstandard: the look at a frame agrees with its writers and its decoder, and what it refuses never gets
//! to the decoder.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a panic is a red test"
)]

mod frame;
mod hostile;
mod malformed;
mod sample;
mod valid;

use iopt_backends::{Format, OpenOptions};

/// What `bytes` decompress to, or the error's text: one line, which shows no internals.
pub fn open(bytes: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let opened = OpenOptions::new().format(Format::Raw).decompressed_limit(limit).from_bytes(bytes.to_vec());
    opened.map(|image| image.as_bytes().to_vec()).map_err(|error| {
        let text = error.to_string();
        assert!(!text.contains(['\n', '{', '(']) || text.starts_with("this is a"), "{text}");
        // So it is told that the decoder gave something else than was foreseen.
        assert!(!text.contains("out of the frame"), "{text}");
        text
    })
}
