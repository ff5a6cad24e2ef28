//! The contexts of a stretch, 16 at a time, for WebAssembly.

use std::arch::wasm32::*;

use super::{CONTEXTS, Rule};
use crate::simd128::{load, store};

/// Contexts that are computed at a time.
const BLOCK: usize = 16;

/// Writes the contexts of whole blocks, and returns what is left.
#[inline(never)]
pub(super) fn contexts<'a>(
    rule: Rule,
    exponents: &'a [u16],
    columns: &'a [u8],
    contexts: &'a mut [u8],
) -> (&'a [u16], &'a [u8], &'a mut [u8]) {
    let whole = contexts.len().min(exponents.len()).min(columns.len()) / BLOCK * BLOCK;
    let (exponents, exponents_left) = exponents.split_at(whole);
    let (columns, columns_left) = columns.split_at(whole);
    let (contexts, left) = contexts.split_at_mut(whole);
    let (here, step) = (i16x8_splat(rule.here), i16x8_splat(rule.step));
    let raw = |exponents: v128, columns: v128| {
        let sum = i16x8_add(here, i16x8_mul(v128_and(exponents, i16x8_splat(0xff)), step));
        let raw = i16x8_shr(i16x8_sub(sum, columns), rule.shift);
        i16x8_max(i16x8_min(raw, i16x8_splat(CONTEXTS as i16 - 1)), i16x8_splat(0))
    };
    let blocks = exponents.as_chunks::<BLOCK>().0.iter().zip(columns.as_chunks::<BLOCK>().0);
    for ((exponents, columns), contexts) in blocks.zip(contexts.as_chunks_mut::<BLOCK>().0) {
        let (columns, halves) = (load(columns), exponents.as_chunks::<8>().0);
        let low = raw(load(&halves[0]), u16x8_extend_low_u8x16(columns));
        let high = raw(load(&halves[1]), u16x8_extend_high_u8x16(columns));
        store(u8x16_narrow_i16x8(low, high), contexts);
    }
    (exponents_left, columns_left, left)
}
