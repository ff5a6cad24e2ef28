//! Restores from BITXv002.
//!
//! A window restores a run of consecutive pieces: spans, which are in the head, and chunks. Each
//! piece is a task. Every chunk is checked before a byte of it can be written.

use std::ops::Range;
use std::sync::Arc;

use super::Sharing;
use crate::archive::v2::{Content, Directory, Item, Record};
use crate::chunk::{self, Matrix, geometry, predicted};
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::Plan;
use crate::layout::Dtype;
use crate::parallel::{self, Runner};
use crate::plan::BaseSet;
use crate::predict::Factors;
use crate::report::Report;
use crate::window;

/// The plan of a restore, and the digest of the archive so far.
#[derive(Debug)]
pub(super) struct Restore {
    work: Arc<Work>,
    /// Hashes all bytes of the archive so far; `None` if only a part of the archive is read, or
    /// another job checks the digest.
    root: Option<blake3::Hasher>,
    sharing: Sharing,
}

/// Everything that is decided before the first window runs.
#[derive(Debug)]
struct Work {
    directory: Directory,
    chunks: Vec<Chunk>,
    pieces: Vec<Piece>,
    windows: Vec<Window>,
    output_length: u64,
    scratch: parallel::Scratch<chunk::Scratch>,
}

/// Consecutive pieces, and their places in output and archive.
#[derive(Debug)]
struct Window {
    pieces: Range<usize>,
    /// Offset of the first piece in the output.
    offset: u64,
    /// The range of the archive that this window adds to the root digest. The ranges of consecutive
    /// windows are consecutive.
    records: Range<u64>,
}

/// Consecutive bytes of the output that are restored on their own: a span or a chunk. Regions that
/// equal an earlier one share its chunks, so a few bytes of an archive may stand for many pieces.
/// The fields are therefore small.
#[derive(Debug, Clone, Copy)]
struct Piece {
    item: u32,
    length: u32,
    /// Index of the chunk; `None` for a span.
    chunk: Option<u32>,
}

impl Piece {
    /// Creates a piece. The limits of the head keep all three numbers below 2^32.
    fn new(item: usize, length: u64, chunk: Option<usize>) -> Self {
        Self { item: item as u32, length: length as u32, chunk: chunk.map(|chunk| chunk as u32) }
    }

    fn item(&self) -> usize {
        self.item as usize
    }

    fn length(&self) -> u64 {
        u64::from(self.length)
    }
}

/// The sources of a chunk's bytes.
#[derive(Debug)]
struct Chunk {
    length: u64,
    record: Range<u64>,
    method: chunk::Method,
    dtype: Dtype,
    matrix: Matrix,
    base: Option<(Source, Range<u64>)>,
    /// The range of the record of its region's factors, and their rank, if the chunk needs them.
    factors: Option<(Range<u64>, u8)>,
}

/// Factors by the offset of their record, in ascending order.
type FactorsAt = Vec<(u64, Factors)>;

/// The records of an item's chunks; empty for an item without chunks of its own.
#[derive(Default)]
struct Chunks {
    /// The range of the record of the factors, and their rank.
    factors: Option<(Range<u64>, u8)>,
    /// The range of each chunk's record, and the chunk's method.
    records: Vec<(Range<u64>, chunk::Method)>,
}

