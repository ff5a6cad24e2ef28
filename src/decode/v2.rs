//! Restoring from BITXv002.
//!
//! A window restores a run of pieces: spans out of the head, and chunks, each a task of its own. Every
//! chunk is checked before a byte of it can be written.

use std::ops::Range;

use crate::archive::v2::{self, Content, Directory, Item, Partner, Record};
use crate::chunk::{self, Matrix, geometry};
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::Plan;
use crate::layout::{Dtype, Region};
use crate::parallel::{self, Runner};
use crate::plan::BaseSet;
use crate::report::{Method, Report, TensorReport};
use crate::window;

/// Everything decided before the first window runs, and the digest of the archive so far.
#[derive(Debug)]
pub(super) struct Restore {
    directory: Directory,
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
    scratch: parallel::Scratch<chunk::Scratch>,
    /// Of all bytes so far; none where only a part of the archive is read.
    root: Option<blake3::Hasher>,
}

/// Consecutive bytes of the output, restored on their own.
#[derive(Debug)]
struct Piece {
    item: usize,
    length: u64,
    content: PieceContent,
}

#[derive(Debug)]
enum PieceContent {
    Span,
    Chunk {
        record: Range<u64>,
        method: chunk::Method,
        dtype: Dtype,
        matrix: Matrix,
        base: Option<(Source, Range<u64>)>,
    },
}

/// The chunks of an item that has some: where each record is, and how it is stored.
struct Chunks {
    records: Vec<(Range<u64>, chunk::Method)>,
}

impl Restore {
    /// The plan for all of the target, or for the tensor called `only`.
    pub(super) fn new(directory: Directory, bases: &BaseSet, only: Option<&str>) -> Result<Self> {
        if only == Some("") {
            return Err(Error::invalid_argument("bytes that are no tensor have no name"));
        }
        let chunks = locate(&directory);
        let mut pieces = Vec::new();
        let mut found = only.is_none();
        for (i, item) in directory.head.items.iter().enumerate() {
            if only.is_some_and(|name| !matches!(item, Item::Region { region, .. } if region.name == name)) {
                continue;
            }
            found = true;
            match item {
                Item::Span(bytes) => {
                    pieces.push(Piece { item: i, length: bytes.len() as u64, content: PieceContent::Span });
                }
                Item::Region { region, .. } => add_region(&mut pieces, &directory, &chunks, i, region, bases)?,
            }
        }
        if let (Some(name), false) = (only, found) {
            return Err(super::no_such_tensor(name));
        }
        let windows = match window::group(window::SMALL, pieces.iter().map(|p| p.length)) {
            // The root digest is checked by a window, and an empty file has one too.
            none if none.is_empty() => std::iter::once(0..0).collect(),
            windows => windows,
        };
        let root = only.is_none().then(|| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&directory.front);
            hasher
        });
        Ok(Self { directory, pieces, windows, scratch: parallel::Scratch::default(), root })
    }

    fn restore(&self, piece: &Piece, inputs: &Inputs, target: &mut [u8]) -> Result<()> {
        let (record, method, dtype, matrix, base) = match (&piece.content, &self.directory.head.items[piece.item]) {
            (PieceContent::Chunk { record, method, dtype, matrix, base }, _) => {
                (record, *method, *dtype, *matrix, base)
            }
            (PieceContent::Span, Item::Span(bytes)) => {
                target.copy_from_slice(bytes);
                return Ok(());
            }
            (PieceContent::Span, Item::Region { .. }) => return Ok(()),
        };
        let stored = inputs.slice(Source::Delta, record.clone())?;
        let base = match base {
            Some((source, range)) => Some(inputs.slice(*source, range.clone())?),
            None => None,
        };
        let record = Record::parse(stored)?;
        if record.method != method {
            return Err(Error::corrupt("method of a chunk").figures(method as u8, record.method as u8));
        }
        self.scratch
            .with(|scratch| chunk::decode(record.method, dtype, matrix, record.payload, base, target, scratch))
            // With a wrong base, decoding can fail before there is anything to check.
            .map_err(|damaged| record.explain(base).err().unwrap_or(damaged))?;
        record.check(base, target)
    }

    /// Names the tensor and the input that an error of a piece is about.
    fn named(&self, piece: &Piece, error: Error) -> Error {
        let source = match &piece.content {
            PieceContent::Chunk { base: Some((source, _)), .. } if error.kind() == crate::ErrorKind::BaseMismatch => {
                *source
            }
            _ => Source::Delta,
        };
        let error = error.input(source);
        match &self.directory.head.items[piece.item] {
            Item::Region { region, .. } => error.tensor(&region.name),
            Item::Span(_) => error,
        }
    }

    /// The records of a window: they are consecutive.
    fn records(&self, window: usize) -> Range<u64> {
        let all = self.directory.records();
        let of = |piece: &Piece| match &piece.content {
            PieceContent::Chunk { record, .. } => Some(record.clone()),
            PieceContent::Span => None,
        };
        // Regions that equal earlier ones have their records in earlier windows.
        let before = self.windows[..window].iter().flat_map(|w| &self.pieces[w.clone()]).filter_map(of);
        let start = before.map(|r| r.end).max().unwrap_or(all.start);
        let here = self.pieces[self.windows[window].clone()].iter().filter_map(of);
        start..here.map(|r| r.end).max().unwrap_or(start).max(start)
    }
}

