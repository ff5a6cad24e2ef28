//! Packed numbers of matrices that are fused in the target and split in the base, or the other way
//! round: one region of floats for all heads of attention, or for each of query, key and value.
//!
//! A chain begins at the first weight of a region, the *whole*, and looks for the region of the
//! other side whose first weights are alike, its *part*; it goes on behind that part. Of numbers
//! whose rows are the columns of a matrix, the first numbers of one column tell.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use super::floats::{Floats, Piece};
use super::quantised::{is_float, numbers_of, signature};
use crate::chunk::unit;
use crate::encode::companions::Known;
use crate::io::{Read, Source};
use crate::layout::Dtype;
use crate::pairing::{Models, Signature, Subject, WORDS, weights};
use crate::plan::Place;
use crate::quant::packed::{PACKINGS, Packing, Zeros};

/// Comparisons of signatures, at most.
const COMPARISONS: usize = 1 << 24;

/// The share of all bytes, as one in so many, that is read at most, plus [`FEW`].
const SHARE: u64 = 16;

/// Bytes that are read in any case, if they are needed.
const FEW: u64 = 16 << 20;

/// Bytes that a read costs besides its own.
const READ: u64 = 1 << 10;

/// Maximum number of bytes of the rows that tell the first weights of a column.
const ROWS: u64 = 1 << 20;

/// Weights that tell a column, at least, if the rows have as many.
const COLUMN: u64 = 128;

/// Weights of a part, at least.
const LEAST: u64 = 1 << 10;

/// The packed regions that have no floats of their size, and the chains through them.
#[derive(Debug, Default)]
pub(super) struct Fused {
    alone: Vec<Alone>,
    /// Floats of the base, with their numbers of weights.
    floats: Vec<(Place, u64)>,
    chains: Vec<Chain>,
    /// The reads that were asked for, in their order.
    asked: VecDeque<Asked>,
    /// The bytes that were read for the first of these.
    parts: Vec<Vec<u8>>,
    has_begun: bool,
    /// Comparisons and bytes that are left.
    left: usize,
    bytes: u64,
}

/// A packed region.
#[derive(Debug)]
struct Alone {
    known: Known,
    count: u64,
    start: Signature,
}

/// The purpose of some reads that belong together.
#[derive(Debug)]
struct Asked {
    purpose: Purpose,
    /// The regions of the target that are read, or none if the base is read.
    regions: Vec<usize>,
    /// The first weight.
    at: u64,
    count: usize,
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// The first weights of one of the packed regions.
    Start(usize),
    /// The weights that a chain goes on with.
    Next(usize),
}

/// The region that a chain goes through.
#[derive(Debug, Clone, Copy)]
enum Whole {
    /// One of the packed regions.
    Packed(usize),
    Floats(Place),
}

/// The parts of a region, as far as they are found.
#[derive(Debug)]
struct Chain {
    whole: Whole,
    count: u64,
    at: u64,
    /// The floats that the packed region is made of.
    pieces: Vec<Piece>,
    /// The packed regions that the floats were made to, and the first weight of each.
    packed: Vec<(usize, u64)>,
    ended: bool,
}

impl Fused {
    /// Takes the packed regions without floats of their own.
    pub(super) fn new(models: &Models, alone: Vec<Known>) -> Self {
        let packed = |known: Known| {
            let count = numbers_of(&models.target.regions[known.region], &known);
            (count >= LEAST).then(|| Alone { known, count, start: Signature::default() })
        };
        let alone: Vec<Alone> = alone.into_iter().filter_map(packed).collect();
        let floats = |subject: Subject| match subject {
            Subject::Base(place) => {
                let region = models.bases.region(place);
                (is_float(region) && weights(region) >= LEAST).then(|| (place, weights(region)))
            }
            Subject::Target(_) => None,
        };
        let floats = if alone.is_empty() { Vec::new() } else { models.base_regions().filter_map(floats).collect() };
        Self { alone, floats, left: COMPARISONS, bytes: models.bytes() / SHARE + FEW, ..Self::default() }
    }

    /// The reads that are needed next: the starts of all packed regions, then those of parts.
    pub(super) fn wanted(&mut self, models: &Models) -> Vec<Read> {
        let mut reads = Vec::new();
        if !self.has_begun {
            self.has_begun = true;
            let starts = if self.floats.is_empty() { 0 } else { self.alone.len() };
            (0..starts)
                .for_each(|packed| reads.extend(self.ask(models, Purpose::Start(packed), Whole::Packed(packed), 0)));
            if !reads.is_empty() {
                return reads;
            }
        }
        if self.chains.is_empty() {
            self.begin(models);
        }
        for number in 0..self.chains.len() {
            let Chain { whole, at, ended, .. } = self.chains[number];
            if !ended {
                let own = self.ask(models, Purpose::Next(number), whole, at);
                self.chains[number].ended = own.is_empty();
                reads.extend(own);
            }
        }
        reads
    }

