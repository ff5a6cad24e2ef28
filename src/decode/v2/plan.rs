//! The plan of a restore: its pieces, the chunks that they are restored from, and windows.

use std::ops::Range;
use std::sync::Arc;

use crate::archive::v2::{Content, Directory, Head, Item, Packed, Partner, units};
use crate::chunk::{self, Matrix, geometry};
use crate::decode::{Windows, no_such_tensor};
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::pace::Pace;
use crate::packed::{Companion, PackedView};
use crate::parallel;
use crate::plan::BaseSet;
use crate::steps;
use crate::view::BaseView;
use crate::window::{self, Grouping};

/// Everything that is decided before the first window runs.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) directory: Directory,
    pub(super) chunks: Vec<Chunk>,
    pub(super) pieces: Vec<Piece>,
    pub(super) windows: Vec<Window>,
    pub(super) output_length: u64,
    pub(super) scratch: parallel::Scratch<chunk::Scratch>,
}

/// Consecutive pieces, and their places in output and archive.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) pieces: Range<usize>,
    /// Offset of the first piece in the output.
    pub(super) offset: u64,
    /// The range of the archive that this window adds to the root digest. The ranges of consecutive
    /// windows are consecutive.
    pub(super) records: Range<u64>,
}

/// Consecutive bytes of the output that are restored on their own: a span or a chunk. Regions that
/// equal an earlier one share its chunks, so a few bytes of an archive may stand for many pieces.
/// The fields are therefore small.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) item: u32,
    pub(super) length: u32,
    /// Index of the chunk; `None` for a span.
    pub(super) chunk: Option<u32>,
}

impl Piece {
    /// Creates a piece. The limits of the head keep all three numbers below 2^32.
    fn new(item: usize, length: u64, chunk: Option<usize>) -> Self {
        Self { item: item as u32, length: length as u32, chunk: chunk.map(|chunk| chunk as u32) }
    }

    pub(super) fn item(&self) -> usize {
        self.item as usize
    }

    pub(super) fn length(&self) -> u64 {
        u64::from(self.length)
    }
}

/// The sources of a chunk's bytes.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The range of bytes in the region.
    pub(super) range: Range<u64>,
    pub(super) record: Range<u64>,
    pub(super) method: chunk::Method,
    pub(super) dtype: Dtype,
    pub(super) matrix: Matrix,
    pub(super) base: Option<Arc<BaseView>>,
    /// The range of the record of its region's factors, and their rank, if the chunk may need them.
    pub(super) factors: Option<(Range<u64>, u8)>,
    /// The tiles of packed numbers, if the chunk needs them; companions are ranges of chunks.
    pub(super) packed: Option<Arc<PackedView<Range<usize>>>>,
}

/// The records of an item's chunks; empty for an item without chunks of its own.
#[derive(Default)]
struct Chunks {
    /// The range of the record of the factors, and their rank.
    factors: Option<(Range<u64>, u8)>,
    /// The range of each chunk's record, and the chunk's method.
    records: Vec<(Range<u64>, chunk::Method)>,
}

impl Work {
    /// Plans to restore all of the target, or only the tensor `only`.
    pub(super) async fn plan(
        directory: Directory,
        bases: &BaseSet,
        only: Option<&str>,
        limits: Windows,
    ) -> Result<Self> {
        check_derived(&directory.head, bases)?;
        let mut pace = Pace::default();
        let located = locate(&directory, &mut pace).await;
        let mut pieces = Vec::new();
        pieces.reserve_exact(if only.is_some() { 0 } else { piece_count(&directory.head.items, &located) });
        let of = vec![None; located.len()];
        let mut coded = Coded { directory: &directory, located: &located, bases, chunks: Vec::new(), of };
        let mut found = only.is_none();
        for (i, item) in directory.head.items.iter().enumerate() {
            if only.is_some_and(|name| !matches!(item, Item::Region { region, .. } if region.name == name)) {
                continue;
            }
            found = true;
            match item {
                Item::Span(bytes) => {
                    pieces.push(Piece::new(i, bytes.len() as u64, None));
                }
                Item::Region { content, .. } => {
                    let source = if let Content::Earlier(earlier) = content { *earlier } else { i };
                    for id in coded.chunks_of(source)? {
                        pieces.push(Piece::new(i, coded.chunks[id].length(), Some(id)));
                        pace.turn().await;
                    }
                }
            }
            pace.turn().await;
        }
        if let (Some(name), false) = (only, found) {
            return Err(no_such_tensor(name));
        }
        let chunks = coded.chunks;
        let limit = limits.length(window::SMALL);
        let mut windows = windows(&chunks, &pieces, directory.records().start, limit, &mut pace).await;
        if only.is_some() {
            // Of a single tensor, no digest is taken.
            windows.iter_mut().for_each(|window| window.records = 0..0);
        }
        let output_length = pieces.iter().map(Piece::length).sum();
        let scratch = parallel::Scratch::default();
        Ok(Self { directory, chunks, pieces, windows, output_length, scratch })
    }

