//! The kernel of [`apply_direct`](super::apply_direct()) for floats of 16 bits and WebAssembly, for
//! which the compiler shuffles bytes where it could extend them.

use std::arch::wasm32::*;

use crate::delta::word::Word;
use crate::layout::dtype::Fields;
use crate::simd128::{load, store};

/// Words that are computed at a time.
const BLOCK: usize = 16;

/// Computes whole blocks and returns the words and the tokens that are left: all of them, if the
/// words are no floats of 16 bits.
pub(super) fn apply_direct<'a, W: Word>(
    fields: Fields,
    words: &'a mut [W],
    tokens: &'a [u8],
) -> (&'a mut [W], &'a [u8]) {
    if W::BITS != 16 || fields == Fields::Integer {
        return (words, tokens);
    }
    let whole = words.len().min(tokens.len()) / BLOCK * BLOCK;
    let (blocks, rest) = words.split_at_mut(whole);
    apply_blocks(bytemuck::cast_slice_mut(blocks), tokens.as_chunks().0);
    (rest, &tokens[whole..])
}

/// Computes blocks, in a function of its own that the browser optimises between two strips.
#[inline(never)]
fn apply_blocks(words: &mut [u16], tokens: &[[u8; BLOCK]]) {
    for (words, tokens) in words.as_chunks_mut::<BLOCK>().0.iter_mut().zip(tokens) {
        let token = load(tokens);
        // The zigzag number is undone in a byte: tokens with a value of their own are below 32.
        let delta = v128_xor(u8x16_shr(token, 1), i8x16_neg(v128_and(token, u8x16_splat(1))));
        let halves = words.as_chunks_mut().0;
        move_eight(&mut halves[0], i16x8_extend_low_i8x16(delta));
        move_eight(&mut halves[1], i16x8_extend_high_i8x16(delta));
    }
}

/// Moves eight words by their deltas. A magnitude that becomes negative crosses zero: its bits are
/// inverted, and so is the sign.
#[inline(always)]
fn move_eight(words: &mut [u16; 8], delta: v128) {
    let word = load(words);
    let moved = i16x8_add(v128_and(word, i16x8_splat(0x7fff)), delta);
    let crossed = i16x8_shr(moved, 15);
    let sign = v128_and(v128_xor(word, crossed), i16x8_splat(i16::MIN));
    store(v128_or(v128_xor(moved, crossed), sign), words);
}
