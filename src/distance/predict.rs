//! The predicted size of a tensor, as a delta and alone, from sketches.
//!
//! A fine-tune moves every weight by about the same amount, whatever the size of the weight. So the
//! target is modelled as the base with a blur, rounded to the floats or integers that words can
//! hold. The bits of a word's delta are -log2 of the part of the blur that rounds to the word:
//! small weights, whose steps are fine, take more bits than large ones. The width of the blur is
//! the one that explains the samples best.
//!
//! A tensor alone is modelled in the same way, with zeros as its base. For two unrelated tensors
//! the blur around the base is wider than the blur around zero, and so the delta is predicted to be
//! larger.

use super::Sketch;
use super::sample::{self, Number};
use crate::error::Result;
use crate::layout::dtype::Fields;

/// The ratio of a delta to coding alone below which the delta pays.
const MARGIN: f64 = 0.97;

/// The share of words that are taken to be unrelated to the base, so that a few such words do not
/// widen the blur of all.
const STRAY: f64 = 1.0 / 64.0;

/// The shares of unchanged words that are tried, besides the words that a blur narrower than a step
/// leaves unchanged.
const STILL: [f64; 7] = [0.0, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99];

/// The number of octaves below the largest change in which widths of the blur are tried.
const OCTAVES: i32 = 64;

/// The predicted size of a tensor as a share of its bytes, as a delta and alone, both from 0 to 1.
///
/// The figures are for coding in contexts. A low-rank prediction of the change makes many deltas
/// smaller still, down to a quarter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Predicted {
    /// The size of a delta, as a share of the tensor's bytes.
    pub delta_ratio: f64,
    /// The size without a base, as a share of the tensor's bytes.
    pub alone_ratio: f64,
}

impl Predicted {
    /// Returns the smaller of the two ratios.
    pub fn ratio(&self) -> f64 {
        self.delta_ratio.min(self.alone_ratio)
    }

    /// Returns true if a delta is predicted to be clearly smaller than the tensor alone.
    pub fn delta_pays(&self) -> bool {
        self.delta_ratio < MARGIN * self.alone_ratio
    }
}

/// Predicts the size of `target` as a delta to `base`, and alone.
///
/// # Errors
/// `InvalidArgument` if the tensors of the sketches differ in dtype or length.
pub fn predict(base: &Sketch, target: &Sketch) -> Result<Predicted> {
    base.check_comparable(target)?;
    let (width, fields) = target.dtype().words();
    let bits = 8 * width as u32;
    let samples = samples(fields, bits, base, target);
    if samples.is_empty() {
        return Ok(Predicted { delta_ratio: 1.0, alone_ratio: 1.0 });
    }
    let count = samples.len() as f64;
    // The bits that a fitted parameter saves by mere chance: a delta has two parameters, alone has
    // one.
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

/// A word of the target, and its difference from the base's word.
struct Sample {
    target: Number,
    change: f64,
}

/// Returns the pairs of words of which both are numbers.
fn samples(fields: Fields, bits: u32, base: &Sketch, target: &Sketch) -> Vec<Sample> {
    let pair = |(base, target)| {
        let change = sample::change(fields, bits, base, target)?;
        Some(Sample { target: sample::number(fields, bits, target)?, change })
    };
    sample::words(base).zip(sample::words(target)).filter_map(pair).collect()
}

/// Returns the likelihood of each word by itself, with the width of blur that explains all words
/// best.
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

/// Returns the bits of all samples as changes, with the width of blur that explains them best.
/// `alone` holds the likelihood of each word by itself.
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

/// Returns the part of a Laplace distribution around zero, with this scale, that is within half a
/// `step` of `x`.
fn blur(x: f64, step: f64, scale: f64) -> f64 {
    let scale = scale.max(f64::MIN_POSITIVE);
    let (middle, half) = (x.abs() / scale, step / scale / 2.0);
    if middle < half {
        return ((middle - half).exp_m1() + (-middle - half).exp_m1()) / -2.0;
    }
    // This is a product, since the difference of two almost equal tails would lose its digits.
    (half - middle).exp() * -(-2.0 * half).exp_m1() / 2.0
}

/// Returns the estimated bits of the samples, which are bytes, by their entropy. The estimator is
/// that of Chao and Shen, which infers the share of unseen values from those that occur once.
fn entropy(sketch: &Sketch) -> f64 {
    let mut counts = [0u32; 256];
    sketch.bytes().iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let count = sketch.bytes().len() as f64;
    let once = counts.iter().filter(|&&n| n == 1).count() as f64;
    let seen = 1.0 - once.min(count - 1.0) / count;
    let shares = counts.iter().filter(|&&n| n > 0).map(|&n| seen * f64::from(n) / count);
    count * shares.map(|share| -share * share.log2() / (1.0 - (1.0 - share).powf(count))).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;

    #[test]
    fn entropies_of_few_bytes_are_about_those_of_many() {
        let bits = |kinds: u32, count: usize| {
            let byte = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 16) % kinds;
            let bytes: Vec<u8> = (0..count).map(|i| byte(i) as u8).collect();
            entropy(&Sketch::of(Dtype::U8, &bytes)) / Sketch::of(Dtype::U8, &bytes).bytes().len() as f64
        };
        assert_eq!(bits(1, 5000), 0.0);
        assert!((bits(2, 5000) - 1.0).abs() < 0.1);
        assert!((bits(16, 5000) - 4.0).abs() < 0.6 && (bits(16, 1 << 22) - 4.0).abs() < 0.1);
        // Nearly all of the thirty-two bytes differ, so the entropy may be that of random bytes.
        assert!(bits(256, 5000) > 6.5);
    }

    /// The parts of all steps add up to 1, for scales below and above a step.
    #[test]
    fn blurs_add_up_to_one() {
        for (step, scale) in [(1.0, 0.1), (1.0, 1.0), (0.01, 1.0), (1.0, 7.0)] {
            let steps = (40.0 * scale / step) as i32 + 1;
            let sum: f64 = (-steps..=steps).map(|i| blur(f64::from(i) * step, step, scale)).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{step} {scale}: {sum}");
        }
        assert!(blur(100.0, 1e-12, 1.0) > 0.0);
        assert!((blur(0.0, 1e-20, 1.0) / 5e-21 - 1.0).abs() < 1e-9);
        assert!(blur(0.0, 5e-324, 0.0).is_finite());
    }
}
