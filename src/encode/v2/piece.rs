//! The work that a region is: its chunks, and before them the search for a prediction.

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

/// A task of a window.
#[derive(Debug)]
pub(super) struct Piece {
    /// Number of the region, of those that have chunks of their own.
    pub(super) region: usize,
    pub(super) dtype: Dtype,
    pub(super) matrix: Matrix,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    /// Looks for factors in a sample of a region of so many rows.
    Factors { sample: Vec<Pair>, rows: usize },
    /// Codes a chunk.
    Chunk { target: Range<u64>, base: Option<(Source, Range<u64>)> },
}

/// The same elements of target and base.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub(super) target: Range<u64>,
    pub(super) base: (Source, Range<u64>),
}

impl Piece {
    /// What the piece adds to its window, in bytes of the target.
    pub(super) fn length(&self) -> u64 {
        match &self.work {
            Work::Chunk { target, .. } => target.end - target.start,
            // A small region is in the same window anyway.
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

/// The pieces of all regions, front to back.
///
/// # Errors
/// A partner that the base does not have.
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

/// Runs of rows of a region that is too large to look at all of it.
const RUNS: u64 = 32;

/// The search for factors, where a region can have some.
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

/// Windows of pieces. There are at least as many as keep each share of the longest file small, since the digests
/// of whole files are taken in shares; and one at least, which writes head and index.
pub(super) fn windows(pieces: &[Piece], longest: u64) -> Vec<Range<usize>> {
    let mut windows = window::group(window::COMPRESSED, pieces.iter().map(Piece::length));
    let least = usize::try_from(longest.div_ceil(window::COMPRESSED)).unwrap_or(usize::MAX).max(1);
    windows.resize(windows.len().max(least), pieces.len()..pieces.len());
    windows
}
