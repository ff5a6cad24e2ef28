//! Restores from BITXv001.
//!
//! The output is cut into pieces: the header, holes (zeros), and the parts of each tensor, or the
//! whole tensor where its two streams are cut at different places. Each piece is a task, which
//! decodes its streams into scratch memory and joins them with the base while they are in the
//! cache.

use std::ops::Range;
use std::sync::Arc;

use super::{Sharing, Windows};
use crate::archive::v1::{Entry, Index, MAX_PIECE, Part, Stream};
use crate::delta::xor_split;
use crate::entropy::zstd;
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::Plan;
use crate::layout::Region;
use crate::pace::Pace;
use crate::parallel::{self, Runner};
use crate::plan::{BaseSet, Place};
use crate::report::Report;
use crate::window::{self, Grouping};

/// The plan of a restore. Jobs that share its windows share the work that it refers to.
#[derive(Debug)]
pub(super) struct Restore {
    work: Arc<Work>,
    sharing: Sharing,
}

/// Everything that is decided before the first window runs.
#[derive(Debug)]
struct Work {
    index: Index,
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
    scratch: parallel::Scratch<Scratch>,
}

/// Consecutive bytes of the output that are restored on their own.
#[derive(Debug)]
struct Piece {
    output: Range<u64>,
    content: Content,
    region: Option<usize>,
}

#[derive(Debug)]
enum Content {
    Header,
    Zeros,
    /// The parts of these numbers, of both streams, and the range of the base.
    Paired {
        parts: [Range<usize>; 2],
        base: (Source, Range<u64>),
    },
    /// The part of this number.
    Alone(usize),
}

impl Restore {
    /// Plans to restore all of the target, or only the tensor `only`.
    pub(super) async fn new(index: Index, bases: &BaseSet, only: Option<&str>, windows: Windows) -> Result<Self> {
        let mut pace = Pace::default();
        let mut pieces = vec![Piece::new(0..index.layout.header_length, Content::Header, None)];
        let mut end = index.layout.header_length;
        for (i, (region, entry)) in index.layout.regions.iter().zip(&index.entries).enumerate() {
            if region.offset > end {
                pieces.push(Piece::new(end..region.offset, Content::Zeros, None));
            }
            end = region.offset + region.length;
            let named = |e: Error| e.tensor(&region.name);
            match entry {
                Entry::Alone(stream) => add_alone(&mut pieces, i, region, stream).map_err(named)?,
                Entry::Paired { exponent, sign_mantissa } => {
                    let place = bases.partner(region).ok_or_else(|| bases.mismatch(region, &region.name))?;
                    let base = (place, bases.region(place));
                    add_paired(&mut pieces, i, region, base, exponent, sign_mantissa).map_err(named)?;
                }
            }
            pace.turn().await;
        }
        if let Some(name) = only {
            let wanted = index.layout.regions.iter().position(|r| r.name == name);
            let wanted = wanted.ok_or_else(|| super::no_such_tensor(name))?;
            pieces.retain(|piece| piece.region == Some(wanted));
        }
        let sharing = windows.sharing;
        let mut grouping = Grouping::new(windows.length(window::LARGE));
        for piece in &pieces {
            grouping.push(piece.length());
            pace.turn().await;
        }
        let work = Work { index, pieces, windows: grouping.windows, scratch: parallel::Scratch::default() };
        Ok(Self { work: Arc::new(work), sharing })
    }
}

impl Work {
    fn pieces(&self, window: usize) -> &[Piece] {
        &self.pieces[self.windows[window].clone()]
    }

    /// The parts that a piece is decoded from, of its first and of its second stream.
    fn parts(&self, piece: &Piece) -> [&[Part]; 2] {
        match (&piece.content, piece.region.map(|region| &self.index.entries[region])) {
            (Content::Alone(part), Some(Entry::Alone(stream))) => [&stream.parts[*part..=*part], &[]],
            (Content::Paired { parts: [first, second], .. }, Some(Entry::Paired { exponent, sign_mantissa })) => {
                [&exponent.parts[first.clone()], &sign_mantissa.parts[second.clone()]]
            }
            _ => [&[], &[]],
        }
    }

    /// Fills `target` with the bytes of `piece`.
    fn restore(&self, piece: &Piece, inputs: &Inputs, scratch: &mut Scratch, target: &mut [u8]) -> Result<()> {
        let Scratch { decoder, exponent: e, sign_mantissa: s } = scratch;
        let named = |error: Error| match piece.region {
            Some(region) => error.tensor(&self.index.layout.regions[region].name).input(Source::Delta),
            None => error,
        };
        let [first, second] = self.parts(piece);
        match &piece.content {
            Content::Header => target.copy_from_slice(&self.index.header),
            Content::Zeros => target.fill(0),
            Content::Alone(_) => {
                decode_parts(decoder, first, inputs, e).map_err(named)?;
                target.copy_from_slice(e);
            }
            Content::Paired { base, .. } => {
                decode_parts(decoder, first, inputs, e).map_err(named)?;
                decode_parts(decoder, second, inputs, s).map_err(named)?;
                xor_split::join(inputs.slice(base.0, base.1.clone())?, e, s, target);
            }
        }
        Ok(())
    }
}

