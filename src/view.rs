//! A view of the base set whose places in the files are known: it names the ranges to read for any
//! part of a region, and turns them into the base words of that part.

mod arranged;
mod derived;
mod dtypes;
mod factors;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use crate::arranged::Arranged;
use crate::cast::cast;
use crate::chunk::unit;
use crate::derived::Derived;
use crate::error::Result;
use crate::io::{Inputs, Read, Source};
use crate::layout::Dtype;
use crate::quant::{dequantise, format_of, weights_per_unit};
use crate::steps;
use crate::transposed::Transposed;
use crate::unpacked::{Unpacked, without_nans};
pub(crate) use dtypes::{can_view, dequantises, origin_units};
pub(crate) use factors::Factors;

/// The base words of a region, as runs of words of base files.
#[derive(Debug)]
pub(crate) struct BaseView {
    /// The dtype of the target's region.
    dtype: Dtype,
    origins: Vec<Located>,
    /// The runs in order. Each one ends where the next one starts.
    runs: Vec<Stretch>,
    /// Bytes that the region resembles, in place of runs.
    bytes: Option<(Source, Range<u64>)>,
    /// The relation of base ranges to chunks. It is decided once, since a view may have as many
    /// origins as parts.
    relation: Relation,
    /// The adapter that moves the words of the runs.
    factors: Option<Box<Factors>>,
    /// The matrices whose transposes the words of the first origin are.
    transposed: Option<Transposed>,
    /// The order of the weights that the words were made from, and the view of these.
    derived: Option<Box<(Derived, Self)>>,
    /// The order and the arithmetic of weights whose packed numbers and companions the origins are.
    unpacked: Option<Unpacked>,
    /// The rectangles of the region that are words of the origins.
    arranged: Option<Arc<Arranged>>,
}

/// The relation of a chunk's base range to the chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Relation {
    /// A word of the same dtype for each word.
    #[default]
    Words,
    /// A weight, as `F32`, for each weight of quantised blocks, or for each quantised integer.
    Weights,
    /// A weight, as `F32`, for each packed number.
    Numbers,
    /// Bytes that the chunk resembles, at any place.
    Bytes,
}

/// A base region that was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) source: Source,
    /// Offset of the region in its file.
    pub(crate) offset: u64,
    pub(crate) dtype: Dtype,
}

/// A run, with its end in the target's region.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// The unit of the target's region behind the run.
    end: u64,
    units: u64,
    /// Index of the origin, and the run's first unit there.
    from: Option<(u32, u64)>,
}

/// The part of a run that a range of units covers.
struct Part {
    units: u64,
    /// The range of the base file, and the dtype of its words.
    from: Option<(Source, Range<u64>, Dtype)>,
    /// Weights of the first block there that the part does not begin with.
    skipped: usize,
}

impl BaseView {
    /// Creates the view of a region of `dtype`. Each run is a number of units, and the index of an
    /// origin with the first unit there.
    pub(crate) fn new(
        dtype: Dtype,
        origins: Vec<Located>,
        runs: impl Iterator<Item = (u64, Option<(u32, u64)>)>,
    ) -> Self {
        let mut end = 0;
        let stretch = |(units, from)| {
            end += units;
            Stretch { end, units, from }
        };
        let of_same = |origin: &Located| {
            steps::add(1);
            origin.dtype == dtype
        };
        let weights = dtypes::may_give_weights(dtype) && !origins.iter().all(of_same);
        let relation = if weights { Relation::Weights } else { Relation::Words };
        let runs = runs.map(stretch).collect();
        let (bytes, factors) = (None, None);
        let (transposed, derived, unpacked, arranged) = (None, None, None, None);
        Self { dtype, origins, runs, bytes, relation, factors, transposed, derived, unpacked, arranged }
    }

    /// Creates a view that gives the same bytes for every part of a region of `dtype`.
    pub(crate) fn bytes(dtype: Dtype, source: Source, range: Range<u64>) -> Self {
        let bytes = Some((source, range));
        Self { bytes, relation: Relation::Bytes, ..Self::new(dtype, Vec::new(), std::iter::empty()) }
    }

