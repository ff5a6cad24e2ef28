//! Words that were made from weights of the base.

use super::base::Region;
use super::levels::dynamic;
use super::view::{Base, Origin, find, is_power, transposed, unit};
use super::{Result, cast};

/// The weights of the base that the words of a region were made from.
pub struct Derived {
    /// Rows and columns of the base's matrices of elements.
    pub matrices: (usize, usize),
    /// Weights of an element.
    pub element: usize,
    /// Weights of a run.
    pub per_run: usize,
    /// Words of a run.
    pub run: usize,
    /// 0 if the view gives weights, else the number of a span.
    pub span: u8,
    pub divisor: f32,
}

impl Derived {
    /// The weights, or the words that are expected of their spans.
    pub fn words(&self, origin: &Origin, region: &Region, bases: &[Base<'_>]) -> Result<Vec<u8>> {
        let count = region.length / unit(region.dtype) / self.run * self.per_run;
        let Origin { file, name, dtype } = origin;
        let found = find(&bases[*file], name, *dtype, count * unit(*dtype))?;
        let (rows, columns) = self.matrices;
        let weights = transposed(&cast::cast(found, *dtype, 17), rows, columns, 4 * self.element);
        if self.span == 0 {
            return Ok(weights);
        }
        let weights: Vec<f32> = weights.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
        if self.span == 6 {
            return Ok(self.places(&weights));
        }
        let spans = weights.chunks(self.per_run).flat_map(|weights| self.span_of(weights).to_le_bytes());
        let spans: Vec<u8> = spans.collect();
        if is_power(region.dtype) {
            let exponent = |span: &[u8]| (u32::from_le_bytes(span.try_into().unwrap()) / (1 << 23)) as u8;
            return Ok(spans.chunks(4).map(exponent).collect());
        }
        Ok(cast::cast(&spans, 17, region.dtype))
    }

    /// The places of nested scales.
    fn places(&self, weights: &[f32]) -> Vec<u8> {
        let moved: Vec<f32> = weights.chunks(self.per_run).map(|weights| largest(weights) - self.divisor).collect();
        let borders: Vec<f32> = (0..255u8).map(|place| (dynamic(place) + dynamic(place + 1)) / 2.0).collect();
        let place = |x: f32| borders.iter().filter(|&&border| border < x).count() as u8;
        let runs = moved.chunks(256).map(|run| {
            let scale = run.iter().fold(0f32, |most, number| if number.abs() > most { number.abs() } else { most });
            run.iter().map(|number| place(number / scale)).collect::<Vec<_>>()
        });
        runs.collect::<Vec<_>>().concat()
    }

    fn span_of(&self, weights: &[f32]) -> f32 {
        if self.span == 7 {
            let distances = weights.chunks(self.element).map(|element| (largest(element) - self.divisor).abs());
            return distances.fold(0.0, |most, distance| if distance > most { distance } else { most });
        }
        let (mut least, mut most, mut first) = (0f32, 0f32, 0f32);
        for &weight in weights.iter().filter(|weight| weight.is_finite()) {
            least = if weight < least { weight } else { least };
            most = if weight > most { weight } else { most };
            first = if weight.abs() > first.abs() { weight } else { first };
        }
        match self.span {
            1 => first.abs() / self.divisor,
            2 => (most - least) / self.divisor,
            3 => first / self.divisor,
            span => line(weights, self.divisor)[usize::from(span - 4)],
        }
    }
}

/// The slope and the bias of a line through weights.
pub fn line(weights: &[f32], steps: f32) -> [f32; 2] {
    let finite = || weights.iter().map(|&weight| if weight.is_finite() { weight } else { 0.0 });
    let lo = finite().reduce(|a, b| if b < a { b } else { a }).unwrap();
    let hi = finite().reduce(|a, b| if b > a { b } else { a }).unwrap();
    let step = (hi - lo) / steps;
    let step = if step >= 1e-7 { step } else { 1e-7 };
    let (edge, step) = if lo.abs() > hi.abs() { (lo, step) } else { (hi, -step) };
    let whole = (edge / step).round_ties_even();
    if whole == 0.0 { [step, 0.0] } else { [edge / whole, edge] }
}

/// The largest magnitude of the weights that are finite.
pub fn largest(weights: &[f32]) -> f32 {
    let finite = weights.iter().filter(|weight| weight.is_finite());
    finite.fold(0.0, |most, weight| if weight.abs() > most { weight.abs() } else { most })
}
