//! Words that were made from weights of the base.

use super::base::Region;
use super::chunk::Coding;
use super::fields::Fields;
use super::levels::dynamic;
use super::view::{View, is_power, transposed, unit};
use super::{Geometry, Result, cast, check, quant};

/// The weights of the base that the words of a region were made from.
pub struct Derived {
    /// Rows and columns of the base's matrices of elements.
    pub matrices: (u64, u64),
    /// Weights of an element.
    pub element: u64,
    /// Weights of a run.
    pub per_run: u64,
    /// Words of a run.
    pub run: u64,
    /// 0 if the view gives weights, else the number of a span.
    pub span: u8,
    pub divisor: f32,
    /// The weights, as words of `F32`.
    pub weights: View,
    /// Number of weights.
    pub all: u64,
    /// Runs that the chunks of the region need together, if they are stated.
    pub uses: u128,
}

impl Derived {
    /// The order of the weights, with the words of a run if `least` states how many there are.
    pub fn read(fields: &mut Fields, least: Option<u64>) -> Result<Self> {
        let [rows, columns, element, per_run] =
            [fields.varint()?, fields.varint()?, fields.varint()?, fields.varint()?];
        let run = if least.is_some() { fields.varint()? } else { 1 };
        check((least.unwrap_or(1)..=8).contains(&run), "words of a run")?;
        let span = fields.byte()?;
        check(span <= 7, "an unknown span")?;
        let divisor = if span == 0 { 1.0 } else { f32::from_le_bytes(fields.take(4)?.try_into().unwrap()) };
        let (weights, matrices) = (View::nothing(), (rows, columns));
        Ok(Self { matrices, element, per_run, run, span, divisor, weights, all: 0, uses: 0 })
    }

    /// The weights of all words of a region.
    pub fn count(&self, region: &Region) -> Option<u64> {
        ((region.length / unit(region.dtype)) as u64 / self.run).checked_mul(self.per_run)
    }

    /// Checks that words of `dtype` can be the weights of all words, and returns their number.
    pub fn check(&self, region: &Region, dtype: u8) -> Result<u64> {
        let Self { matrices: (rows, columns), element, per_run, run, span, .. } = *self;
        let Coding { width, mantissa } = Coding::of(region.dtype);
        let number = quant::format(region.dtype).is_none() && (mantissa.is_none() || width == 8);
        let scale = cast::known(region.dtype) || is_power(region.dtype);
        let fits = match span {
            0 => number,
            6 => region.dtype == 4,
            _ => scale,
        };
        check(fits, "words that are not made from weights")?;
        check(cast::known(dtype), "weights without a cast")?;
        let most = (32 << 20) / unit(dtype) as u64;
        let words = (region.length / unit(region.dtype)) as u64;
        let matrix = rows.checked_mul(columns).and_then(|n| n.checked_mul(element)).ok_or("a matrix")?;
        check(matrix <= most, "the size of a matrix")?;
        let of_chunk = words.min(1 << 20).div_ceil(run).checked_mul(per_run).ok_or("the weights of a chunk")?;
        check(of_chunk <= most, "the weights of a chunk")?;
        let all = self.count(region).ok_or("all weights")?;
        check(matrix > 0 && all.is_multiple_of(matrix), "matrices that do not fill the region")?;
        check(per_run > 0 && per_run.is_multiple_of(element), "a word of no whole elements")?;
        let bytes = run as usize * unit(region.dtype);
        let is_cut = Geometry::new(region).chunks().any(|range| !range.len().is_multiple_of(bytes));
        check(run == 1 || span == 0 && !is_cut, "runs that are cut")?;
        Ok(all)
    }

    /// The runs of a view of the weights that the chunks of a region need, counted for each chunk.
    pub fn uses(&self, region: &Region, weights: &View) -> u128 {
        let matrix = self.matrices.0 * self.matrices.1 * self.element;
        let (geometry, width) = (Geometry::new(region), unit(region.dtype));
        let mut start = 0;
        let of_run = |&(units, _): &(usize, _)| {
            let (first, end) = (start / matrix * matrix, (start + units as u64).div_ceil(matrix) * matrix);
            start += units as u64;
            let (first, end) = (first / self.per_run * self.run, end.div_ceil(self.per_run) * self.run);
            geometry.chunks_of(first as usize * width, end as usize * width) as u128
        };
        weights.runs.iter().map(of_run).sum()
    }

    /// The weights in their order, or the words that are expected of their spans.
    pub fn words(&self, weights: &[u8], region: &Region) -> Vec<u8> {
        let (rows, columns) = self.matrices;
        let weights = transposed(weights, rows as usize, columns as usize, 4 * self.element as usize);
        if self.span == 0 {
            return weights;
        }
        let weights: Vec<f32> = weights.chunks(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect();
        if self.span == 6 {
            return self.places(&weights);
        }
        let spans = weights.chunks(self.per_run as usize).flat_map(|weights| self.span_of(weights).to_le_bytes());
        let spans: Vec<u8> = spans.collect();
        if is_power(region.dtype) {
            let exponent = |span: &[u8]| (u32::from_le_bytes(span.try_into().unwrap()) / (1 << 23)) as u8;
            return spans.chunks(4).map(exponent).collect();
        }
        cast::cast(&spans, 17, region.dtype)
    }

    /// The places of nested scales.
    fn places(&self, weights: &[f32]) -> Vec<u8> {
        let moved: Vec<f32> =
            weights.chunks(self.per_run as usize).map(|weights| largest(weights) - self.divisor).collect();
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
            let distances =
                weights.chunks(self.element as usize).map(|element| (largest(element) - self.divisor).abs());
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