    /// Moves the words by the factors of an adapter.
    pub(crate) fn merged(self, factors: Factors) -> Self {
        Self { factors: Some(Box::new(factors)), ..self }
    }

    /// Takes the words as those of matrices, and transposes each of them.
    pub(crate) fn transposed(self, transposed: Transposed) -> Self {
        Self { transposed: Some(transposed), ..self }
    }

    /// Takes the words to be weights of packed numbers.
    pub(crate) fn unpacked(self, unpacked: Unpacked) -> Self {
        Self { unpacked: Some(unpacked), ..self }
    }

    /// Takes the words from rectangles of the origins.
    pub(crate) fn arranged(self, arranged: Arc<Arranged>) -> Self {
        Self { arranged: Some(arranged), ..self }
    }

    /// The place and the number of bytes that the byte range `range` of the region shares with
    /// others: those that it resembles, transposed matrices, rectangles, weights that it was made
    /// from, the factors of an adapter, or packed numbers with their companions.
    pub(crate) fn shared(&self, range: &Range<u64>) -> Option<((Source, u64), u64)> {
        let bytes = self.bytes.as_ref().map(|(source, range)| (*source, range.clone()));
        let bytes = bytes.or_else(|| self.matrices(range).map(|(origin, matrices)| (origin.source, matrices)));
        let parts = self.parts_of(range);
        if let Some((first, all)) = parts.and_then(|parts| Some((*parts.first()?, parts))) {
            let bytes = all.iter().map(|part| part.length).sum();
            return Some(((first.source, first.offset), bytes));
        }
        bytes.map(|(source, range)| ((source, range.start), range.end - range.start)).or_else(|| {
            let factors = self.factors.as_ref()?;
            let [a, b] = [(factors.a, factors.shape.of_a()), (factors.b, factors.shape.of_b())];
            let bytes = |(located, numbers): (Located, usize)| located.bytes(0, numbers);
            Some(((factors.a.source, factors.a.offset), bytes(a).end - bytes(a).start + bytes(b).end - bytes(b).start))
        })
    }

    /// The relation of base ranges to chunks.
    pub(crate) fn relation(&self) -> Relation {
        self.relation
    }

    /// `true` if the view gives weights, as `F32`, and not quantised ones: that is so if some of the
    /// base is not of the target's dtype.
    fn gives_weights(&self) -> bool {
        self.relation == Relation::Weights
    }

    /// The bytes that the view gives for a unit of the target.
    fn given(&self) -> u64 {
        if self.gives_weights() { 4 * weights_per_unit(self.dtype) } else { unit(self.dtype).1 }
    }

    /// The base file that an error about the view names.
    pub(crate) fn source(&self) -> Source {
        let origin = self.origins.first().map_or(Source::Base(0), |origin| origin.source);
        self.bytes.as_ref().map_or(origin, |(source, _)| *source)
    }

    /// Appends the reads of the base words for the byte range `range` of the target's region.
    pub(crate) fn reads(&self, range: Range<u64>, reads: &mut Vec<Read>) {
        reads.extend(self.bytes.iter().map(|(source, range)| Read::new(*source, range.clone())));
        if let Some((origin, matrices)) = self.matrices(&range) {
            reads.push(Read::new(origin.source, matrices));
            return;
        }
        if let Some(parts) = self.parts_of(&range) {
            reads.extend(parts);
            return;
        }
        let parts = self.parts(range.clone()).filter_map(|part| part.from);
        reads.extend(parts.map(|(source, range, _)| Read::new(source, range)));
        if let Some(factors) = self.factors.as_ref().filter(|_| !range.is_empty()) {
            let (_, a, b) = factors.ranges(self.words(&range));
            reads.extend([Read::new(factors.a.source, a), Read::new(factors.b.source, b)]);
        }
    }

    /// The reads for a range of bytes of the region that do not follow from its own runs: those of
    /// packed numbers, of rectangles, or of weights that the words were made from.
    fn parts_of(&self, range: &Range<u64>) -> Option<Vec<Read>> {
        self.packed_parts(range).or_else(|| self.rectangles(range)).or_else(|| self.weights_of(range))
    }

