//! The numbers that sampled words stand for.

use super::Sketch;
use crate::layout::dtype::Fields;

/// The number that a word stands for, and its distance to the next number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Number {
    pub(super) value: f64,
    pub(super) step: f64,
}

/// Returns the words of a sketch, in order.
pub(super) fn words(sketch: &Sketch) -> impl Iterator<Item = u64> {
    let width = sketch.dtype().words().0;
    sketch.bytes().chunks_exact(width).map(|word| word.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}

/// Returns the number that a word of `bits` bits stands for; `None` for infinities and NaNs.
pub(super) fn number(fields: Fields, bits: u32, word: u64) -> Option<Number> {
    match fields {
        Fields::Float { mantissa } => float(bits, mantissa, word),
        Fields::Integer => Some(Number { value: signed(bits, word) as f64, step: 1.0 }),
    }
}

/// Returns the difference of `target` from `base`; `None` if it is not finite. Integers wrap around
/// their range, as deltas do.
pub(super) fn change(fields: Fields, bits: u32, base: u64, target: u64) -> Option<f64> {
    match fields {
        Fields::Float { mantissa } => {
            let change = float(bits, mantissa, target)?.value - float(bits, mantissa, base)?.value;
            Some(change).filter(|change| change.is_finite())
        }
        Fields::Integer => Some(signed(bits, target.wrapping_sub(base)) as f64),
    }
}

fn signed(bits: u32, word: u64) -> i64 {
    (word << (64 - bits)) as i64 >> (64 - bits)
}

fn float(bits: u32, mantissa: u32, word: u64) -> Option<Number> {
    let magnitude = word & (u64::MAX >> (65 - bits));
    let (exponent, fraction) = (magnitude >> mantissa, magnitude & ((1 << mantissa) - 1));
    let largest = (1u64 << (bits - 1 - mantissa)) - 1;
    if exponent == largest {
        return None;
    }
    let leading = if exponent == 0 { 0 } else { 1 << mantissa };
    let bias = (largest >> 1) as i32 + mantissa as i32;
    let step = f64::from(exponent.max(1) as i32 - bias).exp2();
    let value = (fraction + leading) as f64 * step;
    Some(Number { value: if word == magnitude { value } else { -value }, step })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Dtype;

    #[test]
    fn words_are_the_numbers_that_they_stand_for() {
        let number = |dtype: Dtype, word| {
            let (width, fields) = dtype.words();
            number(fields, 8 * width as u32, word)
        };
        for x in [0.0, 1.0, -1.5, 3.4e38, -1e-40, 1e-45f32] {
            assert_eq!(number(Dtype::F32, u64::from(x.to_bits())).unwrap().value, f64::from(x));
        }
        for x in [-2.5, 1e300, 5e-324, 1e-310] {
            assert_eq!(number(Dtype::F64, f64::to_bits(x)).unwrap().value, x);
        }
        assert_eq!(number(Dtype::BF16, 0x3f80), Some(Number { value: 1.0, step: 0.0078125 }));
        assert_eq!(number(Dtype::F16, 0xc000), Some(Number { value: -2.0, step: 2f64.powi(-9) }));
        assert_eq!(number(Dtype::F8_E4M3, 0x39), Some(Number { value: 1.125, step: 0.125 }));
        assert_eq!(number(Dtype::I8, 0xfe), Some(Number { value: -2.0, step: 1.0 }));
        assert_eq!(number(Dtype::F32, u64::from(f32::NAN.to_bits())), None);
        assert_eq!(number(Dtype::F64, f64::INFINITY.to_bits()), None);
    }

    #[test]
    fn changes_of_integers_wrap_around() {
        assert_eq!(change(Fields::Integer, 8, 255, 1), Some(2.0));
        assert_eq!(change(Fields::Integer, 16, 0, 0xffff), Some(-1.0));
        assert_eq!(change(Fields::Integer, 64, 1, 0), Some(-1.0));
        assert_eq!(change(Fields::Float { mantissa: 7 }, 16, 0x3f80, 0xbf80), Some(-2.0));
    }
}
