//! The search for the factors of a region, which also decides if a prediction pays. Candidates are
//! tried on a sample of the region's rows.

use std::borrow::Cow;

use super::{CHUNK, Effort, Matrix, delta, grid, integers, narrow, predicted, unit};
use crate::bytes::{ByteReader, put_prefixed, put_varint};
use crate::error::{Error, Result};
use crate::layout::Dtype;
use crate::predict::Factors;
use crate::predict::change::{Change, Weights};
use crate::predict::fit::Fit;
use crate::predict::stored::StoredFactors;
use crate::predict::subspace::{Components, Search, glance, is_worth_trying};
use crate::quant::{dequantise, format_of, weights_of};

/// The smallest number of rows, and of columns, of a matrix that is predicted.
pub(crate) const LEAST: usize = 32;

/// A sample of a region's rows, or all rows of a small region.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) matrix: Matrix,
    /// Number of rows of the whole region.
    pub(crate) rows: usize,
    /// The sampled rows of the base, one after the other.
    pub(crate) base: &'a [u8],
    /// The same rows of the target.
    pub(crate) target: &'a [u8],
}

impl Sample<'_> {
    /// Bytes of a row.
    fn row(&self) -> usize {
        let (words, bytes) = unit(self.dtype);
        self.matrix.columns / words as usize * bytes as usize
    }

    /// Returns the given rows of the base and of the target. The last row may be short.
    fn rows(&self, places: impl Iterator<Item = usize> + Clone) -> [Vec<u8>; 2] {
        let row = self.row();
        [self.base, self.target].map(|bytes| {
            let of = |i: usize| &bytes[(i * row).min(bytes.len())..((i + 1) * row).min(bytes.len())];
            places.clone().map(of).collect::<Vec<&[u8]>>().concat()
        })
    }

    /// Returns the rows of the base and of the target but for new ones, which have words in the
    /// target only, if these are more than `few`: their changes are whole weights, each a
    /// direction.
    fn known(&self, few: usize) -> Option<[Vec<u8>; 2]> {
        let has_words = |row: &[u8]| row.iter().any(|&byte| byte != 0);
        let both = self.base.chunks(self.row()).zip(self.target.chunks(self.row()));
        let known: Vec<bool> = both.map(|(base, target)| has_words(base) || !has_words(target)).collect();
        let new = known.iter().filter(|&&known| !known).count();
        (new > few).then(|| self.rows((0..known.len()).filter(|&row| known[row])))
    }

    /// Computes the change of the few rows that tell whether a search is worth its time; `None` if
    /// weights of this dtype cannot be moved.
    fn glance(&self) -> Option<Change> {
        let [base, target] = self.rows(glance(self.base.len().div_ceil(self.row())));
        change(self.dtype, self.matrix, &base, &target)
    }
}

/// The dtype of the weights that are moved: blocks stand for `F32`.
fn moved_dtype(dtype: Dtype) -> Dtype {
    if format_of(dtype).is_some() { Dtype::F32 } else { dtype }
}

/// Returns the weights that words or blocks stand for.
fn weights(dtype: Dtype, bytes: &[u8]) -> Cow<'_, [u8]> {
    format_of(dtype).map_or(bytes.into(), |format| weights_of(format, bytes).into())
}

/// Computes the change of the weights; `None` if those of this dtype cannot be moved.
fn change(dtype: Dtype, matrix: Matrix, base: &[u8], target: &[u8]) -> Option<Change> {
    Change::new(moved_dtype(dtype), matrix.columns, &weights(dtype, base), &weights(dtype, target))
}

/// The settings of the search at one effort.
struct Knobs {
    search: Search,
    /// Ranks that are tried, in rising order, up to the search's rank.
    ranks: &'static [usize],
    /// Rounding errors of the factors that are tried, relative to the error that the components
    /// leave (see [`Fit::new`]): the first with every rank, the others with the best rank only.
    fineness: &'static [f64],
    /// Number of elements that are coded to compare candidates.
    trial: usize,
    /// A prediction must save more than one byte in this many.
    gain: u64,
}

const DEFAULT: Knobs = Knobs {
    search: Search { rank: 8, oversampling: 4, iterations: 1 },
    ranks: &[2, 4, 8],
    fineness: &[0.7, 0.25],
    trial: 1 << 15,
    gain: 33,
};

const MAX: Knobs = Knobs {
    search: Search { rank: 32, oversampling: 8, iterations: 2 },
    ranks: &[1, 2, 3, 4, 6, 8, 12, 16, 24, 32],
    fineness: &[0.8, 1.1, 0.5, 0.25, 0.12],
    trial: 1 << 16,
    gain: 100,
};