    /// The chunk of a piece; `None` for a span.
    pub(super) fn chunk(&self, piece: &Piece) -> Option<&Chunk> {
        chunk_of(&self.chunks, piece)
    }

    pub(super) fn pieces(&self, window: usize) -> &[Piece] {
        &self.pieces[self.windows[window].pieces.clone()]
    }

    /// The numbers of the chunks of a window. Many pieces may share a chunk, which comes only once.
    fn own_chunks(&self, window: usize) -> Vec<Range<usize>> {
        let chunks = self.pieces(window).iter().filter_map(|piece| piece.chunk);
        joined(chunks.map(|chunk| chunk as usize..chunk as usize + 1).collect())
    }

    /// The chunks of a window, and those of the companions that they need.
    pub(super) fn chunks_of(&self, window: usize) -> impl Iterator<Item = &Chunk> {
        let mut all = self.own_chunks(window);
        all.append(&mut self.companions_of(window));
        joined(all).into_iter().flat_map(|range| &self.chunks[range])
    }

    /// The numbers of the chunks of companions that the chunks of a window need.
    pub(super) fn companions_of(&self, window: usize) -> Vec<Range<usize>> {
        let mut needed = Vec::new();
        for chunk in self.own_chunks(window).into_iter().flat_map(|range| &self.chunks[range]) {
            for (companion, range) in chunk.packed.iter().flat_map(|packed| packed.needs(&chunk.range)) {
                needed.push(self.covering(&companion.place, &range));
            }
        }
        joined(needed)
    }

    /// The chunks, of the consecutive ones of a region, that cover a range of its bytes.
    pub(super) fn covering(&self, chunks: &Range<usize>, range: &Range<u64>) -> Range<usize> {
        let own = &self.chunks[chunks.clone()];
        let first = own.partition_point(|chunk| chunk.range.end <= range.start);
        let last = own.partition_point(|chunk| chunk.range.start < range.end);
        steps::add(1 + last.saturating_sub(first));
        chunks.start + first..chunks.start + last.max(first)
    }
}

impl Chunk {
    fn length(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// Returns the numbers of all ranges as ranges in order, of which none overlaps another.
fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_cached_key(|range| (range.start as u64, 0u64));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn chunk_of<'a>(chunks: &'a [Chunk], piece: &Piece) -> Option<&'a Chunk> {
    chunks.get(piece.chunk? as usize)
}

/// The bytes that each piece counts for in a window: its own, or half of the bytes that it shares
/// with others if those are more, and not with the piece before it. A piece of a byte may resemble
/// megabytes, or take its words from a transposed matrix of megabytes, or be merged with factors.
fn costs(chunks: &[Chunk], pieces: &[Piece]) -> impl Iterator<Item = u64> {
    // Many pieces may share a chunk, which may have many rectangles.
    let mut known = vec![None; chunks.len()];
    let of_chunk = |chunk: &Chunk| chunk.base.as_ref()?.shared(&chunk.range);
    let mut last = None;
    pieces.iter().map(move |piece| {
        let chunk = piece.chunk.and_then(|i| chunks.get(i as usize).zip(known.get_mut(i as usize)));
        let shared = chunk.and_then(|(chunk, known)| *known.get_or_insert_with(|| of_chunk(chunk)));
        let read = shared.filter(|_| shared != last).map_or(0, |(_, bytes)| bytes);
        last = shared;
        piece.length().max(read / 2)
    })
}

/// Groups the pieces into windows of at most `limit` bytes. The first record begins at `start`.
async fn windows(chunks: &[Chunk], pieces: &[Piece], start: u64, limit: u64, pace: &mut Pace) -> Vec<Window> {
    let mut grouping = Grouping::new(limit);
    for cost in costs(chunks, pieces) {
        grouping.push(cost);
        pace.turn().await;
    }
    if grouping.windows.is_empty() {
        // A window checks the root digest, so an empty file needs one as well.
        grouping.windows.push(0..0);
    }
    let (mut offset, mut digested) = (0, start);
    let mut windows = Vec::with_capacity(grouping.windows.len());
    for group in grouping.windows {
        let own = &pieces[group.clone()];
        let records = own.iter().filter_map(|piece| chunk_of(chunks, piece)).map(|chunk| chunk.record.end);
        // The records of a region that equals an earlier one are in an earlier window.
        let end = records.fold(digested, u64::max);
        windows.push(Window { pieces: group, offset, records: digested..end });
        offset += own.iter().map(Piece::length).sum::<u64>();
        digested = end;
        pace.turn().await;
    }
    windows
}

/// Weights that words may be derived from, for each byte of the base. Packed numbers, their scales
/// and their biases need three at most; of forged items, each word may name all of the base.
const DERIVED: u64 = 8;

