//! Compresses to BITXv001.
//!
//! Tensors are stored in file order, so that restoring reads the archive front to back. Tensors of
//! an odd length, whose last byte the reference would lose, and tensors under 2 bytes are stored
//! without their base.

use std::ops::Range;

use crate::archive::v1::{self, Coded, MAX_HOLES};
use crate::delta::xor_split;
use crate::entropy::zstd;
use crate::error::{Error, Result};
use crate::io::{Inputs, Read, Source, coalesce};
use crate::job::Plan;
use crate::layout::Layout;
use crate::parallel::{self, Runner};
use crate::plan::BaseSet;
use crate::report::{Method, Report, TensorReport};
use crate::window;

/// Bytes of a tensor per part: few enough to spread one tensor over all threads, and so many that
/// the overhead of frames does not matter. The reference's parts have 16 MiB.
const PART: u64 = 4 << 20;

/// The plan of a compressing job, and the state that its windows have left so far.
#[derive(Debug)]
pub(super) struct Compress {
    level: i32,
    header: Vec<u8>,
    target: Layout,
    pieces: Vec<Piece>,
    windows: Vec<Range<usize>>,
    /// The coded parts of the tensor that is not complete yet.
    pending: Vec<Streams>,
    stored_bytes: u64,
    tensors: Vec<TensorReport>,
}

/// Consecutive bytes of the target that are compressed on their own.
#[derive(Debug)]
struct Piece {
    target: Range<u64>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// Bytes between tensors, which must be zeros.
    Hole,
    /// A part of a tensor; `last` marks the tensor's last one.
    Part { region: usize, base: Option<(Source, Range<u64>)>, last: bool },
}

/// The coded streams of one part.
#[derive(Debug)]
enum Streams {
    Paired { exponent: Coded, sign_mantissa: Coded },
    Alone(Coded),
}

impl Compress {
    pub(super) fn new(target: Layout, header: Vec<u8>, bases: &BaseSet, level: i32) -> Result<Self> {
        check_expressible(&target).map_err(|e| e.input(Source::Target))?;
        let mut pieces: Vec<Piece> =
            target.holes().into_iter().map(|hole| Piece { target: hole, content: Content::Hole }).collect();
        for (i, region) in target.regions.iter().enumerate() {
            let pairs = region.length >= 2 && region.length.is_multiple_of(2);
            let place = bases.partner(region).filter(|_| pairs);
            let base = place.map(|place| (Source::Base(place.base), bases.region(place).offset));
            let parts = region.length.div_ceil(PART).max(1);
            for part in 0..parts {
                let bytes = part * PART..((part + 1) * PART).min(region.length);
                let base = base.map(|(source, offset)| (source, offset + bytes.start..offset + bytes.end));
                let content = Content::Part { region: i, base, last: part + 1 == parts };
                pieces.push(Piece { target: region.offset + bytes.start..region.offset + bytes.end, content });
            }
        }
        pieces.sort_by_cached_key(|piece| (piece.target.start, 0u64));
        let windows = match window::group(window::LARGE, pieces.iter().map(Piece::length)) {
            // A window writes the header, so a model without tensors needs one as well.
            none if none.is_empty() => std::iter::once(0..0).collect(),
            windows => windows,
        };
        let (pending, tensors) = (Vec::new(), Vec::new());
        Ok(Self { level, header, target, pieces, windows, pending, stored_bytes: 0, tensors })
    }

    /// Codes the streams of a part; returns `None` for a hole of zeros.
    fn encode_piece(&self, piece: &Piece, inputs: &Inputs) -> Result<Option<Streams>> {
        let target = inputs.slice(Source::Target, piece.target.clone())?;
        let coded = |bytes: &[u8]| Ok::<Coded, Error>((zstd::encode(bytes, self.level)?, bytes.len() as u32));
        match &piece.content {
            Content::Hole => check_zeros(target, piece.target.start).map(|()| None),
            Content::Part { base: None, .. } => Ok(Some(Streams::Alone(coded(target)?))),
            Content::Part { base: Some((source, range)), .. } => {
                let base = inputs.slice(*source, range.clone())?;
                let mut streams = vec![0; target.len()];
                let (exponent, sign_mantissa) = streams.split_at_mut(target.len() / 2);
                xor_split::split(base, target, exponent, sign_mantissa);
                let (exponent, sign_mantissa) = (coded(exponent)?, coded(sign_mantissa)?);
                Ok(Some(Streams::Paired { exponent, sign_mantissa }))
            }
        }
    }

