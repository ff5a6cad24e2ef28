//! Decoding with ruzstd.

use std::fmt::Display;
use std::io::Read;

use crate::error::{Error, Result};

#[derive(Default)]
pub(super) struct Context;

impl Context {
    /// Appends the decoded bytes to `output`; one more than `limit` tells the caller of more.
    pub(super) fn decode(&mut self, frame: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<()> {
        let corrupt = |e: &dyn Display| Error::corrupt(format!("zstd: {e}"));
        let decoder = ruzstd::decoding::StreamingDecoder::new(frame).map_err(|e| corrupt(&e))?;
        decoder.take(limit as u64 + 1).read_to_end(output).map_err(|e| corrupt(&e))?;
        Ok(())
    }
}