impl Restore {
    /// Plans to restore all of the target, or only the tensor `only`.
    pub(super) fn new(directory: Directory, bases: &BaseSet, only: Option<&str>, sharing: Sharing) -> Result<Self> {
        if only == Some("") {
            return Err(Error::invalid_argument("the name of a tensor cannot be empty"));
        }
        let located = locate(&directory);
        let (mut chunks, mut pieces) = (Vec::new(), Vec::new());
        let mut coded = vec![0..0; located.len()];
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
                    if coded[source].is_empty() {
                        let start = chunks.len();
                        add_chunks(&mut chunks, &directory.head.items[source], &located[source], bases)?;
                        coded[source] = start..chunks.len();
                    }
                    pieces.extend(coded[source].clone().map(|id| Piece::new(i, chunks[id].length, Some(id))));
                }
            }
        }
        if let (Some(name), false) = (only, found) {
            return Err(super::no_such_tensor(name));
        }
        let windows = windows(&chunks, &pieces, directory.records().start, sharing.window(window::SMALL));
        let output_length = pieces.iter().map(Piece::length).sum();
        let root = only.is_none().then(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&directory.front);
            hasher
        });
        let scratch = parallel::Scratch::default();
        let work = Work { directory, chunks, pieces, windows, output_length, scratch };
        Ok(Self { work: Arc::new(work), root, sharing })
    }

    /// Checks the root digest: that of the whole archive.
    fn check_root(&mut self) -> Result<()> {
        let Some(mut hasher) = self.root.take() else { return Ok(()) };
        hasher.update(&self.work.directory.back);
        let found = hasher.finalize();
        if *found.as_bytes() == self.work.directory.root {
            return Ok(());
        }
        let expected = blake3::Hash::from_bytes(self.work.directory.root).to_hex();
        Err(Error::corrupt("the digest of the archive does not match")
            .figures(expected, found.to_hex())
            .input(Source::Delta))
    }
}

impl Work {
    fn restore(&self, piece: &Piece, inputs: &Inputs, factors: &FactorsAt, target: &mut [u8]) -> Result<()> {
        let chunk = match (self.chunk(piece), &self.directory.head.items[piece.item()]) {
            (Some(chunk), _) => chunk,
            (None, Item::Span(bytes)) => {
                target.copy_from_slice(bytes);
                return Ok(());
            }
            (None, Item::Region { .. }) => return Ok(()),
        };
        let base = match &chunk.base {
            Some((source, range)) => Some(inputs.slice(*source, range.clone())?),
            None => None,
        };
        let record = self.record(inputs, &chunk.record, chunk.method)?;
        let factors = chunk.factors.as_ref().and_then(|(range, _)| {
            let found = factors.binary_search_by_key(&range.start, |(start, _)| *start);
            found.ok().map(|found| &factors[found].1)
        });
        let given = chunk::Given { base, factors };
        self.scratch
            .with(|scratch| {
                chunk::decode(record.method, chunk.dtype, chunk.matrix, record.payload, given, target, scratch)
            })
            // With a wrong base, decoding can fail before there are bytes to check.
            .map_err(|damaged| record.explain(base).err().unwrap_or(damaged))?;
        record.check(base, target)
    }

    /// The chunk of a piece; `None` for a span.
    fn chunk(&self, piece: &Piece) -> Option<&Chunk> {
        chunk_of(&self.chunks, piece)
    }

    fn pieces(&self, window: usize) -> &[Piece] {
        &self.pieces[self.windows[window].pieces.clone()]
    }