    /// Asks for the weights of a region from one on; for none if they cannot be told, or if enough
    /// was read.
    fn ask(&mut self, models: &Models, purpose: Purpose, whole: Whole, at: u64) -> Vec<Read> {
        let (regions, reads): (Vec<usize>, Vec<Read>) = match whole {
            Whole::Packed(packed) => {
                let ranges = ranges(models, &self.alone[packed].known, at).unwrap_or_default();
                ranges.into_iter().map(|(region, range)| (region, Read::new(Source::Target, range))).unzip()
            }
            Whole::Floats(place) => {
                let region = models.bases.region(place);
                let (width, end) = (unit(region.dtype).1, (at + WORDS as u64).min(weights(region)));
                let range = region.offset + at * width..region.offset + end * width;
                (Vec::new(), vec![Read::new(Source::Base(place.base), range)])
            }
        };
        let cost = reads.iter().map(|read| read.length + READ).sum::<u64>();
        let Some(left) = self.bytes.checked_sub(cost).filter(|_| !reads.is_empty()) else { return Vec::new() };
        self.bytes = left;
        self.asked.push_back(Asked { purpose, regions, at, count: reads.len() });
        reads
    }

    /// Takes the bytes of the next read; returns `false` if none was asked for.
    pub(super) fn feed(&mut self, models: &Models, bytes: &[u8]) -> bool {
        let Some(asked) = self.asked.front() else { return false };
        self.parts.push(bytes.to_vec());
        if self.parts.len() < asked.count {
            return true;
        }
        let (parts, asked) = (std::mem::take(&mut self.parts), self.asked.pop_front());
        let Some(Asked { purpose, regions, at, .. }) = asked else { return false };
        match purpose {
            Purpose::Start(packed) => self.alone[packed].start = self.signature(models, packed, (&regions, &parts), at),
            Purpose::Next(chain) => {
                let signature = match self.chains[chain].whole {
                    Whole::Packed(packed) => self.signature(models, packed, (&regions, &parts), at),
                    Whole::Floats(place) => Signature::of(models.bases.region(place).dtype, &parts[0]),
                };
                self.advance(models, chain, signature);
            }
        }
        true
    }

    /// Begins the chains through all packed regions, and through all floats.
    fn begin(&mut self, models: &Models) {
        let chain = |whole: Whole, count: u64| {
            let (pieces, packed) = (Vec::new(), Vec::new());
            Chain { whole, count, at: 0, pieces, packed, ended: false }
        };
        let packed = self.alone.iter().enumerate().map(|(i, alone)| chain(Whole::Packed(i), alone.count));
        let floats = self.floats.iter().map(|&(place, count)| chain(Whole::Floats(place), count));
        self.chains = packed.chain(floats).collect();
        for number in 0..self.chains.len() {
            let start = match self.chains[number].whole {
                Whole::Packed(packed) => self.alone[packed].start,
                Whole::Floats(place) => models.starts.get(&Subject::Base(place)).copied().unwrap_or_default(),
            };
            self.advance(models, number, start);
        }
    }

    /// Adds the part whose start is like the signature, or ends the chain.
    fn advance(&mut self, models: &Models, number: usize, signature: Signature) {
        let Chain { whole, count, at, .. } = self.chains[number];
        let room = count - at;
        let share = |start: &Signature| signature.likeness(start).related_share();
        let (compared, taken) = match whole {
            Whole::Packed(_) => {
                let parts = self.floats.iter().filter(|part| part.1 <= room && part.1 < count);
                let start = |place: Place| models.starts.get(&Subject::Base(place));
                let found = parts.filter_map(|part| Some((share(start(part.0)?)?, *part)));
                let found = found.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, part)| part);
                let piece = found.map(|(place, count)| Piece { place, from: 0, count });
                self.chains[number].pieces.extend(piece);
                (self.floats.len(), piece.map(|piece| piece.count))
            }
            Whole::Floats(_) => {
                let parts = self.alone.iter().enumerate().filter(|(_, part)| part.count <= room && part.count < count);
                let found = parts.filter_map(|(i, part)| Some((share(&part.start)?, i, part.count)));
                let found = found.min_by(|a, b| a.0.total_cmp(&b.0));
                self.chains[number].packed.extend(found.map(|(_, part, _)| (part, at)));
                (self.alone.len(), found.map(|(.., count)| count))
            }
        };
        self.left = self.left.saturating_sub(compared);
        let chain = &mut self.chains[number];
        chain.at += taken.unwrap_or(0);
        chain.ended = taken.is_none() || chain.at == chain.count || self.left == 0;
    }

    /// The signature of the weights of a packed region from one on, given bytes of these regions.
    fn signature(&self, models: &Models, packed: usize, of: (&[usize], &[Vec<u8>]), at: u64) -> Signature {
        let known = &self.alone[packed].known;
        let packing = &PACKINGS[usize::from(known.packing)];
        if let (Some(column), Some(bytes)) = (Column::of(known, self.alone[packed].count, at), of.1.first()) {
            return column.signature(packing, bytes);
        }
        let parts: HashMap<usize, &[u8]> = of.0.iter().zip(of.1).map(|(&region, bytes)| (region, &bytes[..])).collect();
        let start = |region: usize| Some((models.target.regions[region].dtype, *parts.get(&region)?));
        signature(known, start).unwrap_or_default()
    }

    /// The floats of all packed regions whose chains are complete, by region.
    pub(super) fn finish(self, models: &Models) -> HashMap<usize, Floats> {
        let mut found = HashMap::new();
        for chain in self.chains {
            match chain.whole {
                Whole::Packed(packed) if chain.at == chain.count => {
                    let floats = Floats::joined(models, chain.pieces);
                    found.extend(floats.map(|floats| (self.alone[packed].known.region, floats)));
                }
                Whole::Packed(_) => {}
                Whole::Floats(place) => {
                    for (packed, from) in chain.packed {
                        let Alone { known, count, .. } = &self.alone[packed];
                        let floats = Floats::joined(models, vec![Piece { place, from, count: *count }]);
                        let Some(floats) = floats.filter(|_| !found.contains_key(&known.region)) else { continue };
                        found.insert(known.region, floats);
                    }
                }
            }
        }
        found
    }
}

