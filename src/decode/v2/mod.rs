//! Restores from BITXv002.
//!
//! A window restores a run of consecutive pieces: spans, which are in the head, and chunks. Each
//! piece is a task. Every chunk is checked before a byte of it can be written.

mod plan;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{Sharing, Windows};
use crate::archive::v2::{Directory, Item, Record};
use crate::chunk::{self, Matrix, predicted};
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::Plan;
use crate::packed::Companion;
use crate::parallel::{self, Runner};
use crate::plan::BaseSet;
use crate::predict::Factors;
use crate::report::Report;
use crate::view::Relation;
use plan::{Chunk, Piece, Work};

/// Factors by the offset of their record, in ascending order.
type FactorsAt = Vec<(u64, Factors)>;

/// The factors and the companions that the chunks of a window share.
struct Shared {
    factors: FactorsAt,
    /// The bytes of companions by the numbers of their chunks, in ascending order.
    companions: Vec<(usize, Vec<u8>)>,
}

/// The plan of a restore, and the digest of the archive so far.
#[derive(Debug)]
pub(super) struct Restore {
    work: Arc<Work>,
    /// Hashes all bytes of the archive so far; `None` if only a part of the archive is read, or
    /// another job checks the digest.
    root: Option<blake3::Hasher>,
    sharing: Sharing,
}

