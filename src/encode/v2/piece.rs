//! The pieces of a region: its chunks, and before them the search for a prediction.

use std::ops::Range;

use crate::archive::v2::{Content, Head, Item};
use crate::chunk::search::LEAST;
use crate::chunk::{Effort, Matrix, geometry, unit};
use crate::encode::survey::Findings;
use crate::error::Result;
use crate::io::{Read, Source};
use crate::layout::{Dtype, Region};
use crate::predict::Factors;
use crate::window;

/// A piece of work in a window.
#[derive(Debug)]
pub(super) struct Piece {
    /// Index of the region among those that have chunks of their own.
    pub(super) region: usize,
    pub(super) dtype: Dtype,
    pub(super) matrix: Matrix,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    /// Searches for factors in a sample of a region of `rows` rows.
    Factors { sample: Vec<Pair>, rows: usize },
    /// Codes a chunk.
    Chunk { target: Range<u64>, base: Option<(Source, Range<u64>)> },
}

/// The ranges of the same elements in target and base.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) target: Range<u64>,
    pub(super) base: (Source, Range<u64>),
}

impl Piece {
    /// The bytes of the target that the piece adds to its window.
    pub(super) fn length(&self) -> u64 {
        match &self.work {
            Work::Chunk { target, .. } => target.end - target.start,
            // The sample is all of a small region, which the window reads anyway.
            Work::Factors { sample, .. } if sample.len() == 1 => 0,
            Work::Factors { sample, .. } => sample.iter().map(|pair| pair.target.end - pair.target.start).sum(),
        }
    }

    pub(super) fn reads(&self, reads: &mut Vec<Read>) {
        match &self.work {
            Work::Chunk { target, base } => {
                reads.push(Read::new(Source::Target, target.clone()));
                reads.extend(base.iter().map(|(source, range)| Read::new(*source, range.clone())));
            }
            Work::Factors { sample, .. } => {
                for pair in sample {
                    reads.push(Read::new(Source::Target, pair.target.clone()));
                    reads.push(Read::new(pair.base.0, pair.base.1.clone()));
                }
            }
        }
    }
}

/// Plans the pieces of all regions, front to back.
///
/// # Errors
/// `BaseMismatch` for a partner that the base does not have.
pub(super) fn plan(head: &Head, findings: &Findings, effort: Effort) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut number = 0;
    for item in &head.items {
        let Item::Region { region, content: Content::Chunks(partner) } = item else { continue };
        let base = partner.as_ref().map(|partner| findings.bases.locate(region, partner)).transpose()?;
        let geometry = geometry::of(region);
        let piece = |work| Piece { region: number, dtype: region.dtype, matrix: geometry.matrix, work };
        pieces.extend(base.and_then(|base| sample(region, geometry.matrix, base, effort)).map(piece));
        pieces.extend((0..geometry.count()).map(|i| {
            let range = geometry.range(i);
            let target = region.offset + range.start..region.offset + range.end;
            let base = base.map(|(source, offset)| (source, offset + range.start..offset + range.end));
            piece(Work::Chunk { target, base })
        }));
        number += 1;
    }
    Ok(pieces)
}

/// Number of runs of rows in the sample of a region that is too large to be searched as a whole.
const RUNS: u64 = 32;

/// The search for factors of a region; `None` if the region cannot have any.
fn sample(region: &Region, matrix: Matrix, base: (Source, u64), effort: Effort) -> Option<Work> {
    let (_, bytes) = unit(region.dtype);
    let columns = matrix.columns as u64;
    let rows = region.length / bytes / columns;
    if effort == Effort::Fast || !Factors::moves(region.dtype) || columns.min(rows) < LEAST as u64 {
        return None;
    }
    let wanted = if effort == Effort::Max {
        rows.min((3 << 20) / columns)
    } else {
        (rows / 2).max(384).min((1 << 20) / columns)
    };
    let pair = |range: Range<u64>| Pair {
        target: region.offset + range.start..region.offset + range.end,
        base: (base.0, base.1 + range.start..base.1 + range.end),
    };
    let row = columns * bytes;
    let run = wanted / RUNS;
    let sample = if wanted >= rows || run == 0 {
        vec![pair(0..rows.min(wanted.max(1)) * row)]
    } else {
        (0..RUNS).map(|i| (rows - run) * i / (RUNS - 1) * row).map(|start| pair(start..start + run * row)).collect()
    };
    Some(Work::Factors { sample, rows: rows as usize })
}

/// Groups pieces into windows. There are enough windows to keep each share of the longest file
/// small, since every window hashes a share of every file; and at least one, which writes head and
/// index.
pub(super) fn windows(pieces: &[Piece], longest: u64) -> Vec<Range<usize>> {
    let mut windows = window::group(window::COMPRESSED, pieces.iter().map(Piece::length));
    let least = usize::try_from(longest.div_ceil(window::COMPRESSED)).unwrap_or(usize::MAX).max(1);
    windows.resize(windows.len().max(least), pieces.len()..pieces.len());
    windows
}
