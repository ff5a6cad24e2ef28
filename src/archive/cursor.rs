//! A front-to-back cursor over a file that arrives in ranges.

use crate::error::{Error, Result};
use crate::io::Wanted;

/// Bytes to fetch in one read even if fewer are needed: a request costs more than the extra bytes.
pub(super) const READ_AHEAD: u64 = 64 * 1024;

/// A position in a file of known length, and a buffer of the bytes that arrived last.
#[derive(Debug)]
pub(super) struct Cursor {
    file_length: u64,
    position: u64,
    buffer: Vec<u8>,
    buffer_offset: u64,
    wanted: Option<Wanted>,
}

impl Cursor {
    pub(super) fn new(file_length: u64) -> Self {
        Self {
            file_length,
            position: 0,
            buffer: Vec::new(),
            buffer_offset: 0,
            wanted: Some(0..file_length.min(READ_AHEAD)),
        }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn remaining(&self) -> u64 {
        self.file_length - self.position
    }

    /// The range that must arrive before [`peek`](Self::peek) can succeed.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        self.wanted.clone()
    }

    /// Takes the bytes of the wanted range.
    pub(super) fn arrived(&mut self, bytes: &[u8]) {
        if let Some(range) = self.wanted.take() {
            self.buffer_offset = range.start;
            self.buffer = bytes.to_vec();
        }
    }

    /// Returns the next `length` bytes without moving; `None` if they have yet to arrive.
    ///
    /// # Errors
    /// `Truncated` if the file is too short to hold them: `length` is checked before anything is
    /// fetched or allocated.
    pub(super) fn peek(&mut self, length: u64) -> Result<Option<&[u8]>> {
        let end = self.need(length)?;
        let buffered = self.buffer_offset..self.buffer_offset + self.buffer.len() as u64;
        if self.position < buffered.start || end > buffered.end {
            self.wanted = Some(self.position..end.max(self.position + READ_AHEAD.min(self.remaining())));
            return Ok(None);
        }
        let start = (self.position - self.buffer_offset) as usize;
        Ok(Some(&self.buffer[start..start + length as usize]))
    }

    /// Moves over `length` bytes, whether or not they have arrived.
    pub(super) fn skip(&mut self, length: u64) -> Result<()> {
        self.position = self.need(length)?;
        Ok(())
    }

    fn need(&self, length: u64) -> Result<u64> {
        let end = self.position.checked_add(length).filter(|&end| end <= self.file_length);
        end.ok_or_else(|| {
            Error::truncated("the archive ends too early")
                .figures(format_args!("{length} more bytes"), self.remaining())
                .at(self.position)
        })
    }
}
