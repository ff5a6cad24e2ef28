//! BITXv002; `docs/FORMAT.md` describes its bytes.
//!
//! An archive is a head, which lists the items of the restored file, the records of chunks from
//! front to back, an index and a trailer. The head lets a reader restore the archive as it arrives.
//! Head and trailer, two ranged reads, give the place of every chunk.

mod head;
mod index;
mod reader;
mod record;
mod report;

pub(crate) use head::{BaseFile, Content, Head, Item, Merge, Origin, Packed, Partner, Run, Stretch, View, units};
pub(crate) use index::{ChunkEntry, FactorsEntry, Index, RegionEntry};
pub(crate) use reader::{Directory, DirectoryReader};
pub(crate) use record::{RECORD_HEAD, Record};
pub(crate) use report::report;

/// The version that the magic states.
pub const VERSION: u32 = 2;

pub(crate) const MAGIC: &[u8; 8] = b"BITXv002";

/// Bytes before the head: the magic and the head's length.
pub(crate) const FRONT: u64 = 16;

/// Bytes of a checksum.
pub(crate) const CHECKSUM: usize = 8;

/// Bytes of the trailer: offset and length of the index, and the root digest.
pub(crate) const TRAILER: usize = 8 + 8 + 32;

/// Maximum length of the decoded head in bytes.
pub const MAX_HEAD: u64 = 256 << 20;

/// Maximum length in bytes of the decoded head that is stored in `stored` bytes. The limit keeps a
/// few kilobytes of an archive from taking hundreds of megabytes of memory.
pub(crate) fn most_head(stored: u64) -> u64 {
    stored.saturating_mul(64).saturating_add(8 << 20).min(MAX_HEAD)
}

/// Maximum weight of the head of an archive of so many bytes; see [`Head::parse`].
pub(crate) fn most_weight(archive: u64) -> u64 {
    archive.saturating_mul(48).saturating_add(16 << 20)
}

/// Maximum number of base files of an archive.
pub const MAX_BASES: usize = 65_535;

/// Maximum number of items of an archive.
pub const MAX_ITEMS: u64 = 1 << 18;

/// Maximum number of chunks of a restored file. A region that equals an earlier one counts with
/// that one's chunks.
pub const MAX_CHUNKS: u64 = 1 << 20;

/// Maximum number of runs in all views of an archive.
pub const MAX_RUNS: u64 = 1 << 18;

/// Maximum number of rectangles that the chunks of arranged regions need, where each chunk counts
/// all that it needs.
pub const MAX_USES: u64 = 1 << 22;

/// Maximum length of the range of base bytes that a region resembles. Each of its chunks reads all
/// of the range.
pub const MAX_STRETCH: u64 = 8 << 20;

/// Maximum length in bytes of a span at `offset` that the head holds. Longer spans are coded as
/// chunks. The first span is usually the file's own header, and may be longer than the others.
pub(crate) fn longest_span(offset: u64) -> u64 {
    if offset == 0 { 1 << 20 } else { 4096 }
}

/// XXH3-64 of `bytes`, with seed 0.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    #[cfg(not(target_arch = "wasm32"))]
    return twox_hash::XxHash3_64::oneshot(bytes);
    #[cfg(target_arch = "wasm32")]
    return xxhash_rust::xxh3::xxh3_64(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_another_implementation() {
        let bytes: Vec<u8> = (0..5000u32).map(|i| (i * i >> 5) as u8).collect();
        for length in (0..600).chain([1023, 1024, 1025, 5000]) {
            assert_eq!(checksum(&bytes[..length]), xxhash_rust::xxh3::xxh3_64(&bytes[..length]), "{length}");
        }
    }
}