impl Plan for Restore {
    fn windows(&self) -> usize {
        self.work.windows.len()
    }

    fn output_length(&self) -> Option<u64> {
        Some(self.progress(self.work.windows.len()))
    }

    fn progress(&self, count: usize) -> u64 {
        let Work { pieces, windows, .. } = self.work.as_ref();
        let end = |window: &Range<usize>| pieces[window.end - 1].output.end - pieces[0].output.start;
        count.checked_sub(1).map_or(0, |last| end(&windows[last]))
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = Vec::new();
        for piece in self.work.pieces(window) {
            let parts = self.work.parts(piece).into_iter().flatten();
            reads.extend(parts.map(|part| Read::new(Source::Delta, part.stored.clone())));
            if let Content::Paired { base: (source, range), .. } = &piece.content {
                reads.push(Read::new(*source, range.clone()));
            }
        }
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        let pieces = self.work.pieces(window);
        let length: u64 = pieces.iter().map(Piece::length).sum();
        output.resize(length as usize, 0);
        let mut rest = output.as_mut_slice();
        let tasks = pieces.iter().map(|piece| {
            let (target, others) = std::mem::take(&mut rest).split_at_mut(piece.length() as usize);
            rest = others;
            (piece, target)
        });
        let cost = |(piece, _): &(&Piece, &mut [u8])| piece.length();
        let done = parallel::map_by_cost(runner, tasks.collect(), cost, |(piece, target)| {
            self.work.scratch.with(|scratch| self.work.restore(piece, inputs, scratch, target))
        });
        done.into_iter().collect()
    }

    fn sibling(&self) -> Option<Box<dyn Plan>> {
        let sibling = Self { work: Arc::clone(&self.work), sharing: self.sharing };
        (self.sharing == Sharing::Shared).then(|| Box::new(sibling) as Box<dyn Plan>)
    }

    fn report(&self) -> Report {
        self.work.index.report()
    }
}

/// Memory that tasks reuse: a decoder, and room for the two streams of a piece.
#[derive(Debug, Default)]
struct Scratch {
    decoder: zstd::Decoder,
    exponent: Vec<u8>,
    sign_mantissa: Vec<u8>,
}

/// Decodes the parts of a stream in order, and replaces the content of `stream` with them.
fn decode_parts(decoder: &mut zstd::Decoder, parts: &[Part], inputs: &Inputs, stream: &mut Vec<u8>) -> Result<()> {
    stream.clear();
    for part in parts {
        let frame = inputs.slice(Source::Delta, part.stored.clone())?;
        decoder.decode(frame, part.restored as usize, stream).map_err(|e| e.at(part.stored.start))?;
    }
    Ok(())
}

impl Piece {
    fn new(output: Range<u64>, content: Content, region: Option<usize>) -> Self {
        Self { output, content, region }
    }

    fn length(&self) -> u64 {
        self.output.end - self.output.start
    }
}

/// Adds the pieces of a tensor without a base: one per part.
fn add_alone(pieces: &mut Vec<Piece>, i: usize, region: &Region, stream: &Stream) -> Result<()> {
    let mut start = region.offset;
    for (number, part) in stream.parts.iter().enumerate() {
        check_piece(part.restored)?;
        let output = start..start + part.restored;
        start = output.end;
        pieces.push(Piece::new(output, Content::Alone(number), Some(i)));
    }
    Ok(())
}

/// Adds the pieces of a tensor with a base: one per pair of parts, or a single one if the parts of
/// the two streams do not pair up.
fn add_paired(
    pieces: &mut Vec<Piece>,
    i: usize,
    region: &Region,
    (place, base): (Place, &Region),
    exponent: &Stream,
    sign_mantissa: &Stream,
) -> Result<()> {
    let source = Source::Base(place.base);
    let (first, second) = (&exponent.parts, &sign_mantissa.parts);
    if first.len() != second.len() || first.iter().zip(second).any(|(a, b)| a.restored != b.restored) {
        check_piece(region.length)?;
        let parts = [0..first.len(), 0..second.len()];
        let content = Content::Paired { base: (source, base.range()), parts };
        pieces.push(Piece::new(region.range(), content, Some(i)));
        return Ok(());
    }
    let mut start = 0;
    for (number, part) in first.iter().enumerate() {
        let end = start + 2 * part.restored;
        check_piece(end - start)?;
        let parts = [number..number + 1, number..number + 1];
        let content = Content::Paired { base: (source, base.offset + start..base.offset + end), parts };
        pieces.push(Piece::new(region.offset + start..region.offset + end, content, Some(i)));
        start = end;
    }
    Ok(())
}

fn check_piece(length: u64) -> Result<()> {
    if length <= MAX_PIECE {
        return Ok(());
    }
    Err(Error::limit("too many bytes have to be decoded at once").figures(format_args!("at most {MAX_PIECE}"), length))
}
