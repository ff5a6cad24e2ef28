//! Streams and the tables of their parts.

use std::ops::Range;

use super::{ZIDX, ZIDX_HEAD, ZIDX_ROW};
use crate::archive::cursor::Cursor;
use crate::error::{Error, Result};
use crate::layout::Region;
use crate::steps;

/// A stream: one or more zstd frames in a row.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Bytes in the archive, including the table of parts.
    pub(crate) stored: u64,
    /// The frames.
    pub(crate) parts: Vec<Part>,
}

/// One zstd frame of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// The frame's range of bytes in the archive.
    pub(crate) stored: Range<u64>,
    /// Number of bytes that the frame decodes to.
    pub(crate) restored: u64,
}

/// Length in bytes of the `ZIDX` table at the cursor; 0 for a bare frame, and `None` if bytes have
/// to arrive first.
pub(super) fn table_length(cursor: &mut Cursor, stream_length: u64) -> Result<Option<u64>> {
    if stream_length < ZIDX_HEAD {
        return Ok(Some(0));
    }
    let at = cursor.position();
    let Some(head) = cursor.peek(ZIDX_HEAD)? else { return Ok(None) };
    if !head.starts_with(ZIDX) {
        return Ok(Some(0));
    }
    let parts = u64::from(u32_at(head, 4));
    let length = ZIDX_HEAD + parts * ZIDX_ROW;
    if length > stream_length {
        return Err(Error::corrupt("the table of parts is longer than its stream")
            .figures(format_args!("at most {stream_length} bytes"), length)
            .at(at));
    }
    Ok(Some(length))
}

/// Reads the `ZIDX` table of a stream at offset `start`. The stream's parts must fill its `length`
/// and add up to `restored` bytes.
pub(super) fn read_parts(table: &[u8], start: u64, length: u64, restored: u64) -> Result<Vec<Part>> {
    let mut offset = start + table.len() as u64;
    let mut total = 0u64;
    let rows = table[ZIDX_HEAD as usize..].as_chunks::<8>().0;
    steps::add(rows.len());
    let mut parts = Vec::with_capacity(rows.len());
    for row in rows {
        let (stored, decoded) = (u64::from(u32_at(row, 0)), u64::from(u32_at(row, 4)));
        parts.push(Part { stored: offset..offset + stored, restored: decoded });
        offset += stored;
        total += decoded;
    }
    if offset != start + length {
        return Err(Error::corrupt("the parts do not fill their stream").figures(length, offset - start).at(start));
    }
    if total != restored {
        return Err(Error::corrupt("the parts do not add up to the length of their stream")
            .figures(restored, total)
            .at(start));
    }
    Ok(parts)
}

/// Refuses parts without bytes, and parts that claim to restore more than zstd can hold in their
/// bytes, before memory is planned for them.
pub(super) fn check_plausible(region: &Region, parts: &[Part]) -> Result<()> {
    for part in parts {
        let stored = part.stored.end - part.stored.start;
        if stored == 0 {
            let error = Error::corrupt("a part of the stream has no bytes");
            return Err(error.tensor(&region.name).at(part.stored.start));
        }
        let most = crate::entropy::zstd::most_restored(stored);
        if part.restored > most {
            return Err(Error::corrupt("the stream is too short for the bytes that it should hold")
                .tensor(&region.name)
                .figures(format_args!("at most {most} bytes"), part.restored)
                .at(part.stored.start));
        }
    }
    Ok(())
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..].first_chunk().map_or(0, |b| u32::from_le_bytes(*b))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes[offset..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b))
}
