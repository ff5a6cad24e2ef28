//! The changes of weights as a matrix, and the precision to which they are known.

use super::float::from_f16;
use super::linear::Dense;
use crate::layout::Dtype;

/// The change of a run of rows. A short last row is padded with zeros, and differences that are not
/// finite are zeros too.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) matrix: Dense,
    /// The target's exponents, which tell how coarsely each weight was rounded. Empty for `F32` and
    /// `F64`, whose rounding is too fine to matter.
    pub(crate) exponents: Vec<u8>,
}

impl Change {
    /// Computes the change from `base` to `target`, in rows of `columns`; `None` if weights of this
    /// dtype [cannot be moved](super::Factors::moves).
    pub(crate) fn new(dtype: Dtype, columns: usize, base: &[u8], target: &[u8]) -> Option<Self> {
        let mut exponents = Vec::new();
        let mut data: Vec<f32> = match dtype {
            Dtype::BF16 => {
                exponents.extend(words(target).map(|word| (word >> 7) as u8));
                let value = |word: u16| f32::from_bits(u32::from(word) << 16);
                words(base).zip(words(target)).map(|(b, t)| value(t) - value(b)).collect()
            }
            Dtype::F16 => {
                let finite = |word: u16| word & 0x7c00 != 0x7c00;
                exponents.extend(words(target).map(|word| (word >> 10 & 31) as u8));
                let difference = |b, t| if finite(b) && finite(t) { from_f16(t) - from_f16(b) } else { 0.0 };
                words(base).zip(words(target)).map(|(b, t)| difference(b, t)).collect()
            }
            Dtype::F32 => differences(base, target, |b, t| f32::from_le_bytes(t) - f32::from_le_bytes(b)),
            Dtype::F64 => differences(base, target, |b, t| (f64::from_le_bytes(t) - f64::from_le_bytes(b)) as f32),
            _ => return None,
        };
        let filled = data.len().next_multiple_of(columns);
        data.resize(filled, 0.0);
        exponents.resize(if exponents.is_empty() { 0 } else { filled }, 0);
        data.iter_mut().filter(|x| !x.is_finite()).for_each(|x| *x = 0.0);
        Some(Self { matrix: Dense { columns, data }, exponents })
    }

    /// Returns the change of the given rows.
    pub(crate) fn rows(&self, rows: impl Iterator<Item = usize>) -> Self {
        let columns = self.matrix.columns;
        let mut some = Self { matrix: Dense::zeros(0, columns), exponents: Vec::new() };
        for row in rows {
            some.matrix.data.extend_from_slice(self.matrix.row(row));
            some.exponents.extend(self.exponents.iter().skip(row * columns).take(columns));
        }
        some
    }
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().map(|word| u16::from_le_bytes(*word))
}

fn differences<const WIDTH: usize>(
    base: &[u8],
    target: &[u8],
    difference: impl Fn([u8; WIDTH], [u8; WIDTH]) -> f32,
) -> Vec<f32> {
    base.as_chunks().0.iter().zip(target.as_chunks().0).map(|(b, t)| difference(*b, *t)).collect()
}

/// The weights of a change's elements in a fit, by exponent: coarsely rounded elements count less.
///
/// Elements are first pulled towards an earlier fit, more so the less they count. A plain fit to
/// the result comes close to a weighted fit and costs much less.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Weights {
    by_exponent: Box<[f32; 256]>,
}

impl Weights {
    /// Computes the weights for `change`. `residual` is the mean square of the part that the fit
    /// leaves unexplained. Returns `None` for dtypes without exponents.
    pub(crate) fn new(dtype: Dtype, change: &Change, residual: f64) -> Option<Self> {
        /// The share of the residual that is noise from other sources than rounding.
        const NOISE: f64 = 0.3;
        /// The largest weight: it is above 1 so that one pull has the effect of several.
        const REACH: f64 = 1.6;
        let (bias, mantissa) = match dtype {
            Dtype::BF16 => (127, 7),
            Dtype::F16 => (15, 10),
            _ => return None,
        };
        let precision = |exponent: usize| {
            let step = power(exponent.max(1) as i32 - bias - mantissa);
            1.0 / (step * step / 12.0 + NOISE * residual)
        };
        let mut counts = [0usize; 256];
        change.exponents.iter().for_each(|&exponent| counts[usize::from(exponent)] += 1);
        // The reference is the precision that three tenths of the elements exceed; precision falls
        // as the exponent rises.
        let (mut above, mut reference) = (0, precision(0));
        for (exponent, count) in counts.iter().enumerate() {
            if above * 10 > change.exponents.len() * 3 {
                break;
            }
            above += count;
            reference = precision(exponent);
        }
        let weight = |exponent| (REACH * (precision(exponent) / reference).min(1.0)) as f32;
        Some(Self { by_exponent: Box::new(std::array::from_fn(weight)) })
    }

    /// Replaces `fit`, a fit to `change`, by the change that is pulled towards it.
    pub(crate) fn pull(&self, change: &Change, fit: &mut Dense) {
        let elements = fit.data.iter_mut().zip(&change.matrix.data).zip(&change.exponents);
        for ((fit, &change), &exponent) in elements {
            *fit += self.by_exponent[usize::from(exponent)] * (change - *fit);
        }
    }
}

/// Returns `2^exponent`, which must be a normal number.
fn power(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bf16(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect()
    }

    #[test]
    fn changes_are_differences_of_values() {
        let change = Change::new(Dtype::BF16, 2, &bf16(&[1.0, -2.0, 0.5]), &bf16(&[1.5, -2.0, -0.5])).unwrap();
        assert_eq!(change.matrix.data, [0.5, 0.0, -1.0, 0.0]);
        assert_eq!(change.exponents, [127, 128, 126, 0]);
        let data = |dtype, base: &[u8], target: &[u8]| Change::new(dtype, 1, base, target).map(|c| c.matrix.data);
        assert_eq!(data(Dtype::BF16, &bf16(&[1.0, f32::MAX]), &bf16(&[f32::NAN, f32::MIN])).unwrap(), [0.0, 0.0]);
        assert_eq!(data(Dtype::F16, &[0, 0x7c, 0, 0], &[0, 0x3c, 0, 0x7c]).unwrap(), [0.0, 0.0]);
        assert_eq!(data(Dtype::I16, &[0, 0], &[0, 0]), None);
        let doubles = [1.0f64, 3.0].map(f64::to_le_bytes);
        assert_eq!(Change::new(Dtype::F64, 1, &doubles[0], &doubles[1]).unwrap().matrix.data, [2.0]);
    }

    #[test]
    fn coarse_weights_count_less() {
        let values: Vec<f32> = (0..100).map(|i| if i < 50 { 0.01 } else { 3.0 }).collect();
        let moved: Vec<f32> = values.iter().map(|x| x * 1.1).collect();
        let change = Change::new(Dtype::BF16, 10, &bf16(&values), &bf16(&moved)).unwrap();
        let weights = Weights::new(Dtype::BF16, &change, 1e-9).unwrap();
        let mut fit = Dense::zeros(10, 10);
        weights.pull(&change, &mut fit);
        assert_eq!(fit.data[0], change.matrix.data[0] * 1.6);
        assert!(fit.data[99].abs() < change.matrix.data[99].abs() * 0.01);
    }
}
