//! Writes an archive, front to back.

use super::{MAGIC, TYPE_ALONE, TYPE_PAIRED, ZIDX};
use crate::error::{Error, Result};

/// One encoded part of a stream: a zstd frame, and the number of bytes that it decodes to.
pub(crate) type Coded = (Vec<u8>, u32);

/// Writes the magic, the target's header and the number of entries.
pub(crate) fn begin_archive(output: &mut Vec<u8>, header: &[u8], tensors: usize) -> Result<()> {
    let count = u32::try_from(tensors)
        .map_err(|_| Error::limit("the model has too many tensors").figures(u32::MAX, tensors))?;
    output.extend_from_slice(MAGIC);
    output.extend_from_slice(&(header.len() as u64).to_le_bytes());
    output.extend_from_slice(header);
    output.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

/// Writes an entry of type 0 and returns the number of bytes that its streams take.
pub(crate) fn write_paired(
    output: &mut Vec<u8>,
    name: &str,
    exponent: &[Coded],
    sign_mantissa: &[Coded],
) -> Result<u64> {
    begin_entry(output, name, TYPE_PAIRED)?;
    Ok(write_stream(output, exponent) + write_stream(output, sign_mantissa))
}

/// Writes an entry of type 1 for a tensor of `length` bytes, and returns the number of bytes that
/// its stream takes.
pub(crate) fn write_alone(output: &mut Vec<u8>, name: &str, length: u64, stream: &[Coded]) -> Result<u64> {
    begin_entry(output, name, TYPE_ALONE)?;
    output.extend_from_slice(&length.to_le_bytes());
    Ok(write_stream(output, stream))
}

fn begin_entry(output: &mut Vec<u8>, name: &str, kind: u8) -> Result<()> {
    let length = u32::try_from(name.len()).map_err(|_| Error::limit("the tensor's name is too long").tensor(name))?;
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(name.as_bytes());
    output.push(kind);
    Ok(())
}

/// Writes the length and the bytes of a stream: a bare frame, or several behind a `ZIDX` table.
/// Returns the length.
fn write_stream(output: &mut Vec<u8>, parts: &[Coded]) -> u64 {
    let frames: u64 = parts.iter().map(|(frame, _)| frame.len() as u64).sum();
    if let [(frame, _)] = parts {
        output.extend_from_slice(&frames.to_le_bytes());
        output.extend_from_slice(frame);
        return frames;
    }
    let length = super::ZIDX_HEAD + super::ZIDX_ROW * parts.len() as u64 + frames;
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(ZIDX);
    output.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    for (frame, restored) in parts {
        output.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        output.extend_from_slice(&restored.to_le_bytes());
    }
    parts.iter().for_each(|(frame, _)| output.extend_from_slice(frame));
    length
}
