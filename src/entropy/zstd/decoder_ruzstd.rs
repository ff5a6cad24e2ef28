//! The decoder of ruzstd.

use std::fmt::Display;
use std::io::Read;

use crate::error::{Error, Result};

/// The state kept between frames: ruzstd needs none.
#[derive(Default)]
pub(super) struct Context;

impl Context {
    /// Appends the decoded bytes to `output`, at most `limit` + 1 of them: the last one tells the
    /// caller that the frame holds more than `limit`.
    pub(super) fn decode(&mut self, frame: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<()> {
        let corrupt = |e: &dyn Display| Error::corrupt(format!("a zstd frame does not decode: {e}"));
        let decoder = ruzstd::decoding::StreamingDecoder::new(frame).map_err(|e| corrupt(&e))?;
        decoder.take(limit as u64 + 1).read_to_end(output).map_err(|e| corrupt(&e))?;
        Ok(())
    }
}
