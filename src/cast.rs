//! Casts between the dtypes of floats: to nearest, ties to even, with a single rounding.
//!
//! `F64` holds every value of the other dtypes, so a cast widens to the bits of an `F64`, which is
//! exact, and narrows those. Both steps are integer arithmetic, so every platform gets the same
//! bits, those of NaNs included. The most frequent casts have loops of their own that vectorise.

use crate::layout::Dtype;
use crate::predict::float::{from_f16, to_f16};

/// The fields of a dtype of floats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Float {
    /// Bytes of a word.
    bytes: usize,
    /// Bits of the mantissa.
    mantissa: u32,
    /// The number that is subtracted from the exponent's field.
    bias: i32,
    /// The bits that every magnitude beyond the largest finite one becomes: the infinity, or the
    /// NaN of a dtype that has none.
    beyond: u64,
    /// The magnitudes above this one are NaNs.
    largest: u64,
}

/// A dtype with an infinity, whose exponent takes the bits that sign and mantissa leave.
const fn ieee(bytes: usize, mantissa: u32) -> Float {
    let exponent = 8 * bytes as u32 - 1 - mantissa;
    let infinity = ((1 << exponent) - 1) << mantissa;
    Float { bytes, mantissa, bias: (1 << (exponent - 1)) - 1, beyond: infinity, largest: infinity }
}

const F64: Float = ieee(8, 52);
const F32: Float = ieee(4, 23);
const BF16: Float = ieee(2, 7);
const F16: Float = ieee(2, 10);
const F8_E5M2: Float = ieee(1, 2);
/// The dtype without infinities: only the largest magnitude is a NaN.
const F8_E4M3: Float = Float { bytes: 1, mantissa: 3, bias: 7, beyond: 0x7f, largest: 0x7e };

/// Number of words that are cast at once.
const RUN: usize = 256;

/// Returns the fields of `dtype`; `None` if it is not cast.
fn float(dtype: Dtype) -> Option<Float> {
    Some(match dtype {
        Dtype::F64 => F64,
        Dtype::F32 => F32,
        Dtype::BF16 => BF16,
        Dtype::F16 => F16,
        Dtype::F8_E5M2 => F8_E5M2,
        Dtype::F8_E4M3 => F8_E4M3,
        _ => return None,
    })
}

/// Returns true if [`cast`] knows both dtypes.
pub(crate) fn can_cast(from: Dtype, to: Dtype) -> bool {
    float(from).is_some() && float(to).is_some()
}

/// Casts the words of `source` to those of `target`, which has as many words. Equal dtypes, and
/// dtypes of which one is not [cast](can_cast), are copied as far as the bytes go.
pub(crate) fn cast(from: Dtype, to: Dtype, source: &[u8], target: &mut [u8]) {
    let (Some(narrow), Some(wide), false) = (float(to), float(from), from == to) else {
        let length = source.len().min(target.len());
        return target[..length].copy_from_slice(&source[..length]);
    };
    match (from, to) {
        (Dtype::BF16, Dtype::F32) => each(source, target, |bits| bf16_to_f32(u16::from_le_bytes(bits)).to_le_bytes()),
        (Dtype::F32, Dtype::BF16) => each(source, target, |bits| f32_to_bf16(u32::from_le_bytes(bits)).to_le_bytes()),
        (Dtype::F16, Dtype::F32) => each(source, target, |bits| f16_to_f32(u16::from_le_bytes(bits)).to_le_bytes()),
        (Dtype::F32, Dtype::F16) => each(source, target, |bits| f32_to_f16(u32::from_le_bytes(bits)).to_le_bytes()),
        _ => {
            let mut words = [0; RUN];
            for (source, target) in source.chunks(RUN * wide.bytes).zip(target.chunks_mut(RUN * narrow.bytes)) {
                let words = &mut words[..source.len() / wide.bytes];
                load(wide, source, words);
                store(narrow, words, target);
            }
        }
    }
}

/// The words of a dtype that is [cast](can_cast) to `F32`, as single-precision numbers.
pub(crate) fn singles(dtype: Dtype, words: &[u8]) -> Vec<f32> {
    let mut wide = vec![0; words.len() / dtype.words().0 * 4];
    cast(dtype, Dtype::F32, words, &mut wide);
    wide.as_chunks().0.iter().map(|word| f32::from_le_bytes(*word)).collect()
}

