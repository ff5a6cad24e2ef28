//! The changes of weights as a matrix, and the precision to which they are known.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

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
        let mut change = Self::empty(columns);
        super::Factors::moves(dtype).then(|| change.replace(dtype, base, target))?;
        Some(change)
    }

    /// Makes a change of no rows.
    pub(crate) fn empty(columns: usize) -> Self {
        Self { matrix: Dense::zeros(0, columns), exponents: Vec::new() }
    }

    /// Replaces the change by the one from `base` to `target`, whose weights can be moved.
    pub(crate) fn replace(&mut self, dtype: Dtype, base: &[u8], target: &[u8]) {
        let filled = (base.len() / dtype.words().0).next_multiple_of(self.matrix.columns);
        let rounded = matches!(dtype, Dtype::BF16 | Dtype::F16);
        self.matrix.data.resize(filled, 0.0);
        self.exponents.resize(if rounded { filled } else { 0 }, 0);
        let done = differences(dtype, base, target, &mut self.matrix.data, &mut self.exponents);
        self.matrix.data[done..].fill(0.0);
        self.exponents.iter_mut().skip(done).for_each(|exponent| *exponent = 0);
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

/// Writes the differences of all weights, and for `BF16` and `F16` the target's exponents. Returns
/// the number of weights.
fn differences(dtype: Dtype, base: &[u8], target: &[u8], data: &mut [f32], exponents: &mut [u8]) -> usize {
    #[cfg(target_arch = "x86_64")]
    if let Some(count) = avx2::differences(dtype, base, target, data, exponents) {
        return count;
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    if dtype == Dtype::BF16 {
        let done = simd128::differences_of_bf16(base, target, data, exponents);
        let (base, target) = (&base[2 * done..], &target[2 * done..]);
        return done + differences_portably(dtype, base, target, &mut data[done..], &mut exponents[done..]);
    }
    differences_portably(dtype, base, target, data, exponents)
}

#[inline(always)]
fn differences_portably(dtype: Dtype, base: &[u8], target: &[u8], data: &mut [f32], exponents: &mut [u8]) -> usize {
    match dtype {
        Dtype::BF16 => {
            let value = |word: [u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16);
            exponents_of(target, exponents, |word| (word >> 7) as u8);
            each(base, target, data, |b, t| value(t) - value(b))
        }
        Dtype::F16 => {
            exponents_of(target, exponents, |word| (word >> 10 & 31) as u8);
            each(base, target, data, |b, t| f16_difference(u16::from_le_bytes(b), u16::from_le_bytes(t)))
        }
        Dtype::F32 => each(base, target, data, |b, t| f32::from_le_bytes(t) - f32::from_le_bytes(b)),
        _ => each(base, target, data, |b, t| (f64::from_le_bytes(t) - f64::from_le_bytes(b)) as f32),
    }
}

/// Returns the difference of two `F16`; infinity if one of them is not finite.
#[inline(always)]
fn f16_difference(base: u16, target: u16) -> f32 {
    let finite = |word: u16| word & 0x7c00 != 0x7c00;
    let difference = from_f16(target) - from_f16(base);
    if finite(base) & finite(target) { difference } else { f32::INFINITY }
}

#[inline(always)]
fn exponents_of(target: &[u8], exponents: &mut [u8], exponent: impl Fn(u16) -> u8) {
    let words = target.as_chunks().0.iter();
    exponents.iter_mut().zip(words).for_each(|(to, word)| *to = exponent(u16::from_le_bytes(*word)));
}

/// Writes the difference of every pair of weights, 0 where it is not finite. Returns their number.
#[inline(always)]
fn each<const WIDTH: usize>(
    base: &[u8],
    target: &[u8],
    data: &mut [f32],
    difference: impl Fn([u8; WIDTH], [u8; WIDTH]) -> f32,
) -> usize {
    let (base, target) = (base.as_chunks().0, target.as_chunks().0);
    for ((to, base), target) in data.iter_mut().zip(base).zip(target) {
        let difference = difference(*base, *target);
        *to = if difference.is_finite() { difference } else { 0.0 };
    }
    base.len().min(target.len())
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
    /// The weights as bytes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.by_exponent.iter().flat_map(|weight| weight.to_le_bytes()).collect()
    }

    /// The weights that [`to_bytes`](Self::to_bytes) wrote; `None` for no bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let weights = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        Some(Self { by_exponent: weights.collect::<Box<[f32]>>().try_into().ok()? })
    }

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
        let counts = counts(&change.exponents);
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

    /// Replaces `fit`, a fit to a run of a change's elements with these exponents, by the change
    /// that is pulled towards it.
    pub(crate) fn pull(&self, change: &[f32], exponents: &[u8], fit: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        let (change, exponents, fit) = avx2::pull(&self.by_exponent, change, exponents, fit);
        self.pull_portably(change, exponents, fit);
    }

    fn pull_portably(&self, change: &[f32], exponents: &[u8], fit: &mut [f32]) {
        for ((fit, &change), &exponent) in fit.iter_mut().zip(change).zip(exponents) {
            *fit += self.by_exponent[usize::from(exponent)] * (change - *fit);
        }
    }
}

