//! The decoder of libzstd, the C library.

use std::io::Cursor;
use std::mem;

use crate::error::{Error, Result};

/// The state that libzstd keeps between frames.
pub(super) struct Context(zstd_safe::DCtx<'static>);

impl Default for Context {
    fn default() -> Self {
        Self(zstd_safe::DCtx::create())
    }
}

impl Context {
    /// Appends the decoded bytes to `output`. Fails if they exceed the capacity of `output`, which
    /// is made large enough for `limit` bytes.
    pub(super) fn decode(&mut self, frame: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<()> {
        output.reserve(limit);
        let start = output.len() as u64;
        let mut room = Cursor::new(mem::take(output));
        room.set_position(start);
        let decoded = self.0.decompress(&mut room, frame);
        *output = room.into_inner();
        let corrupt =
            |code| Error::corrupt(format!("a zstd frame does not decode: {}", zstd_safe::get_error_name(code)));
        decoded.map(|_| ()).map_err(corrupt)
    }
}
