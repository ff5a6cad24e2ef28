//! Compressing to BITXv002.
//!
//! A window codes a run of chunks, each a task of its own; beside them run the digests of the target,
//! of the base, and of the archive itself, each a task too.

use std::ops::Range;

use super::survey::{Findings, spans};
use crate::archive::v2::{self, BaseFile, ChunkEntry, Content, Head, Index, Item, MAX_SPAN, Partner, Record};
use crate::chunk::{self, Effort, Matrix, Method, geometry};
use crate::decode::dominant;
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::Plan;
use crate::layout::{Dtype, Layout, Region};
use crate::order;
use crate::parallel::{self, Runner};
use crate::report::{self, Report, TensorReport};
use crate::window;

/// Everything decided before the first window runs, and what the windows so far have left.
#[derive(Debug)]
pub(super) struct Compress {
    effort: Effort,
    head: Head,
    target_length: u64,
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
    index: Index,
    target: blake3::Hasher,
    bases: Vec<blake3::Hasher>,
    root: blake3::Hasher,
    stored_bytes: u64,
}

/// A chunk of the target and its base range.
#[derive(Debug)]
struct Piece {
    target: Range<u64>,
    dtype: Dtype,
    matrix: Matrix,
    base: Option<(Source, Range<u64>)>,
}

impl Piece {
    fn length(&self) -> u64 {
        self.target.end - self.target.start
    }
}

impl Compress {
    pub(super) fn new(findings: Findings, effort: Effort) -> Result<Self> {
        let head = plan_head(&findings);
        let mut pieces = Vec::new();
        for item in &head.items {
            let Item::Region { region, content: Content::Chunks(partner) } = item else { continue };
            let base = partner.as_ref().and_then(|partner| {
                let place = findings.bases.named(&partner.name).iter().find(|place| place.base == partner.base)?;
                Some((Source::Base(place.base), findings.bases.region(*place).offset))
            });
            let geometry = geometry::of(region);
            for i in 0..geometry.count() {
                let range = geometry.range(i);
                pieces.push(Piece {
                    target: region.offset + range.start..region.offset + range.end,
                    dtype: region.dtype,
                    matrix: geometry.matrix,
                    base: base.map(|(source, offset)| (source, offset + range.start..offset + range.end)),
                });
            }
        }
        let mut windows = window::group(window::SMALL, pieces.iter().map(Piece::length));
        // Digests are taken of whole files, in as many shares as there are windows: there must be enough
        // that no share is large, and one at least, which writes head and index.
        let longest = head.bases.iter().map(|base| base.length).fold(findings.target.file_length, u64::max);
        let least = usize::try_from(longest.div_ceil(window::SMALL)).unwrap_or(usize::MAX).max(1);
        windows.resize(windows.len().max(least), pieces.len()..pieces.len());
        Ok(Self {
            effort,
            target_length: findings.target.file_length,
            pieces,
            windows,
            index: Index::default(),
            target: blake3::Hasher::new(),
            bases: vec![blake3::Hasher::new(); head.bases.len()],
            root: blake3::Hasher::new(),
            head,
            stored_bytes: 0,
        })
    }

    /// The share of a file's bytes that the digest takes up in `window`, so that all windows together
    /// read it front to back.
    fn share(&self, length: u64, window: usize) -> Range<u64> {
        let at = |window: usize| (u128::from(length) * window as u128 / self.windows.len() as u128) as u64;
        at(window)..at(window + 1)
    }

    fn encode_piece(&self, piece: &Piece, inputs: &Inputs) -> Result<(Method, Vec<u8>)> {
        let target = inputs.slice(Source::Target, piece.target.clone())?;
        let base = match &piece.base {
            Some((source, range)) => Some(inputs.slice(*source, range.clone())?),
            None => None,
        };
        let (method, payload) = chunk::encode(piece.dtype, piece.matrix, base, target, self.effort)?;
        let mut record = Vec::with_capacity(v2::RECORD_HEAD as usize + payload.len());
        Record::new(method, &payload, base, target).write(&mut record);
        Ok((method, record))
    }

    /// Index and trailer: the archive's end.
    fn finish(&mut self, output: &mut Vec<u8>) {
        self.index.output = *self.target.finalize().as_bytes();
        self.index.bases = self.bases.iter().map(|hasher| *hasher.finalize().as_bytes()).collect();
        let start = output.len();
        let index = self.index.write();
        output.extend_from_slice(&index);
        output.extend_from_slice(&(self.stored_bytes + start as u64).to_le_bytes());
        output.extend_from_slice(&(index.len() as u64).to_le_bytes());
        self.root.update(&output[start..]);
        output.extend_from_slice(self.root.finalize().as_bytes());
    }
}

/// What runs in parallel: the chunks, and the digests.
enum Task<'a> {
    Piece(&'a Piece),
    Digest(&'a mut blake3::Hasher, &'a [u8]),
}

