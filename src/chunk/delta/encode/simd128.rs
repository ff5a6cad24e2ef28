//! The strips of floats of 16 bits, eight words at a time, and the places of counters, for
//! WebAssembly.

use std::arch::wasm32::*;

use super::Coding;
use super::elements::Strip;
use crate::delta::word::Word;
use crate::entropy::bins::{BELOW_BINS, DIRECT};
use crate::layout::dtype::Fields;
use crate::simd128::{load, load_half, store, store_half};

/// Words that are computed at a time.
const EIGHT: usize = 8;

/// Does the same as [`Strip::compute_portably`]. Returns `None` and does nothing if the words are no
/// floats of 16 bits, or blocks have the exponents.
pub(super) fn compute<W: Word>(strip: &mut Strip<'_, W>, coding: Coding<'_>) -> Option<usize> {
    let Fields::Float { mantissa } = coding.fields else { return None };
    (W::BITS == 16 && coding.blocks.is_none()).then(|| {
        let mut strip = Strip {
            words: bytemuck::cast_slice_mut(strip.words),
            deltas: bytemuck::cast_slice_mut(strip.deltas),
            exponents: strip.exponents,
            tokens: strip.tokens,
            steps: strip.steps,
            zeroed: strip.zeroed.as_deref_mut(),
            meter: strip.meter.as_deref_mut(),
        };
        let zeroed = compute_floats(&mut strip, mantissa);
        if let Some(meter) = strip.meter {
            meter.add(strip.steps, strip.exponents);
        }
        zeroed
    })
}

/// Computes a strip but for the meter, in a function of its own that the browser optimises between
/// two strips.
#[inline(never)]
fn compute_floats(strip: &mut Strip<'_, u16>, mantissa: u32) -> usize {
    let mut places = strip.zeroed.as_deref_mut();
    places.iter_mut().for_each(|places| places.clear());
    let ends_at_zero = places.is_some();
    let mut zeroed = 0;
    let mut note = |start: usize, mask: u8| {
        zeroed += mask.count_ones() as usize;
        if let Some(places) = &mut places {
            places.extend((0..EIGHT).filter(|bit| mask >> bit & 1 == 1).map(|bit| start + bit));
        }
    };
    let (words, words_left) = strip.words.as_chunks();
    let (deltas, deltas_left) = strip.deltas.as_chunks_mut();
    let (exponents, exponents_left) = strip.exponents.as_chunks_mut();
    let (tokens, tokens_left) = strip.tokens.as_chunks_mut();
    let (steps, steps_left) = strip.steps.as_chunks_mut();
    let results = exponents.iter_mut().zip(tokens).zip(steps);
    for (i, ((words, deltas), ((exponents, tokens), steps))) in words.iter().zip(deltas).zip(results).enumerate() {
        note(i * EIGHT, Block { words, deltas, exponents, tokens, steps }.compute(mantissa, ends_at_zero));
    }
    let count = words_left.len();
    let mut last = Padded::default();
    last.words[..count].copy_from_slice(words_left);
    last.deltas[..count].copy_from_slice(deltas_left);
    note(words.len() * EIGHT, last.block().compute(mantissa, ends_at_zero));
    deltas_left.copy_from_slice(&last.deltas[..count]);
    exponents_left.copy_from_slice(&last.exponents[..count]);
    tokens_left.copy_from_slice(&last.tokens[..count]);
    steps_left.copy_from_slice(&last.steps[..count]);
    zeroed
}

/// The words that are left of a strip, and zeros behind them, which stay zeros.
#[derive(Default)]
struct Padded {
    words: [u16; EIGHT],
    deltas: [u16; EIGHT],
    exponents: [u16; EIGHT],
    tokens: [u8; EIGHT],
    steps: [f32; EIGHT],
}

impl Padded {
    fn block(&mut self) -> Block<'_> {
        let Self { words, deltas, exponents, tokens, steps } = self;
        Block { words, deltas, exponents, tokens, steps }
    }
}

/// Eight words of a [`Strip`].
struct Block<'a> {
    words: &'a [u16; EIGHT],
    deltas: &'a mut [u16; EIGHT],
    exponents: &'a mut [u16; EIGHT],
    tokens: &'a mut [u8; EIGHT],
    steps: &'a mut [f32; EIGHT],
}

impl Block<'_> {
    /// Computes everything, and returns a bit for each word that became 0. With `ends_at_zero`, the
    /// deltas of these words are 0.
    #[inline(always)]
    fn compute(self, mantissa: u32, ends_at_zero: bool) -> u8 {
        let (word, target, zero) = (load(self.words), load(self.deltas), u16x8_splat(0));
        let zeroed = v128_andnot(i16x8_eq(target, zero), i16x8_eq(word, zero));
        let delta = delta(word, target);
        let delta = if ends_at_zero { v128_andnot(delta, zeroed) } else { delta };
        store(delta, self.deltas);
        store(u16x8_shr(v128_and(word, u16x8_splat(0x7fff)), mantissa), self.exponents);
        store_half(tokens(delta), self.tokens);
        let step = i16x8_add(u16x8_shr(delta, 1), v128_and(delta, u16x8_splat(1)));
        let steps = self.steps.as_chunks_mut::<4>().0;
        store(f32x4_convert_i32x4(u32x4_extend_low_u16x8(step)), &mut steps[0]);
        store(f32x4_convert_i32x4(u32x4_extend_high_u16x8(step)), &mut steps[1]);
        i16x8_bitmask(zeroed)
    }
}

/// Returns the zigzag numbers of the steps from words to targets, as `Word::float_delta` does.
#[inline(always)]
fn delta(word: v128, target: v128) -> v128 {
    let high = i16x8_splat(i16::MIN);
    let flip = i16x8_shr(v128_xor(word, target), 15);
    let placed = v128_andnot(v128_xor(v128_or(target, high), flip), v128_and(flip, high));
    let steps = i16x8_sub(placed, v128_or(word, high));
    v128_xor(i16x8_shl(steps, 1), i16x8_shr(steps, 15))
}

/// Returns the tokens of deltas in the low half of a vector, as `bins::token_narrow` does.
#[inline(always)]
fn tokens(delta: v128) -> v128 {
    let binned = |values| i32x4_sub(u32x4_shr(f32x4_convert_i32x4(values), 21), u32x4_splat(BELOW_BINS));
    let (low, high) = (u32x4_extend_low_u16x8(delta), u32x4_extend_high_u16x8(delta));
    let binned = u16x8_narrow_i32x4(binned(low), binned(high));
    let token = v128_bitselect(delta, binned, u16x8_lt(delta, u16x8_splat(DIRECT as u16)));
    u8x16_narrow_i16x8(token, token)
}

/// Writes the places of whole vectors of tokens in a counter of rows of `width`, and returns their
/// number.
#[inline(never)]
pub(super) fn places(raw: &[u8], tokens: &[u8], width: u16, places: &mut [u16]) -> usize {
    let mut done = 0;
    let pairs = raw.as_chunks::<EIGHT>().0.iter().zip(tokens.as_chunks::<EIGHT>().0);
    for ((raw, tokens), places) in pairs.zip(places.as_chunks_mut::<EIGHT>().0) {
        let row = i16x8_mul(u16x8_extend_low_u8x16(load_half(raw)), u16x8_splat(width));
        store(i16x8_add(row, u16x8_extend_low_u8x16(load_half(tokens))), places);
        done += EIGHT;
    }
    done
}