impl Restore {
    /// Plans to restore all of the target, or only the tensor `only`.
    pub(super) async fn new(
        directory: Directory,
        bases: &BaseSet,
        only: Option<&str>,
        windows: Windows,
    ) -> Result<Self> {
        if only == Some("") {
            return Err(Error::invalid_argument("the name of a tensor cannot be empty"));
        }
        let work = Work::plan(directory, bases, only, windows).await?;
        let root = only.is_none().then(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&work.directory.front);
            hasher
        });
        Ok(Self { work: Arc::new(work), root, sharing: windows.sharing })
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
    fn restore(&self, piece: &Piece, inputs: &Inputs, shared: &Shared, target: &mut [u8]) -> Result<()> {
        match (self.chunk(piece), &self.directory.head.items[piece.item()]) {
            (Some(chunk), _) => self.restore_chunk(chunk, inputs, shared, target),
            (None, Item::Span(bytes)) => {
                target.copy_from_slice(bytes);
                Ok(())
            }
            (None, Item::Region { .. }) => Ok(()),
        }
    }

    fn restore_chunk(&self, chunk: &Chunk, inputs: &Inputs, shared: &Shared, target: &mut [u8]) -> Result<()> {
        let base = match &chunk.base {
            Some(view) => view.take(chunk.range.clone(), inputs)?,
            None => None,
        };
        let base = base.as_deref();
        let record = self.record(inputs, &chunk.record, chunk.method)?;
        let factors = chunk.factors.as_ref().and_then(|(range, _)| {
            let found = shared.factors.binary_search_by_key(&range.start, |(start, _)| *start);
            found.ok().map(|found| &shared.factors[found].1)
        });
        let companion = |companion: &Companion<Range<usize>>, range| Ok(self.words(companion, range, shared));
        let side = chunk.packed.as_ref().map(|packed| packed.side(&chunk.range, inputs, companion)).transpose()?;
        let relation = chunk.base.as_ref().map_or(Relation::Words, |view| view.relation());
        let given = chunk::Given { base, relation, factors, side: side.as_ref() };
        self.scratch
            .with(|scratch| {
                chunk::decode(record.method, chunk.dtype, chunk.matrix, record.payload, given, target, scratch)
            })
            // With a wrong base, decoding can fail before there are bytes to check.
            .map_err(|damaged| record.explain(base).err().unwrap_or(damaged))?;
        record.check(base, target)
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

    /// Decodes the factors and the companions that the pieces of a window need.
    fn shared(&self, window: usize, inputs: &Inputs, runner: &dyn Runner) -> Result<Shared> {
        let shared = Shared { factors: self.factors(window, inputs, runner)?, companions: Vec::new() };
        let wanted = self.companions_of(window).into_iter().flatten().filter_map(|id| Some((id, self.chunks.get(id)?)));
        let read = |(id, chunk): (usize, &Chunk)| {
            let mut words = vec![0; (chunk.range.end - chunk.range.start) as usize];
            let done = self.restore_chunk(chunk, inputs, &shared, &mut words);
            done.map(|()| (id, words)).map_err(|e| explained(e, chunk))
        };
        let cost = |(_, chunk): &(usize, &Chunk)| chunk.range.end - chunk.range.start;
        let read = parallel::map_by_cost(runner, wanted.collect(), cost, read).into_iter().collect::<Result<_>>()?;
        Ok(Shared { companions: read, ..shared })
    }

    /// The bytes of a range of a companion, whose chunks are all decoded.
    fn words(&self, companion: &Companion<Range<usize>>, range: Range<u64>, shared: &Shared) -> Cow<'static, [u8]> {
        let mut words = Vec::with_capacity((range.end - range.start) as usize);
        for id in self.covering(&companion.place, &range) {
            let own = &self.chunks[id].range;
            let (start, end) = (range.start.max(own.start) - own.start, range.end.min(own.end) - own.start);
            let found = shared.companions.binary_search_by_key(&id, |(id, _)| *id).ok();
            let bytes = found.and_then(|found| shared.companions[found].1.get(start as usize..end as usize));
            words.extend_from_slice(bytes.unwrap_or_default());
        }
        Cow::Owned(words)
    }

    /// Decodes the factors that the chunks of a window need.
    fn factors(&self, window: usize, inputs: &Inputs, runner: &dyn Runner) -> Result<FactorsAt> {
        let chunks = self.chunks_of(window);
        let mut wanted: Vec<(&Chunk, &Range<u64>, u8)> =
            chunks.filter_map(|chunk| chunk.factors.as_ref().map(|(range, rank)| (chunk, range, *rank))).collect();
        wanted.sort_by_cached_key(|(_, range, _)| (range.start, 0u64));
        wanted.dedup_by_key(|(_, range, _)| range.start);
        let read = |(chunk, range, rank): (&Chunk, &Range<u64>, u8)| {
            let factors = self.read_factors(inputs, chunk.matrix, range, rank);
            factors.map(|factors| (range.start, factors)).map_err(|e| explained(e, chunk))
        };
        parallel::map_by_cost(runner, wanted, |(_, range, _)| range.end - range.start, read).into_iter().collect()
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
        let error = self.chunk(piece).map_or(error.clone().input(Source::Delta), |chunk| explained(error, chunk));
        match &self.directory.head.items[piece.item()] {
            Item::Region { region, .. } => error.tensor(&region.name),
            Item::Span(_) => error,
        }
    }
}

/// Adds to an error the input of the chunk that it concerns.
fn explained(error: Error, chunk: &Chunk) -> Error {
    let source = match &chunk.base {
        Some(view) if error.kind() == crate::ErrorKind::BaseMismatch => view.source(),
        _ => Source::Delta,
    };
    error.input(source)
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
        // The digest of the archive needs factors that no chunk uses, too.
        let mut reads = vec![Read::new(Source::Delta, self.work.windows[window].records.clone())];
        for Chunk { record, range, base, factors, .. } in self.work.chunks_of(window) {
            reads.push(Read::new(Source::Delta, record.clone()));
            reads.extend(factors.iter().map(|(range, _)| Read::new(Source::Delta, range.clone())));
            base.iter().for_each(|view| view.reads(range.clone(), &mut reads));
        }
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        let Self { work, root, sharing } = self;
        let shared = work.shared(window, inputs, runner)?;
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
                work.restore(piece, inputs, &shared, target).map_err(|e| work.named(piece, e))
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