/// Factors that make a region smaller.
#[derive(Debug)]
pub(crate) struct Prediction {
    pub(crate) fit: Fit,
    /// The payload of the factors.
    pub(crate) payload: Vec<u8>,
    /// The bytes that the checksum of the factors covers.
    pub(crate) bytes: Vec<u8>,
    /// The estimated number of bytes that the region becomes smaller.
    pub(crate) saved: u64,
}

impl Prediction {
    /// The prediction as bytes, for another job of the same compression. They are not coded: a host
    /// that compresses has no decoder.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (mut bytes, StoredFactors { step, shifts, numbers }) = (Vec::new(), &self.fit.stored);
        put_varint(&mut bytes, self.saved);
        bytes.extend_from_slice(&step.to_le_bytes());
        put_prefixed(&mut bytes, shifts);
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend(self.fit.weights.iter().flat_map(Weights::to_bytes));
        bytes
    }

    /// The prediction that [`to_bytes`](Self::to_bytes) wrote, of a region cut like `matrix`.
    pub(crate) fn from_bytes(bytes: &[u8], matrix: Matrix) -> Result<Self> {
        let mut reader = ByteReader::new(bytes);
        let saved = reader.varint()?;
        let step = f32::from_le_bytes(*reader.take(4)?.first_chunk().unwrap_or(&[0; 4]));
        let shifts = reader.prefixed()?.to_vec();
        let numbers = reader.take((shifts.len() * matrix.columns * 2) as u64)?;
        let numbers = numbers.as_chunks().0.iter().map(|number| i16::from_le_bytes(*number)).collect();
        let stored = StoredFactors { step, shifts, numbers };
        let (payload, bytes) = predicted::write_factors(&stored, matrix);
        let fit = Fit::of(stored, matrix.columns, Weights::from_bytes(reader.rest()));
        let fit = fit.ok_or_else(|| Error::corrupt("the factors cannot be told apart"))?;
        Ok(Self { fit, payload, bytes, saved })
    }
}

/// Returns the prediction that makes the region smallest, or `None` if no prediction saves enough.
pub(crate) fn search(sample: Sample<'_>, effort: Effort) -> Option<Prediction> {
    let knobs = if effort == Effort::Max { &MAX } else { &DEFAULT };
    // Chunks of words that were cast are coded in the dtype that they were cast from.
    let narrow = narrow::both(sample.dtype, sample.base, sample.target).filter(|(dtype, _)| Factors::moves(*dtype));
    let sample = match &narrow {
        Some((dtype, [base, target])) => Sample { dtype: *dtype, base, target, ..sample },
        None => sample,
    };
    let known = sample.known(knobs.search.rank);
    let sample = match &known {
        Some([base, target]) if !base.is_empty() => Sample { base, target, ..sample },
        Some(_) => return None,
        None => sample,
    };
    if !is_worth_trying(&sample.glance()?) {
        return None;
    }
    let change = change(sample.dtype, sample.matrix, sample.base, sample.target)?;
    let components = Components::find(moved_dtype(sample.dtype), &change, knobs.search);
    let trial = Trial::new(sample, &change, knobs.trial);
    drop(change);
    let plain = trial.plain();
    let (fit, cost) = trial.best(&components, knobs)?;
    let saved = plain.saturating_sub(cost) / 8;
    let (payload, bytes) = predicted::write_factors(&fit.stored, sample.matrix);
    let (block, length) = unit(sample.dtype);
    let chunk = CHUNK.min((sample.rows * sample.matrix.columns) as u64) / block * length;
    let pays = saved * knobs.gain > plain / 8 && payload.len() as u64 * 2 < chunk;
    pays.then_some(Prediction { fit, payload, bytes, saved })
}

/// The rows that stand for a region when candidates are compared.
struct Trial {
    dtype: Dtype,
    columns: usize,
    change: Change,
    base: Vec<u8>,
    /// The weights of a base of blocks, once and for all candidates; empty for words.
    dequantised: Vec<f32>,
    target: Vec<u8>,
    /// Rows of the region.
    rows: usize,
}

impl Trial {
    /// Takes rows of `sample`, evenly spaced, with about `elements` elements in all.
    fn new(sample: Sample<'_>, change: &Change, elements: usize) -> Self {
        let columns = sample.matrix.columns;
        // A short last row is left out, since it cannot stand for others.
        let whole = (sample.base.len() / sample.row()).max(1);
        let count = (elements / columns).clamp(1, whole);
        let places = (0..count).map(|i| i * whole / count);
        let [base, target] = sample.rows(places.clone());
        let dequantised = format_of(sample.dtype).map_or(Vec::new(), |format| dequantise(format, &base));
        Self { dtype: sample.dtype, columns, change: change.rows(places), base, dequantised, target, rows: sample.rows }
    }

