//! Little-endian fields and variable-length integers (LEB128) in byte strings.

use crate::error::{Error, Result};
use crate::steps;

/// Appends `value` in LEB128: seven bits per byte, the lowest first.
pub(crate) fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends the length of `field`, as a varint, and its bytes.
pub(crate) fn put_prefixed(bytes: &mut Vec<u8>, field: &[u8]) {
    put_varint(bytes, field.len() as u64);
    bytes.extend_from_slice(field);
}

/// Reads fields from the front of a byte string.
#[derive(Debug, Clone)]
pub(crate) struct ByteReader<'a> {
    bytes: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Takes the next `length` bytes.
    pub(crate) fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        steps::add(1);
        let available = self.bytes.len();
        let split = usize::try_from(length).ok().and_then(|n| self.bytes.split_at_checked(n));
        let (taken, rest) =
            split.ok_or_else(|| Error::truncated("the bytes end inside a field").figures(length, available))?;
        self.bytes = rest;
        Ok(taken)
    }

    /// Takes all bytes that are left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(self.take(8)?.first_chunk().map_or(0, |b| u64::from_le_bytes(*b)))
    }

    /// Reads a LEB128 integer, which must be in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::corrupt("a variable-length integer is malformed"))
    }

    /// Reads a field that [`put_prefixed`] wrote, without its length.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8]> {
        let length = self.varint()?;
        self.take(length)
    }

    /// Checks that no bytes are left.
    pub(crate) fn finish(self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            extra => Err(Error::corrupt("there are bytes behind the last field").figures(0, extra)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive_a_round_trip() {
        let values = [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX];
        let mut bytes = Vec::new();
        values.iter().for_each(|&v| put_varint(&mut bytes, v));
        let mut reader = ByteReader::new(&bytes);
        values.iter().for_each(|&v| assert_eq!(reader.varint().unwrap(), v));
        reader.finish().unwrap();
    }

    #[test]
    fn long_forms_and_overflows_are_refused() {
        for bytes in
            [&[0x80, 0][..], &[0xff; 10], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], &[0x80], &[]]
        {
            ByteReader::new(bytes).varint().unwrap_err();
        }
    }
}
