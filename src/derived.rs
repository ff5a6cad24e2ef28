//! Words that were made from weights of the base: packed numbers, each word from several weights,
//! and the scales of their tiles.
//!
//! The base's weights are cut into *elements* of as many weights, whose matrices are transposed:
//! quantisers pack the rows of a matrix in several orders.

use std::ops::Range;

use crate::bytes::{ByteReader, put_varint};
use crate::cast::{can_cast, cast, singles};
use crate::chunk::{CHUNK, geometry, unit};
use crate::error::{Error, Result};
use crate::layout::dtype::Fields;
use crate::layout::{Dtype, Region};
use crate::quant::dynamic::place_of;
use crate::quant::packed::{NESTED, is_power, is_scale};
use crate::transposed::{MAX_MATRIX, Transposed};

/// Bytes of `F32` weights that are made at once, about.
const STEP: u64 = 1 << 18;

/// Words of a run, at most: numbers have at most as many bits.
const MOST_RUN: u64 = 8;

/// The weights of the base that the words of a region were made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Derived {
    /// The base's matrices of elements.
    pub(crate) matrices: Transposed,
    /// Weights of an element: a divisor of `per_run`.
    pub(crate) element: u64,
    /// Weights of a run.
    pub(crate) per_run: u64,
    /// Words of a run: 1, unless numbers go on in the next word.
    pub(crate) run: u64,
    pub(crate) gives: Gives,
}

/// The words that a view gives in place of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gives {
    /// The weights themselves, as `F32`.
    Weights,
    /// For each word the span of its weights, given the `F32` of these bits: a divisor, or the offset
    /// of nested scales.
    Spans(Span, u32),
}

/// The number that the scale of a tile follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// The largest magnitude of a weight.
    Largest,
    /// The difference of the greatest and the least weight, of which one counts as 0 if all weights
    /// are on one side of it.
    Range,
    /// The first weight of the largest magnitude.
    First,
    /// The slope of the line that MLX lays through the weights, in as many steps as the divisor says.
    Slope,
    /// The bias of that line.
    Bias,
    /// The place of a nested scale in the dynamic map: that of the largest magnitude, less an offset,
    /// among those of [`NESTED`] words.
    Place,
    /// The scale of nested scales: the largest distance of the largest magnitude of an element from an
    /// offset.
    Nested,
}

impl Span {
    /// All spans; their numbers in the format are their places here, plus 1.
    pub(crate) const ALL: [Self; 7] =
        [Self::Largest, Self::Range, Self::First, Self::Slope, Self::Bias, Self::Place, Self::Nested];

    /// The spans that divisors divide.
    pub(crate) const DIVIDED: [Self; 3] = [Self::Largest, Self::Range, Self::First];

    /// The word of weights, of which those that are not finite count as 0. Of a place, it is the
    /// largest magnitude; that of a scale of nested scales is of one element.
    pub(crate) fn of(self, weights: &[f32], divisor: f32) -> f32 {
        let finite = weights.iter().map(|&weight| if weight.is_finite() { weight } else { 0.0 });
        match self {
            Self::Largest => largest(finite) / divisor,
            Self::Place => largest(finite),
            Self::Nested => (largest(finite) - divisor).abs(),
            Self::First => {
                finite.fold(0.0, |most: f32, weight| if weight.abs() > most.abs() { weight } else { most }) / divisor
            }
            Self::Range => {
                let (least, greatest) = extremes(finite, (0.0, 0.0));
                (greatest - least) / divisor
            }
            Self::Slope => line(extremes(finite, (f32::MAX, f32::MIN)), divisor).0,
            Self::Bias => line(extremes(finite, (f32::MAX, f32::MIN)), divisor).1,
        }
    }
}

/// The largest magnitude of some numbers, but for those that are no numbers.
fn largest(numbers: impl Iterator<Item = f32>) -> f32 {
    numbers.fold(0.0, |most: f32, number| most.max(number.abs()))
}

/// The places of nested scales in the dynamic map, given the largest magnitudes of whole runs.
fn places(magnitudes: &[f32], offset: f32) -> Vec<u8> {
    let runs = magnitudes.chunks(NESTED as usize);
    let places = runs.flat_map(|run| {
        let scale = largest(run.iter().map(|size| size - offset));
        run.iter().map(move |size| place_of((size - offset) / scale))
    });
    places.collect()
}

/// The least and the greatest of some numbers and of these two.
fn extremes(numbers: impl Iterator<Item = f32>, (least, most): (f32, f32)) -> (f32, f32) {
    numbers.fold((least, most), |(least, most), number| (least.min(number), most.max(number)))
}