/// Casts word by word.
#[inline(always)]
fn each<const FROM: usize, const TO: usize>(source: &[u8], target: &mut [u8], one: impl Fn([u8; FROM]) -> [u8; TO]) {
    let words = source.as_chunks().0.iter().zip(target.as_chunks_mut().0);
    words.for_each(|(from, to)| *to = one(*from));
}

/// Writes the words of `source` as the bits of `F64`s.
fn load(float: Float, source: &[u8], words: &mut [u64]) {
    let widen = |bytes: &[u8]| float.widen(bytes.iter().rev().fold(0, |bits, &byte| bits << 8 | u64::from(byte)));
    words.iter_mut().zip(source.chunks_exact(float.bytes)).for_each(|(word, bytes)| *word = widen(bytes));
}

/// Writes the bits of `F64`s as the words of `target`.
fn store(float: Float, words: &[u64], target: &mut [u8]) {
    let cast = target.chunks_exact_mut(float.bytes).zip(words);
    cast.for_each(|(bytes, &word)| bytes.copy_from_slice(&float.narrow(word).to_le_bytes()[..float.bytes]));
}

impl Float {
    /// The highest bit of a mantissa, which a quiet NaN has.
    const fn quiet(self) -> u64 {
        1 << (self.mantissa - 1)
    }

    /// Returns the bits of the `F64` with the same value; NaNs become quiet.
    fn widen(self, bits: u64) -> u64 {
        let high = 8 * self.bytes as u32 - 1;
        let (sign, magnitude) = (bits >> high << 63, bits & ((1 << high) - 1));
        let (exponent, mantissa) = (magnitude >> self.mantissa, magnitude & ((1 << self.mantissa) - 1));
        let fraction = mantissa << (F64.mantissa - self.mantissa);
        let field = |exponent: i32| ((exponent + F64.bias) as u64) << F64.mantissa;
        sign | if magnitude > self.largest {
            F64.beyond | F64.quiet() | fraction
        } else if magnitude == self.beyond {
            F64.beyond
        } else if exponent > 0 {
            field(exponent as i32 - self.bias) | fraction
        } else if let (Some(octave), true) = (mantissa.checked_ilog2(), self != F64) {
            let fraction = mantissa << (F64.mantissa - octave) & (F64.quiet() * 2 - 1);
            field(1 - self.bias - self.mantissa as i32 + octave as i32) | fraction
        } else {
            mantissa
        }
    }

    /// Returns the nearest word to an `F64`, which it gets as bits.
    fn narrow(self, bits: u64) -> u64 {
        let (sign, magnitude) = (bits >> 63 << (8 * self.bytes - 1), bits & (u64::MAX >> 1));
        if self == F64 {
            return bits;
        }
        if magnitude > F64.beyond {
            let payload = (magnitude & (F64.quiet() * 2 - 1)) >> (F64.mantissa - self.mantissa);
            return sign | self.beyond | self.quiet() | payload;
        }
        let exponent = (magnitude >> F64.mantissa) as i32 - F64.bias + self.bias;
        let fraction = magnitude & (F64.quiet() * 2 - 1);
        // The last bit of a subnormal word is worth as much as that of the smallest normal one.
        let (value, shift) = if exponent > 0 {
            ((exponent as u64) << F64.mantissa | fraction, F64.mantissa - self.mantissa)
        } else {
            (F64.quiet() * 2 | fraction, F64.mantissa - self.mantissa + (1 - exponent) as u32)
        };
        // Half of the last bit is more than the whole value, which has at most 53 bits.
        let rounded =
            if shift > F64.mantissa + 2 { 0 } else { value + (1 << (shift - 1)) - 1 + (value >> shift & 1) >> shift };
        sign | rounded.min(self.beyond)
    }
}

#[inline(always)]
fn bf16_to_f32(bits: u16) -> u32 {
    let quiet = if bits & 0x7fff > 0x7f80 { 0x40 } else { 0 };
    u32::from(bits | quiet) << 16
}

#[inline(always)]
fn f32_to_bf16(bits: u32) -> u16 {
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if bits & 0x7fff_ffff > 0x7f80_0000 { (bits >> 16) as u16 | 0x40 } else { rounded }
}

#[inline(always)]
fn f16_to_f32(bits: u16) -> u32 {
    let special = u32::from(bits & 0x8000) << 16 | 0x7f80_0000 | u32::from(bits & 0x3ff) << 13;
    let quiet = if bits & 0x3ff == 0 { 0 } else { 0x40_0000 };
    if bits & 0x7c00 == 0x7c00 { special | quiet } else { from_f16(bits).to_bits() }
}

