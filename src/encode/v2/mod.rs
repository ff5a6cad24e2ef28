//! Compresses to BITXv002.
//!
//! A window codes a run of consecutive chunks, each as a task of its own. The digests of the target
//! and of each base file run beside them as tasks, over a share of the file per window.

mod apart;
mod head;
mod piece;
mod shares;
mod short;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use super::survey::Findings;
use crate::archive::v2::{self, ChunkEntry, Content, FactorsEntry, Head, Index, Item, Record, RegionEntry};
use crate::chunk::search::{self, Prediction, Sample};
use crate::chunk::{self, Effort, Method};
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::{Apart, Plan};
use crate::parallel::{self, Runner};
use crate::report::Report;
use piece::{Piece, Work};
use shares::Shares;

/// Plans an archive of the target, which for a short file of tiny tensors is the shorter one of
/// two. A window has at most `window` bytes of the target, or one piece. With `only_used`, it names
/// only the base files that it takes something from. `known` has digests of base files, by their
/// numbers.
pub(super) fn plan(
    findings: Findings,
    effort: Effort,
    window: u64,
    only_used: bool,
    known: &BTreeMap<usize, [u8; 32]>,
) -> Result<Box<dyn Plan>> {
    let (bytes, is_guessed) = (short::as_bytes(&findings), findings.target.is_guessed);
    let plan = Compress::new(findings, effort, window, only_used, known)?;
    Ok(match bytes {
        Some(bytes) => {
            let other = Compress::new(bytes, effort, window, only_used, known)?;
            Box::new(short::Shortest::new(vec![plan, other], is_guessed))
        }
        None => Box::new(plan),
    })
}

/// The plan of a compressing job, and the state that its windows have left so far.
#[derive(Debug)]
pub(super) struct Compress {
    effort: Effort,
    head: Head,
    /// The number of each base file of the head among those that the host gave.
    files: Vec<usize>,
    target_length: u64,
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
    shares: Shares,
    index: Index,
    /// The predictions of regions whose chunks are not all coded yet, by the region's number.
    predictions: BTreeMap<usize, Prediction>,
    target: blake3::Hasher,
    bases: Vec<BaseDigest>,
    root: blake3::Hasher,
    stored_bytes: u64,
}

/// The digest of a base file.
#[derive(Debug)]
enum BaseDigest {
    Computed(Box<blake3::Hasher>),
    /// The host told it.
    Known([u8; 32]),
}

impl BaseDigest {
    fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }

    fn finalize(&self) -> [u8; 32] {
        match self {
            Self::Computed(hasher) => *hasher.finalize().as_bytes(),
            Self::Known(digest) => *digest,
        }
    }
}

impl Compress {
    /// Plans an archive of the target, in windows of at most `window` bytes of it, or one piece.
    /// With `only_used`, it names only the base files that it takes something from. `known` has
    /// digests of base files, by their numbers.
    pub(super) fn new(
        findings: Findings,
        effort: Effort,
        window: u64,
        only_used: bool,
        known: &BTreeMap<usize, [u8; 32]>,
    ) -> Result<Self> {
        let mut head = head::plan(&findings);
        let pieces = piece::plan(&head, &findings, effort)?;
        let files = if only_used { head::keep_used(&mut head) } else { (0..head.bases.len()).collect() };
        let (target_length, lengths) = (findings.target.file_length, head.bases.iter().map(|base| base.length));
        let longest = lengths.fold(target_length, u64::max);
        let windows = piece::windows(&pieces, window, longest);
        let shares = Shares::new(&pieces, &windows, target_length, longest);
        let coded = |item: &&Item| matches!(item, Item::Region { content: Content::Chunks(_), .. });
        let digest =
            |file| known.get(file).map_or_else(|| BaseDigest::Computed(Box::default()), |d| BaseDigest::Known(*d));
        let regions = vec![RegionEntry::default(); head.items.iter().filter(coded).count()];
        Ok(Self {
            effort,
            target_length,
            pieces,
            windows,
            shares,
            index: Index { regions, ..Index::default() },
            predictions: BTreeMap::new(),
            target: blake3::Hasher::new(),
            bases: files.iter().map(digest).collect(),
            root: blake3::Hasher::new(),
            head,
            files,
            stored_bytes: 0,
        })
    }