    /// Returns the estimated bits of the region without a prediction.
    fn plain(&self) -> u64 {
        self.scaled(match format_of(self.dtype) {
            Some(format) => grid::estimate(format, grid::Base::Blocks(&self.base), &self.target),
            None => delta::estimate_any(self.dtype.words(), &self.base, &self.target),
        })
    }

    /// Returns the estimated bits of the region with a prediction, factors included.
    fn predicted(&self, fit: &Fit) -> u64 {
        let numbers = fit.numbers_of(&self.change);
        let rows = self.change.matrix.rows();
        let coded = self.estimate(fit, &numbers) + integers::estimate(&numbers, rows);
        self.scaled(coded) + integers::estimate(&fit.stored.numbers, self.columns)
    }

    /// Returns the estimated bits of the trial's rows against the base moved by `numbers`.
    fn estimate(&self, fit: &Fit, numbers: &[i16]) -> u64 {
        if let Some(format) = format_of(self.dtype) {
            let moved = grid::moved::move_by(&fit.factors, numbers, self.dequantised.clone());
            return grid::estimate(format, grid::Base::Moved(&self.base, &moved), &self.target);
        }
        let mut moved = vec![0; self.base.len()];
        fit.factors.apply(self.dtype, numbers, 0, &self.base, &mut moved);
        delta::estimate_any(self.dtype.words(), &moved, &self.target)
    }

    /// Scales the bits of the trial's rows up to all rows of the region.
    fn scaled(&self, bits: u64) -> u64 {
        (u128::from(bits) * self.rows as u128 / self.change.matrix.rows() as u128) as u64
    }

    /// Returns the factors with the smallest estimate, and that estimate in bits; `None` if no rank
    /// can be expressed in integers.
    fn best(&self, components: &Components, knobs: &Knobs) -> Option<(Fit, u64)> {
        /// Number of ranks in a row worse than the best one after which the search ends.
        const PATIENCE: usize = 3;
        let mut best: Option<(Fit, u64, usize)> = None;
        let mut worse = 0;
        let strong = components.strengths.iter().filter(|&&strength| strength > components.strengths[0] * 1e-4).count();
        for &rank in knobs.ranks.iter().filter(|&&rank| rank <= strong) {
            let Some(fit) = Fit::new(components, rank, knobs.fineness[0]) else { continue };
            let cost = self.predicted(&fit);
            if best.as_ref().is_none_or(|best| cost < best.1) {
                (best, worse) = (Some((fit, cost, rank)), 0);
            } else {
                worse += 1;
                if worse == PATIENCE {
                    break;
                }
            }
        }
        let (mut fit, mut least, rank) = best?;
        for &fineness in &knobs.fineness[1..] {
            let Some(other) = Fit::new(components, rank, fineness) else { continue };
            let cost = self.predicted(&other);
            if cost < least {
                (fit, least) = (other, cost);
            }
        }
        Some((fit, least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cast::cast;

    /// Weights of BF16 that were cast to F16 leave three bits of every word unused. A search that
    /// codes its trials as F16 finds that nothing pays.
    #[test]
    fn weights_that_were_cast_are_searched_as_what_they_were() {
        let (rows, columns) = (256, 128);
        let mut seed = 7u64;
        let mut next = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        let [left, right] = [rows, columns].map(|count| (0..count).map(|_| next()).collect::<Vec<f32>>());
        let base: Vec<f32> = (0..rows * columns).map(|_| next()).collect();
        let moved = |i: usize| base[i] + 0.05 * left[i / columns] * right[i % columns];
        let target: Vec<f32> = (0..rows * columns).map(moved).collect();
        let saved = |dtype: Dtype| {
            let [base, target] = [&base, &target].map(|weights| {
                let mut narrow = vec![0; 2 * weights.len()];
                cast(Dtype::F32, Dtype::BF16, bytemuck::cast_slice(weights), &mut narrow);
                let mut words = vec![0; narrow.len()];
                if dtype == Dtype::BF16 {
                    return narrow;
                }
                cast(Dtype::BF16, dtype, &narrow, &mut words);
                words
            });
            let sample = Sample { dtype, matrix: Matrix { columns }, rows, base: &base, target: &target };
            search(sample, Effort::Default).map(|found| found.saved)
        };
        let expected = saved(Dtype::BF16);
        assert!(expected.is_some() && saved(Dtype::F16) == expected, "{expected:?}");
    }
}
