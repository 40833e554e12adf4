use crate::sink::{Sink, Stop};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use std::io;

/// The largest window, what `zstd` itself takes without being asked for more. It bounds what a header can make the
/// decompressor allocate.
const WINDOW: u64 = 128 << 20;

impl From<FrameDecoderError> for Stop {
    fn from(error: FrameDecoderError) -> Self {
        Self::Failed(io::Error::other(error))
    }
}

fn damaged(why: &str) -> Stop {
    Stop::Failed(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Frame after frame. The library decodes one, and leaves its window and its checksum for us to judge.
pub(super) fn decompress(mut bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
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
        if window(frame, &decoder) > WINDOW {
            return Err(Stop::Window(WINDOW));
        }
        let mut stream = StreamingDecoder::new_with_decoder(frame, &mut decoder)?;
        to.fill(&mut stream)?;
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