/// What runs in parallel: the pieces, and the archive's digest.
enum Task<'a> {
    Piece(&'a Piece, &'a mut [u8]),
    Digest(&'a mut blake3::Hasher, &'a [u8]),
}

impl Task<'_> {
    fn cost(&self) -> u64 {
        match self {
            Self::Piece(piece, _) => piece.length,
            Self::Digest(_, bytes) => bytes.len() as u64,
        }
    }
}

impl Plan for Restore {
    fn windows(&self) -> usize {
        self.windows.len()
    }

    fn output_length(&self) -> Option<u64> {
        Some(self.pieces.iter().map(|p| p.length).sum())
    }

    fn progress(&self, count: usize) -> u64 {
        self.windows[..count].iter().flat_map(|window| &self.pieces[window.clone()]).map(|p| p.length).sum()
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = Vec::new();
        for piece in &self.pieces[self.windows[window].clone()] {
            if let PieceContent::Chunk { record, base, .. } = &piece.content {
                reads.push(Read::new(Source::Delta, record.clone()));
                reads.extend(base.iter().map(|(source, range)| Read::new(*source, range.clone())));
            }
        }
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        let records = self.records(window);
        let mut root = self.root.take();
        let pieces = &self.pieces[self.windows[window].clone()];
        let length: u64 = pieces.iter().map(|p| p.length).sum();
        output.resize(length as usize, 0);
        let mut rest = output.as_mut_slice();
        let mut tasks: Vec<Task<'_>> = pieces
            .iter()
            .map(|piece| {
                let (target, others) = std::mem::take(&mut rest).split_at_mut(piece.length as usize);
                rest = others;
                Task::Piece(piece, target)
            })
            .collect();
        if let Some(hasher) = &mut root {
            tasks.push(Task::Digest(hasher, inputs.slice(Source::Delta, records)?));
        }
        let done = parallel::map_by_cost(runner, tasks, Task::cost, |task| match task {
            Task::Piece(piece, target) => self.restore(piece, inputs, target).map_err(|e| self.named(piece, e)),
            Task::Digest(hasher, bytes) => {
                hasher.update(bytes);
                Ok(())
            }
        });
        done.into_iter().collect::<Result<()>>()?;
        self.root = root;
        if window + 1 == self.windows.len() { self.check_root() } else { Ok(()) }
    }

    fn report(&self) -> Report {
        report(&self.directory)
    }
}

impl Restore {
    /// Checks the digest of the whole archive.
    fn check_root(&mut self) -> Result<()> {
        let Some(mut hasher) = self.root.take() else { return Ok(()) };
        hasher.update(&self.directory.back);
        let found = hasher.finalize();
        if *found.as_bytes() == self.directory.root {
            return Ok(());
        }
        let expected = blake3::Hash::from_bytes(self.directory.root).to_hex();
        Err(Error::corrupt("digest of the archive").figures(expected, found.to_hex()).input(Source::Delta))
    }
}