/// Counts the exponents. There are four banks that take turns, since adding to the same counter
/// twice in a row would have to wait for the first addition.
fn counts(exponents: &[u8]) -> [usize; 256] {
    let mut banks = [[0usize; 256]; 4];
    let (fours, rest) = exponents.as_chunks::<4>();
    for four in fours {
        banks.iter_mut().zip(four).for_each(|(bank, &exponent)| bank[usize::from(exponent)] += 1);
    }
    rest.iter().for_each(|&exponent| banks[0][usize::from(exponent)] += 1);
    std::array::from_fn(|exponent| banks.iter().map(|bank| bank[exponent]).sum())
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
        weights.pull(&change.matrix.data, &change.exponents, &mut fit.data);
        assert_eq!(fit.data[0], change.matrix.data[0] * 1.6);
        assert!(fit.data[99].abs() < change.matrix.data[99].abs() * 0.01);
    }

    /// Every kernel computes the bits of the portable code, numbers that are not finite included.
    #[test]
    fn kernels_agree() {
        let mut seed = 5u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        for dtype in [Dtype::BF16, Dtype::F16, Dtype::F32, Dtype::F64] {
            for count in [0, 1, 15, 16, 17, 1000] {
                let mut bytes = || (0..count * dtype.words().0).map(|_| next()).collect::<Vec<u8>>();
                let (base, target) = (bytes(), bytes());
                let [mut fast, mut portable] = [(); 2].map(|()| (vec![1.0; count], vec![1; count]));
                assert_eq!(differences(dtype, &base, &target, &mut fast.0, &mut fast.1), count);
                differences_portably(dtype, &base, &target, &mut portable.0, &mut portable.1);
                assert_eq!(fast, portable);
                // Exponents up to `shared` have the same weight, as in a real table.
                for shared in [0, 100, 250, 255] {
                    let by_exponent = Box::new(std::array::from_fn(|exponent| exponent.max(shared) as f32 / 77.0));
                    let weights = Weights { by_exponent };
                    let near: Vec<u8> = target[..count].iter().map(|x| shared as u8 / 2 + x % 16).collect();
                    for exponents in [&target[..count], &near] {
                        let [mut pulled, mut want] =
                            [(); 2].map(|()| (0..count).map(|i| i as f32).collect::<Vec<f32>>());
                        weights.pull(&fast.0, exponents, &mut pulled);
                        weights.pull_portably(&fast.0, exponents, &mut want);
                        assert_eq!(pulled, want);
                    }
                }
            }
        }
    }

    #[test]
    fn all_exponents_are_counted() {
        let counts = counts(&[3, 3, 3, 3, 3, 200, 0, 3, 255, 255]);
        assert_eq!((counts[3], counts[200], counts[0], counts[255]), (6, 1, 1, 2));
    }
}