    /// The units of a range of bytes of the region.
    fn units(&self, range: &Range<u64>) -> Range<u64> {
        let width = unit(self.dtype).1;
        range.start / width..range.end / width
    }

    /// The words of a range of bytes of a region that is merged.
    fn words(&self, range: &Range<u64>) -> Range<usize> {
        let units = self.units(range);
        units.start as usize..units.end as usize
    }

    /// Returns the base words for the byte range `range` of the target's region, in its dtype;
    /// `None` if no run there has a base.
    pub(crate) fn take<'a>(&self, range: Range<u64>, inputs: &'a Inputs) -> Result<Option<Cow<'a, [u8]>>> {
        Ok(self.take_all(range, inputs)?.map(|(words, _)| words))
    }

    /// Does the same as [`take`](Self::take), and tells whether all changes by an adapter are finite
    /// numbers.
    pub(crate) fn take_all<'a>(&self, range: Range<u64>, inputs: &'a Inputs) -> Result<Option<(Cow<'a, [u8]>, bool)>> {
        let Some(gathered) = self.gather(range.clone(), inputs)? else { return Ok(None) };
        let Some(factors) = self.factors.as_ref().filter(|_| !gathered.is_empty()) else {
            return Ok(Some((gathered, true)));
        };
        let mut words = gathered.into_owned();
        let finite = factors.apply(self.dtype, self.words(&range), &mut words, inputs)?;
        Ok(Some((Cow::Owned(words), finite)))
    }

    /// Returns the words of the runs, as [`take`](Self::take) does.
    fn gather<'a>(&self, range: Range<u64>, inputs: &'a Inputs) -> Result<Option<Cow<'a, [u8]>>> {
        if let Some((source, bytes)) = &self.bytes {
            return Ok(Some(Cow::Borrowed(inputs.slice(*source, bytes.clone())?)));
        }
        if let Some((origin, matrices)) = self.matrices(&range) {
            let matrices = inputs.slice(origin.source, matrices)?;
            return Ok(Some(Cow::Owned(self.transpose(&range, origin, matrices))));
        }
        if let Some(derived) = &self.derived {
            return self.derive(derived, &range, inputs).map(|words| Some(Cow::Owned(words)));
        }
        if let (Some(unpacked), Some(parts)) = (self.unpacked, self.packed_parts(&range)) {
            let bytes = |(origin, read): (&Located, &Read)| {
                let range = read.offset..read.offset + read.length;
                Ok((origin.dtype, inputs.slice(read.source, range)?))
            };
            let parts = self.origins.iter().zip(&parts).map(bytes).collect::<Result<Vec<_>>>()?;
            return Ok(Some(Cow::Owned(unpacked.take(&self.units(&range), self.all(), &parts, self.dtype))));
        }
        if let Some(arranged) = &self.arranged {
            return self.arrange(arranged, &range, inputs).map(|words| Some(Cow::Owned(words)));
        }
        self.gather_runs(range, inputs)
    }

    /// Returns the words of the runs that have no order or arithmetic of their own.
    fn gather_runs<'a>(&self, range: Range<u64>, inputs: &'a Inputs) -> Result<Option<Cow<'a, [u8]>>> {
        let length = ((range.end - range.start) / unit(self.dtype).1 * self.given()) as usize;
        if self.parts(range.clone()).all(|part| part.from.is_none()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        for part in self.parts(range) {
            let taken = match part.from {
                Some((source, range, dtype)) if dtype == self.dtype && !self.gives_weights() => {
                    let found = inputs.slice(source, range)?;
                    if found.len() == length {
                        return Ok(Some(Cow::Borrowed(found)));
                    }
                    Cow::Borrowed(found)
                }
                Some((source, range, dtype)) => {
                    Cow::Owned(self.cast(dtype, inputs.slice(source, range)?, part.units, part.skipped))
                }
                None => Cow::Owned(vec![0; (part.units * self.given()) as usize]),
            };
            bytes.reserve_exact(length - bytes.len());
            bytes.extend_from_slice(&taken);
        }
        Ok(Some(Cow::Owned(bytes)))
    }

    /// The matrices of the base that a range of bytes of the region needs, if it is transposed.
    fn matrices(&self, range: &Range<u64>) -> Option<(Located, Range<u64>)> {
        let origin = *self.origins.first()?;
        let words = self.transposed?.matrices(&self.units(range));
        let width = unit(origin.dtype).1;
        Some((origin, origin.offset + words.start * width..origin.offset + words.end * width))
    }

    /// The packed numbers and their companions that a range of bytes of the region needs, if its words
    /// are weights of packed numbers.
    fn packed_parts(&self, range: &Range<u64>) -> Option<Vec<Read>> {
        let unpacked = self.unpacked?;
        let dtypes: Vec<Dtype> = self.origins.iter().map(|origin| origin.dtype).collect();
        let needs = unpacked.needs(&self.units(range), self.all(), &dtypes);
        let read = |(origin, part): (&Located, Range<u64>)| {
            Read::new(origin.source, origin.offset + part.start..origin.offset + part.end)
        };
        Some(self.origins.iter().zip(needs).map(read).collect())
    }

    /// The units of the region.
    fn all(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// Transposes the matrices that a range of bytes needs, and returns the words of the range.
    fn transpose(&self, range: &Range<u64>, origin: Located, matrices: &[u8]) -> Vec<u8> {
        let (units, width) = (self.units(range), unit(origin.dtype).1);
        let mut words = vec![0; ((units.end - units.start) * width) as usize];
        self.transposed.iter().for_each(|stack| stack.gather(width as usize, &units, matrices, &mut words));
        if origin.dtype == self.dtype { words } else { self.cast(origin.dtype, &words, units.end - units.start, 0) }
    }

    /// Converts words of `from` to what the view gives for `units` of the target. Of the weights of
    /// blocks, the first `skipped` are left out.
    fn cast(&self, from: Dtype, words: &[u8], units: u64, skipped: usize) -> Vec<u8> {
        let mut target = vec![0; (units * self.given()) as usize];
        let to = if self.gives_weights() { Dtype::F32 } else { self.dtype };
        match format_of(from) {
            None => cast(from, to, words, &mut target),
            Some(format) => {
                let mut weights = dequantise(format, words);
                if !self.gives_weights() {
                    without_nans(&mut weights);
                }
                let weights: Vec<u8> = weights[skipped..].iter().flat_map(|weight| weight.to_le_bytes()).collect();
                let count = target.len() / unit(to).1 as usize;
                cast(Dtype::F32, to, &weights[..4 * count], &mut target);
            }
        }
        target
    }

    /// The parts of the runs that the byte range `range` covers, in order.
    fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Part> {
        let Range { start, end } = self.units(&range);
        let first = self.runs.partition_point(|run| run.end <= start);
        let covering = self.runs[first..].iter().take_while(move |run| run.end - run.units < end);
        covering.map(move |run| {
            steps::add(1);
            let skipped = start.saturating_sub(run.end - run.units);
            let units = run.units - skipped - run.end.saturating_sub(end);
            let from = run.from.map(|(origin, first)| self.range(origin, first, skipped, units));
            let blocks = from.as_ref().map_or(1, |(_, _, dtype)| weights_per_unit(*dtype));
            let skipped = (skipped * weights_per_unit(self.dtype) % blocks) as usize;
            Part { units, from, skipped }
        })
    }

    /// The range of a base file for `units` of the target, `skipped` units behind a run's first one.
    fn range(&self, origin: u32, first: u64, skipped: u64, units: u64) -> (Source, Range<u64>, Dtype) {
        let Located { source, offset, dtype } = self.origins[origin as usize];
        let (width, per_block) = (unit(dtype).1, weights_per_unit(dtype));
        let start = skipped * weights_per_unit(self.dtype) / per_block;
        let end = origin_units(skipped + units, dtype, self.dtype);
        (source, offset + (first + start) * width..offset + (first + end) * width, dtype)
    }
}

#[cfg(test)]
mod tests;