/// Where every item's records are.
fn locate(directory: &Directory) -> Vec<Chunks> {
    let mut entries = directory.index.chunks.iter();
    let mut offset = directory.records().start;
    let records = |item: &Item| {
        let Item::Region { region, content: Content::Chunks(_) } = item else { return Chunks { records: Vec::new() } };
        let count = geometry::of(region).count() as usize;
        let records = entries.by_ref().take(count).map(|entry| {
            offset += entry.stored();
            (offset - entry.stored()..offset, entry.method)
        });
        Chunks { records: records.collect() }
    };
    directory.head.items.iter().map(records).collect()
}

/// Adds the chunks of a region, or of the earlier one that it equals.
fn add_region(
    pieces: &mut Vec<Piece>,
    directory: &Directory,
    chunks: &[Chunks],
    item: usize,
    region: &Region,
    bases: &BaseSet,
) -> Result<()> {
    let source = match &directory.head.items[item] {
        Item::Region { content: Content::Earlier(earlier), .. } => *earlier,
        _ => item,
    };
    let Item::Region { region: coded, content: Content::Chunks(partner) } = &directory.head.items[source] else {
        return Err(Error::corrupt("equals an item that has no chunks").tensor(&region.name));
    };
    let base = partner.as_ref().map(|partner| find_base(coded, partner, bases)).transpose()?;
    let geometry = geometry::of(coded);
    for (i, (record, method)) in chunks[source].records.iter().enumerate() {
        let range = geometry.range(i as u64);
        let base = base.map(|(source, offset)| (source, offset + range.start..offset + range.end));
        let (dtype, matrix) = (coded.dtype, geometry.matrix);
        let content = PieceContent::Chunk { record: record.clone(), method: *method, dtype, matrix, base };
        pieces.push(Piece { item, length: range.end - range.start, content });
    }
    Ok(())
}

/// The file and the offset of a region's partner.
fn find_base(region: &Region, partner: &Partner, bases: &BaseSet) -> Result<(Source, u64)> {
    let here = bases.named(&partner.name).iter().find(|place| place.base == partner.base);
    let found = here.map(|&place| bases.region(place));
    match found {
        Some(other) if other.dtype == region.dtype && other.length == region.length => {
            Ok((Source::Base(partner.base), other.offset))
        }
        _ => Err(super::mismatch(region, &partner.name, bases)),
    }
}

/// What the archive holds.
pub(super) fn report(directory: &Directory) -> Report {
    let chunks = locate(directory);
    let mut entries = directory.index.chunks.iter();
    let mut tensors = Vec::new();
    for (item, chunks) in directory.head.items.iter().zip(&chunks) {
        let Item::Region { region, content } = item else { continue };
        let mine: Vec<_> = entries.by_ref().take(chunks.records.len()).collect();
        let stored = mine.iter().map(|entry| entry.stored()).sum();
        let method = match content {
            Content::Earlier(_) => Method::CopyEarlier,
            Content::Chunks(_) => dominant(mine.iter().map(|entry| (entry.method, entry.length))),
        };
        tensors.push(TensorReport::new(region, method, stored));
    }
    Report {
        version: v2::VERSION,
        stored_bytes: directory.archive_length,
        restored_bytes: directory.head.items.iter().map(Item::length).sum(),
        blake3: Some(directory.index.output),
        tensors,
    }
}

/// The method that most bytes of a tensor are stored by.
pub(crate) fn dominant(chunks: impl Iterator<Item = (chunk::Method, u32)>) -> Method {
    let largest = chunks.max_by_key(|&(_, length)| length);
    match largest.map_or(chunk::Method::Stored, |(method, _)| method) {
        chunk::Method::Stored => Method::Stored,
        chunk::Method::Zstd => Method::Zstd,
        chunk::Method::Copy => Method::CopyBase,
        chunk::Method::Delta => Method::Delta,
        chunk::Method::Solo => Method::Solo,
    }
}
