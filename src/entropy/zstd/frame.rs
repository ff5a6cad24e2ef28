//! The outside of a zstd frame (RFC 8878, section 3.1.1): enough to know how long it is and how much
//! it can hold, before any of it is decoded.

use zrip::frame::header::parse_frame_header;

use crate::error::{Error, Result};

/// The smallest block that decodes to anything: a header of 3 bytes and the byte that it repeats.
pub(super) const MIN_BLOCK: u64 = 4;

/// The largest block, decoded.
pub(super) const MAX_BLOCK: usize = 128 * 1024;

/// The largest window that is accepted: the largest that zstd's own decoder takes unasked.
const MAX_WINDOW: u64 = 128 << 20;

/// Checks that `frame` is one whole frame with nothing behind it, whose blocks can hold `length` bytes.
pub(super) fn check(frame: &[u8], length: usize) -> Result<()> {
    let header = parse_frame_header(frame).map_err(|e| Error::corrupt(format!("not a zstd frame: {e}")))?;
    if header.dict_id.is_some() {
        return Err(Error::unsupported("the zstd frame needs a dictionary"));
    }
    if !header.single_segment && header.window_size > MAX_WINDOW {
        return Err(Error::limit("zstd window").figures(format_args!("at most {MAX_WINDOW}"), header.window_size));
    }
    if let Some(found) = header.frame_content_size.filter(|&n| n != length as u64) {
        return Err(Error::corrupt("zstd frame length").figures(length, found));
    }
    let checksum = if header.content_checksum { 4 } else { 0 };
    let (end, capacity) = walk_blocks(frame, header.header_size)?;
    if frame.len() < end + checksum {
        return Err(Error::truncated("zstd frame").figures(end + checksum, frame.len()));
    }
    if frame.len() > end + checksum {
        return Err(Error::corrupt("bytes behind the zstd frame").figures(end + checksum, frame.len()));
    }
    if capacity < length {
        return Err(Error::corrupt("the zstd blocks hold too little").figures(length, capacity));
    }
    Ok(())
}

/// Where the last block ends, and the most bytes that all blocks together can decode to.
fn walk_blocks(frame: &[u8], mut offset: usize) -> Result<(usize, usize)> {
    let mut capacity = 0usize;
    loop {
        let header =
            frame.get(offset..offset + 3).ok_or_else(|| Error::truncated("zstd block header").at(offset as u64))?;
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let size = (header >> 3) as usize;
        let (stored, decoded) = match header >> 1 & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, MAX_BLOCK),
            _ => return Err(Error::corrupt("zstd block type 3").at(offset as u64)),
        };
        offset += 3 + stored;
        capacity = capacity.saturating_add(decoded);
        if offset > frame.len() {
            return Err(Error::truncated("zstd block").figures(offset, frame.len()));
        }
        if header & 1 == 1 {
            return Ok((offset, capacity));
        }
    }
}
