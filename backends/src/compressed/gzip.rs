use super::at;
use crate::sink::{Sink, Stop};
use flate2::bufread::GzDecoder;
use std::io;

/// All members (RFC 1952).
pub(super) fn decompress(bytes: &[u8], to: &mut Sink) -> Result<(), Stop> {
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
