//! The pieces of a region: its chunks, and before them the search for a prediction.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::archive::v2::{Content, Head, Item};
use crate::chunk::search::LEAST;
use crate::chunk::{Effort, Matrix, Side, geometry, unit};
use crate::encode::survey::Findings;
use crate::error::Result;
use crate::io::{Inputs, Read, Source};
use crate::layout::{Dtype, Region};
use crate::packed::{Companion, PackedView};
use crate::predict::Factors;
use crate::view::{BaseView, Relation};
use crate::window;

/// A piece of work in a window.
#[derive(Debug)]
pub(super) struct Piece {
    /// Index of the region among those that have chunks of their own.
    pub(super) region: usize,
    pub(super) dtype: Dtype,
    pub(super) matrix: Matrix,
    /// Offset of the region in the target.
    pub(super) offset: u64,
    /// The base words of the region.
    pub(super) view: Option<Arc<BaseView>>,
    /// The tiles of packed numbers; companions are at their offsets in the target.
    pub(super) packed: Option<Arc<PackedView<u64>>>,
    pub(super) work: Work,
}

/// The work of a piece; ranges of bytes are those of its region.
#[derive(Debug)]
pub(super) enum Work {
    /// Searches for factors in a sample of a region of `rows` rows.
    Factors { sample: Vec<Range<u64>>, rows: usize },
    /// Codes a chunk.
    Chunk(Range<u64>),
}

impl Piece {
    /// The bytes of the target that the piece adds to its window.
    pub(super) fn length(&self) -> u64 {
        match &self.work {
            Work::Chunk(range) => range.end - range.start,
            // The sample is all of a small region, which the window reads anyway.
            Work::Factors { sample, .. } if sample.len() == 1 => 0,
            Work::Factors { sample, .. } => sample.iter().map(|range| range.end - range.start).sum(),
        }
    }

    /// The place in the target of the range `range` of the region.
    pub(super) fn target(&self, range: &Range<u64>) -> Range<u64> {
        self.offset + range.start..self.offset + range.end
    }

    /// The base words of the range `range` of the region; `None` without a base.
    pub(super) fn base<'a>(&self, range: &Range<u64>, inputs: &'a Inputs) -> Result<Option<Cow<'a, [u8]>>> {
        self.view.as_ref().map_or(Ok(None), |view| view.take(range.clone(), inputs))
    }

    /// The relation of base ranges to chunks.
    pub(super) fn relation(&self) -> Relation {
        self.view.as_ref().map_or(Relation::Words, |view| view.relation())
    }

    /// The tiles of the range `range` of a region of packed numbers.
    pub(super) fn side(&self, range: &Range<u64>, inputs: &Inputs) -> Result<Option<Side>> {
        let target = |companion: &Companion<u64>, range: Range<u64>| {
            let range = companion.place + range.start..companion.place + range.end;
            inputs.slice(Source::Target, range).map(Cow::Borrowed)
        };
        self.packed.as_ref().map(|packed| packed.side(range, inputs, target)).transpose()
    }

    pub(super) fn reads(&self, reads: &mut Vec<Read>) {
        let ranges = match &self.work {
            Work::Chunk(range) => std::slice::from_ref(range),
            Work::Factors { sample, .. } => sample,
        };
        for range in ranges {
            reads.push(Read::new(Source::Target, self.target(range)));
            self.view.iter().for_each(|view| view.reads(range.clone(), reads));
            for (companion, range) in self.packed.iter().flat_map(|packed| packed.needs(range)) {
                let place = companion.place + range.start..companion.place + range.end;
                reads.push(Read::new(Source::Target, place));
                companion.view.iter().for_each(|view| view.reads(range.clone(), reads));
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
    for (i, item) in head.items.iter().enumerate() {
        let Item::Region { region, content: Content::Chunks(_) } = item else { continue };
        let view = view_of(head, findings, i)?;
        let packed = head.packed.binary_search_by_key(&i, |packed| packed.item).ok();
        let packed =
            packed.map(|at| PackedView::new(&head.packed[at], region.length, |item| companion(head, findings, item)));
        let packed = packed.transpose()?.map(Arc::new);
        let geometry = geometry::of(region);
        let matrix = geometry.matrix;
        let piece = |work| Piece {
            region: number,
            dtype: region.dtype,
            matrix,
            offset: region.offset,
            view: view.clone(),
            packed: packed.clone(),
            work,
        };
        let factors = view.as_ref().and_then(|view| sample(region, view.relation(), matrix, effort));
        pieces.extend(factors.map(piece));
        pieces.extend((0..geometry.count()).map(|i| piece(Work::Chunk(geometry.range(i)))));
        number += 1;
    }
    Ok(pieces)
}

/// The view of a region.
fn view_of(head: &Head, findings: &Findings, item: usize) -> Result<Option<Arc<BaseView>>> {
    let Item::Region { region, content: Content::Chunks(Some(partner)) } = &head.items[item] else { return Ok(None) };
    findings.bases.resolve(region, partner).map(|view| Some(Arc::new(view)))
}

/// The companion that an item is.
fn companion(head: &Head, findings: &Findings, item: usize) -> Result<Companion<u64>> {
    let (dtype, place) = match &head.items[item] {
        Item::Region { region, .. } => (region.dtype, region.offset),
        Item::Span(_) => (Dtype::U8, 0),
    };
    Ok(Companion { dtype, view: view_of(head, findings, item)?, place })
}

/// Number of runs of rows in the sample of a region that is too large to be searched as a whole.
const RUNS: u64 = 32;

/// The search for factors of a region; `None` if the region cannot have any.
fn sample(region: &Region, relation: Relation, matrix: Matrix, effort: Effort) -> Option<Work> {
    let (words, bytes) = unit(region.dtype);
    let columns = matrix.columns as u64;
    let rows = region.length / bytes * words / columns;
    let blocks = region.dtype.is_scaled() && relation == Relation::Words && columns.is_multiple_of(words);
    let moves = blocks || Factors::moves(region.dtype);
    if effort == Effort::Fast || !moves || columns.min(rows) < LEAST as u64 {
        return None;
    }
    let wanted = if effort == Effort::Max {
        rows.min((3 << 20) / columns)
    } else {
        (rows / 2).max(384).min((1 << 20) / columns)
    };
    let row = columns / words * bytes;
    let run = wanted / RUNS;
    let sample = if wanted >= rows || run == 0 {
        std::iter::once(0..rows.min(wanted.max(1)) * row).collect()
    } else {
        (0..RUNS).map(|i| (rows - run) * i / (RUNS - 1) * row).map(|start| start..start + run * row).collect()
    };
    Some(Work::Factors { sample, rows: rows as usize })
}

/// Groups pieces into windows of at most `most` bytes, or one piece. There are enough windows to
/// keep each share of the longest file small, since every window hashes a share of every file; and
/// at least one, which writes head and index.
pub(super) fn windows(pieces: &[Piece], most: u64, longest: u64) -> Vec<Range<usize>> {
    let mut windows = window::group(most, pieces.iter().map(Piece::length));
    let least = usize::try_from(longest.div_ceil(window::COMPRESSED)).unwrap_or(usize::MAX).max(1);
    windows.resize(windows.len().max(least), pieces.len()..pieces.len());
    windows
}