    /// Parses the record at `range`, and checks that it has the `method` that the index states.
    fn record<'a>(&self, inputs: &'a Inputs, range: &Range<u64>, method: chunk::Method) -> Result<Record<'a>> {
        let record = Record::parse(inputs.slice(Source::Delta, range.clone())?)?;
        if record.method != method {
            return Err(Error::corrupt("a chunk's method is not the one in the index")
                .figures(method as u8, record.method as u8));
        }
        Ok(record)
    }

    /// Decodes the factors that the pieces of a window need.
    fn factors(&self, window: usize, inputs: &Inputs, runner: &dyn Runner) -> Result<FactorsAt> {
        let mut wanted: Vec<(&Piece, &Chunk, &Range<u64>, u8)> = Vec::new();
        for piece in self.pieces(window) {
            if let Some(chunk) = self.chunk(piece)
                && let Some((range, rank)) = &chunk.factors
            {
                wanted.push((piece, chunk, range, *rank));
            }
        }
        wanted.sort_by_cached_key(|(_, _, range, _)| (range.start, 0u64));
        wanted.dedup_by_key(|(_, _, range, _)| range.start);
        let read = |(piece, chunk, range, rank): (&Piece, &Chunk, &Range<u64>, u8)| {
            let factors = self.read_factors(inputs, chunk.matrix, range, rank);
            factors.map(|factors| (range.start, factors)).map_err(|e| self.named(piece, e))
        };
        parallel::map_by_cost(runner, wanted, |(_, _, range, _)| range.end - range.start, read).into_iter().collect()
    }

    fn read_factors(&self, inputs: &Inputs, matrix: Matrix, range: &Range<u64>, rank: u8) -> Result<Factors> {
        let record = self.record(inputs, range, chunk::Method::Factors)?;
        let read = self.scratch.with(|scratch| predicted::read_factors(matrix, rank, record.payload, scratch));
        let (factors, bytes) = read?;
        record.check(None, &bytes)?;
        Ok(factors)
    }

    /// Adds to an error the tensor and the input of the piece that it concerns.
    fn named(&self, piece: &Piece, error: Error) -> Error {
        let source = match self.chunk(piece) {
            Some(Chunk { base: Some((source, _)), .. }) if error.kind() == crate::ErrorKind::BaseMismatch => *source,
            _ => Source::Delta,
        };
        let error = error.input(source);
        match &self.directory.head.items[piece.item()] {
            Item::Region { region, .. } => error.tensor(&region.name),
            Item::Span(_) => error,
        }
    }
}

/// A task that runs in parallel with others: a piece to restore, or bytes of the archive to hash.
enum Task<'a> {
    Piece(&'a Piece, &'a mut [u8]),
    Digest(&'a mut blake3::Hasher, &'a [u8]),
}

impl Task<'_> {
    fn cost(&self) -> u64 {
        match self {
            Self::Piece(piece, _) => piece.length(),
            Self::Digest(_, bytes) => bytes.len() as u64,
        }
    }
}

impl Plan for Restore {
    fn windows(&self) -> usize {
        self.work.windows.len()
    }

    fn output_length(&self) -> Option<u64> {
        Some(self.work.output_length)
    }

    fn progress(&self, count: usize) -> u64 {
        self.work.windows.get(count).map_or(self.work.output_length, |window| window.offset)
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = Vec::new();
        for piece in self.work.pieces(window) {
            if let Some(Chunk { record, base, factors, .. }) = self.work.chunk(piece) {
                reads.push(Read::new(Source::Delta, record.clone()));
                reads.extend(factors.iter().map(|(range, _)| Read::new(Source::Delta, range.clone())));
                reads.extend(base.iter().map(|(source, range)| Read::new(*source, range.clone())));
            }
        }
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        let Self { work, root, sharing } = self;
        let factors = work.factors(window, inputs, runner)?;
        let mut root = root.take_if(|_| *sharing == Sharing::Alone);
        let pieces = work.pieces(window);
        let length: u64 = pieces.iter().map(Piece::length).sum();
        output.resize(length as usize, 0);
        let mut rest = output.as_mut_slice();
        let mut tasks: Vec<Task<'_>> = pieces
            .iter()
            .map(|piece| {
                let (target, others) = std::mem::take(&mut rest).split_at_mut(piece.length() as usize);
                rest = others;
                Task::Piece(piece, target)
            })
            .collect();
        if let Some(hasher) = &mut root {
            tasks.push(Task::Digest(hasher, inputs.slice(Source::Delta, work.windows[window].records.clone())?));
        }
        let done = parallel::map_by_cost(runner, tasks, Task::cost, |task| match task {
            Task::Piece(piece, target) => {
                work.restore(piece, inputs, &factors, target).map_err(|e| work.named(piece, e))
            }
            Task::Digest(hasher, bytes) => {
                hasher.update(bytes);
                Ok(())
            }
        });
        done.into_iter().collect::<Result<()>>()?;
        if self.sharing == Sharing::Shared {
            return Ok(());
        }
        self.root = root;
        if window + 1 == self.work.windows.len() { self.check_root() } else { Ok(()) }
    }

