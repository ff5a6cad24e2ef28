//! Decoding with zrip.

use crate::error::{Error, Result};

/// Appends at most `limit` decoded bytes to `output`.
pub(super) fn decode(frame: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<()> {
    let mut context = zrip::DecompressContext::new();
    context.decompress_into_with_limit(frame, output, limit).map_err(|e| Error::corrupt(format!("zstd: {e}")))?;
    Ok(())
}