#[inline(always)]
fn f32_to_f16(bits: u32) -> u16 {
    let nan = (bits >> 16) as u16 & 0x8000 | 0x7e00 | (bits >> 13 & 0x3ff) as u16;
    if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { to_f16(f32::from_bits(bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [(Dtype, Float); 6] = [
        (Dtype::F64, F64),
        (Dtype::F32, F32),
        (Dtype::BF16, BF16),
        (Dtype::F16, F16),
        (Dtype::F8_E5M2, F8_E5M2),
        (Dtype::F8_E4M3, F8_E4M3),
    ];

    /// The value that the fields of finite bits say.
    fn value(float: Float, bits: u64) -> f64 {
        let high = 8 * float.bytes - 1;
        let magnitude = bits & ((1 << high) - 1);
        let (exponent, mantissa) = ((magnitude >> float.mantissa) as i32, magnitude & ((1 << float.mantissa) - 1));
        let whole = if exponent == 0 { mantissa } else { mantissa + (1 << float.mantissa) };
        let value = whole as f64 * 2f64.powi(exponent.max(1) - float.bias - float.mantissa as i32);
        if bits >> high == 1 { -value } else { value }
    }

    fn one(from: Dtype, to: Dtype, bits: u64) -> u64 {
        let bytes = |dtype: Dtype| float(dtype).unwrap().bytes;
        let mut target = [0; 8];
        cast(from, to, &bits.to_le_bytes()[..bytes(from)], &mut target[..bytes(to)]);
        u64::from_le_bytes(target)
    }

    fn to(dtype: Dtype, value: f64) -> u64 {
        one(Dtype::F64, dtype, value.to_bits())
    }

    #[test]
    fn small_dtypes_widen_to_their_value_and_back() {
        for (dtype, float) in &FLOATS[2..] {
            for bits in 0..1u64 << (8 * float.bytes) {
                let magnitude = bits & ((1 << (8 * float.bytes - 1)) - 1);
                for (wide, _) in FLOATS.iter().filter(|(wide, _)| matches!(wide, Dtype::F64 | Dtype::F32)) {
                    let widened = one(*dtype, *wide, bits);
                    let found = if *wide == Dtype::F64 {
                        f64::from_bits(widened)
                    } else {
                        f32::from_bits(widened as u32).into()
                    };
                    let quiet = if magnitude > float.largest { float.quiet() } else { 0 };
                    assert_eq!(one(*wide, *dtype, widened), bits | quiet, "{dtype:?} {bits:x}");
                    assert_eq!(found.is_nan(), magnitude > float.largest);
                    if magnitude <= float.largest && (magnitude != float.beyond) {
                        assert_eq!(found.to_bits(), value(*float, bits).to_bits(), "{dtype:?} {bits:x}");
                    }
                }
            }
        }
    }

    /// The middle between neighbours goes to the even one, and every value beside it to the closer.
    #[test]
    fn every_small_float_is_the_nearest_to_what_is_closest() {
        for (dtype, float) in &FLOATS[2..] {
            let last = if *dtype == Dtype::F8_E4M3 { 0x7e } else { float.beyond - 1 };
            for bits in 0..=last {
                let low = value(*float, bits);
                // The largest number rounds as if there were one more.
                let step = if bits == last { low - value(*float, bits - 1) } else { value(*float, bits + 1) - low };
                let middle = low + step / 2.0;
                let even = (bits + 1) & !1;
                let beside = |by: i64| f64::from_bits((middle.to_bits() as i64 + by) as u64);
                for (x, want) in [(middle, even), (beside(-1), bits), (beside(1), bits + 1)] {
                    assert_eq!(to(*dtype, x), want, "{dtype:?} {bits:x} {x}");
                    assert_eq!(to(*dtype, -x), want | 1 << (8 * float.bytes - 1), "{dtype:?} {bits:x} {x}");
                    let single = x as f32;
                    if f64::from(single) == x {
                        assert_eq!(one(Dtype::F32, *dtype, u64::from(single.to_bits())), want, "{dtype:?} {x}");
                    }
                }
            }
        }
    }

    #[test]
    fn doubles_become_the_singles_that_the_processor_makes() {
        let mut seed = 3u64;
        for i in 0..2_000_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Most exponents are around those of singles, subnormal ones included.
            let exponent = if i % 8 == 0 { seed >> 52 & 0x7ff } else { 860 + (seed >> 50) % 300 };
            let double = f64::from_bits(seed << 63 | exponent << 52 | seed >> 12 & !(i % 4 * 0xfff_ffff));
            if !double.is_nan() {
                assert_eq!(to(Dtype::F32, double), u64::from((double as f32).to_bits()), "{double:e}");
            }
            let single = f32::from_bits((seed >> 32) as u32);
            if !single.is_nan() {
                let wide = f64::from(single).to_bits();
                assert_eq!(one(Dtype::F32, Dtype::F64, seed >> 32), wide);
                for narrow in [Dtype::BF16, Dtype::F16, Dtype::F8_E4M3, Dtype::F8_E5M2] {
                    assert_eq!(one(Dtype::F32, narrow, seed >> 32), one(Dtype::F64, narrow, wide), "{single:e}");
                }
            }
        }
        assert_eq!((to(Dtype::F32, f64::MAX), to(Dtype::F32, -f64::from_bits(1))), (0x7f80_0000, 0x8000_0000));
    }

    #[test]
    fn nans_stay_nans_with_their_sign_and_the_top_of_their_payload() {
        let cases = [
            (Dtype::F32, Dtype::BF16, 0x7f80_0001, 0x7fc0),
            (Dtype::F32, Dtype::BF16, 0xffa5_ffff, 0xffe5),
            (Dtype::F32, Dtype::F16, 0xff80_0001, 0xfe00),
            (Dtype::F32, Dtype::F16, 0x7fff_ffff, 0x7fff),
            (Dtype::F16, Dtype::F32, 0xfc01, 0xffc0_2000),
            (Dtype::BF16, Dtype::F32, 0x7f81, 0x7fc1_0000),
            (Dtype::F16, Dtype::BF16, 0x7c01, 0x7fc0),
            (Dtype::BF16, Dtype::F16, 0xff81, 0xfe08),
            (Dtype::F64, Dtype::F32, 0x7ff0_0000_0000_0001, 0x7fc0_0000),
            (Dtype::F32, Dtype::F64, 0xff80_0001, 0xfff8_0000_2000_0000),
            (Dtype::F32, Dtype::F8_E5M2, 0xff80_0001, 0xfe),
            (Dtype::F32, Dtype::F8_E4M3, 0xff80_0001, 0xff),
            (Dtype::F8_E4M3, Dtype::F32, 0xff, 0xfff0_0000),
            (Dtype::F8_E4M3, Dtype::F8_E5M2, 0x7f, 0x7f),
            (Dtype::F8_E5M2, Dtype::F8_E4M3, 0x7d, 0x7f),
        ];
        for (from, to, bits, want) in cases {
            assert_eq!(one(from, to, bits), want, "{from:?} {to:?} {bits:x}");
        }
    }

    #[test]
    fn infinities_stay_where_a_dtype_has_them() {
        for (dtype, float) in FLOATS {
            let sign = 1 << (8 * float.bytes - 1);
            assert_eq!((to(dtype, f64::INFINITY), to(dtype, f64::NEG_INFINITY)), (float.beyond, float.beyond | sign));
            assert_eq!((to(dtype, 0.0), to(dtype, -0.0)), (0, sign));
        }
        assert_eq!((to(Dtype::F8_E4M3, 464.0), to(Dtype::F8_E4M3, 464.1)), (0x7e, 0x7f));
        assert_eq!((to(Dtype::F16, 65519.9), to(Dtype::F16, 65520.0)), (0x7bff, 0x7c00));
    }

    #[test]
    fn equal_dtypes_are_copied_and_others_are_not_cast() {
        assert_eq!(one(Dtype::F32, Dtype::F32, 0x7f80_0001), 0x7f80_0001);
        assert!(can_cast(Dtype::F8_E4M3, Dtype::F64) && !can_cast(Dtype::I8, Dtype::F32));
        assert!(!can_cast(Dtype::F32, Dtype::F8_E4M3FNUZ) && !can_cast(Dtype::C64, Dtype::C64));
    }

    #[test]
    fn long_runs_are_cast_word_by_word() {
        let source: Vec<u8> = (0..4000u32).flat_map(|i| (i.wrapping_mul(0x9e37_79b9)).to_le_bytes()).collect();
        for (dtype, float) in FLOATS {
            let mut target = vec![0; 4000 * float.bytes];
            cast(Dtype::F32, dtype, &source, &mut target);
            for (from, to) in source.chunks(4).zip(target.chunks(float.bytes)) {
                let from = u64::from(u32::from_le_bytes(from.try_into().unwrap()));
                assert_eq!(&one(Dtype::F32, dtype, from).to_le_bytes()[..float.bytes], to);
            }
        }
    }
}
