//! The spans of weights that scales follow from, by the rules that quantisers have.

use crate::derived::Span;

/// Mean distance of scales from what they should be, as a share, up to which they are taken to
/// follow from their weights.
pub(super) const NEAR: f32 = 0.05;

/// The divisors of the spans that quantisers use: a divisor near one of them is the nearest one.
const DIVISORS: [f32; 11] = [1.0, 6.0, 7.0, 7.5, 8.0, 15.0, 127.0, 127.5, 128.0, 255.0, 448.0];

/// The divisors of largest magnitudes whose exponents are scales: the power of two in the greatest
/// float of 4 or 8 bits, or, for scales that are rounded up, a little more than half of that float.
const POWERS: [f32; 6] = [4.0, 256.0, 32_768.0, 3.000_000_2, 224.000_02, 28_672.002];

/// The span and the divisor that these scales follow from, if they do. Each scale has
/// `per_scale` weights.
pub(super) fn fit(scales: &[f32], weights: &[f32], per_scale: usize) -> Option<(Span, f32)> {
    let fitted = |span: Span| {
        let spans = weights.chunks_exact(per_scale).map(|weights| span.of(weights, 1.0));
        let ratios = spans.zip(scales).map(|(span, scale)| span / scale).filter(|ratio| ratio.is_normal());
        let divisor = snapped(median(ratios.collect())?);
        Some((distance(scales, weights, per_scale, (span, divisor)), span, divisor))
    };
    let best = Span::DIVIDED.into_iter().filter_map(fitted).min_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 <= NEAR).then_some((best.1, best.2))
}

/// The mean distance of scales from what a span and a divisor tell, as a share.
pub(super) fn distance(scales: &[f32], weights: &[f32], per_scale: usize, (span, divisor): (Span, f32)) -> f32 {
    let expected = weights.chunks_exact(per_scale).map(|weights| span.of(weights, divisor));
    // A scale of 0 has no ratio, and one of another sign is as far as any.
    let distances = expected.zip(scales).map(|(expected, scale)| (expected / scale - 1.0).abs().min(1.0));
    distances.sum::<f32>() / scales.len() as f32
}

/// The divisor of the largest magnitudes whose exponents these scales are, if they are.
pub(super) fn fit_powers(scales: &[u8], weights: &[f32], per_scale: usize) -> Option<(Span, f32)> {
    let others = |divisor: f32| {
        let spans = weights.chunks_exact(per_scale).map(|weights| Span::Largest.of(weights, divisor));
        spans.zip(scales).filter(|(span, scale)| (span.to_bits() >> 23) as u8 != **scale).count()
    };
    let (others, divisor) = POWERS.into_iter().map(|divisor| (others(divisor), divisor)).min_by_key(|found| found.0)?;
    (others * 8 <= scales.len()).then_some((Span::Largest, divisor))
}

fn median(mut numbers: Vec<f32>) -> Option<f32> {
    numbers.sort_unstable_by(f32::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

/// The divisor that quantisers use, if this one is near it.
fn snapped(divisor: f32) -> f32 {
    let distance = |other: &f32| (divisor.abs() / other - 1.0).abs();
    let near = DIVISORS.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
    near.filter(|near| distance(near) < 0.02).map_or(divisor, |near| near.copysign(divisor))
}
