//! The headers of a zstd frame and its blocks (RFC 8878, section 3.1.1). They tell the length of
//! the frame and a bound of its decoded length before any of it is decoded.

use zrip::frame::header::parse_frame_header;

use crate::error::{Error, Result};

/// Bytes of the smallest block with content: a header of 3 bytes and the byte that it repeats.
pub(super) const MIN_BLOCK: u64 = 4;

/// Bytes of the largest block after decoding.
pub(super) const MAX_BLOCK: usize = 128 * 1024;

/// Bytes of the largest window that is accepted: the default limit of zstd's own decoder.
const MAX_WINDOW: u64 = 128 << 20;

/// Checks that `frame` is one complete frame with nothing behind it, and that its blocks can hold
/// `length` bytes.
///
/// # Errors
/// `Corrupt` or `Truncated` for anything else, `Unsupported` for a frame with a dictionary, `Limit`
/// for a window above 128 MiB.
pub(super) fn check(frame: &[u8], length: usize) -> Result<()> {
    let header = parse_frame_header(frame).map_err(|e| Error::corrupt(format!("the bytes are no zstd frame: {e}")))?;
    if header.dict_id.is_some() {
        return Err(Error::unsupported("the zstd frame needs a dictionary"));
    }
    if !header.single_segment && header.window_size > MAX_WINDOW {
        let expected = format_args!("at most {MAX_WINDOW} bytes");
        return Err(Error::limit("the window of the zstd frame is too large").figures(expected, header.window_size));
    }
    if let Some(found) = header.frame_content_size.filter(|&n| n != length as u64) {
        return Err(Error::corrupt("the zstd frame declares a wrong length").figures(length, found));
    }
    let checksum = if header.content_checksum { 4 } else { 0 };
    let (end, capacity) = walk_blocks(frame, header.header_size)?;
    if frame.len() < end + checksum {
        return Err(Error::truncated("the zstd frame ends too early").figures(end + checksum, frame.len()));
    }
    if frame.len() > end + checksum {
        return Err(Error::corrupt("there are bytes after the zstd frame").figures(end + checksum, frame.len()));
    }
    if capacity < length {
        return Err(Error::corrupt("the blocks of the zstd frame hold too little").figures(length, capacity));
    }
    Ok(())
}

/// Walks the block headers from `offset` on. Returns the end of the last block, and the largest
/// number of bytes that all blocks together can decode to.
fn walk_blocks(frame: &[u8], mut offset: usize) -> Result<(usize, usize)> {
    let mut capacity = 0usize;
    loop {
        let header = frame
            .get(offset..offset + 3)
            .ok_or_else(|| Error::truncated("the zstd frame ends in a block header").at(offset as u64))?;
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let size = (header >> 3) as usize;
        let (stored, decoded) = match header >> 1 & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, MAX_BLOCK),
            _ => return Err(Error::corrupt("a zstd block has the reserved type 3").at(offset as u64)),
        };
        offset += 3 + stored;
        capacity = capacity.saturating_add(decoded);
        if offset > frame.len() {
            return Err(Error::truncated("the zstd frame ends in a block").figures(offset, frame.len()));
        }
        if header & 1 == 1 {
            return Ok((offset, capacity));
        }
    }
}
