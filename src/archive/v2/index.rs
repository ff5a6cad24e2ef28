//! The index: every chunk's method and length, the digests of whole files.

use super::{CHECKSUM, RECORD_HEAD, checksum};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::Method;
use crate::error::{Error, Result};

/// A BLAKE3 digest.
pub(crate) type Digest = [u8; 32];

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Chunks in the order of their records.
    pub(crate) chunks: Vec<ChunkEntry>,
    /// Digest of the restored file.
    pub(crate) output: Digest,
    /// Digest of each base file.
    pub(crate) bases: Vec<Digest>,
}

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    pub(crate) method: Method,
    /// Bytes of the payload.
    pub(crate) length: u32,
}

impl ChunkEntry {
    /// Bytes of the record.
    pub(crate) fn stored(&self) -> u64 {
        RECORD_HEAD + u64::from(self.length)
    }
}

impl Index {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in &self.chunks {
            bytes.push(chunk.method as u8);
            put_varint(&mut bytes, u64::from(chunk.length));
        }
        bytes.extend_from_slice(&self.output);
        self.bases.iter().for_each(|digest| bytes.extend_from_slice(digest));
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Parses the index of an archive with so many chunks and base files.
    pub(crate) fn parse(bytes: &[u8], chunks: u64, bases: usize) -> Result<Self> {
        let split = bytes.split_last_chunk::<CHECKSUM>();
        let (covered, sum) = split.ok_or_else(|| Error::truncated("the archive's index"))?;
        let (sum, found) = (u64::from_le_bytes(*sum), checksum(covered));
        if sum != found {
            return Err(Error::corrupt("checksum of the index")
                .figures(format_args!("{sum:016x}"), format_args!("{found:016x}")));
        }
        // A chunk takes two bytes at least: a forged count allocates no more than the index justifies.
        if chunks > covered.len() as u64 / 2 {
            return Err(Error::corrupt("number of chunks").figures(chunks, format_args!("{} bytes", covered.len())));
        }
        let mut reader = ByteReader::new(covered);
        let mut index = Self { chunks: Vec::with_capacity(chunks as usize), ..Self::default() };
        for _ in 0..chunks {
            let method = Method::from_number(reader.u8()?)?;
            let length = reader.varint()?;
            let length =
                u32::try_from(length).map_err(|_| Error::corrupt("length of a chunk").figures(u32::MAX, length))?;
            index.chunks.push(ChunkEntry { method, length });
        }
        let mut digest = || Ok::<Digest, Error>(*reader.take(32)?.first_chunk().unwrap_or(&[0; 32]));
        index.output = digest()?;
        index.bases = (0..bases).map(|_| digest()).collect::<Result<_>>()?;
        reader.finish()?;
        Ok(index)
    }
}