    fn check(&mut self, window: usize, inputs: &Inputs) -> Result<()> {
        if self.sharing == Sharing::Alone {
            return Ok(());
        }
        if let Some(hasher) = &mut self.root {
            hasher.update(inputs.slice(Source::Delta, self.work.windows[window].records.clone())?);
        }
        if window + 1 == self.work.windows.len() { self.check_root() } else { Ok(()) }
    }

    fn sibling(&self) -> Option<Box<dyn Plan>> {
        let Self { work, sharing, .. } = self;
        let sibling = Self { work: Arc::clone(work), root: None, sharing: *sharing };
        (*sharing == Sharing::Shared).then(|| Box::new(sibling) as Box<dyn Plan>)
    }

    fn report(&self) -> Report {
        self.work.directory.report()
    }
}

fn chunk_of<'a>(chunks: &'a [Chunk], piece: &Piece) -> Option<&'a Chunk> {
    chunks.get(piece.chunk? as usize)
}

/// Groups the pieces into windows of at most `limit` bytes. The first record begins at `start`.
fn windows(chunks: &[Chunk], pieces: &[Piece], start: u64, limit: u64) -> Vec<Window> {
    let groups = match window::group(limit, pieces.iter().map(Piece::length)) {
        // A window checks the root digest, so an empty file needs one as well.
        none if none.is_empty() => std::iter::once(0..0).collect(),
        groups => groups,
    };
    let (mut offset, mut digested) = (0, start);
    let window = |group: Range<usize>| {
        let own = &pieces[group.clone()];
        let records = own.iter().filter_map(|piece| chunk_of(chunks, piece)).map(|chunk| chunk.record.end);
        // The records of a region that equals an earlier one are in an earlier window.
        let end = records.fold(digested, u64::max);
        let window = Window { pieces: group, offset, records: digested..end };
        offset += own.iter().map(Piece::length).sum::<u64>();
        digested = end;
        window
    };
    groups.into_iter().map(window).collect()
}

/// Locates the records of every item.
fn locate(directory: &Directory) -> Vec<Chunks> {
    let mut regions = directory.index.regions.iter();
    let mut offset = directory.records().start;
    let mut place = |stored: u64| {
        offset += stored;
        offset - stored..offset
    };
    let chunks = |item: &Item| {
        let Item::Region { content: Content::Chunks(_), .. } = item else { return Chunks::default() };
        let Some(region) = regions.next() else { return Chunks::default() };
        let factors = region.factors.map(|factors| (place(factors.stored()), factors.rank));
        let records = region.chunks.iter().map(|chunk| (place(chunk.stored()), chunk.method));
        Chunks { factors, records: records.collect() }
    };
    directory.head.items.iter().map(chunks).collect()
}

/// Adds the chunks of an item that has chunks of its own.
fn add_chunks(chunks: &mut Vec<Chunk>, item: &Item, located: &Chunks, bases: &BaseSet) -> Result<()> {
    let Item::Region { region, content: Content::Chunks(partner) } = item else {
        return Err(Error::corrupt("the tensor equals an item that has no chunks"));
    };
    let base = partner.as_ref().map(|partner| bases.locate(region, partner)).transpose()?;
    let geometry = geometry::of(region);
    for (i, (record, method)) in located.records.iter().enumerate() {
        let range = geometry.range(i as u64);
        let length = range.end - range.start;
        let base = base.map(|(source, offset)| (source, offset + range.start..offset + range.end));
        let factors = located.factors.clone().filter(|_| *method == chunk::Method::Predicted);
        let (record, dtype, matrix) = (record.clone(), region.dtype, geometry.matrix);
        chunks.push(Chunk { length, record, method: *method, dtype, matrix, base, factors });
    }
    Ok(())
}