impl Task<'_> {
    fn cost(&self) -> u64 {
        match self {
            Self::Piece(piece) => piece.length(),
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
        self.share(self.target_length, count).start
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = vec![Read::new(Source::Target, self.share(self.target_length, window))];
        for (base, file) in self.head.bases.iter().enumerate() {
            reads.push(Read::new(Source::Base(base), self.share(file.length, window)));
        }
        for piece in &self.pieces[self.windows[window].clone()] {
            reads.push(Read::new(Source::Target, piece.target.clone()));
            reads.extend(piece.base.iter().map(|(source, range)| Read::new(*source, range.clone())));
        }
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        if window == 0 {
            output.extend_from_slice(&self.head.write()?);
        }
        let (mut target, mut bases) = (std::mem::take(&mut self.target), std::mem::take(&mut self.bases));
        let mut tasks: Vec<Task<'_>> = self.pieces[self.windows[window].clone()].iter().map(Task::Piece).collect();
        let chunks = tasks.len();
        tasks.push(Task::Digest(&mut target, inputs.slice(Source::Target, self.share(self.target_length, window))?));
        for (i, (hasher, file)) in bases.iter_mut().zip(&self.head.bases).enumerate() {
            tasks.push(Task::Digest(hasher, inputs.slice(Source::Base(i), self.share(file.length, window))?));
        }
        let mut coded = parallel::map_by_cost(runner, tasks, Task::cost, |task| match task {
            Task::Piece(piece) => self.encode_piece(piece, inputs),
            Task::Digest(hasher, bytes) => {
                hasher.update(bytes);
                Ok((Method::Stored, Vec::new()))
            }
        });
        (self.target, self.bases) = (target, bases);
        coded.truncate(chunks);
        for chunk in coded {
            let (method, record) = chunk?;
            let length = u32::try_from(record.len() as u64 - v2::RECORD_HEAD)
                .map_err(|_| Error::limit("length of a chunk").figures(u32::MAX, record.len()))?;
            self.index.chunks.push(ChunkEntry { method, length });
            output.extend_from_slice(&record);
        }
        self.root.update(output);
        if window + 1 == self.windows.len() {
            self.finish(output);
        }
        self.stored_bytes += output.len() as u64;
        Ok(())
    }

    fn report(&self) -> Report {
        let mut entries = self.index.chunks.iter();
        let mut tensors = Vec::new();
        for item in &self.head.items {
            let Item::Region { region, content } = item else { continue };
            tensors.push(match content {
                Content::Earlier(_) => TensorReport::new(region, report::Method::CopyEarlier, 0),
                Content::Chunks(_) => {
                    let mine: Vec<_> = entries.by_ref().take(geometry::of(region).count() as usize).collect();
                    let method = dominant(mine.iter().map(|entry| (entry.method, entry.length)));
                    TensorReport::new(region, method, mine.iter().map(|entry| entry.stored()).sum())
                }
            });
        }
        Report {
            version: v2::VERSION,
            stored_bytes: self.stored_bytes,
            restored_bytes: self.target_length,
            blake3: Some(self.index.output),
            tensors,
        }
    }
}

/// The target as items, front to back.
fn plan_head(findings: &Findings) -> Head {
    let mut parts: Vec<(u64, Option<usize>, Range<u64>)> =
        spans(&findings.target).into_iter().map(|span| (span.start, None, span)).collect();
    let regions = findings.target.regions.iter().enumerate();
    parts.extend(regions.map(|(i, region)| (region.offset, Some(i), region.range())));
    // Empty regions come before what begins where they are.
    let parts = order::sorted(parts, |(start, _, range)| (*start, range.end));
    let mut item_of = vec![0; findings.target.regions.len()];
    let mut items = Vec::with_capacity(parts.len());
    for (_, region, range) in parts {
        if let Some(region) = region {
            item_of[region] = items.len();
        }
        items.push(match region {
            Some(region) => region_item(findings, region, &item_of),
            None => span_item(findings, range),
        });
    }
    let base = |layout: &Layout| BaseFile { length: layout.file_length, kind: layout.kind };
    Head { bases: findings.bases.layouts().iter().map(base).collect(), items }
}

fn region_item(findings: &Findings, i: usize, item_of: &[usize]) -> Item {
    let region = findings.target.regions[i].clone();
    let content = match (findings.earlier[i], findings.partners[i]) {
        (Some(earlier), _) => Content::Earlier(item_of[earlier]),
        (None, Some(place)) => {
            let name = findings.bases.region(place).name.clone();
            Content::Chunks(Some(Partner { base: place.base, name }))
        }
        (None, None) => Content::Chunks(None),
    };
    Item::Region { region, content }
}

/// A span: kept in the head if it is short, else coded as a region of bytes.
fn span_item(findings: &Findings, range: Range<u64>) -> Item {
    let length = range.end - range.start;
    if let (Some(bytes), true) = (findings.spans.get(&range.start), range.start == 0 || length <= MAX_SPAN) {
        return Item::Span(bytes.clone());
    }
    let region = Region { name: String::new(), dtype: Dtype::U8, shape: vec![length], offset: range.start, length };
    Item::Region { region, content: Content::Chunks(None) }
}