    /// The tasks that hash the shares of a window, of the target and of each base file.
    fn digests<'a>(
        &self,
        window: usize,
        (target, bases): &'a mut (blake3::Hasher, Vec<BaseDigest>),
        inputs: &'a Inputs,
    ) -> Result<Vec<Task<'a>>> {
        let bytes = inputs.slice(Source::Target, self.shares.of(self.target_length, window))?;
        let mut tasks = vec![Task::Digest(target, bytes)];
        for ((&base, digest), file) in self.files.iter().zip(bases).zip(&self.head.bases) {
            let BaseDigest::Computed(hasher) = digest else { continue };
            tasks.push(Task::Digest(hasher, inputs.slice(Source::Base(base), self.shares.of(file.length, window))?));
        }
        Ok(tasks)
    }

    /// Searches for factors of the regions that begin in a window.
    fn predict(&self, pieces: &[Piece], inputs: &Inputs, runner: &dyn Runner) -> Result<Vec<(usize, Prediction)>> {
        let searches: Vec<(&Piece, &[Range<u64>], usize)> = pieces
            .iter()
            .filter_map(|piece| match &piece.work {
                Work::Factors { sample, rows } => Some((piece, sample.as_slice(), *rows)),
                Work::Chunk(_) => None,
            })
            .collect();
        let cost = |(_, sample, _): &(&Piece, &[Range<u64>], usize)| -> u64 {
            sample.iter().map(|range| range.end - range.start).sum()
        };
        let found = parallel::map_by_cost(runner, searches, cost, |(piece, sample, rows)| {
            let (base, target) = gather(piece, sample, inputs)?;
            let sample = Sample { dtype: piece.dtype, matrix: piece.matrix, rows, base: &base, target: &target };
            Ok(search::search(sample, self.effort).map(|prediction| (piece.region, prediction)))
        });
        found.into_iter().filter_map(Result::transpose).collect()
    }

    fn encode_chunk(&self, piece: &Piece, range: &Range<u64>, inputs: &Inputs) -> Result<(Method, Vec<u8>)> {
        let target = inputs.slice(Source::Target, piece.target(range))?;
        let base = piece.base(range, inputs)?;
        let base = base.as_deref();
        let fit = self.predictions.get(&piece.region).map(|prediction| &prediction.fit);
        let (dtype, matrix) = (piece.dtype, piece.matrix);
        let side = piece.side(range, inputs)?;
        let (method, payload) = chunk::encode(
            dtype,
            matrix,
            chunk::Against { base, relation: piece.relation(), fit, side: side.as_ref() },
            target,
            self.effort,
        )?;
        let mut record = Vec::with_capacity(v2::RECORD_HEAD as usize + payload.len());
        Record::new(method, &payload, base, target).write(&mut record);
        Ok((method, record))
    }

    /// Codes the chunks of a window, and beside them takes digests.
    fn code_pieces(
        &self,
        window: &Range<usize>,
        digests: Vec<Task<'_>>,
        inputs: &Inputs,
        runner: &dyn Runner,
    ) -> Result<Coded> {
        let mut tasks: Vec<Task<'_>> = self.pieces[window.clone()]
            .iter()
            .filter_map(|piece| match &piece.work {
                Work::Chunk(range) => Some(Task::Chunk(piece, range)),
                Work::Factors { .. } => None,
            })
            .collect();
        let chunks = tasks.len();
        tasks.extend(digests);
        let mut coded = parallel::map_by_cost(runner, tasks, Task::cost, |task| match task {
            Task::Chunk(piece, range) => self.encode_chunk(piece, range, inputs),
            Task::Digest(hasher, bytes) => {
                hasher.update(bytes);
                Ok((Method::Stored, Vec::new()))
            }
        });
        coded.truncate(chunks);
        let chunks: Vec<(Method, Vec<u8>)> = coded.into_iter().collect::<Result<_>>()?;
        Ok(Coded { factors: self.factors(window, &chunks), chunks })
    }

    /// The factors of the regions that begin in a window, as far as their chunks need them.
    fn factors(&self, window: &Range<usize>, coded: &[(Method, Vec<u8>)]) -> Vec<Option<Factors>> {
        let own = &self.pieces[window.clone()];
        let needed = |region: usize| {
            let chunks = own.iter().filter(|piece| matches!(piece.work, Work::Chunk(_)));
            let mut coded = chunks.zip(coded).filter(|(piece, _)| piece.region == region).map(|(_, coded)| coded);
            // Chunks of the region in later windows may still use the prediction.
            let more = self.pieces.get(window.end).is_some_and(|next| next.region == region);
            more || coded.any(|(method, record)| chunk::needs_factors(*method, &record[v2::RECORD_HEAD as usize..]))
        };
        let searched = own.iter().filter(|piece| matches!(piece.work, Work::Factors { .. }));
        let found = searched.map(|piece| Some((piece.region, self.predictions.get(&piece.region)?)));
        found.map(|found| found.filter(|(region, _)| needed(*region)).map(|(_, found)| Factors::of(found))).collect()
    }

    /// Appends the records of a window; the record of a region's factors precedes those of its
    /// chunks.
    fn append(&mut self, window: &Range<usize>, coded: Coded, output: &mut Vec<u8>) -> Result<()> {
        let (mut factors, mut chunks) = (coded.factors.into_iter(), coded.chunks.into_iter());
        for piece in &self.pieces[window.clone()] {
            let entry = &mut self.index.regions[piece.region];
            match &piece.work {
                Work::Factors { .. } => {
                    let Some(factors) = factors.next().flatten() else { continue };
                    output.extend_from_slice(&factors.record);
                    entry.factors = Some(factors.entry);
                }
                Work::Chunk(_) => {
                    let Some((method, record)) = chunks.next() else { continue };
                    let length = u32::try_from(record.len() as u64 - v2::RECORD_HEAD).map_err(|_| {
                        Error::limit("a chunk is too long").figures(format_args!("at most {}", u32::MAX), record.len())
                    })?;
                    entry.chunks.push(ChunkEntry { method, length });
                    output.extend_from_slice(&record);
                }
            }
        }
        Ok(())
    }

    /// Begins the output of a window: the first one has the head.
    fn begin(&self, window: usize, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        if window == 0 {
            output.extend_from_slice(&self.head.write()?);
        }
        Ok(())
    }

    /// Ends the output of a window: the last one has the index and the trailer.
    fn end(&mut self, window: usize, output: &mut Vec<u8>) {
        self.root.update(output);
        if window + 1 == self.windows.len() {
            self.finish(output);
        }
        self.stored_bytes += output.len() as u64;
    }

    /// Appends the end of the archive: the index and the trailer.
    fn finish(&mut self, output: &mut Vec<u8>) {
        self.index.output = *self.target.finalize().as_bytes();
        self.index.bases = self.bases.iter().map(BaseDigest::finalize).collect();
        let start = output.len();
        let index = self.index.write();
        output.extend_from_slice(&index);
        output.extend_from_slice(&(self.stored_bytes + start as u64).to_le_bytes());
        output.extend_from_slice(&(index.len() as u64).to_le_bytes());
        self.root.update(&output[start..]);
        output.extend_from_slice(self.root.finalize().as_bytes());
    }
}

