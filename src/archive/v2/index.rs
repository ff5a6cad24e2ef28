//! The index: the method and length of every chunk, and the digests of whole files.

use super::{CHECKSUM, RECORD_HEAD, checksum};
use crate::bytes::{ByteReader, put_varint};
use crate::chunk::Method;
use crate::chunk::geometry::Geometry;
use crate::error::{Error, Result};
use crate::pace::Pace;

/// Maximum number of bytes of a chunk's entry: a method, and a length of 32 bits.
const MOST_CHUNK: u64 = 1 + 5;

/// Maximum number of bytes of an entry of factors: a chunk's, a rank, and a number of 64 bits.
const MOST_FACTORS: u64 = MOST_CHUNK + 1 + 10;

/// A BLAKE3 digest.
pub(crate) type Digest = [u8; 32];

/// The content of the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    /// The regions that have chunks of their own, in the order of their records.
    pub(crate) regions: Vec<RegionEntry>,
    /// Digest of the restored file.
    pub(crate) output: Digest,
    /// Digest of each base file.
    pub(crate) bases: Vec<Digest>,
}

/// The entries of one region's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RegionEntry {
    /// The region's first record, if its chunks are predicted.
    pub(crate) factors: Option<FactorsEntry>,
    pub(crate) chunks: Vec<ChunkEntry>,
}

/// The entry of a region's factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FactorsEntry {
    /// Bytes of the payload.
    pub(crate) length: u32,
    /// Number of components.
    pub(crate) rank: u8,
    /// An estimate of the bytes that the prediction saved; informative.
    pub(crate) saved: u64,
}

/// The entry of one chunk.
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

    /// Reads the fields behind the length of the payload.
    fn read(length: u32, reader: &mut ByteReader<'_>, geometry: &Geometry) -> Result<Self> {
        let (rank, most) = (reader.u8()?, geometry.most_rank());
        if !(1..=most).contains(&usize::from(rank)) {
            return Err(
                Error::corrupt("the rank of the factors is impossible").figures(format_args!("1 to {most}"), rank)
            );
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
    /// Bytes of all records of the region.
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

    /// Reads the entry of a chunk, and before that of the first one that of the factors.
    fn read_chunk(&mut self, reader: &mut ByteReader<'_>, geometry: &Geometry, chunk: u64) -> Result<()> {
        let range = geometry.range(chunk);
        let restored = range.end - range.start;
        let (mut method, mut length) = read_record(reader, restored)?;
        if chunk == 0 && method == Method::Factors {
            self.factors = Some(FactorsEntry::read(length, reader, geometry)?);
            (method, length) = read_record(reader, restored)?;
        }
        self.chunks.push(ChunkEntry { method, length });
        Ok(())
    }
}

/// Reads the method and the length of a record, which is that of a chunk of `restored` bytes or
/// precedes it.
fn read_record(reader: &mut ByteReader<'_>, restored: u64) -> Result<(Method, u32)> {
    let method = Method::from_number(reader.u8()?)?;
    let length = reader.varint()?;
    // No payload is longer than its chunk, and the length of a chunk fits in 32 bits.
    if length > restored {
        return Err(
            Error::corrupt("the payload is longer than its chunk").figures(format_args!("at most {restored}"), length)
        );
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

    /// Maximum length in bytes of the index of an archive with these regions and number of base
    /// files.
    pub(crate) fn most_bytes(regions: impl Iterator<Item = Geometry>, bases: usize) -> u64 {
        let region = |geometry: Geometry| geometry.count() * MOST_CHUNK + MOST_FACTORS;
        (CHECKSUM + (1 + bases) * 32) as u64 + regions.map(region).sum::<u64>()
    }

    /// Parses the index of an archive whose regions are cut into chunks by these geometries, and
    /// which has this number of base files.
    pub(crate) async fn parse(bytes: &[u8], geometries: impl Iterator<Item = Geometry>, bases: usize) -> Result<Self> {
        let split = bytes.split_last_chunk::<CHECKSUM>();
        let (covered, sum) = split.ok_or_else(|| Error::truncated("the archive's index is too short"))?;
        let (sum, found) = (u64::from_le_bytes(*sum), checksum(covered));
        if sum != found {
            return Err(Error::corrupt("the checksum of the index does not match")
                .figures(format_args!("{sum:016x}"), format_args!("{found:016x}")));
        }
        let mut reader = ByteReader::new(covered);
        let mut pace = Pace::default();
        let mut regions = Vec::new();
        for geometry in geometries {
            let mut region = RegionEntry::default();
            for chunk in 0..geometry.count() {
                region.read_chunk(&mut reader, &geometry, chunk)?;
                pace.turn().await;
            }
            regions.push(region);
        }
        let mut digest = || Ok::<Digest, Error>(*reader.take(32)?.first_chunk().unwrap_or(&[0; 32]));
        let output = digest()?;
        let bases = (0..bases).map(|_| digest()).collect::<Result<_>>()?;
        reader.finish()?;
        Ok(Self { regions, output, bases })
    }
}