    /// Writes a tensor, all parts of which are pending.
    fn write_tensor(&mut self, region: usize, output: &mut Vec<u8>) -> Result<()> {
        let region = &self.target.regions[region];
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for streams in self.pending.drain(..) {
            match streams {
                Streams::Alone(stream) => first.push(stream),
                Streams::Paired { exponent, sign_mantissa } => {
                    first.push(exponent);
                    second.push(sign_mantissa);
                }
            }
        }
        let (method, stored) = match second.is_empty() {
            true => (Method::Zstd, v1::write_alone(output, &region.name, region.length, &first)?),
            false => (Method::Xor, v1::write_paired(output, &region.name, &first, &second)?),
        };
        self.tensors.push(TensorReport::new(region, method, stored));
        Ok(())
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
        match count.checked_sub(1).and_then(|i| self.windows.get(i)) {
            None => 0,
            Some(_) if count == self.windows.len() => self.target.file_length,
            Some(window) => self.pieces[window.end - 1].target.end,
        }
    }

    fn reads(&self, window: usize) -> Vec<Read> {
        let mut reads = Vec::new();
        for piece in &self.pieces[self.windows[window].clone()] {
            reads.push(Read::new(Source::Target, piece.target.clone()));
            if let Content::Part { base: Some((source, range)), .. } = &piece.content {
                reads.push(Read::new(*source, range.clone()));
            }
        }
        coalesce(reads)
    }

    fn run(&mut self, window: usize, inputs: &Inputs, runner: &dyn Runner, output: &mut Vec<u8>) -> Result<()> {
        output.clear();
        if window == 0 {
            v1::begin_archive(output, &self.header, self.target.regions.len())?;
        }
        let pieces: Vec<&Piece> = self.pieces[self.windows[window].clone()].iter().collect();
        let coded = parallel::map_by_cost(runner, pieces, |p| p.length(), |piece| self.encode_piece(piece, inputs));
        for (piece, coded) in self.windows[window].clone().zip(coded) {
            let Some(streams) = coded? else { continue };
            self.pending.push(streams);
            if let Content::Part { region, last: true, .. } = self.pieces[piece].content {
                self.write_tensor(region, output)?;
            }
        }
        self.stored_bytes += output.len() as u64;
        Ok(())
    }

    fn report(&self) -> Report {
        Report {
            version: v1::VERSION,
            stored_bytes: self.stored_bytes,
            restored_bytes: self.target.file_length,
            blake3: None,
            bases: Vec::new(),
            tensors: self.tensors.clone(),
        }
    }
}

impl Piece {
    fn length(&self) -> u64 {
        self.target.end - self.target.start
    }
}

/// Refuses layouts that v1 cannot express.
fn check_expressible(target: &Layout) -> Result<()> {
    let trailing = target.file_length - target.data_end();
    if trailing > 0 {
        return Err(Error::unsupported("format v1 cannot hold bytes behind the last tensor")
            .figures("0 trailing bytes", trailing)
            .at(target.data_end()));
    }
    let holes: u64 = target.holes().iter().map(|hole| hole.end - hole.start).sum();
    if holes > MAX_HOLES {
        return Err(Error::unsupported("format v1 cannot hold so many bytes between tensors")
            .figures(format_args!("at most {MAX_HOLES}"), holes));
    }
    Ok(())
}

/// Refuses bytes between tensors that are not zeros: v1 restores zeros in their place.
fn check_zeros(bytes: &[u8], offset: u64) -> Result<()> {
    match bytes.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(i) => Err(Error::unsupported("format v1 can hold only zeros between tensors")
            .input(Source::Target)
            .figures(0, bytes[i])
            .at(offset + i as u64)),
    }
}
