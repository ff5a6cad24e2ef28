//! Decoding with ruzstd.

use std::io::Read;

use crate::error::{Error, Result};

/// Appends at most `limit` + 1 decoded bytes to `output`; the one too many tells the caller of more.
pub(super) fn decode(frame: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<()> {
    let corrupt = |e: &dyn std::fmt::Display| Error::corrupt(format!("zstd: {e}"));
    let decoder = ruzstd::decoding::StreamingDecoder::new(frame).map_err(|e| corrupt(&e))?;
    decoder.take(limit as u64 + 1).read_to_end(output).map_err(|e| corrupt(&e))?;
    Ok(())
}