/// A column of numbers whose rows are the columns of a matrix of floats.
#[derive(Debug, Clone, Copy)]
struct Column {
    /// Numbers of a row.
    width: u64,
    /// The numbers of the column that are side by side in a row, and the first of them.
    together: u64,
    first: u64,
    /// Rows that tell the column.
    rows: u64,
}

impl Column {
    /// The column that begins with the weight `at` of so many; `None` for numbers in the order of
    /// their weights, and for other weights than the first of a column.
    fn of(known: &Known, count: u64, at: u64) -> Option<Self> {
        let (packing, tiles) = (&PACKINGS[usize::from(known.packing)], known.tiles);
        let together = if packing.is_interleaved() { 1 } else { tiles.columns };
        let is_turned = packing.is_interleaved() || is_down(known);
        let inner = count / (tiles.width / together).max(1);
        if !is_turned || inner == 0 || !at.is_multiple_of(inner) {
            return None;
        }
        let column = at / inner;
        let first = if packing.is_interleaved() { packing.place(column as usize) as u64 } else { column * together };
        // The weights of one scale, if these are enough.
        let rows = tiles.rows.clamp(COLUMN.div_ceil(together), (WORDS as u64).div_ceil(together));
        let rows = rows.min(ROWS / packing.bytes(tiles.width).max(1)).min(count / tiles.width);
        (first < tiles.width && rows > 0).then_some(Self { width: tiles.width, together, first, rows })
    }

    /// The signature of the column's numbers in some rows.
    fn signature(self, packing: &Packing, rows: &[u8]) -> Signature {
        let numbers = packing.numbers(rows);
        let rows = numbers.chunks_exact(self.width as usize);
        let own = rows.flat_map(|row| row.iter().skip(self.first as usize).take(self.together as usize));
        let levels = own.map(|&number| packing.levels.value(packing.index(number)));
        let bytes: Vec<u8> = levels.flat_map(f32::to_le_bytes).collect();
        Signature::of(Dtype::F32, &bytes)
    }
}

/// Returns true for words of several rows, which follow each other by columns.
fn is_down(known: &Known) -> bool {
    let packing = &PACKINGS[usize::from(known.packing)];
    known.tiles.rows > 1 && known.tiles.columns > 1 && known.tiles.columns * u64::from(packing.bits) == 32
}

/// The regions and ranges of the target that tell weights of a packed region from one on.
fn ranges(models: &Models, known: &Known, at: u64) -> Option<Vec<(usize, Range<u64>)>> {
    let (packing, tiles) = (&PACKINGS[usize::from(known.packing)], known.tiles);
    let region = &models.target.regions[known.region];
    let count = packing.count(region.length);
    if packing.is_interleaved() || is_down(known) {
        let rows = Column::of(known, count, at)?.rows;
        let end = (region.offset + packing.bytes(rows * tiles.width)).min(region.offset + region.length);
        return Some(vec![(known.region, region.offset..end)]);
    }
    let numbers = at..(at + WORDS as u64).min(count);
    let whole = |number: u64| (number * u64::from(packing.bits)).is_multiple_of(8);
    if !whole(numbers.start) {
        return None;
    }
    let place = |number: u64| region.offset + packing.bytes(number);
    let mut ranges = vec![(known.region, place(numbers.start)..place(numbers.end).min(region.offset + region.length))];
    if tiles.rows > 1 || packing.zeros == Zeros::Nested || !at.is_multiple_of(tiles.columns) {
        return Some(ranges);
    }
    let own = numbers.start / tiles.columns..numbers.end.div_ceil(tiles.columns);
    for companion in [Some(known.scales), known.biases()].into_iter().flatten() {
        let of = &models.target.regions[companion];
        let place = |word: u64| of.offset + (word * unit(of.dtype).1).min(of.length);
        ranges.push((companion, place(own.start)..place(own.end)));
    }
    ranges.retain(|(_, range)| !range.is_empty());
    Some(ranges)
}
