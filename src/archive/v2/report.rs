//! The report of an archive: its head and index as data for users.

use super::{ChunkEntry, Content, Directory, Head, Index, Item, RegionEntry, VERSION};
use crate::chunk;
use crate::report::{BaseReport, Method, Prediction, Report, TensorReport};

impl Directory {
    /// The content of the archive.
    pub(crate) fn report(&self) -> Report {
        report(&self.head, &self.index, self.archive_length)
    }
}

/// The content of an archive of `stored_bytes` with this head and this index.
pub(crate) fn report(head: &Head, index: &Index, stored_bytes: u64) -> Report {
    let files = head.bases.iter().zip(&index.bases).enumerate();
    Report {
        version: VERSION,
        stored_bytes,
        restored_bytes: head.items.iter().map(Item::length).sum(),
        blake3: Some(index.output),
        bases: files.map(|(file, (base, &blake3))| BaseReport { file, length: base.length, blake3 }).collect(),
        tensors: tensors(&head.items, &index.regions),
    }
}

/// The storage of every tensor, given the index entries of those that have chunks of their own.
fn tensors(items: &[Item], regions: &[RegionEntry]) -> Vec<TensorReport> {
    let mut regions = regions.iter();
    let mut tensors = Vec::new();
    for item in items {
        let Item::Region { region, content } = item else { continue };
        tensors.push(match content {
            Content::Earlier(_) => TensorReport::new(region, Method::CopyEarlier, 0),
            Content::Chunks(_) => {
                let none = RegionEntry::default();
                let entry = regions.next().unwrap_or(&none);
                let mut report = TensorReport::new(region, dominant(&entry.chunks), entry.stored());
                report.prediction = entry.factors.map(|f| Prediction { rank: f.rank, saved_bytes: f.saved });
                report
            }
        });
    }
    tensors
}

/// The method of the chunk that takes the most bytes in the archive.
fn dominant(chunks: &[ChunkEntry]) -> Method {
    let largest = chunks.iter().max_by_key(|chunk| chunk.length);
    match largest.map_or(chunk::Method::Stored, |chunk| chunk.method) {
        chunk::Method::Stored | chunk::Method::Factors => Method::Stored,
        chunk::Method::Zstd => Method::Zstd,
        chunk::Method::Copy => Method::CopyBase,
        chunk::Method::Delta | chunk::Method::Nibbles | chunk::Method::Sparse => Method::Delta,
        chunk::Method::Grid => Method::Grid,
        chunk::Method::Solo => Method::Solo,
        chunk::Method::Predicted | chunk::Method::Moved => Method::Predicted,
        chunk::Method::Narrow => Method::Narrow,
        chunk::Method::Palette => Method::Palette,
        chunk::Method::Patch => Method::Patch,
    }
}