/// The records of a window.
#[derive(Debug)]
struct Coded {
    /// Those of the regions that begin in the window and that were searched for factors, in order.
    factors: Vec<Option<Factors>>,
    /// Those of its chunks, in order.
    chunks: Vec<(Method, Vec<u8>)>,
}

/// The record of a region's factors.
#[derive(Debug)]
struct Factors {
    entry: FactorsEntry,
    record: Vec<u8>,
}

impl Factors {
    fn of(prediction: &Prediction) -> Self {
        let mut record = Vec::new();
        Record::new(Method::Factors, &prediction.payload, None, &prediction.bytes).write(&mut record);
        let (length, rank) = (prediction.payload.len() as u32, prediction.fit.factors.rank() as u8);
        Self { entry: FactorsEntry { length, rank, saved: prediction.saved }, record }
    }
}

/// Returns the bytes of those of a sample's ranges that have a base, one after the other. A single
/// range is not copied.
fn gather<'a>(piece: &Piece, sample: &[Range<u64>], inputs: &'a Inputs) -> Result<Pair<'a>> {
    let mut pairs = Vec::new();
    for range in sample {
        let Some(base) = piece.base(range, inputs)? else { continue };
        pairs.push((base, Cow::Borrowed(inputs.slice(Source::Target, piece.target(range))?)));
    }
    if pairs.len() == 1
        && let Some(pair) = pairs.pop()
    {
        return Ok(pair);
    }
    let (bases, targets): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    Ok((bases.concat().into(), targets.concat().into()))
}

/// The bytes of a base, and those of the target.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// A task that runs in parallel with others: a chunk to code, or bytes to hash.
enum Task<'a> {
    Chunk(&'a Piece, &'a Range<u64>),
    Digest(&'a mut blake3::Hasher, &'a [u8]),
}

impl Task<'_> {
    fn cost(&self) -> u64 {
        match self {
            Self::Chunk(_, range) => range.end - range.start,
            Self::Digest(_, bytes) => bytes.len() as u64 / 16,
        }
    }
}

impl Plan for Compress {
    fn windows(&self) -> usize {
        self.windows.len()
    }

    fn output_length(&self) -> Option<u64> {
        None
    }

    fn progress(&self, count: usize) -> u64 {
        self.shares.start(self.target_length, count)
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = vec![Read::new(Source::Target, self.shares.of(self.target_length, window))];
        let digests = self.files.iter().zip(&self.head.bases).zip(&self.bases);
        for ((&base, file), _) in digests.filter(|(_, digest)| !digest.is_known()) {
            reads.push(Read::new(Source::Base(base), self.shares.of(file.length, window)));
        }
        self.pieces[self.windows[window].clone()].iter().for_each(|piece| piece.reads(&mut reads));
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        self.begin(window, output)?;
        let pieces = self.windows[window].clone();
        let predictions = self.predict(&self.pieces[pieces.clone()], inputs, runner)?;
        self.predictions.extend(predictions);
        let mut hashers = (std::mem::take(&mut self.target), std::mem::take(&mut self.bases));
        let coded = self.code_pieces(&pieces, self.digests(window, &mut hashers, inputs)?, inputs, runner)?;
        (self.target, self.bases) = hashers;
        self.append(&pieces, coded, output)?;
        let next = self.pieces.get(pieces.end).map(|piece| piece.region);
        self.predictions.retain(|&region, _| Some(region) == next);
        self.end(window, output);
        Ok(())
    }

    fn apart(&mut self) -> Option<&mut dyn Apart> {
        Some(self)
    }

    fn report(&self) -> Report {
        let mut report = v2::report(&self.head, &self.index, self.stored_bytes);
        report.bases.iter_mut().zip(&self.files).for_each(|(base, &file)| base.file = file);
        report
    }
}
