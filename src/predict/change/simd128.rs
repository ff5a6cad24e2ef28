//! The differences of `BF16`, eight at a time, for WebAssembly.

use std::arch::wasm32::*;

use crate::simd128::{load, store, store_half};

/// The weights of a vector of 16-bit words.
const EIGHT: usize = 8;

/// The bytes of these words.
const BYTES: usize = 2 * EIGHT;

/// The elements of a vector of single precision.
const FOUR: usize = 4;

/// Writes the differences and the target's exponents of whole vectors, and returns the number of
/// weights that they have.
#[inline(never)]
pub(super) fn differences_of_bf16(base: &[u8], target: &[u8], data: &mut [f32], exponents: &mut [u8]) -> usize {
    let (base, target) = (base.as_chunks::<BYTES>().0, target.as_chunks::<BYTES>().0);
    let results = data.as_chunks_mut::<EIGHT>().0.iter_mut().zip(exponents.as_chunks_mut::<EIGHT>().0);
    let mut done = 0;
    for ((base, target), (data, exponents)) in base.iter().zip(target).zip(results) {
        let (base, target) = (load(base), load(target));
        let data = data.as_chunks_mut::<FOUR>().0;
        store(difference(u32x4_extend_low_u16x8(base), u32x4_extend_low_u16x8(target)), &mut data[0]);
        store(difference(u32x4_extend_high_u16x8(base), u32x4_extend_high_u16x8(target)), &mut data[1]);
        let exponent = v128_and(u16x8_shr(target, 7), u16x8_splat(0xff));
        store_half(u8x16_narrow_i16x8(exponent, exponent), exponents);
        done += EIGHT;
    }
    done
}

/// Returns the differences of four words, 0 where they are not finite.
#[inline(always)]
fn difference(base: v128, target: v128) -> v128 {
    let difference = f32x4_sub(i32x4_shl(target, 16), i32x4_shl(base, 16));
    v128_and(difference, f32x4_lt(f32x4_abs(difference), f32x4_splat(f32::INFINITY)))
}
