//! Moving of floats of every width by a multiple of a step, rounded to the nearest float. Ties go
//! to even, but for `BF16`: there they go away from zero, which takes fewer instructions.
//!
//! Multiplication and addition are rounded one after the other and never fused, so that every
//! machine gets the same bits. Infinities, NaNs and floats that are moved by 0 keep their bits.

/// A type of floats that can be moved.
pub(crate) trait Round {
    /// Bytes of a weight.
    const BYTES: usize;

    /// Writes the weights of `base` to `moved`, each moved by its sum times `step`.
    fn move_by(step: f32, sums: &[i32], base: &[u8], moved: &mut [u8]);
}

macro_rules! round {
    ($type:ident, $word:ty, $one:ident) => {
        impl Round for $type {
            const BYTES: usize = size_of::<$word>();

            #[inline(always)]
            fn move_by(step: f32, sums: &[i32], base: &[u8], moved: &mut [u8]) {
                let base = base.as_chunks().0.iter();
                let moved = moved.as_chunks_mut().0.iter_mut();
                for ((moved, base), &sum) in moved.zip(base).zip(sums) {
                    *moved = $one(<$word>::from_le_bytes(*base), sum, step).to_le_bytes();
                }
            }
        }
    };
}

pub(crate) struct Bf16;
pub(crate) struct F16;
pub(crate) struct F32;
pub(crate) struct F64;

round!(Bf16, u16, bf16);
round!(F16, u16, f16);
round!(F32, u32, f32_);
round!(F64, u64, f64_);

#[inline(always)]
pub(super) fn bf16(bits: u16, sum: i32, step: f32) -> u16 {
    const EXPONENT: u16 = 0x7f80;
    let value = f32::from_bits(u32::from(bits) << 16) + sum as f32 * step;
    let rounded = (value.to_bits().wrapping_add(0x8000) >> 16) as u16;
    if sum == 0 || bits & EXPONENT == EXPONENT { bits } else { rounded }
}

#[inline(always)]
fn f16(bits: u16, sum: i32, step: f32) -> u16 {
    const EXPONENT: u16 = 0x7c00;
    let value = from_f16(bits) + sum as f32 * step;
    if sum == 0 || bits & EXPONENT == EXPONENT { bits } else { to_f16(value) }
}

#[inline(always)]
fn f32_(bits: u32, sum: i32, step: f32) -> u32 {
    const EXPONENT: u32 = 0x7f80_0000;
    let value = f32::from_bits(bits) + sum as f32 * step;
    if sum == 0 || bits & EXPONENT == EXPONENT { bits } else { value.to_bits() }
}

#[inline(always)]
fn f64_(bits: u64, sum: i32, step: f32) -> u64 {
    const EXPONENT: u64 = 0x7ff << 52;
    let value = f64::from_bits(bits) + f64::from(sum as f32 * step);
    if sum == 0 || bits & EXPONENT == EXPONENT { bits } else { value.to_bits() }
}

/// Returns the value of a finite `F16`. Its bits are moved to their places in an `f32`; a
/// multiplication then corrects the difference of the exponents' biases, for subnormal numbers too.
#[inline(always)]
pub(crate) fn from_f16(bits: u16) -> f32 {
    const BIASES: f32 = f32::from_bits((127 + 112) << 23);
    let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * BIASES;
    f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16)
}

/// Returns the nearest `F16`, ties to even; infinity for values beyond the largest one.
#[inline(always)]
pub(crate) fn to_f16(value: f32) -> u16 {
    /// The bits of the smallest magnitude that rounds to infinity.
    const INFINITE: u32 = 0x477f_f000;
    /// The bits of the smallest normal `F16`.
    const NORMAL: u32 = 0x3880_0000;
    /// A number whose last mantissa bit is worth the smallest subnormal `F16`: adding the number
    /// rounds to a multiple of that.
    const HALF: f32 = 0.5;
    let sign = (value.to_bits() >> 16) as u16 & 0x8000;
    let wide = value.to_bits() & 0x7fff_ffff;
    let subnormal = (f32::from_bits(wide) + HALF).to_bits().wrapping_sub(HALF.to_bits());
    let normal = wide.wrapping_sub(112 << 23).wrapping_add(0xfff + (wide >> 13 & 1)) >> 13;
    let rounded = if wide < NORMAL { subnormal } else { normal };
    sign | if wide >= INFINITE { 0x7c00 } else { rounded as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `F16` has the value that its fields say, and is the nearest one to itself and to all
    /// values that are closer to it than to its neighbours.
    #[test]
    fn every_f16_round_trips() {
        for bits in 0..0x7c00u16 {
            let value = from_f16(bits);
            let (exponent, mantissa) = (i32::from(bits >> 10), f32::from(bits & 1023));
            let want =
                if exponent == 0 { mantissa * 2f32.powi(-24) } else { (1024.0 + mantissa) * 2f32.powi(exponent - 25) };
            assert_eq!(value, want);
            assert_eq!((to_f16(value), to_f16(-value)), (bits, bits | 0x8000));
            let next = if bits == 0x7bff { 65536.0 } else { from_f16(bits + 1) };
            let middle = f32::midpoint(value, next);
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(to_f16(middle), even, "{bits:04x}");
            assert_eq!(to_f16(f32::from_bits(middle.to_bits() - 1)), bits);
            assert_eq!(to_f16(f32::from_bits(middle.to_bits() + 1)), bits + 1);
        }
        assert_eq!((to_f16(f32::INFINITY), to_f16(f32::MAX)), (0x7c00, 0x7c00));
    }

    #[test]
    fn bf16_rounds_ties_away_and_overflows_to_infinity() {
        let one = 0x3f80;
        for (sum, want) in [(1, one), (2, one + 1), (3, one + 1), (4, one + 1), (6, one + 2), (-1, one), (-3, one - 1)]
        {
            // A step is a quarter of the distance from 1 to the next float, and half of the
            // distance to the one before.
            assert_eq!(bf16(one, sum, 2f32.powi(-9)), want, "{sum}");
        }
        assert_eq!((bf16(0x7f7f, 1, f32::MAX), bf16(0xff7f, -1, f32::MAX)), (0x7f80, 0xff80));
    }

    #[test]
    fn infinities_nans_and_unmoved_floats_keep_their_bits() {
        for bits in [0x7f80u16, 0xff80, 0x7fc1, 0xffff] {
            assert_eq!(bf16(bits, 5, 1.0), bits);
            assert_eq!(f32_(u32::from(bits) << 16, 5, 1.0), u32::from(bits) << 16);
        }
        assert_eq!((f16(0x7e01, 5, 1.0), f64_(0x7ff0 << 48, 5, 1.0)), (0x7e01, 0x7ff0 << 48));
        // Adding 0 to -0 would give 0.
        assert_eq!((bf16(0x8000, 0, 1.0), f16(0x8000, 0, 1.0), f32_(1 << 31, 0, 1.0)), (0x8000, 0x8000, 1 << 31));
    }
}