/// Checks that the words of all derived items are not made from too many weights.
fn check_derived(head: &Head, bases: &BaseSet) -> Result<()> {
    let weights = head.items.iter().filter_map(|item| match item {
        Item::Region { region, content: Content::Chunks(Some(Partner::View(view))) } => {
            Some(view.derived?.weights_of(units(region)).unwrap_or(u64::MAX))
        }
        _ => None,
    });
    let weights = weights.fold(0, u64::saturating_add);
    let base: u64 = bases.layouts().iter().map(|layout| layout.file_length).sum();
    let most = base.saturating_mul(DERIVED);
    if weights <= most {
        return Ok(());
    }
    Err(Error::limit("the archive is derived from too many weights").figures(format_args!("at most {most}"), weights))
}

/// The number of pieces of all items.
fn piece_count(items: &[Item], located: &[Chunks]) -> usize {
    let count = |(item, own): (&Item, &Chunks)| match item {
        Item::Span(_) => 1,
        Item::Region { content: Content::Earlier(source), .. } => located[*source].records.len(),
        Item::Region { .. } => own.records.len(),
    };
    items.iter().zip(located).map(count).sum()
}

/// Locates the records of every item.
async fn locate(directory: &Directory, pace: &mut Pace) -> Vec<Chunks> {
    let mut regions = directory.index.regions.iter().peekable();
    let mut offset = directory.records().start;
    let mut place = |stored: u64| {
        offset += stored;
        offset - stored..offset
    };
    let mut located = Vec::with_capacity(directory.head.items.len());
    for item in &directory.head.items {
        let coded = matches!(item, Item::Region { content: Content::Chunks(_), .. });
        let chunks = regions.next_if(|_| coded).map(|region| {
            let factors = region.factors.map(|factors| (place(factors.stored()), factors.rank));
            let records = region.chunks.iter().map(|chunk| (place(chunk.stored()), chunk.method));
            Chunks { factors, records: records.collect() }
        });
        located.push(chunks.unwrap_or_default());
        pace.turn().await;
    }
    located
}

/// The chunks of the items that are restored, and of their companions.
struct Coded<'a> {
    directory: &'a Directory,
    located: &'a [Chunks],
    bases: &'a BaseSet,
    chunks: Vec<Chunk>,
    /// The chunks of each item, once they are added.
    of: Vec<Option<Range<usize>>>,
}

impl Coded<'_> {
    /// Adds the chunks of an item that has chunks of its own, and returns their numbers.
    fn chunks_of(&mut self, item: usize) -> Result<Range<usize>> {
        if let Some(known) = &self.of[item] {
            return Ok(known.clone());
        }
        let head = &self.directory.head;
        let Item::Region { region, content: Content::Chunks(_) } = &head.items[item] else {
            return Err(Error::corrupt("the tensor equals an item that has no chunks"));
        };
        let located = &self.located[item];
        let packed = head.packed.binary_search_by_key(&item, |packed| packed.item).ok().map(|at| &head.packed[at]);
        let is_grid = |(_, method): &(Range<u64>, chunk::Method)| *method == chunk::Method::Grid;
        let packed = packed.filter(|_| located.records.iter().any(is_grid));
        let packed = packed.map(|packed| self.packed_view(packed, region.length)).transpose()?.map(Arc::new);
        let base = self.view_of(item)?;
        let geometry = geometry::of(region);
        let start = self.chunks.len();
        for (i, (record, method)) in located.records.iter().enumerate() {
            steps::add(1);
            let may_need = chunk::may_need_factors(*method);
            self.chunks.push(Chunk {
                range: geometry.range(i as u64),
                record: record.clone(),
                method: *method,
                dtype: region.dtype,
                matrix: geometry.matrix,
                base: base.clone(),
                factors: located.factors.clone().filter(|_| may_need),
                packed: packed.clone().filter(|_| *method == chunk::Method::Grid),
            });
        }
        let own = start..self.chunks.len();
        self.of[item] = Some(own.clone());
        Ok(own)
    }

    /// The view of a region of packed numbers, whose companions' chunks are added first.
    fn packed_view(&mut self, packed: &Packed, length: u64) -> Result<PackedView<Range<usize>>> {
        for item in packed.companions() {
            self.chunks_of(item)?;
        }
        PackedView::new(packed, length, |item| {
            let place = self.of[item].clone().unwrap_or_default();
            // Many regions may name one companion, whose view may have many runs: they share it.
            let first = self.chunks.get(place.clone()).and_then(|chunks| chunks.first());
            let (dtype, view) = first.map_or((Dtype::U8, None), |chunk| (chunk.dtype, chunk.base.clone()));
            Ok(Companion { dtype, view, place })
        })
    }

    fn view_of(&self, item: usize) -> Result<Option<Arc<BaseView>>> {
        let Item::Region { region, content: Content::Chunks(Some(view)) } = &self.directory.head.items[item] else {
            return Ok(None);
        };
        self.bases.resolve(region, view).map(|view| Some(Arc::new(view)))
    }
}
