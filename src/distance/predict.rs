//! What a tensor would take, as a delta and alone, from sketches.
//!
//! A fine-tune moves every weight by about the same amount, whatever the weight's own size: the target is the base,
//! blurred, and rounded to where words lie. So a delta takes about as many bits as it takes to name the word that is
//! hit: -log2 of the part of the blur that rounds to it, small weights more bits than large ones. How wide the blur is
//! the samples tell: it is as wide as explains them best. A tensor alone is the same, with zero as its base. For two
//! unrelated tensors the blur around the base has to be wider than the one around zero, and so a delta loses.

use super::Sketch;
use super::sample::{self, Number};
use crate::delta::word::{Fields, fields};
use crate::error::Result;

/// A delta has to be predicted smaller than coding alone by this factor.
const MARGIN: f64 = 0.97;

/// Share of the words that owe nothing to the base, so that a few of them do not widen the blur of all.
const STRAY: f64 = 1.0 / 64.0;

/// Shares of words that are tried as unchanged, beside those that a blur narrower than a step leaves so.
const STILL: [f64; 7] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99];

/// Octaves of widths that are tried below the largest change.
const OCTAVES: i32 = 64;

/// The predicted size of a tensor by its bytes, as a delta and alone; both from 0 to 1.
///
/// Of each it is what differences and their contexts take: a low-rank prediction of the change makes many deltas
/// smaller yet, by up to four times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// As a delta.
    pub delta_ratio: f64,
    /// Without a base.
    pub alone_ratio: f64,
}

impl Predicted {
    /// The smaller of the two.
    pub fn ratio(&self) -> f64 {
        self.delta_ratio.min(self.alone_ratio)
    }

    /// Whether a delta is predicted to be the smaller one, by more than what is a tie.
    pub fn delta_pays(&self) -> bool {
        self.delta_ratio < MARGIN * self.alone_ratio
    }
}

/// What `target` would take against `base`, and alone.
///
/// # Errors
/// `InvalidArgument` where the sketches are of different dtypes or lengths.
pub fn predict(base: &Sketch, target: &Sketch) -> Result<Predicted> {
    base.check_comparable(target)?;
    let (width, fields) = fields(target.dtype());
    let bits = 8 * width as u32;
    let samples = samples(fields, bits, base, target);
    if samples.is_empty() {
        return Ok(Predicted { delta_ratio: 1.0, alone_ratio: 1.0 });
    }
    let count = samples.len() as f64;
    // What the fitted parameters, two of a delta and one alone, explain of the samples by mere chance.
    let chance = count.log2() / 2.0;
    let alone = alone(bits, &samples);
    let mut alone_bits = alone.iter().map(|p| -p.log2()).sum::<f64>() + chance;
    if width == 1 {
        alone_bits = alone_bits.min(entropy(target));
    }
    let delta_bits = delta(&samples, &alone) + 2.0 * chance;
    let ratio = |total: f64| (total / count / f64::from(bits)).min(1.0);
    Ok(Predicted { delta_ratio: ratio(delta_bits), alone_ratio: ratio(alone_bits) })
}

/// A word of the target, and how far it is from the base's.
struct Sample {
    target: Number,
    change: f64,
}

/// The pairs of words that are numbers.
fn samples(fields: Fields, bits: u32, base: &Sketch, target: &Sketch) -> Vec<Sample> {
    let pair = |(base, target)| {
        let change = sample::change(fields, bits, base, target)?;
        Some(Sample { target: sample::number(fields, bits, target)?, change })
    };
    sample::words(base).zip(sample::words(target)).filter_map(pair).collect()
}

/// How likely each word is by itself, at the width that explains them best.
fn alone(bits: u32, samples: &[Sample]) -> Vec<f64> {
    let mut magnitudes: Vec<f64> = samples.iter().map(|s| s.target.value.abs()).filter(|&x| x > 0.0).collect();
    magnitudes.sort_unstable_by(f64::total_cmp);
    let middle = magnitudes.get(magnitudes.len() / 2).copied().unwrap_or(1.0);
    let any = STRAY * (-f64::from(bits)).exp2();
    let at = |half_octaves: i32| {
        let scale = middle * (f64::from(half_octaves) / 2.0).exp2();
        let likely = samples.iter().map(|s| any + (1.0 - STRAY) * blur(s.target.value, s.target.step, scale));
        likely.collect::<Vec<f64>>()
    };
    let tried = (-6..=12).map(|half_octaves| {
        let likely = at(half_octaves);
        (likely.iter().map(|p| -p.log2()).sum(), likely)
    });
    tried.min_by(|a: &(f64, _), b| a.0.total_cmp(&b.0)).map_or_else(Vec::new, |best| best.1)
}

/// The bits of all samples as changes, given how likely each is `alone`, at the width that explains them best.
fn delta(samples: &[Sample], alone: &[f64]) -> f64 {
    let changes = || samples.iter().map(|s| s.change.abs()).filter(|&x| x > 0.0);
    let smallest = changes().chain(samples.iter().map(|s| s.target.step)).fold(f64::INFINITY, f64::min);
    let largest = changes().fold(smallest, f64::max);
    let (low, high) = (smallest.log2().floor() as i32 - 2, largest.log2().ceil() as i32);
    let (changed, unchanged): (Vec<_>, Vec<_>) = samples.iter().zip(alone).partition(|(s, _)| s.change != 0.0);
    let at = |half_octaves: i32| {
        let scale = (f64::from(half_octaves) / 2.0).exp2();
        let moved =
            |(s, alone): &(&Sample, &f64)| STRAY * **alone + (1.0 - STRAY) * blur(s.change, s.target.step, scale);
        let of_changed: f64 = changed.iter().map(|pair| -moved(pair).log2()).sum();
        let unchanged: Vec<f64> = unchanged.iter().map(moved).collect();
        let bits = |still: f64| {
            let of_unchanged: f64 = unchanged.iter().map(|moved| -(still + (1.0 - still) * moved).log2()).sum();
            of_changed - changed.len() as f64 * (1.0 - still).log2() + of_unchanged
        };
        STILL.into_iter().map(bits).fold(f64::INFINITY, f64::min)
    };
    (2 * low.max(high - OCTAVES)..=2 * high).map(at).fold(f64::INFINITY, f64::min)
}

/// The part of a Laplace distribution around zero, of that scale, that is within half a `step` of `x`.
fn blur(x: f64, step: f64, scale: f64) -> f64 {
    let scale = scale.max(f64::MIN_POSITIVE);
    let (middle, half) = (x.abs() / scale, step / scale / 2.0);
    if middle < half {
        return 1.0 - ((middle - half).exp() + (-middle - half).exp()) / 2.0;
    }
    // As a product, since the difference of two tails would be lost in their digits.
    (half - middle).exp() * -(-2.0 * half).exp_m1() / 2.0
}

/// About the bits of the samples, which are bytes, by how often each occurs.
fn entropy(sketch: &Sketch) -> f64 {
    let mut counts = [0u32; 256];
    sketch.bytes().iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let count = sketch.bytes().len() as f64;
    let kinds = counts.iter().filter(|&&n| n > 0).count() as f64;
    let bits: f64 = counts.iter().filter(|&&n| n > 0).map(|&n| f64::from(n) * (count / f64::from(n)).log2()).sum();
    // Few samples look more alike than they are: Miller and Madow's correction.
    bits + (kinds - 1.0) / 2.0 * std::f64::consts::LOG2_E
}
