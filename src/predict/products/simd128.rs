//! The sums for the vector instructions of WebAssembly, and weights of `BF16` moved by them.
#![allow(unsafe_code)]

use std::arch::wasm32::*;

use super::Stretch;
use crate::simd128::{load, store};

/// Columns of a vector.
const LANES: usize = 4;

/// Columns that are summed at a time.
const BLOCK: usize = 4 * LANES;

/// Sums whole blocks of columns and returns the number of columns.
pub(super) fn sum(stretch: &Stretch<'_>, sums: &mut [i32]) -> usize {
    let blocks = sums.as_chunks_mut::<BLOCK>().0;
    let place = stretch.place(blocks.len() * BLOCK);
    for (i, block) in blocks.iter_mut().enumerate() {
        // SAFETY: the block is within the checked columns.
        let sums = unsafe { sum_block(stretch, place.add(i * BLOCK)) };
        for (sum, out) in sums.into_iter().zip(block.as_chunks_mut::<LANES>().0) {
            store(sum, out);
        }
    }
    blocks.len() * BLOCK
}

/// Returns the sums of [`BLOCK`] columns.
///
/// # Safety
/// `place` must be that of a column, such that `V` has a block of columns from there on in each row.
#[inline(always)]
unsafe fn sum_block(stretch: &Stretch<'_>, mut place: *const [i16; 2]) -> [v128; BLOCK / LANES] {
    let zero = i32x4_splat(0);
    let (mut a, mut b, mut c, mut d) = (zero, zero, zero, zero);
    for number in stretch.numbers {
        let row = place.cast::<v128>();
        // SAFETY: a pair is four bytes. The caller vouches for the block, whose 16 pairs are 64
        // bytes. No load needs to be aligned.
        unsafe {
            let number = v128_load32_splat(number.as_ptr().cast());
            a = i32x4_add(a, i32x4_dot_i16x8(v128_load(row), number));
            b = i32x4_add(b, i32x4_dot_i16x8(v128_load(row.add(1)), number));
            c = i32x4_add(c, i32x4_dot_i16x8(v128_load(row.add(2)), number));
            d = i32x4_add(d, i32x4_dot_i16x8(v128_load(row.add(3)), number));
        }
        place = place.wrapping_add(stretch.factors.columns);
    }
    [a, b, c, d]
}

/// Moves whole blocks of weights and returns their number. It is a function of its own, which the
/// browser optimises between two strips.
#[inline(never)]
pub(super) fn move_bf16(stretch: &Stretch<'_>, base: &[u8], moved: &mut [u8]) -> usize {
    let step = f32x4_splat(stretch.factors.step);
    let (base, moved) = (base.as_chunks::<{ 2 * BLOCK }>().0, moved.as_chunks_mut::<{ 2 * BLOCK }>().0);
    let place = stretch.place(base.len() * BLOCK);
    for (i, (base, moved)) in base.iter().zip(&mut *moved).enumerate() {
        // SAFETY: the block is within the checked columns.
        let [a, b, c, d] = unsafe { sum_block(stretch, place.add(i * BLOCK)) };
        let (from, to) = (base.as_chunks::<16>().0, moved.as_chunks_mut::<16>().0);
        store(move_half(load(&from[0]), a, b, step), &mut to[0]);
        store(move_half(load(&from[1]), c, d, step), &mut to[1]);
    }
    base.len() * BLOCK
}

/// Returns eight words moved by their sums, as [`bf16`](crate::predict::float::bf16) does.
#[inline(always)]
fn move_half(words: v128, low: v128, high: v128, step: v128) -> v128 {
    let zero = i32x4_splat(0);
    let exponent = i16x8_splat(0x7f80);
    let moved = |words: v128, sums: v128| {
        let value = f32x4_add(words, f32x4_mul(f32x4_convert_i32x4(sums), step));
        u32x4_shr(i32x4_add(value, i32x4_splat(0x8000)), 16)
    };
    let first = moved(i16x8_shuffle::<0, 8, 1, 9, 2, 10, 3, 11>(zero, words), low);
    let second = moved(i16x8_shuffle::<4, 12, 5, 13, 6, 14, 7, 15>(zero, words), high);
    let still = i16x8_narrow_i32x4(i32x4_eq(low, zero), i32x4_eq(high, zero));
    let special = i16x8_eq(v128_and(words, exponent), exponent);
    v128_bitselect(words, u16x8_narrow_i32x4(first, second), v128_or(special, still))
}
