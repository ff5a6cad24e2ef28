//! The record of a chunk: method, length, checksums of the chunk's bytes and of its base range, and
//! the payload.

use super::checksum;
use crate::bytes::ByteReader;
use crate::chunk::Method;
use crate::error::{Error, Result};

/// Bytes of a record before its payload.
pub(crate) const RECORD_HEAD: u64 = 1 + 4 + 8 + 8;

/// A chunk as the archive stores it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) method: Method,
    /// Checksum of the restored bytes.
    pub(crate) output: u64,
    /// Checksum of the base range; 0 without a base.
    pub(crate) base: u64,
    pub(crate) payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// Creates the record of the chunk `target`, coded as `payload` against `base`.
    pub(crate) fn new(method: Method, payload: &'a [u8], base: Option<&[u8]>, target: &[u8]) -> Self {
        Self { method, output: checksum(target), base: base.map_or(0, checksum), payload }
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(self.method as u8);
        bytes.extend_from_slice(&(self.payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.output.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(self.payload);
    }

    /// Parses `bytes` as exactly one record.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = ByteReader::new(bytes);
        let method = Method::from_number(reader.u8()?)?;
        let length = u32::from_le_bytes(*reader.take(4)?.first_chunk().unwrap_or(&[0; 4]));
        let (output, base) = (reader.u64()?, reader.u64()?);
        let payload = reader.rest();
        if payload.len() != length as usize {
            return Err(Error::corrupt("the length of a chunk does not match").figures(payload.len(), length));
        }
        Ok(Self { method, output, base, payload })
    }

    /// Checks the restored bytes. If they are wrong, the error tells a wrong base from a damaged
    /// archive.
    pub(crate) fn check(&self, base: Option<&[u8]>, target: &[u8]) -> Result<()> {
        let found = checksum(target);
        if found == self.output {
            return Ok(());
        }
        Err(match self.explain(base) {
            Err(wrong_base) => wrong_base,
            Ok(()) => Error::corrupt("the checksum of the restored bytes does not match")
                .figures(format_args!("{:016x}", self.output), format_args!("{found:016x}")),
        })
    }

    /// Fails if the base range is not the one that the chunk was coded against: the usual reason
    /// why a chunk does not decode.
    pub(crate) fn explain(&self, base: Option<&[u8]>) -> Result<()> {
        let found = base.map_or(0, checksum);
        if found == self.base {
            return Ok(());
        }
        Err(Error::base_mismatch("the base's tensor holds other weights than the archive was made against")
            .figures(format_args!("checksum {:016x}", self.base), format_args!("{found:016x}")))
    }
}
