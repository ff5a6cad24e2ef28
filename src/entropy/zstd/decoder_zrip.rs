//! The decoder of zrip.

use crate::error::{Error, Result};

/// The state that zrip keeps between frames.
#[derive(Default)]
pub(super) struct Context(zrip::DecompressContext);

impl Context {
    /// Appends the decoded bytes to `output`, or fails if there are more than `limit`.
    pub(super) fn decode(&mut self, frame: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<()> {
        let decoded = self.0.decompress_into_with_limit(frame, output, limit);
        decoded.map(|_| ()).map_err(|e| Error::corrupt(format!("a zstd frame does not decode: {e}")))
    }
}