/// The line through the weights of a group as MLX lays it: its slope and its bias. The bias is the
/// extreme of the larger magnitude, and the slope such that a whole number of steps leads to 0.
fn line((least, most): (f32, f32), steps: f32) -> (f32, f32) {
    let step = ((most - least) / steps).max(1e-7);
    let (edge, step) = if least.abs() > most.abs() { (least, step) } else { (most, -step) };
    let whole = (edge / step).round_ties_even();
    if whole == 0.0 { (step, 0.0) } else { (edge / whole, edge) }
}

impl Derived {
    /// Writes the derivation; the words of a run only for a kind of items that states them.
    pub(crate) fn write(&self, raw: &mut Vec<u8>, with_run: bool) {
        let Self { matrices: Transposed { rows, columns }, element, per_run, run, .. } = *self;
        [rows, columns, element, per_run].into_iter().for_each(|number| put_varint(raw, number));
        if with_run {
            put_varint(raw, run);
        }
        match self.gives {
            Gives::Weights => raw.push(0),
            Gives::Spans(span, divisor) => {
                raw.push(1 + Span::ALL.iter().position(|&other| other == span).unwrap_or(0) as u8);
                raw.extend_from_slice(&divisor.to_le_bytes());
            }
        }
    }

    /// Reads what [`write`](Self::write) wrote. Runs have at least `least` words where the kind of
    /// items states these.
    pub(crate) fn read(reader: &mut ByteReader<'_>, least: Option<u64>) -> Result<Self> {
        let matrices = Transposed { rows: reader.varint()?, columns: reader.varint()? };
        let (element, per_run) = (reader.varint()?, reader.varint()?);
        let run = if least.is_some() { reader.varint()? } else { 1 };
        if let Some(least) = least.filter(|least| !(*least..=MOST_RUN).contains(&run)) {
            return Err(Error::corrupt("runs of words are too short or too long")
                .figures(format_args!("{least} to {MOST_RUN} words"), run));
        }
        let gives = match reader.u8()? {
            0 => Gives::Weights,
            number => {
                let span = Span::ALL.get(usize::from(number) - 1).copied();
                let span = span.ok_or_else(|| Error::unsupported(format!("spans of kind {number} are unknown")))?;
                Gives::Spans(span, reader.take(4)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)))
            }
        };
        Ok(Self { matrices, element, per_run, run, gives })
    }

    /// Checks that a base region of the dtype `from` can have the weights of all words.
    ///
    /// # Errors
    /// `Corrupt` for dtypes without a cast and for matrices that do not fill the region; `Limit` for
    /// matrices, or weights of a chunk, above [`MAX_MATRIX`] bytes.
    pub(crate) fn check(&self, region: &Region, from: Dtype) -> Result<()> {
        let takes = match self.gives {
            Gives::Spans(Span::Place, _) => region.dtype == Dtype::U8,
            Gives::Weights => match region.dtype.words() {
                (_, Fields::Integer) => !region.dtype.is_scaled(),
                (bytes, Fields::Float { .. }) => bytes == 1,
            },
            Gives::Spans(..) => is_scale(region.dtype) || region.dtype == Dtype::F64,
        };
        if !takes || !can_cast(from, Dtype::F32) {
            return Err(Error::corrupt("the words cannot be made from weights of the base")
                .figures(region.dtype.name(), from.name()));
        }
        let (words, width) = (region.length / unit(region.dtype).1, unit(from).1);
        let fits = |weights: u64| weights.checked_mul(width).is_some_and(|bytes| bytes <= MAX_MATRIX);
        let Transposed { rows, columns } = self.matrices;
        let matrix = rows.checked_mul(columns).and_then(|elements| elements.checked_mul(self.element));
        let of_chunk = words.min(CHUNK).div_ceil(self.run).checked_mul(self.per_run);
        let (Some(matrix), true) = (matrix.filter(|&matrix| fits(matrix)), of_chunk.is_some_and(fits)) else {
            return Err(Error::limit("the words are made from too many weights")
                .figures(format_args!("at most {MAX_MATRIX} bytes"), format_args!("{rows} x {columns}")));
        };
        let all = self.weights_of(words).filter(|all| matrix > 0 && all.is_multiple_of(matrix));
        if all.is_some() && self.per_run > 0 && self.per_run.is_multiple_of(self.element) && self.has_whole_runs(region)
        {
            return Ok(());
        }
        Err(Error::corrupt("the weights of the base do not fill the tensor"))
    }

    /// The weights of whole runs of words, unless there are too many.
    pub(crate) fn weights_of(&self, words: u64) -> Option<u64> {
        (words / self.run).checked_mul(self.per_run)
    }

    /// Returns true if all chunks of a region are whole runs; only numbers are in runs of several words.
    fn has_whole_runs(&self, region: &Region) -> bool {
        let bytes = self.run.checked_mul(unit(region.dtype).1);
        self.run == 1
            || self.gives == Gives::Weights && bytes.is_some_and(|bytes| geometry::of(region).is_cut_by(bytes))
    }

    /// A range of the region's `all` words, with the words that are made together with it.
    fn whole(&self, words: &Range<u64>, all: u64) -> Range<u64> {
        match self.gives {
            Gives::Spans(Span::Place, _) => {
                words.start / NESTED * NESTED..words.end.div_ceil(NESTED).saturating_mul(NESTED).min(all)
            }
            _ => words.clone(),
        }
    }

    /// The weights of the base that a range of the region's `all` words needs.
    pub(crate) fn needs(&self, words: &Range<u64>, all: u64) -> Range<u64> {
        let elements = self.matrices.matrices(&self.elements(&self.whole(words, all)));
        elements.start * self.element..elements.end * self.element
    }

    /// The words of the region that may need a range of its weights, which is not empty.
    pub(crate) fn needing(&self, weights: &Range<u64>) -> Range<u64> {
        let elements = weights.start / self.element..weights.end.div_ceil(self.element);
        let (elements, per_run) = (self.matrices.matrices(&elements), self.per_run / self.element);
        elements.start / per_run * self.run..elements.end.div_ceil(per_run) * self.run
    }

    fn elements(&self, words: &Range<u64>) -> Range<u64> {
        let per_run = self.per_run / self.element;
        words.start / self.run * per_run..words.end.div_ceil(self.run) * per_run
    }

    /// The words of a region of `dtype` that the view gives for a range of its `all` words, or the
    /// weights. The base has the weights that the range [needs](Self::needs), as words of its dtype.
    pub(crate) fn take(&self, words: &Range<u64>, all: u64, base: (Dtype, &[u8]), dtype: Dtype) -> Vec<u8> {
        let whole = self.whole(words, all);
        let mut taken = self.take_whole(&whole, base, dtype);
        if whole != *words {
            // These words have a byte each.
            taken.truncate((words.end - whole.start) as usize);
            taken.drain(..(words.start - whole.start) as usize);
        }
        taken
    }

    fn take_whole(&self, words: &Range<u64>, (from, base): (Dtype, &[u8]), dtype: Dtype) -> Vec<u8> {
        let count = (words.end - words.start) as usize;
        let per_run = self.per_run as usize;
        let of_run = if self.gives == Gives::Weights { per_run } else { 1 };
        let mut taken = Vec::with_capacity(4 * (count / self.run as usize) * of_run);
        let step = (STEP / 4 / self.per_run).max(1) * self.run;
        for start in words.clone().step_by(step as usize) {
            let weights = self.weights(&(start..(start + step).min(words.end)), words, (from, base));
            match self.gives {
                Gives::Weights => taken.extend_from_slice(&weights),
                Gives::Spans(span, divisor) => {
                    let weights: Vec<f32> =
                        weights.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
                    let divisor = f32::from_bits(divisor);
                    let of = |weights: &[f32]| match span {
                        Span::Nested => {
                            largest(weights.chunks(self.element as usize).map(|element| span.of(element, divisor)))
                        }
                        _ => span.of(weights, divisor),
                    };
                    let spans = weights.chunks_exact(per_run).map(of);
                    taken.extend(spans.flat_map(f32::to_le_bytes));
                }
            }
        }
        if let Gives::Spans(Span::Place, offset) = self.gives {
            return places(&singles(Dtype::F32, &taken), f32::from_bits(offset));
        }
        if self.gives == Gives::Weights || dtype == Dtype::F32 {
            return taken;
        }
        if is_power(dtype) {
            // The exponents of the spans.
            let spans = taken.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word));
            return spans.map(|span| (span >> 23) as u8).collect();
        }
        let mut cast_words = vec![0; count * unit(dtype).1 as usize];
        cast(Dtype::F32, dtype, &taken, &mut cast_words);
        cast_words
    }

    /// The weights of a part of the words `all`, as `F32`.
    fn weights(&self, words: &Range<u64>, all: &Range<u64>, (from, base): (Dtype, &[u8])) -> Vec<u8> {
        let (elements, width) = (self.elements(words), self.element * unit(from).1);
        let skipped = self.matrices.matrices(&elements).start - self.matrices.matrices(&self.elements(all)).start;
        let base = base.get((skipped * width) as usize..).unwrap_or_default();
        let mut gathered = vec![0; ((elements.end - elements.start) * width) as usize];
        self.matrices.gather(width as usize, &elements, base, &mut gathered);
        if from == Dtype::F32 {
            return gathered;
        }
        let mut weights = vec![0; gathered.len() / unit(from).1 as usize * 4];
        cast(from, Dtype::F32, &gathered, &mut weights);
        weights
    }
}
