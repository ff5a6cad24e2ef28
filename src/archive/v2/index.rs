//! The index: every chunk's method and length, the digests of whole files.

use super::{CHECKSUM, RECORD_HEAD, checksum};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::Method;
use crate::error::{Error, Result};

/// The most bytes that an entry takes: a method, and a length of 32 bits.
const MOST_ENTRY: u64 = 1 + 5;

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

    /// The longest index of an archive with so many chunks and base files.
    pub(crate) fn most_bytes(chunks: u64, bases: usize) -> u64 {
        (CHECKSUM + (1 + bases) * 32) as u64 + chunks * MOST_ENTRY
    }

    /// Parses the index of an archive with chunks of these lengths, restored, and so many base files.
    pub(crate) fn parse(bytes: &[u8], chunks: impl Iterator<Item = u64>, bases: usize) -> Result<Self> {
        let split = bytes.split_last_chunk::<CHECKSUM>();
        let (covered, sum) = split.ok_or_else(|| Error::truncated("the archive's index"))?;
        let (sum, found) = (u64::from_le_bytes(*sum), checksum(covered));
        if sum != found {
            return Err(Error::corrupt("checksum of the index")
                .figures(format_args!("{sum:016x}"), format_args!("{found:016x}")));
        }
        let mut reader = ByteReader::new(covered);
        let mut index = Self::default();
        for restored in chunks {
            let method = Method::from_number(reader.u8()?)?;
            let length = reader.varint()?;
            // No payload is longer than its chunk, and no chunk is longer than 32 bits can say.
            if length > restored {
                return Err(Error::corrupt("length of a chunk").figures(format_args!("{restored} at most"), length));
            }
            index.chunks.push(ChunkEntry { method, length: length as u32 });
        }
        let mut digest = || Ok::<Digest, Error>(*reader.take(32)?.first_chunk().unwrap_or(&[0; 32]));
        index.output = digest()?;
        index.bases = (0..bases).map(|_| digest()).collect::<Result<_>>()?;
        reader.finish()?;
        Ok(index)
    }
}
