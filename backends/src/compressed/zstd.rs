use crate::sink::{Sink, Stop};
use crate::zstd::{Damage, Frame, Limits, Refusal};
use ruzstd::decoding::StreamingDecoder;
use std::io;

/// The largest window, what `zstd` itself takes without being asked for more. It bounds what a header can make the
/// decompressor allocate.
const WINDOW: u64 = 128 << 20;

fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Stop {
    Stop::Failed(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Frame after frame. Each is looked through before it is given to the library, which decodes it and leaves the
/// checksum for us to judge.
pub(super) fn decompress(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
    let size = |to: &Sink| u64::try_from(to.bytes.len()).unwrap_or(u64::MAX);
    let mut rest = bytes;
    while !rest.is_empty() {
        let offset = bytes.len().saturating_sub(rest.len());
        let start = size(to);
        let limits = Limits { window: WINDOW, content: to.limit.saturating_sub(start) };
        let frame = Frame::first(rest, limits).map_err(|refusal| match refusal {
            Refusal::Damaged(damage) => damaged(Damage { offset: damage.offset.saturating_add(offset), ..damage }),
            Refusal::Window => Stop::Window(WINDOW),
            Refusal::TooLarge => Stop::Limit,
        })?;
        rest = frame.rest;
        let Some(content) = frame.content else { continue };
        // What the library says itself is for programmers.
        let why =
            || damaged(format!("at offset {offset:#x}: expected a frame that decodes, found bad literals or offsets"));
        let mut stream = StreamingDecoder::new(frame.bytes).map_err(|_| why())?;
        to.fill(&mut stream).map_err(|stop| stop.placed(|_| why()))?;
        let decoder = stream.into_frame_decoder();
        let found = decoder.get_calculated_checksum().unwrap_or_default();
        if let Some(sum) = decoder.get_checksum_from_data().filter(|sum| *sum != found) {
            return Err(damaged(format!(
                "at offset {offset:#x}: expected contents with the checksum {sum:#010x}, found {found:#010x}"
            )));
        }
        let found = size(to).saturating_sub(start);
        if found != content {
            return Err(damaged(format!(
                "at offset {offset:#x}: expected {content} bytes out of the frame, found {found}"
            )));
        }
    }
    Ok(())
}
