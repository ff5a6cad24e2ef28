//! The index: every chunk's method and length, the digests of whole files.

use super::{CHECKSUM, RECORD_HEAD, checksum};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::Method;
use crate::chunk::geometry::Geometry;
use crate::error::{Error, Result};

/// The most bytes that a chunk takes: a method, and a length of 32 bits.
const MOST_CHUNK: u64 = 1 + 5;

/// The most bytes that factors take: those of a chunk, a rank, and a number of 64 bits.
const MOST_FACTORS: u64 = MOST_CHUNK + 1 + 10;

/// A BLAKE3 digest.
pub(crate) type Digest = [u8; 32];

/// See the [module](self).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// Regions that have chunks of their own, in the order of their records.
    pub(crate) regions: Vec<RegionEntry>,
    /// Digest of the restored file.
    pub(crate) output: Digest,
    /// Digest of each base file.
    pub(crate) bases: Vec<Digest>,
}

/// The records of one region.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RegionEntry {
    /// The first record, where chunks are predicted.
    pub(crate) factors: Option<FactorsEntry>,
    pub(crate) chunks: Vec<ChunkEntry>,
}

/// The factors of a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FactorsEntry {
    /// Bytes of the payload.
    pub(crate) length: u32,
    /// Number of components.
    pub(crate) rank: u8,
    /// About the bytes that the prediction saved; informative.
    pub(crate) saved: u64,
}

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    pub(crate) method: Method,
    /// Bytes of the payload.
    pub(crate) length: u32,
}

impl FactorsEntry {
    /// Bytes of the record.
    pub(crate) fn stored(&self) -> u64 {
        RECORD_HEAD + u64::from(self.length)
    }

    /// What follows the length of the payload.
    fn read(length: u32, reader: &mut ByteReader<'_>, geometry: &Geometry) -> Result<Self> {
        let (rank, most) = (reader.u8()?, geometry.most_rank());
        if !(1..=most).contains(&usize::from(rank)) {
            return Err(Error::corrupt("rank of the factors").figures(format_args!("1 to {most}"), rank));
        }
        Ok(Self { length, rank, saved: reader.varint()? })
    }
}

impl ChunkEntry {
    /// Bytes of the record.
    pub(crate) fn stored(&self) -> u64 {
        RECORD_HEAD + u64::from(self.length)
    }
}

impl RegionEntry {
    /// Bytes of all its records.
    pub(crate) fn stored(&self) -> u64 {
        let factors = self.factors.map_or(0, |factors| factors.stored());
        factors + self.chunks.iter().map(ChunkEntry::stored).sum::<u64>()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        if let Some(factors) = self.factors {
            bytes.push(Method::Factors as u8);
            put_varint(bytes, u64::from(factors.length));
            bytes.push(factors.rank);
            put_varint(bytes, factors.saved);
        }
        for chunk in &self.chunks {
            bytes.push(chunk.method as u8);
            put_varint(bytes, u64::from(chunk.length));
        }
    }

    fn read(reader: &mut ByteReader<'_>, geometry: &Geometry) -> Result<Self> {
        let mut region = Self::default();
        for chunk in 0..geometry.count() {
            let range = geometry.range(chunk);
            let restored = range.end - range.start;
            let (mut method, mut length) = read_record(reader, restored)?;
            if chunk == 0 && method == Method::Factors {
                region.factors = Some(FactorsEntry::read(length, reader, geometry)?);
                (method, length) = read_record(reader, restored)?;
            }
            region.chunks.push(ChunkEntry { method, length });
        }
        Ok(region)
    }
}

/// The method and the length of a record before or of a chunk of that length, restored.
fn read_record(reader: &mut ByteReader<'_>, restored: u64) -> Result<(Method, u32)> {
    let method = Method::from_number(reader.u8()?)?;
    let length = reader.varint()?;
    // No payload is longer than its chunk, and no chunk is longer than 32 bits can say.
    if length > restored {
        return Err(Error::corrupt("length of a chunk").figures(format_args!("{restored} at most"), length));
    }
    Ok((method, length as u32))
}

impl Index {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.regions.iter().for_each(|region| region.write(&mut bytes));
        bytes.extend_from_slice(&self.output);
        self.bases.iter().for_each(|digest| bytes.extend_from_slice(digest));
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The longest index of an archive with regions cut like this and so many base files.
    pub(crate) fn most_bytes(regions: impl Iterator<Item = Geometry>, bases: usize) -> u64 {
        let region = |geometry: Geometry| geometry.count() * MOST_CHUNK + MOST_FACTORS;
        (CHECKSUM + (1 + bases) * 32) as u64 + regions.map(region).sum::<u64>()
    }

    /// Parses the index of an archive with regions of chunks, cut like this, and so many base files.
    pub(crate) fn parse(bytes: &[u8], regions: impl Iterator<Item = Geometry>, bases: usize) -> Result<Self> {
        let split = bytes.split_last_chunk::<CHECKSUM>();
        let (covered, sum) = split.ok_or_else(|| Error::truncated("the archive's index"))?;
        let (sum, found) = (u64::from_le_bytes(*sum), checksum(covered));
        if sum != found {
            return Err(Error::corrupt("checksum of the index")
                .figures(format_args!("{sum:016x}"), format_args!("{found:016x}")));
        }
        let mut reader = ByteReader::new(covered);
        let regions = regions.map(|geometry| RegionEntry::read(&mut reader, &geometry)).collect::<Result<_>>()?;
        let mut digest = || Ok::<Digest, Error>(*reader.take(32)?.first_chunk().unwrap_or(&[0; 32]));
        let output = digest()?;
        let bases = (0..bases).map(|_| digest()).collect::<Result<_>>()?;
        reader.finish()?;
        Ok(Self { regions, output, bases })
    }
}
