//! The encoder's choice of groups, scales and zero points: a line is fitted to the weights and the
//! integers of each group.

use super::super::super::Matrix;
use super::{Groups, Span, Steps, expected_scales, spans, step_of};

/// Estimated bits of an integer that is not the expected one.
const OTHER: usize = 8;

/// Estimated bits of a scale that is not the expected one.
const SCALE: usize = 24;

/// The sums of a group that a line is fitted to.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    weights: f64,
    integers: f64,
    products: f64,
    squares: f64,
}

impl Sums {
    /// Adds a word, unless its integer is the least or the greatest one: those stand for all
    /// weights beyond them, and would bend the line.
    fn add(&mut self, weight: f32, integer: u8) {
        if matches!(integer, 0 | 255) {
            return;
        }
        let (weight, integer) = (f64::from(weight), f64::from(integer));
        self.count += 1.0;
        self.weights += weight;
        self.integers += integer;
        self.products += weight * integer;
        self.squares += weight * weight;
    }

    /// The scale and the zero point of the line through the weights and the integers; a scale of 0
    /// if there is none.
    fn line(&self) -> (f32, u8) {
        let variance = self.count * self.squares - self.weights * self.weights;
        let slope = (self.count * self.products - self.weights * self.integers) / variance;
        let slope = if slope.is_finite() { slope } else { 0.0 };
        let zero = ((self.integers - slope * self.weights) / self.count).round().clamp(0.0, 255.0);
        // With the zero point known, the slope is known better.
        let scale = self.squares / (self.products - zero * self.weights);
        (if scale.is_finite() { scale as f32 } else { 0.0 }, zero as u8)
    }
}

/// Chooses the groups with the fewest estimated bits. Returns their scales and zero points, and the
/// span and the divisor that most of the scales follow from.
pub(super) fn fit(matrix: Matrix, weights: &[f32], integers: &[u8]) -> (Steps, Span, u16) {
    let all = [Groups::One, Groups::Columns(matrix.columns), Groups::Rows(matrix.columns)];
    let mut best: Option<(usize, (Steps, Span, u16))> = None;
    for groups in all {
        let (bits, found) = fit_groups(groups, weights, integers);
        if best.as_ref().is_none_or(|(least, _)| bits < *least) {
            best = Some((bits, found));
        }
    }
    let nothing = Steps { groups: Groups::One, scales: vec![0.0], zeros: vec![0] };
    best.map_or((nothing, Span::Largest, 1), |(_, found)| found)
}

/// Fits lines to the groups, and returns the estimated bits with the result.
fn fit_groups(groups: Groups, weights: &[f32], integers: &[u8]) -> (usize, (Steps, Span, u16)) {
    let mut sums = vec![Sums::default(); groups.count(weights.len())];
    for (word, (&weight, &integer)) in weights.iter().zip(integers).enumerate() {
        sums[groups.of(word)].add(weight, integer);
    }
    let (fitted, zeros): (Vec<f32>, Vec<u8>) = sums.iter().map(Sums::line).unzip();
    let (span, divisor) = divisor(groups, weights, &fitted);
    let near = expected_scales(groups, weights, span, divisor);
    let others = |scales: &[f32]| {
        let mut others = vec![0usize; scales.len()];
        for (word, (&weight, &integer)) in weights.iter().zip(integers).enumerate() {
            let group = groups.of(word);
            others[group] += usize::from(step_of(weight, scales[group], zeros[group]).0 != integer);
        }
        others
    };
    let (with_near, with_fitted) = (others(&near), others(&fitted));
    let mut bits = 0;
    let scale = |group: usize| {
        let (kept, moved) = (OTHER * with_near[group], OTHER * with_fitted[group] + SCALE);
        bits += kept.min(moved);
        if kept <= moved { near[group] } else { fitted[group] }
    };
    let scales = (0..near.len()).map(scale).collect();
    (bits, (Steps { groups, scales, zeros }, span, divisor))
}

/// The span and the divisor by which it gives most of the fitted scales best.
fn divisor(groups: Groups, weights: &[f32], fitted: &[f32]) -> (Span, u16) {
    let candidate = |span| {
        let ratios = spans(groups, weights, span).into_iter().zip(fitted).map(|(span, scale)| span / scale);
        let mut ratios: Vec<f32> = ratios.filter(|ratio| ratio.is_finite() && *ratio > 0.0).collect();
        ratios.sort_unstable_by(f32::total_cmp);
        let middle = ratios.get(ratios.len() / 2).copied().unwrap_or(1.0);
        let divisor = middle.round().clamp(1.0, 65_535.0);
        let distance = ratios.iter().map(|ratio| f64::from((ratio / divisor - 1.0).abs().min(1.0))).sum::<f64>();
        (distance, span, divisor as u16)
    };
    let (largest, range) = (candidate(Span::Largest), candidate(Span::Range));
    let (_, span, divisor) = if range.0 < largest.0 { range } else { largest };
    (span, divisor)
}
